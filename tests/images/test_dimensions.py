"""Dimensions are found by their names, and others by the word of the caller."""

from __future__ import annotations

import pytest

from pipeline.images.dimensions import Axes, find_axes, find_channel_axis


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        (("band", "y", "x"), Axes(1, 2, 0)),
        (("Lon", "Lat", "RGB"), Axes(1, 0, 2)),
        (("rows", "cols"), Axes(0, 1, None)),
        (("time", "c", "latitude", "longitude"), Axes(2, 3, 1)),
        (("y", "band", "z"), Axes(None, None, 1)),
        (("y", "row", "x", "c"), Axes(None, None, 3)),
        (("c", "band", "y", "x"), Axes(2, 3, None)),
        (("dim_0", "dim_1", 3), Axes(None, None, None)),
    ],
)
def test_axes(dims: tuple[str, ...], axes: Axes) -> None:
    """One name stands for an axis, in any order; two are ambiguous."""
    assert find_axes(dims) == axes


@pytest.mark.parametrize(
    ("dims", "given", "axis"),
    [
        (("band", "y", "x"), -1, 0),
        (("band", "y", "x"), 0, 0),
        (("band", "y", "x"), -3, -3),
        (("band", "y", "x"), None, None),
        (("y", "x"), -1, None),
        (("y", "band"), -1, 1),
        (("i", "j"), -1, -1),
        (("i", "j", "k"), 1, 1),
        (("i", "j", "k"), 7, 7),
    ],
)
def test_channel_axes(dims: tuple[str, ...], given: int | None, axis: int | None) -> None:
    """Names win over the default, and the caller's word counts where they say nothing."""
    assert find_channel_axis(dims, given) == axis


def test_a_contradiction() -> None:
    """An axis that isn't the one with the channels' name is refused."""
    with pytest.raises(
        ValueError, match="channel_axis is 2, the dimension 'x', but the channels are the dimension 'band'"
    ):
        find_channel_axis(("band", "y", "x"), 2)
