"""Headers of photos: the shape, the depth and the orientation of every kind of PNG and JPEG."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import imagecodecs
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth, with_orientation
from PIL import Image as Pillow
from PIL import ImageOps

from pipeline.images.photo_header import PNG_MAGIC, read_header, turned

if TYPE_CHECKING:
    from pathlib import Path


def check(path: Path) -> None:
    """Compare the header with what other libraries decode."""
    content = path.read_bytes()
    decoded = (
        imagecodecs.png_decode(content)
        if content.startswith(PNG_MAGIC)
        else imagecodecs.jpeg8_decode(content)
    )
    with Pillow.open(path) as stored:
        extent = ImageOps.exif_transpose(stored).size[::-1]
    header = read_header(str(path))
    assert header is not None
    assert header.shape == (*extent, 1 if decoded.ndim == 2 else decoded.shape[2])
    assert header.dtype == decoded.dtype
    assert header.n_bytes == decoded.nbytes


def chunk(name: bytes, content: bytes) -> bytes:
    """Make a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth: int, kind: int, samples: int, *more: bytes, width: int = WIDTH) -> bytes:
    """Make a PNG of zeros of any kind."""
    row = bytes(1 + -(-width * samples * depth // 8))
    header = struct.pack(">IIBBBBB", width, HEIGHT, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(row * HEIGHT)), chunk(b"IEND", b"")]
    return PNG_MAGIC + b"".join(parts)


PALETTE = chunk(b"PLTE", bytes(range(12)))


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
def test_every_kind_of_png(tmp_path: Path, content: bytes) -> None:
    """Gray, color and palettes, of each depth, with and without transparency."""
    (tmp_path / "x.png").write_bytes(content)
    check(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg(tmp_path: Path, mode: str, progressive: bool) -> None:
    """Gray and color, baseline and progressive."""
    Pillow.fromarray(smooth()).convert(mode).save(tmp_path / "x.jpg", progressive=progressive)
    check(tmp_path / "x.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned(tmp_path: Path, orientation: int) -> None:
    """Each orientation is the one that PIL makes of it."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.fromarray(smooth()).save(tmp_path / "x.png", exif=exif)
    with Pillow.open(tmp_path / "x.png") as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(turned(smooth(), orientation), wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int) -> None:
    """Rows and columns are those after EXIF's turn, in both byte orders."""
    encoded = cv2.imencode(".jpg", smooth())[1].tobytes()
    (tmp_path / "x.jpg").write_bytes(with_orientation(encoded, orientation))
    check(tmp_path / "x.jpg")
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    for name in ("big.jpg", "x.png"):
        Pillow.fromarray(smooth()).save(tmp_path / name, exif=exif)
        check(tmp_path / name)


def test_a_thumbnail_is_passed_over(tmp_path: Path) -> None:
    """The frame of a thumbnail within a segment isn't the photo's."""
    content = cv2.imencode(".jpg", smooth())[1].tobytes()
    thumbnail = cv2.imencode(".jpg", smooth()[:16, :16])[1].tobytes()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    (tmp_path / "x.jpg").write_bytes(content[:2] + segment + content[2:])
    check(tmp_path / "x.jpg")


def test_a_size_that_the_file_cant_hold_is_refused(tmp_path: Path) -> None:
    """A damaged PNG of a few hundred bytes isn't 2^30 pixels, and nothing is allocated to find out."""
    content = bytearray(png(8, 2, 3))
    content[16:24] = struct.pack(">II", 2**15, 2**15)
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"x.png can't hold the 32768 x 32768 pixels that its header states"):
        read_header(str(tmp_path / "x.png"))


def test_other_formats_and_damaged_headers_have_none(tmp_path: Path) -> None:
    """Whoever decodes the file says what is wrong with it."""
    for name in ("x.bmp", "x.webp"):
        cv2.imwrite(str(tmp_path / name), noise(HEIGHT, WIDTH, 3))
        assert read_header(str(tmp_path / name)) is None
    whole = cv2.imencode(".jpg", smooth())[1].tobytes()
    frame = whole.index(b"\xff\xc0")
    without = whole[:frame] + whole[frame + 2 + int.from_bytes(whole[frame + 2 : frame + 4], "big") :]
    for content in (PNG_MAGIC, png(8, 2, 3)[:20], png(8, 9, 3), whole[:frame], without):
        (tmp_path / "x").write_bytes(content)
        assert read_header(str(tmp_path / "x")) is None
