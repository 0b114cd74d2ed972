"""Images are opened again by their places."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import HEIGHT, WIDTH, box, feature, noise, write_geojson

from pipeline.images.opening import open_image
from pipeline.images.reopening import reopen

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(HEIGHT, WIDTH, 3)


def test_places_reopen_views(tmp_path: Path) -> None:
    """A view of a file, or of a Zarr array, is opened again by its place, with alpha and turned too."""
    four = noise(HEIGHT, WIDTH, 4)
    tifffile.imwrite(tmp_path / "x.tif", four, photometric="rgb", extrasamples=["unassalpha"])
    cv2.imwrite(os.fspath(tmp_path / "x.png"), four[..., [2, 1, 0, 3]])
    zarr.create_array(tmp_path / "x.zarr", data=np.moveaxis(four, -1, 0))
    images = [
        open_image(tmp_path / "x.tif", channels=("alpha", "green"))[::-2, 5:80:3],
        open_image(tmp_path / "x.png", channels=("red", "green", "blue", "alpha"))[3:, ..., :2],
        open_image(tmp_path / "x.png")[:, ::-1],
        open_image(tmp_path / "x.zarr", channel_axis=0)[7:5:-1, :, ::2],
        open_image(open_image(tmp_path / "x.tif")[10:, 20:], no_data=3)[::-1, ::2],
    ]
    for image in images:
        assert image.description.place is not None
        again = reopen(image.description.place)
        assert again.description == image.description
        np.testing.assert_array_equal(again, image)
        assert open_image(again, mask=np.ones(image.extent)).extent == image.extent


def test_places_reopen_polygons_and_scaled_masks(tmp_path: Path) -> None:
    """The mask of an image, or of a view of it, is opened again by its place, whatever it was made of."""
    write_geojson(tmp_path / "x.geojson", feature(box(5, 5, 60, 90), box(20, 20, 30, 40)))
    cv2.imwrite(os.fspath(tmp_path / "x.png"), noise(51, 42) // 100)
    for name in ("x.geojson", "x.png"):
        image = open_image(PIXELS, mask=tmp_path / name)
        for masked in (image, image[3:70:2, ::-1], open_image(image[10:, 5:])[::-1]):
            (mask,) = (source.description for source in masked.masking.masks)
            assert mask.place is not None
            again = reopen(json.loads(json.dumps(mask.place)))
            assert again.description == mask
            other = open_image(PIXELS[: masked.extent[0], : masked.extent[1]], mask=again)
            whole = (slice(0, masked.extent[0]), slice(0, masked.extent[1]))
            np.testing.assert_array_equal(other.part(whole).read()[1], masked.part(whole).read()[1])


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"image": "/x.tif", "color": 3},
        {"image": "/x.tif", "rows": 3},
        {"image": {"rows": [1, 2, 0]}},
        {"image": "/x.tif", "rows": [0, 1, 0]},
        {"image": "/x.tif", "extent": [3]},
        {"image": "/x.json", "extent": 3, "by": "class"},
    ],
)
def test_damaged_places(place: dict[str, Any]) -> None:
    """A place that names no image is damaged."""
    with pytest.raises(ValueError, match="the place of the image is damaged"):
        reopen(place)
