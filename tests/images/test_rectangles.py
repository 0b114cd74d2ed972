"""Masks of rectangles equal painted arrays, and whether they cover an image is found without painting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.rectangles import Rectangles, cover_all, find_touched, meet
from pipeline.testing.sources import SourceContract, regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Source

EXTENT = (31, 40)


def paint(rectangles: NDArray[np.int64], extent: tuple[int, int] = EXTENT) -> NDArray[np.uint8]:
    """Paint rectangles into an array."""
    out = np.zeros(extent, np.uint8)
    for top, left, height, width in rectangles:
        out[top : top + height, left : left + width] = 1
    return out


@st.composite
def rectangles(draw: st.DrawFn) -> NDArray[np.int64]:
    """Draw rectangles within the extent."""
    ends = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in EXTENT))
    drawn = draw(st.lists(ends, min_size=1, max_size=6))
    return np.array(
        [(y, x, min(h, EXTENT[0] - y), min(w, EXTENT[1] - x)) for (y, h), (x, w) in drawn], np.int64
    )


class TestRectangles(SourceContract):
    """Rectangles keep the contract of sources."""

    @pytest.fixture
    def case(self) -> tuple[Source, NDArray[Any]]:
        """Return three rectangles, two of which overlap."""
        places = np.array([(0, 0, 40, 30), (20, 10, 50, 60), (90, 80, 10, 10)], np.int64)
        return Rectangles((110, 100), places), paint(places, (110, 100))[..., np.newaxis]


@given(rectangles(), st.integers(0, 99))
@settings(max_examples=50)
def test_what_is_computed_is_what_is_painted(places: NDArray[np.int64], seed: int) -> None:
    """Any region of any rectangles is the slice of the array, and those in it are touched."""
    source, painted = Rectangles(EXTENT, places), paint(places)
    for region in regions(EXTENT, 5, seed):
        np.testing.assert_array_equal(source.read(region)[..., 0], painted[region])
        rows, columns = (range(n)[one] for n, one in zip(EXTENT, region, strict=True))
        wanted = [number for number, one in enumerate(places) if paint(one[np.newaxis])[region].any()]
        assert find_touched(places, rows, columns).tolist() == wanted


@given(rectangles())
@settings(max_examples=100)
def test_covering_is_found(places: NDArray[np.int64]) -> None:
    """An image is covered if its painted array has no 0, and rows and columns of rectangles cover it."""
    assert cover_all(places, EXTENT) == bool(paint(places).all())
    halves = np.array([(0, 0, 31, 20), (0, 20, 31, 20)], np.int64)
    assert cover_all(np.concatenate([places, halves]), EXTENT)


def test_places_meet_a_piece() -> None:
    """Places that lie in a piece, and where they lie in it."""
    assert meet(range(1, 50, 7), 10, 20) == (slice(2, 5), slice(5, 20, 7))
    assert meet(range(5), 0, 5) == (slice(0, 5), slice(0, 5, 1))
