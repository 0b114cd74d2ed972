"""Headers of photos: the shape and the depth of what OpenCV decodes, for every kind of PNG and JPEG."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth, with_orientation
from PIL import Image as Pillow

from pipeline.images.photo_header import PNG_MAGIC, read_header

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH


def check(path: Path) -> None:
    """Compare the header with what is decoded, with alpha and without."""
    for alpha, flags in ((False, PLAIN), (True, cv2.IMREAD_UNCHANGED)):
        decoded = cv2.imread(str(path), flags)
        assert decoded is not None
        header = read_header(str(path), alpha=alpha)
        assert header is not None
        assert header.shape == (*decoded.shape[:2], 1 if decoded.ndim == 2 else decoded.shape[2])
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


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg(tmp_path: Path, mode: str, progressive: bool) -> None:
    """Gray, color and CMYK, baseline and progressive."""
    Pillow.fromarray(smooth()).convert(mode).save(tmp_path / "x.jpg", progressive=progressive)
    check(tmp_path / "x.jpg")


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
        read_header(str(tmp_path / "x.png"), alpha=False)


def test_other_formats_and_damaged_headers_have_none(tmp_path: Path) -> None:
    """Whoever decodes the file says what is wrong with it."""
    for name in ("x.bmp", "x.webp"):
        cv2.imwrite(str(tmp_path / name), noise(HEIGHT, WIDTH, 3))
        assert read_header(str(tmp_path / name), alpha=False) is None
    whole = cv2.imencode(".jpg", smooth())[1].tobytes()
    frame = whole.index(b"\xff\xc0")
    without = whole[:frame] + whole[frame + 2 + int.from_bytes(whole[frame + 2 : frame + 4], "big") :]
    for content in (PNG_MAGIC, png(8, 2, 3)[:20], png(8, 9, 3), whole[:frame], without):
        (tmp_path / "x").write_bytes(content)
        assert read_header(str(tmp_path / "x"), alpha=False) is None
