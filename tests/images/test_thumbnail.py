"""Thumbnails in HTML."""

from __future__ import annotations

from base64 import b64decode

import cv2
import numpy as np
import pytest

from pipeline.images.thumbnail import thumbnail_html


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 1), (100, 100)), ((3, 5), (60, 100)), ((150, 7), (150, 7)), ((201, 400), (101, 200))],
)
def test_pixels_are_a_picture(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """The PNG in the address has the colors of the pixels; few are enlarged, and too many left out."""
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    text = thumbnail_html(pixels)
    content = text.partition("base64,")[2].partition('"')[0]
    found = cv2.imdecode(np.frombuffer(b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    assert found.shape[:2] == size
    np.testing.assert_array_equal(found[0, 0, ::-1], pixels[0, 0])
    assert text.startswith("<img ")
