"""Tiles: their places and their files."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.results.tiles import SIDE, Place, encode_png, n_levels

LENGTHS = st.integers(1, 5000)


@given(extent=st.tuples(LENGTHS, LENGTHS), level=st.integers(0, 12))
def test_tiles_cover_each_level_once(extent: tuple[int, int], level: int) -> None:
    """The tiles of a level have each of its pixels once, and the last level is one tile."""
    if level >= n_levels(extent):
        with pytest.raises(LookupError, match=f"level {level} is none of the levels 0 to"):
            Place(level, 0, 0).region(extent)
        return
    tall, wide = (math.ceil(length / 2**level) for length in extent)
    counts = [math.ceil(length / SIDE) for length in (tall, wide)]
    rows = [row for number in range(counts[0]) for row in Place(level, 0, number).region(extent)[0]]
    columns = [column for number in range(counts[1]) for column in Place(level, number, 0).region(extent)[1]]
    assert (rows, columns) == (list(range(tall)), list(range(wide)))
    assert (counts == [1, 1]) == (level == n_levels(extent) - 1)
    for column, row in ((counts[1], 0), (0, counts[0])):
        with pytest.raises(LookupError, match=f"level {level} has no tile in column {column} and row {row}"):
            Place(level, column, row).region(extent)


@pytest.mark.parametrize("channels", [3, 4])
def test_pngs_are_exact(channels: int) -> None:
    """OpenCV decodes the same pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, channels), np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    order = [2, 1, 0, 3][:channels]
    np.testing.assert_array_equal(decoded[..., order], pixels)
