"""Outlines: areas are counts, GDAL fills them with the same pixels, and bands leave no seams."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio.features
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.errors import NotGeoreferencedWarning

from pipeline.results.outlines import Region, trace_regions

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

LABELS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 255])
)
EMPTY = 99


def trace(label: NDArray[np.uint8], rows: int, wanted: Collection[int] = (0, 1, 2)) -> list[Region]:
    """Trace a label in bands of so many rows."""
    return list(trace_regions((label[top : top + rows] for top in range(0, len(label), rows)), wanted))


def area_of(ring: NDArray[np.int64]) -> float:
    """Return the area of a ring by the formula of the surveyor."""
    closed = [*ring.tolist(), ring[0].tolist()]
    return sum(x * v - u * y for (y, x), (v, u) in pairwise(closed)) / 2


def fill(regions: list[Region], shape: tuple[int, int]) -> NDArray[Any]:
    """Fill the polygons as GDAL does."""
    shapes = [
        (
            {
                "type": "Polygon",
                "coordinates": [
                    [(x, y) for y, x in [*ring.tolist(), ring[0].tolist()]]
                    for ring in (region.outer, *region.holes)
                ],
            },
            region.label,
        )
        for region in regions
    ]
    filled = np.full(shape, EMPTY, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.features.rasterize(shapes, out=filled) if shapes else filled


@given(LABELS, st.integers(1, 12), st.sampled_from([(0, 1, 2), (1,), ()]))
def test_polygons_are_the_pixels(label: NDArray[np.uint8], rows: int, wanted: tuple[int, ...]) -> None:
    """For any label and any bands, areas are counts, and filled polygons are the pixels of the classes."""
    regions = trace(label, rows, wanted)
    for region in regions:
        assert area_of(region.outer) > 0
        assert all(area_of(hole) < 0 for hole in region.holes)
        assert area_of(region.outer) + sum(map(area_of, region.holes)) == region.n_pixels
    for number in wanted:
        assert sum(r.n_pixels for r in regions if r.label == number) == (label == number).sum()
    np.testing.assert_array_equal(fill(regions, label.shape), np.where(np.isin(label, wanted), label, EMPTY))


@given(LABELS, st.integers(1, 12))
def test_bands_leave_no_seams(label: NDArray[np.uint8], rows: int) -> None:
    """There are as many regions as GDAL finds, and each ring turns at each vertex and meets none twice."""
    regions = trace(label, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        found = rasterio.features.shapes(label, mask=label != 255, connectivity=4)
        assert len(regions) == len(list(found))
    for region in regions:
        for ring in (region.outer, *region.holes):
            assert len(np.unique(ring, axis=0)) == len(ring) >= 4
            steps = np.diff(np.concatenate([ring, ring[:1]]), axis=0)
            assert ((steps == 0).sum(axis=1) == 1).all()
            turned = (steps[:, 0] == 0) != (np.roll(steps, 1, axis=0)[:, 0] == 0)
            assert turned.all()


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_a_ring_with_a_hole_across_bands(rows: int) -> None:
    """A hole that spans bands is one ring of its region, and what lies in the hole is a region of its own."""
    label = np.zeros((6, 7), np.uint8)
    label[1:5, 1:6] = 1
    label[2:4, 2:5] = 0
    label[3, 3] = 2
    outside, ring, hole, point = sorted(trace(label, rows), key=lambda r: (-r.n_pixels, r.label))
    assert [r.n_pixels for r in (outside, ring, hole, point)] == [22, 14, 5, 1]
    assert ring.outer.tolist() == [[1, 1], [1, 6], [5, 6], [5, 1]]
    assert [sorted(map(tuple, found.tolist())) for found in ring.holes] == [[(2, 2), (2, 5), (4, 2), (4, 5)]]
    assert len(outside.holes) == 1
    # The point touches the lower edge of the hole, which it divides into no two parts.
    assert hole.n_pixels == 5


def test_pixels_that_meet_at_a_corner_are_two_regions() -> None:
    """Regions are connected by sides; a hole that is connected by a corner is two holes."""
    assert len(trace(np.eye(3, dtype=np.uint8), 2, [1])) == 3
    label = np.ones((4, 4), np.uint8)
    label[1, 1] = label[2, 2] = 0
    (region,) = trace(label, 3, [1])
    assert len(region.holes) == 2


def test_regions_are_given_when_they_have_ended() -> None:
    """A region comes as soon as a band has no pixel of it, so that memory doesn't grow with the image."""
    label = np.zeros((100, 8), np.uint8)
    label[::4, 2:5] = 1
    regions = trace_regions((label[row : row + 2] for row in range(0, 100, 2)), [1])
    assert next(regions).outer[:, 0].max() == 1
    assert len(list(regions)) == 24
