"""The planes of a result and their tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.results.planes import Planes, plane_colors
from pipeline.results.result import open_result
from pipeline.results.tiles import SIDE, Place

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["kind", "density", "ratio", "chance <b>dark</b>", 'chance light & "bright"']


def test_each_number_of_a_pixel_is_a_plane(scene: Path) -> None:
    """A posterior has a plane for each class; labels have colors."""
    planes = Planes(open_result(scene / "out.zarr"))
    assert [plane.name for plane in planes.planes] == NAMES
    assert [plane.class_number for plane in planes.planes] == [None, None, None, 0, 1]
    assert plane_colors(planes.planes[0]) == [(230, 159, 0), (86, 180, 233)]
    assert plane_colors(planes.planes[1]) == []


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_tiles_are_the_stored_values(scene: Path, number: int) -> None:
    """At full resolution a tile has exactly the values, and tiles that were read are kept."""
    result = open_result(scene / "out.zarr")
    planes = Planes(result)
    plane = planes.planes[number]
    values = np.asarray(result[plane.output.name])
    values = values if plane.class_number is None else values[plane.class_number]
    for column, row in ((0, 0), (2, 1), (1, 0)):
        wanted = values[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        np.testing.assert_array_equal(planes.read(number, Place(0, column, row)), wanted)
    assert planes.read(number, Place(2, 0, 0)).shape == (225, 338)
    assert planes.read(number, Place(0, 2, 1)) is planes.read(number, Place(0, 2, 1))
    found = [planes.values(row, column)[number] for row, column in ((0, 0), (500, 700), (899, 1349))]
    assert found == [None, values[500, 700].item(), values[899, 1349].item()]


def test_ranges_are_those_of_the_values(scene: Path) -> None:
    """Bounds are the range if there are bounds, else quantiles; those of a ratio are around 0."""
    result = open_result(scene / "out.zarr")
    planes = Planes(result)
    density, ratio, chance = (planes.scale(number) for number in (1, 2, 3))
    assert (chance.low, chance.high, chance.color_map) == (0.0, 1.0, "viridis")
    assert (ratio.low, ratio.color_map) == (-ratio.high, "blue-red")
    values = np.abs(np.asarray(result["ratio"]))
    assert np.nanquantile(values, 0.9) < ratio.high <= np.nanmax(values)
    assert density.is_logarithmic
    assert 0 < density.low < density.high <= np.nanmax(result["density"])
    result.summary = None
    # Without a summary, a coarse level stands for all pixels.
    sampled = Planes(result)
    for number in (1, 2, 3):
        scale = sampled.scale(number)
        assert -np.inf < scale.low < scale.high < np.inf


def test_what_is_not_there(scene: Path) -> None:
    """Other planes, tiles and pixels are said to be missing."""
    planes = Planes(open_result(scene / "out.zarr"))
    with pytest.raises(LookupError, match="result 5 is none of the results 0 to 4"):
        planes.read(5, Place(0, 0, 0))
    with pytest.raises(LookupError, match="level 3 is none of the levels 0 to 2"):
        planes.read(0, Place(3, 0, 0))
    with pytest.raises(LookupError, match="row 900, column 0 isn't one of 900 x 1350"):
        planes.values(900, 0)
    with pytest.raises(LookupError, match="row 0, column -1 isn't"):
        planes.values(0, -1)
