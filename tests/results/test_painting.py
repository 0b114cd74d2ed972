"""The colors of values and of labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.results.color_maps import color_table
from pipeline.results.painting import paint_labels, paint_values
from pipeline.results.scale import Scale


@given(
    arrays.arrays("f4", (5, 7), elements=st.floats(-10, 10, width=32)), st.floats(-9, 0), st.floats(0.1, 9)
)
def test_values_have_the_nearest_step_of_the_map(values: np.ndarray, low: float, high: float) -> None:
    """Each value gets the color of the step that is nearest to its share of the range."""
    colors = paint_values(values, Scale(low, high))
    share = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255
    steps = [np.flatnonzero((color_table("viridis") == color).all(axis=1)) for color in colors.reshape(-1, 4)]
    for place, step in zip(share.ravel(), steps, strict=True):
        assert np.abs(step - place).min() <= 0.5 + 1e-9


def test_logarithms_and_pixels_without_data() -> None:
    """Powers of ten are evenly spaced; values that aren't positive are lowest, NaN is transparent."""
    values = np.array([[1e-30, 1e-8, 1e-4, 1.0, np.inf], [0.0, -1.0, -np.inf, np.nan, 1e30]])
    colors = paint_values(values, Scale(1e-8, 1.0, is_logarithmic=True), "gray")
    assert colors[..., 0].tolist() == [[0, 0, 128, 255, 255], [0, 0, 0, 0, 255]]
    assert colors[..., 3].tolist() == [[255] * 5, [255, 255, 255, 0, 255]]
    wide = paint_values(np.array([[0.0, 1.7e308]]), Scale(-1.7e308, 1.7e308), "gray")
    assert wide[0, :, 0].tolist() == [128, 255]


def test_the_map_is_that_of_the_scale() -> None:
    """By default the middle of a scale with a neutral value is nearly white; an unknown map is refused."""
    values = np.array([[-2.0, 0.0, 2.0]])
    expected = color_table("blue-red")[[0, 128, 255]]
    np.testing.assert_array_equal(paint_values(values, Scale(-2, 2, neutral=0.0))[0], expected)
    with pytest.raises(ValueError, match="map is 'jet'"):
        paint_values(values, Scale(0, 1), "jet")


def test_faded_colors() -> None:
    """Low colors, or those in the middle of a map with a middle, are transparent; the others more opaque."""
    values = np.array([[0.0, 0.2, 0.5, 1.0, np.nan]])
    for color_map, alpha in (("magma", [0, 51, 128, 255, 0]), ("blue-red", [255, 153, 1, 255, 0])):
        assert paint_values(values, Scale(0, 1), color_map, is_faded=True)[0, :, 3].tolist() == alpha


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_labels_have_the_colors_of_classes(dtype: str) -> None:
    """Hidden classes, unknown ones and pixels without data are transparent."""
    highest = np.iinfo(dtype).max
    painted = paint_labels(np.array([[0, 1, 2, highest]], dtype), [(1, 2, 3), (4, 5, 6)], [1, 99999, -1])
    assert painted.tolist() == [[[1, 2, 3, 255], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]
