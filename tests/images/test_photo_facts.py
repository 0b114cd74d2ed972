"""What photos state: the orientation of EXIF data, and sizes that a file can hold."""

from __future__ import annotations

import numpy as np
import pytest
from images.examples import noise
from PIL import Image as Pillow
from PIL import ImageOps

from pipeline.images.photo_facts import (
    RefusalError,
    big,
    check_extent,
    check_rows,
    exif_orientation,
    header_of,
    little,
    turned,
)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned(orientation: int) -> None:
    """Each orientation is the one that PIL makes of it, and the header has the turned extent."""
    pixels = noise(5, 7, 3)
    stored = Pillow.fromarray(pixels)
    stored.getexif()[0x0112] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(turned(pixels, orientation), wanted)
    assert header_of((5, 7), 3, "u1", orientation=orientation).shape == wanted.shape


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize(("stated", "orientation"), [(6, 6), (8, 8), (0, 1), (9, 1)])
def test_orientation_of_exif_data(endian: str, stated: int, orientation: int) -> None:
    """It is found in both byte orders, and values that have no meaning count as none."""
    exif = Pillow.Exif()
    exif.endian = endian
    exif[0x0112] = stated
    data = exif.tobytes()
    assert exif_orientation(data) == orientation
    assert exif_orientation(data.removeprefix(b"Exif\0\0")) == orientation
    assert exif_orientation(data[:12]) == exif_orientation(b"no EXIF data") == exif_orientation(b"") == 1


def test_a_file_is_too_small_for_its_pixels() -> None:
    """The message states the size."""
    check_extent(bytes(100), 10, 100, 10)
    check_rows(bytes(100), 10, 100, 100)
    with pytest.raises(RefusalError, match=r"can't hold the 10 x 101 pixels .*: it is truncated or damaged"):
        check_extent(bytes(100), 10, 101, 10)
    with pytest.raises(RefusalError, match="has 0 x 7 pixels, as its header states: it is damaged"):
        check_rows(bytes(100), 0, 7, 0)


def test_numbers() -> None:
    """Both orders of bytes."""
    assert (big(b"\1\2"), little(b"\1\2")) == (258, 513)


def test_a_header_knows_its_bytes() -> None:
    """One image counts, of several frames too."""
    assert header_of((5, 7), 3, "u2", n_frames=4).n_bytes == 5 * 7 * 3 * 2
