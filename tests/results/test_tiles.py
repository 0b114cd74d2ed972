"""Tiles: their places, and the colors of values."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.results.color_maps import color_table
from pipeline.results.tiles import SIDE, Place, Scale, encode_png, n_levels, paint_labels

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


@given(
    arrays.arrays("f4", (5, 7), elements=st.floats(-10, 10, width=32)), st.floats(-9, 0), st.floats(0.1, 9)
)
def test_values_have_the_nearest_step_of_the_map(values: np.ndarray, low: float, high: float) -> None:
    """Each value gets the color of the step that is nearest to its share of the range."""
    colors = Scale(low, high, "viridis").paint(values)
    share = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255
    steps = [np.flatnonzero((color_table("viridis") == color).all(axis=1)) for color in colors.reshape(-1, 4)]
    for place, step in zip(share.ravel(), steps, strict=True):
        assert np.abs(step - place).min() <= 0.5 + 1e-9


def test_logarithms_and_pixels_without_data() -> None:
    """Powers of ten are evenly spaced; values that aren't positive are lowest, NaN is transparent."""
    values = np.array([[1e-30, 1e-8, 1e-4, 1.0, np.inf], [0.0, -1.0, -np.inf, np.nan, 1e30]])
    colors = Scale(1e-8, 1.0, "gray", is_logarithmic=True).paint(values)
    assert colors[..., 0].tolist() == [[0, 0, 128, 255, 255], [0, 0, 0, 0, 255]]
    assert colors[..., 3].tolist() == [[255] * 5, [255, 255, 255, 0, 255]]
    assert Scale(-1.7e308, 1.7e308, "gray").paint(np.array([[0.0, 1.7e308]]))[0, :, 0].tolist() == [128, 255]


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (Scale(1.0, 1.0, "gray"), "the range is 1 to 1; wanted two finite numbers, the lower first"),
        (Scale(math.nan, 1.0, "gray"), "the range is nan to 1; wanted two finite numbers"),
        (Scale(0.0, math.inf, "gray"), "the range is 0 to inf; wanted two finite numbers"),
        (
            Scale(0.0, 1.0, "gray", is_logarithmic=True),
            "begins at 0; wanted a positive number",
        ),
        (Scale(0.0, 1.0, "jet"), "map is 'jet'"),
    ],
)
def test_scales_that_are_none(scale: Scale, message: str) -> None:
    """A range that is empty, infinite or not positive, and an unknown map, are refused."""
    with pytest.raises(ValueError, match=message):
        scale.paint(np.zeros((2, 2)))


def test_faded_colors() -> None:
    """Low colors, or those in the middle of a map with a middle, are transparent; the others more opaque."""
    values = np.array([[0.0, 0.2, 0.5, 1.0, np.nan]])
    assert Scale(0, 1, "magma", is_faded=True).paint(values)[0, :, 3].tolist() == [0, 51, 128, 255, 0]
    assert Scale(0, 1, "blue-red", is_faded=True).paint(values)[0, :, 3].tolist() == [255, 153, 1, 255, 0]


def test_edges_are_even_in_the_map() -> None:
    """Edges have equal distances, or equal ratios."""
    assert Scale(-1.0, 1.0, "gray").edges(4) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert Scale(1e-4, 1.0, "gray", is_logarithmic=True).edges(2) == pytest.approx([1e-4, 1e-2, 1.0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_labels_have_the_colors_of_classes(dtype: str) -> None:
    """Hidden classes, unknown ones and pixels without data are transparent."""
    highest = np.iinfo(dtype).max
    painted = paint_labels(np.array([[0, 1, 2, highest]], dtype), [(1, 2, 3), (4, 5, 6)], [1, 99999, -1])
    assert painted.tolist() == [[[1, 2, 3, 255], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]


@pytest.mark.parametrize("channels", [3, 4])
def test_pngs_are_exact(channels: int) -> None:
    """OpenCV decodes the same pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, channels), np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    order = [2, 1, 0, 3][:channels]
    np.testing.assert_array_equal(decoded[..., order], pixels)
