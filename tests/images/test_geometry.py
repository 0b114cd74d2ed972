"""Geometry: the pixels of a view lie where they lie in the image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from images.examples import HEIGHT, TILE, WIDTH, noise

from pipeline.images.geometry import Geometry
from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path

SLICES = st.builds(slice, st.integers(0, 9), st.integers(10, 40), st.integers(1, 5))


@given(SLICES, SLICES, SLICES, SLICES)
def test_a_view_of_a_view_lies_where_its_pixels_lie(a: slice, b: slice, c: slice, d: slice) -> None:
    """The places that a geometry gives are those of the chosen rows and columns."""
    whole = Geometry((0.5, 0.25), (10.0, -3.0))
    rows, columns = range(50)[a], range(60)[b]
    inner = rows[c], columns[d]
    if not (inner[0] and inner[1]):
        return
    found = whole.view(rows, columns).view(range(len(rows))[c], range(len(columns))[d])
    assert found.pixel_size is not None
    for places, size, origin, one, first in zip(
        inner, found.pixel_size, found.origin, (0.5, 0.25), (10.0, -3.0), strict=True
    ):
        np.testing.assert_allclose(origin + size * np.arange(len(places)), first + one * np.array(places))


def test_what_isnt_known_stays_unknown() -> None:
    """A view of an image without a pixel size has none, nor has a view that is turned round."""
    assert Geometry().view(range(3, 9, 2), range(4)) == Geometry()
    assert Geometry().pixel_area is None
    assert Geometry((0.5, 0.25)).view(range(0, 9, 2), range(4)).pixel_area == 0.25
    assert Geometry((0.5, 0.5)).view(range(9, -1, -1), range(4)) == Geometry()


@pytest.mark.parametrize("geometry", [Geometry(), Geometry((0.5, 0.25), (1.0, 2.0))])
def test_a_geometry_is_read_back(geometry: Geometry) -> None:
    """JSON holds a geometry."""
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


APERIO = "Aperio Image Library v11\r\n90x120 [0,0 90x120] JPEG/RGB Q=30|AppMag = 40|MPP = 0.2532|Left = 1.5"


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}}, (0.5, 0.25)),
        (
            {
                "ome": True,
                "metadata": {
                    "PhysicalSizeX": 250,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.5,
                    "PhysicalSizeYUnit": "µm",
                },
            },
            (0.5, 0.25),
        ),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25}}, None),
        (
            {"ome": True, "metadata": {"PhysicalSizeX": 2, "PhysicalSizeY": 2, "PhysicalSizeXUnit": "pixel"}},
            None,
        ),
        ({"description": APERIO, "metadata": None}, (0.2532, 0.2532)),
        ({"description": "MPP = 0.2532", "metadata": None}, None),
        ({}, None),
    ],
)
def test_the_size_of_a_pixel(
    tmp_path: Path, options: dict[str, Any], size: tuple[float, float] | None
) -> None:
    """OME-XML and Aperio's descriptions state the size of a pixel, and a view has its own."""
    path = tmp_path / ("sized.ome.tif" if "ome" in options else "sized.tif")
    tifffile.imwrite(path, noise(HEIGHT, WIDTH, 3), photometric="rgb", tile=TILE, **options)
    image = open_image(path)
    assert image.pixel_size == (None if size is None else pytest.approx(size))
    halved = image[4:, ::2].description.geometry
    if size is not None:
        assert halved.pixel_size == pytest.approx((size[0], 2 * size[1]))
        assert halved.origin == pytest.approx((4 * size[0], 0))
        assert f"pixels of {size[0]:.4g} x {size[1]:.4g} µm" in repr(image)
