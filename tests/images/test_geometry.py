"""Geometry: the pixels of a view lie where they lie in the image."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.geometry import Geometry

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
