"""Formats of photos: damaged files of each are refused by name, or give pixels of the stated shape."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from images.examples import noise, smooth
from PIL import Image as Pillow

from pipeline.images.photo import open_photo
from pipeline.images.photo_formats import FORMATS, find_format

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = smooth()[:64, :48] // 2 + noise(64, 48, 3) // 8


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """Write the pixels with PIL."""
    file = io.BytesIO()
    Pillow.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


FILES: dict[str, bytes] = {
    "PNG": saved("PNG"),
    "palette PNG": saved("PNG", "P"),
    "JPEG": saved("JPEG"),
    "progressive JPEG": saved("JPEG", progressive=True),
    "lossless JPEG": bytes(imagecodecs.jpeg8_encode(PIXELS, lossless=True)),
    "JPEG-LS": bytes(imagecodecs.jpegls_encode(PIXELS)),
    "WebP": saved("WEBP"),
    "lossless WebP": saved("WEBP", "RGBA", lossless=True),
    "GIF": saved("GIF"),
    "JPEG 2000": saved("JPEG2000"),
    "bare JPEG 2000": saved("JPEG2000", no_jp2=True, tile_size=(32, 32)),
    "AVIF": saved("AVIF", speed=10),
    "JPEG XL": bytes(imagecodecs.jpegxl_encode(PIXELS, level=90, effort=1)),
    "QOI": bytes(imagecodecs.qoi_encode(PIXELS)),
    "Radiance": bytes(imagecodecs.rgbe_encode(PIXELS.astype("f4"))),
    "BMP": saved("BMP"),
    "palette BMP": saved("BMP", "P"),
    "PPM": saved("PPM"),
    "Sun raster": struct.pack(">8I", 0x59A66A95, 48, 64, 24, PIXELS.size, 3, 0, 0) + PIXELS.tobytes(),
}
LOSSY = {"JPEG", "progressive JPEG", "WebP", "GIF", "JPEG 2000", "bare JPEG 2000", "AVIF", "JPEG XL"}


@pytest.mark.parametrize("name", FILES)
def test_each_is_decoded(tmp_path: Path, name: str) -> None:
    """It is known by its content, and holds the pixels that were written, as far as it is lossless."""
    (tmp_path / "x").write_bytes(FILES[name])
    photo = open_photo(str(tmp_path / "x"))
    assert photo is not None
    pixels = photo.read((slice(64), slice(48)))
    palette = name.startswith("palette")
    difference = np.abs(pixels.astype(int) - PIXELS)
    assert pixels.shape == PIXELS.shape
    assert difference.mean() < (16 if palette or name in LOSSY else 1e-9)
    assert photo.held_bytes == pixels.nbytes


@pytest.mark.parametrize("name", FILES)
def test_cut_files_are_refused(tmp_path: Path, name: str) -> None:
    """No decoder's filling is taken for pixels."""
    random = np.random.default_rng(5)
    path, whole = tmp_path / "x", FILES[name]
    for length in (*random.integers(32, len(whole), 18).tolist(), len(whole) - 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises((ValueError, OSError), match=str(path)):
            open_photo(str(path))


@pytest.mark.filterwarnings("ignore:.*PNG")
@pytest.mark.parametrize("name", FILES)
def test_changed_bytes(tmp_path: Path, name: str) -> None:
    """The pixels have the stated shape, or the file is refused by its name."""
    random = np.random.default_rng(6)
    path, whole = tmp_path / "x", FILES[name]
    for end in [64] * 8 + [len(whole)] * 12:
        content = bytearray(whole)
        content[random.integers(0, end)] ^= int(random.integers(1, 256))
        path.write_bytes(content)
        try:
            photo = open_photo(str(path))
        except (ValueError, OSError) as error:
            assert str(path) in str(error)  # noqa: PT017  it may also be decoded
            continue
        if photo is not None:
            assert photo.read((slice(photo.shape[0]), slice(photo.shape[1]))).shape == photo.shape


def test_formats_are_told_apart() -> None:
    """Each file is of one format, and each format has a name with its article."""
    for content in FILES.values():
        assert sum(each.is_format(content) for each in FORMATS) == 1
    assert all(each.name.startswith(("a ", "an ")) for each in FORMATS)
    assert find_format(b"some text that is no photo") is None
