"""Regions of results are the values that Dask gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.images.grid import Grid
from pipeline.results.regions import tiles_of, value_dtype
from pipeline.results.result import open_result

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["ratio", "chances", "packed", "half", "label"])
def test_tiles_are_those_of_the_result(results: Path, name: str) -> None:
    """At each level tiles cover each plane with the decoded values, filled up with no data."""
    for level in range(len(open_result(results).levels)):
        found = open_result(results, level)
        whole = np.asarray(found[name]).reshape(-1, *found.levels[level])
        tiles = list(tiles_of(found, name, 96))
        grid = Grid(found.levels[level], (96, 96), (96, 96))
        assert len(tiles) == len(whole) * grid.n_blocks
        for plane, values in enumerate(whole):
            for block, tile in zip(grid.blocks(), tiles[plane * grid.n_blocks :], strict=False):
                height, width = block.extent
                assert tile.dtype == value_dtype(found, name)
                np.testing.assert_array_equal(tile[:height, :width], values[block.region])
                rest = tile[height:]
                assert (rest == 255).all() if name == "label" else np.isnan(rest).all()


def test_values_are_what_every_format_knows(results: Path) -> None:
    """Halves and integers that stand for values become floats of 32 bits."""
    found = open_result(results)
    assert [str(value_dtype(found, name)) for name in found] == ["float32"] * 4 + ["uint8"]
