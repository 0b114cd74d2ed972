"""Outlines: areas are counts, GDAL fills them with the same pixels, and tiles leave no seams."""

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

from pipeline.images.grid import Grid
from pipeline.results.outlines import Region, trace_regions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from pipeline.images.grid import Block

LABELS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 255])
)
SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))
EMPTY = 99


def trace(
    label: NDArray[np.uint8], sides: tuple[int, int], wanted: Collection[int] = (0, 1, 2)
) -> list[Region]:
    """Trace a label in tiles of such a height and width."""
    grid = Grid(label.shape, sides, sides)
    return list(trace_regions(((block, label[block.region]) for block in grid.blocks()), label.shape, wanted))


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


@given(LABELS, SIDES, st.sampled_from([(0, 1, 2), (1,), ()]))
def test_polygons_are_the_pixels(
    label: NDArray[np.uint8], sides: tuple[int, int], wanted: tuple[int, ...]
) -> None:
    """For any label and any tiles, areas are counts, and filled polygons are the pixels of the classes."""
    regions = trace(label, sides, wanted)
    for region in regions:
        assert area_of(region.outer) > 0
        assert all(area_of(hole) < 0 for hole in region.holes)
        assert area_of(region.outer) + sum(map(area_of, region.holes)) == region.n_pixels
    for number in wanted:
        assert sum(r.n_pixels for r in regions if r.label == number) == (label == number).sum()
    np.testing.assert_array_equal(fill(regions, label.shape), np.where(np.isin(label, wanted), label, EMPTY))


@given(LABELS, SIDES)
def test_tiles_leave_no_seams(label: NDArray[np.uint8], sides: tuple[int, int]) -> None:
    """There are as many regions as GDAL finds, and each ring turns at each vertex and meets none twice."""
    regions = trace(label, sides)
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


@pytest.mark.parametrize("sides", [(1, 1), (2, 7), (7, 2), (3, 3), (50, 50)])
def test_a_ring_with_a_hole_across_tiles(sides: tuple[int, int]) -> None:
    """A hole that spans tiles is one ring of its region, and what lies in the hole is a region of its own."""
    label = np.zeros((6, 7), np.uint8)
    label[1:5, 1:6] = 1
    label[2:4, 2:5] = 0
    label[3, 3] = 2
    outside, ring, hole, point = sorted(trace(label, sides), key=lambda r: (-r.n_pixels, r.label))
    assert [r.n_pixels for r in (outside, ring, hole, point)] == [22, 14, 5, 1]
    first = int(np.flatnonzero((ring.outer == 1).all(axis=1))[0])
    assert np.roll(ring.outer, -first, axis=0).tolist() == [[1, 1], [1, 6], [5, 6], [5, 1]]
    assert [sorted(map(tuple, found.tolist())) for found in ring.holes] == [[(2, 2), (2, 5), (4, 2), (4, 5)]]
    assert len(outside.holes) == 1
    # The point touches the lower edge of the hole, which it divides into no two parts.
    assert hole.n_pixels == 5


def test_pixels_that_meet_at_a_corner_are_two_regions() -> None:
    """Regions are connected by sides; a hole that is connected by a corner is two holes."""
    assert len(trace(np.eye(3, dtype=np.uint8), (2, 2), [1])) == 3
    label = np.ones((4, 4), np.uint8)
    label[1, 1] = label[2, 2] = 0
    (region,) = trace(label, (3, 3), [1])
    assert len(region.holes) == 2


def test_regions_are_given_when_they_have_ended() -> None:
    """A region comes as soon as its outline is closed, so that memory doesn't grow with the image."""
    label = np.zeros((100, 8), np.uint8)
    label[::4, 2:5] = 1
    read = []

    def tiles() -> Iterator[tuple[Block, NDArray[np.uint8]]]:
        for block in Grid(label.shape, (2, 4), (2, 4)).blocks():
            read.append(block.index)
            yield block, label[block.region]

    regions = trace_regions(tiles(), label.shape, [1])
    assert next(regions).outer[:, 0].max() == 1
    # Both pixels on the right, and the rows up to the one before the last that was read.
    assert read[-1] == (0, 1)
    assert len(list(regions)) == 24
