"""The footprint: what an image and its mask take together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.images.footprint import Footprint
from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def test_a_mask_counts_too(tmp_path: Path) -> None:
    """Photos are held whole, and a mask too; a region takes its pixels, the mask's, and masking."""
    cv2.imwrite(str(tmp_path / "image.png"), PIXELS)
    cv2.imwrite(str(tmp_path / "mask.png"), PIXELS[..., 0])
    image = open_image(tmp_path / "image.png")
    alone, masked = (
        image.footprint((10, 10)),
        open_image(image, mask=tmp_path / "mask.png").footprint((10, 10)),
    )
    # A decoder takes the file, and a little more.
    opening = (tmp_path / "image.png").stat().st_size + PIXELS.nbytes // 4
    assert alone == (PIXELS.nbytes, PIXELS.nbytes, opening, 300)
    assert masked == (PIXELS.nbytes + 2000, PIXELS.nbytes + 2000, opening, 300 + 100 + 500)


def test_what_is_read_afterwards_doesnt_add_up_regions() -> None:
    """Of two images that are read one after the other both are held, and the larger region counts."""
    one, other = Footprint(100, 10, 7, 50), Footprint(30, 3, 9, 20)
    assert one.followed_by(other) == Footprint(130, 13, 9, 50)
    assert other.followed_by(one) == one.followed_by(other)


def test_arrays_are_held_by_their_callers() -> None:
    """What is in memory anyway isn't counted, and needs no opening."""
    assert open_image(PIXELS).footprint((10, 10)) == (0, 0, 0, 300)
    assert open_image(PIXELS, no_data=3).footprint((10, 10)).region == 300 + 500
