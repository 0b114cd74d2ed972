"""Headers of photos: what they state is what other libraries decode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, smooth, with_orientation
from PIL import Image as Pillow
from PIL import ImageOps

from pipeline.images.photo_header import open_content, read_header

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.avif"])
def test_size_and_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    """Rows and columns are those after the turn."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    Pillow.fromarray(smooth()).save(path, exif=exif)
    header = read_header(str(path))
    assert header is not None
    with Pillow.open(path) as stored:
        assert header.shape == (*ImageOps.exif_transpose(stored).size[::-1], 3)
    assert header.orientation == orientation
    assert header.dtype == np.dtype("uint8")


def test_little_endian_exif_of_a_jpeg(tmp_path: Path) -> None:
    """The byte order of EXIF data is their own."""
    path = tmp_path / "x.jpg"
    Pillow.fromarray(smooth()).save(path)
    path.write_bytes(with_orientation(path.read_bytes(), 6))
    header = read_header(str(path))
    assert header is not None
    assert header.shape == (WIDTH, HEIGHT, 3)


def test_other_formats_have_none(tmp_path: Path) -> None:
    """A TIFF and a text have no header that is read here."""
    for content in (b"II*\0" + bytes(40), b"BM is no bitmap here, but the beginning of a text"):
        (tmp_path / "x").write_bytes(content)
        assert read_header(str(tmp_path / "x")) is None


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.gif", "x.jp2", "x.avif", "x.bmp", "x.ppm"])
def test_a_damaged_header_is_refused(tmp_path: Path, name: str) -> None:
    """The message names the file."""
    path = tmp_path / name
    Pillow.fromarray(smooth()).save(path)
    path.write_bytes(path.read_bytes()[:22])
    with pytest.raises(ValueError, match=rf"{name} (is|has|can't hold) .*(understood|truncated|damaged)"):
        read_header(str(path))


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    """They are sliced and searched as bytes are."""
    (tmp_path / "x").write_bytes(b"some bytes")
    with open_content(str(tmp_path / "x")) as content:
        assert content[5:] == b"bytes"
        assert content.find(b"by") == 5
