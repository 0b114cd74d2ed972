"""PNG: every kind of samples, orientation before and behind the pixels, and sizes that can't be."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import imagecodecs
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise
from PIL import Image as Pillow

from pipeline.images.opening import open_image
from pipeline.images.photo_facts import RefusalError
from pipeline.images.photo_png import PNG_MAGIC, read_png

if TYPE_CHECKING:
    from pathlib import Path


def chunk(name: bytes, content: bytes) -> bytes:
    """Make a chunk."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth: int, kind: int, samples: int, *more: bytes, behind: bytes = b"") -> bytes:
    """Make a PNG of zeros of any kind."""
    row = bytes(1 + -(-WIDTH * samples * depth // 8))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(row * HEIGHT))
    return b"".join([PNG_MAGIC, chunk(b"IHDR", header), *more, pixels, behind, chunk(b"IEND", b"")])


def exif(orientation: int) -> bytes:
    """Make a chunk of EXIF data."""
    tags = Pillow.Exif()
    tags[0x0112] = orientation
    return chunk(b"eXIf", tags.tobytes().removeprefix(b"Exif\0\0"))


PALETTE = chunk(b"PLTE", bytes(range(12)))
GAMMA = chunk(b"gAMA", struct.pack(">I", 100000))


@pytest.mark.parametrize(
    "content",
    [
        *(png(depth, 0, 1) for depth in (1, 2, 4, 8, 16)),
        png(8, 0, 1, chunk(b"tRNS", b"\0\1")),
        *(png(depth, 2, 3) for depth in (8, 16)),
        png(8, 2, 3, chunk(b"tRNS", bytes(6))),
        *(png(depth, 3, 1, PALETTE) for depth in (1, 2, 4, 8)),
        png(8, 3, 1, PALETTE, chunk(b"tRNS", b"\0\1")),
        *(png(depth, 4, 2) for depth in (8, 16)),
        *(png(depth, 6, 4) for depth in (8, 16)),
    ],
)
def test_every_kind(content: bytes) -> None:
    """Gray, color and palettes, of each depth, with and without transparency."""
    decoded = imagecodecs.png_decode(content)
    header = read_png(content)
    assert header.shape == (HEIGHT, WIDTH, 1 if decoded.ndim == 2 else decoded.shape[2])
    assert (header.dtype, header.n_bytes) == (decoded.dtype, decoded.nbytes)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_samples_are_those_of_pil(tmp_path: Path, mode: str) -> None:
    """Samples of few bits are scaled to 8, and colors of a palette are looked up."""
    stored = Pillow.fromarray(noise(HEIGHT, WIDTH, 3)).convert(mode if mode != "LA" else "L").convert(mode)
    stored.save(tmp_path / "x.png")
    image = open_image(tmp_path / "x.png")
    wanted = np.asarray(stored.convert({"1": "L", "LA": "L"}.get(mode, "L" if mode == "L" else "RGB")))
    np.testing.assert_array_equal(image, wanted.reshape(image.shape))


def test_sixteen_bits_are_those_of_opencv(tmp_path: Path) -> None:
    """All of their bits, whatever gamma the file states."""
    pixels = noise(HEIGHT, WIDTH, 4, dtype="uint16")
    content = cv2.imencode(".png", pixels)[1].tobytes()
    (tmp_path / "x.png").write_bytes(content[:33] + GAMMA + content[33:])
    image = open_image(tmp_path / "x.png", channels=["blue", "green", "red", "alpha"])
    np.testing.assert_array_equal(image, pixels)


def test_orientation_behind_the_pixels() -> None:
    """EXIF data may follow the pixels; bytes that only look like them have no checksum."""
    assert read_png(png(8, 2, 3, exif(6))).orientation == 6
    assert read_png(png(8, 2, 3, behind=exif(6))).shape == (WIDTH, HEIGHT, 3)
    other = chunk(b"tEXt", b"eXIf" + exif(6)[8:])
    assert read_png(png(8, 2, 3, behind=other)).orientation == 1


def test_a_size_that_the_file_cant_hold_is_refused() -> None:
    """A damaged PNG of a few hundred bytes isn't 2^30 pixels, and nothing is allocated to find out."""
    content = bytearray(png(8, 2, 3))
    content[16:24] = struct.pack(">II", 2**15, 2**15)
    with pytest.raises(RefusalError, match="can't hold the 32768 x 32768 pixels that its header states"):
        read_png(bytes(content))


def test_frames_are_refused(tmp_path: Path) -> None:
    """An animated PNG is refused by its name, and one of a single frame isn't."""
    frames = [Pillow.fromarray(noise(9, 9, 3, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"x.png is an animated PNG of 3 frames; wanted one .* ffmpeg"):
        open_image(tmp_path / "x.png")
    assert read_png(png(8, 2, 3, chunk(b"acTL", struct.pack(">II", 1, 0)))).n_frames == 1


@pytest.mark.parametrize("content", [png(3, 0, 1), png(8, 9, 3), png(8, 2, 3)[:33] + chunk(b"IEND", b"")])
def test_damaged_headers(content: bytes) -> None:
    """An unknown depth, an unknown kind, no pixels."""
    with pytest.raises((IndexError, KeyError)):
        read_png(content)
