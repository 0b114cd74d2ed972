"""Images of any kind on a screen."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.images.display import Brightness, shown_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize(
    ("names", "n_channels", "shown"),
    [
        (("blue", "green", "red"), 3, (2, 1, 0)),
        (("near infrared", "blue", "green", "red"), 4, (3, 2, 1)),
        (("a", "b", "c", "d"), 4, (0, 1, 2)),
        (("red", "green"), 2, (0,)),
        (None, 5, (0, 1, 2)),
        (None, 2, (0,)),
    ],
)
def test_channels_are_found_by_their_names(
    names: tuple[str, ...] | None, n_channels: int, shown: tuple[int, ...]
) -> None:
    """Red, green and blue may stand anywhere; without them the first channels are shown."""
    assert shown_channels(names, n_channels) == shown


def test_eight_bits_are_shown_as_they_are() -> None:
    """Whatever the range is, and a single channel becomes gray."""
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    brightness = Brightness(100.0, 200.0)
    np.testing.assert_array_equal(brightness.colors(pixels), pixels)
    assert brightness.colors(pixels[..., :1]).tolist() == [[[0, 0, 0], [3, 3, 3]]]


def test_other_samples_lie_between_quantiles() -> None:
    """The darkest and the brightest hundredth are black and white, as are samples that aren't finite."""
    samples = np.array([*range(101), np.nan, np.inf, -np.inf], np.float32)
    brightness = Brightness.of(samples)
    assert brightness == pytest.approx((1.0, 99.0))
    shown = np.array([[[1.0], [50.0], [99.0], [1000.0], [np.nan], [np.inf], [-np.inf]]])
    assert brightness.colors(shown)[0, :, 0].tolist() == [0, 128, 255, 255, 0, 255, 0]


@given(arrays.arrays(st.sampled_from(["f4", "f8", "i8", "u2"]), (2, 2, 1)))
def test_every_image_has_a_range(samples: NDArray[np.float64]) -> None:
    """Equal, huge, tiny and missing samples are shown without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        brightness = Brightness.of(samples)
        colors = brightness.colors(samples)
    assert brightness.black < brightness.white
    assert colors.shape == (2, 2, 3)
