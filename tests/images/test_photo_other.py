"""QOI, Radiance, Sun raster and JPEG XL: what is decoded, and what is refused by name."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import cv2
import imagecodecs
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth
from PIL import Image as Pillow

from pipeline.images import photo_other
from pipeline.images.opening import open_image
from pipeline.images.photo_facts import RefusalError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("n_samples", [3, 4])
def test_qoi(n_samples: int) -> None:
    """The pixels are PIL's."""
    content = bytes(imagecodecs.qoi_encode(noise(HEIGHT, WIDTH, n_samples)))
    assert photo_other.read_qoi(content).shape == (HEIGHT, WIDTH, n_samples)
    np.testing.assert_array_equal(
        photo_other.decode_qoi(content, 0), np.asarray(Pillow.open(io.BytesIO(content)))
    )
    with pytest.raises(RefusalError, match="is truncated: it has no end marker"):
        photo_other.read_qoi(content[:-1])
    with pytest.raises(RefusalError, match="can't hold the 1000000 x 83 pixels"):
        photo_other.read_qoi(content[:8] + struct.pack(">I", 1_000_000) + content[12:])
    with pytest.raises(IndexError):
        photo_other.read_qoi(content[:12] + b"\7" + content[13:])


def test_radiance(tmp_path: Path) -> None:
    """The pixels are OpenCV's, in float32, red first."""
    pixels = np.abs(noise(HEIGHT, WIDTH, 3, dtype="float32"))
    cv2.imwrite(str(tmp_path / "x.hdr"), pixels[..., ::-1])
    image = open_image(tmp_path / "x.hdr")
    wanted = cv2.imread(str(tmp_path / "x.hdr"), cv2.IMREAD_UNCHANGED)
    assert wanted is not None
    np.testing.assert_array_equal(image, wanted[..., ::-1])
    content = (tmp_path / "x.hdr").read_bytes()
    for old, new, message in (
        (b"-Y", b"+Y", "with its rows in another order"),
        (b"rgbe", b"xyze", "in XYZ"),
        (b"101", b"999999", "can't hold the 999999 x 83 pixels"),
    ):
        with pytest.raises(RefusalError, match=message):
            photo_other.read_hdr(content.replace(old, new, 1))
    with pytest.raises(IndexError):
        photo_other.read_hdr(content[:20])


def sun(rows: np.ndarray, depth: int, kind: int, colors: bytes = b"") -> bytes:
    """Make a Sun raster of rows of bytes, which are padded to an even number."""
    padded = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    numbers = (0x59A66A95, WIDTH, HEIGHT, depth, padded.size, kind, bool(colors), len(colors))
    return struct.pack(">8I", *numbers) + colors + padded.tobytes()


def test_sun_raster(tmp_path: Path) -> None:
    """Gray, palette, and colors in both orders, with a sample of no meaning and without."""
    pixels, colors = noise(HEIGHT, WIDTH, 3), noise(3, 256)
    filled = np.concatenate((noise(HEIGHT, WIDTH, 1, seed=1), pixels), axis=2)
    for content, wanted in (
        (sun(pixels[..., 0], 8, 1), pixels[..., :1]),
        (sun(pixels[..., 0], 8, 1, colors.tobytes()), colors.T[pixels[..., 0]]),
        (sun(pixels[..., ::-1].reshape(HEIGHT, -1), 24, 1), pixels),
        (sun(pixels.reshape(HEIGHT, -1), 24, 3), pixels),
        (sun(filled.reshape(HEIGHT, -1), 32, 3), pixels),
    ):
        assert photo_other.read_sun(content).shape == wanted.shape
        (tmp_path / "x.ras").write_bytes(content)
        np.testing.assert_array_equal(open_image(tmp_path / "x.ras"), wanted)
    cv2.imwrite(str(tmp_path / "y.ras"), pixels[..., ::-1])
    np.testing.assert_array_equal(open_image(tmp_path / "y.ras"), pixels)
    with pytest.raises(
        RefusalError, match="is a Sun raster of kind 2 and 24 bits; wanted an uncompressed one"
    ):
        photo_other.read_sun(sun(noise(HEIGHT, 3 * WIDTH), 24, 2))
    with pytest.raises(RefusalError, match="can't hold"):
        photo_other.read_sun(sun(noise(HEIGHT - 1, 3 * WIDTH), 24, 1))


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_jpeg_xl(tmp_path: Path, n_samples: int, dtype: str) -> None:
    """Samples of every depth come as they were written."""
    pixels: Any = noise(HEIGHT, WIDTH, n_samples, dtype="uint8").astype(dtype)
    pixels = pixels / np.float32(255) if dtype == "float32" else pixels
    (tmp_path / "x.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels.squeeze(), lossless=True))
    image = open_image(tmp_path / "x.jxl")
    assert image.dtype == np.dtype(dtype)
    n_colors = n_samples - (n_samples % 2 == 0)
    np.testing.assert_array_equal(image, pixels[..., :n_colors])


def test_frames_and_sizes_of_jpeg_xl_are_refused(tmp_path: Path) -> None:
    """Several frames, more pixels than 2^28, and a cut file."""
    frames = np.stack([noise(16, 16, 3, seed=seed) for seed in range(2)])
    (tmp_path / "x.jxl").write_bytes(imagecodecs.jpegxl_encode(frames, lossless=True))
    with pytest.raises(ValueError, match=r"x.jxl is an animated JPEG XL of 2 frames; wanted one .* ffmpeg"):
        open_image(tmp_path / "x.jxl")
    # A size of its own, of 30 bits: 2^20 rows, and a ratio of 1.
    bits = 0b11 << 1 | 2**20 - 1 << 3 | 1 << 33
    with pytest.raises(RefusalError, match=r"is a JPEG XL of 1048576 x 1048576 pixels; wanted 2\^28 at most"):
        photo_other.read_jxl(b"\xff\x0a" + bits.to_bytes(8, "little"))
    with pytest.raises(RefusalError, match="is truncated"):
        photo_other.read_jxl(b"\0\0\0\x0cJXL \r\n\x87\n")


@pytest.mark.parametrize("extent", [(8, 8), (256, 256), (300, 400), (1, 2000), (160, 90)])
def test_sizes_of_jpeg_xl(monkeypatch: pytest.MonkeyPatch, extent: tuple[int, int]) -> None:
    """Small sizes, ratios, and sizes of their own: each is read from its bits."""
    content = bytes(imagecodecs.jpegxl_encode(np.resize(smooth(), (*extent, 3)), lossless=True))
    monkeypatch.setattr(photo_other, "_MOST_JXL", 0)
    with pytest.raises(RefusalError, match=f"is a JPEG XL of {extent[0]} x {extent[1]} pixels"):
        photo_other.read_jxl(content)
