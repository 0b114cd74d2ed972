"""Checks of arrays: the channel axis that is found, and the arrays that are refused."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from pipeline.images.pixels import check_array, check_pixels, count_channels, has_data, is_masked


@pytest.mark.parametrize(
    ("shape", "axis", "wanted"),
    [
        ((4, 5, 3), -1, -1),
        ((4, 5, 3), 2, -1),
        ((3, 4, 5), 0, -3),
        ((4, 3, 5), -2, -2),
        ((3,), 0, -1),
        ((2, 4, 5, 3), 3, -1),
    ],
)
def test_the_channel_axis_is_counted_from_the_end(shape: tuple[int, ...], axis: int, wanted: int) -> None:
    """Any number of axes is taken, with the channels on any of them."""
    assert check_pixels(np.zeros(shape), 3, channel_axis=axis) == wanted
    assert check_pixels(da.zeros(shape), 3, ("a", "b", "c"), channel_axis=axis) == wanted


def test_gray_pixels_have_no_axis() -> None:
    """Without a channel axis, a model of one channel is wanted."""
    assert check_pixels(np.zeros((4, 5)), 1, channel_axis=None) == -1
    with pytest.raises(ValueError, match=r"1 channel \(shape \(4, 5, 1\)\), the model has 3 channels"):
        check_pixels(np.zeros((4, 5)), 3, channel_axis=None)


@pytest.mark.parametrize(
    ("shape", "dtype", "axis", "message"),
    [
        (
            (4, 5, 3),
            "uint8",
            3,
            r"channel_axis is 3, but the image has shape \(4, 5, 3\); wanted one of its axes",
        ),
        ((4, 5, 3), "uint8", -4, "channel_axis is -4"),
        ((), "uint8", -1, "channel_axis is -1, but"),
        (
            (4, 5, 2),
            "uint8",
            -1,
            r"has 2 channels \(shape \(4, 5, 2\)\), the model has 3 channels \(a, b, c\). Pass",
        ),
        ((4, 5), "uint8", -1, "A gray image without a channel axis needs channel_axis=None"),
        ((4, 5, 3), "complex64", -1, "pixels have dtype complex64; wanted integers or floating point"),
        ((4, 5, 3), "U3", -1, "pixels have dtype <U3"),
        ((4, 5, 3), object, -1, "pixels have dtype object"),
    ],
)
def test_pixels_that_are_refused(shape: tuple[int, ...], dtype: Any, axis: int, message: str) -> None:
    """Another axis, another number of channels or another dtype is refused by a message that names it."""
    with pytest.raises(ValueError, match=message):
        check_pixels(np.zeros(shape, dtype), 3, ("a", "b", "c"), channel_axis=axis)


@pytest.mark.parametrize("lazy", [False, True])
def test_masked_arrays_are_refused(lazy: bool) -> None:
    """A mask would be lost."""
    masked: Any = np.ma.masked_less(np.ones((2, 2, 3)), 2)
    masked = da.from_array(masked) if lazy else masked
    assert is_masked(masked)
    assert not is_masked(da.zeros(3))
    with pytest.raises(TypeError, match="the image is a masked array, whose mask would be lost"):
        check_pixels(masked, 3)
    with pytest.raises(TypeError, match="dask.array.ma.filled" if lazy else r"mask=~image.mask\[..., 0\]"):
        check_array(masked, "image", -1)


@pytest.mark.parametrize("kind", [np.asarray, da.from_array])
def test_a_mask_keeps_numbers_other_than_zero(kind: Any) -> None:
    """Zero and NaN are no data, whatever the dtype."""
    floats = kind(np.array([0, -0.0, np.nan, 1e-300, -1, np.inf]))
    np.testing.assert_array_equal(has_data(floats), [False, False, False, True, True, True])
    np.testing.assert_array_equal(has_data(kind(np.array([0, 255], np.uint8))), [False, True])
    np.testing.assert_array_equal(has_data(kind(np.array([False, True]))), [False, True])


def test_a_mask_holds_numbers() -> None:
    """Letters are no mask."""
    with pytest.raises(ValueError, match="the mask has dtype <U1; wanted numbers, 0 where there are no data"):
        has_data(np.array(["a"]))


@pytest.mark.parametrize(
    ("shape", "axis", "wanted"),
    [
        ((4, 5, 3), -1, 2),
        ((4, 5, 3), 0, 0),
        ((4, 5, 3), -2, 1),
        ((4, 5), -1, None),
        ((4, 5), None, None),
        ((0, 5, 3), 2, 2),
    ],
)
def test_the_channels_of_an_array(shape: tuple[int, ...], axis: int | None, wanted: int | None) -> None:
    """Three axes hold channels, two are gray."""
    assert check_array(np.zeros(shape), "image", axis) == wanted


@pytest.mark.parametrize(
    ("array", "what", "axis", "message"),
    [
        (np.zeros(70), "image", -1, r"image is an array of shape \(70,\); wanted .* \(H, W, C\)"),
        (np.zeros(70), "mask", -1, r"mask is an array of shape \(70,\); wanted a path .* \(H, W\)"),
        (np.zeros((1, 2, 3, 4)), "image", -1, r"shape \(1, 2, 3, 4\); wanted"),
        (np.zeros((4, 5)), "image", 0, r"shape \(4, 5\) with channel_axis=0; wanted .* \(H, W, C\)"),
        (np.zeros((4, 5, 3)), "image", None, r"with channel_axis=None; wanted .* \(H, W\)"),
        (np.zeros((4, 5, 3)), "image", 3, r"channel_axis is 3, but the image .*; wanted -1, 0, 1 or 2"),
        (da.ones((7, 9))[da.arange(7) > -1], "mask", -1, "mask has chunks of unknown size"),
        (np.zeros((4, 5), "U1"), "mask", -1, "the mask has dtype <U1"),
        (np.zeros((4, 5), "M8[s]"), "image", -1, "image has pixels of dtype datetime64"),
    ],
)
def test_arrays_that_are_refused(array: Any, what: str, axis: int | None, message: str) -> None:
    """An array that can be neither an image nor a mask is refused by a message that names it."""
    with pytest.raises(ValueError, match=message):
        check_array(array, what, axis)


def test_channels_are_counted_in_words() -> None:
    """One is singular."""
    assert [count_channels(n) for n in (0, 1, 2)] == ["0 channels", "1 channel", "2 channels"]


@pytest.mark.parametrize("axis", ["c", 1.0, (2,)])
def test_an_axis_is_a_number(axis: Any) -> None:
    """Something else is refused in the same words wherever an array comes in."""
    message = "channel_axis is .*; wanted the number of an axis, or None"
    with pytest.raises(TypeError, match=message):
        check_pixels(np.zeros((4, 5, 3)), 3, channel_axis=axis)
    with pytest.raises(TypeError, match=message):
        check_array(np.zeros((4, 5, 3)), "image", axis)
