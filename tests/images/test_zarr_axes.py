"""Tests of the axes of Zarr arrays: found by their names, never by their lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.zarr_axes import Axes, find_axes, find_plane

if TYPE_CHECKING:
    from collections.abc import Sequence


def find(names: Sequence[str | None], shape: Sequence[int], choice: Choice = WHOLE, **options: Any) -> Axes:
    """Find the axes of an array x."""
    return find_axes(names, shape, choice, path="x", **options)


@given(st.permutations("tczyx"), st.lists(st.integers(2, 9), min_size=5, max_size=5))
def test_the_order_is_that_of_the_names(order: list[str], shape: list[int]) -> None:
    """Whatever the order and the lengths are, each axis is the one of its name."""
    axes = find(order, shape, Choice(z=1, t=0))
    assert (order[axes.rows], order[axes.columns], order[axes.channels or 0]) == ("y", "x", "c")
    assert axes.fixed == tuple(sorted([(order.index("z"), 1), (order.index("t"), 0)]))


def test_the_names_of_others() -> None:
    """GDAL and xarray name axes otherwise; a type of OME-Zarr counts more than a name."""
    assert find(("band", "lat", "lon"), (3, 9, 9)) == Axes(1, 2, 0)
    assert find(("Y", "X"), (9, 9)) == Axes(0, 1, None)
    assert find(("y", "x", "wavelength"), (9, 9, 4)) == Axes(0, 1, 2)
    types = ("channel", None, "space", "space")
    assert find(("t", "phase", "y", "x"), (4, 1, 9, 9), types=types) == Axes(2, 3, 0, ((1, 0),))


def test_an_axis_of_one_place_needs_no_choice() -> None:
    """It may be chosen all the same."""
    for choice in (WHOLE, Choice(z=0)):
        assert find("zyx", (1, 9, 9), choice) == Axes(1, 2, None, ((0, 0),))


def test_only_a_pair_of_names_is_a_plane() -> None:
    """Rows and columns are named once each."""
    assert find_plane(("c", "y", "x")) == (1, 2)
    assert find_plane(None) is find_plane(("y", None)) is find_plane(("y", "row", "x")) is None


@pytest.mark.parametrize(
    ("names", "shape", "choice", "message"),
    [
        ("tzyx", (5, 3, 9, 9), WHOLE, "axes t, z, y, x of lengths 5, 3, 9, 9, and one plane is an image. Pass t= from 0 to 4 and z= from 0 to 2"),  # noqa: E501  a message
        ("zyx", (3, 9, 9), Choice(z=3), "z is 3, but x has axes z, y, x of lengths 3, 9, 9; wanted 0 to 2"),
        ("zyx", (0, 9, 9), Choice(z=0), "z is 0, but x has"),
        ("yx", (9, 9), Choice(t=0), "t is 0, but x has axes y, x of lengths 9, 9. Leave t out"),
        ("cab", (3, 9, 9), WHOLE, "x has axes c, a, b of lengths 3, 9, 9; wanted axes named y and x"),
        ("cqyx", (3, 2, 9, 9), WHOLE, r"wanted y, x, c, z and t alone. Choose a place along q with dask"),
    ],
)  # fmt: skip
def test_what_cant_be_found(names: str, shape: Sequence[int], choice: Choice, message: str) -> None:
    """The error names the axes and their lengths, and what to pass."""
    with pytest.raises(ValueError, match=message):
        find(names, shape, choice)


def test_axes_without_names() -> None:
    """The channels alone are known; the others are rows and columns, in order."""
    assert Axes.unnamed(0) == Axes(1, 2, 0)
    assert Axes.unnamed(1) == Axes(0, 2, 1)
    assert Axes.unnamed(None) == Axes(0, 1, None)
