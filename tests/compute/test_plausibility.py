"""Plausibility: pixels in other units than the model, or in another order, are noticed, and others aren't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from references import random_mixture
from scipy.spatial.distance import mahalanobis

from pipeline import Mixture, load_model
from pipeline.compute.plausibility import Nearness, count_near

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SKIN, OTHER = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
# A stain whose kernels lie far from black, white and one another.
STAIN = Mixture([0.5, 0.5], [[180, 90, 40], [220, 160, 60]], [[60, 50, 40], [50, 60, 40]])


def stained(seed: int = 0) -> NDArray[Any]:
    """Make 8-bit pixels that the model of a stain suits."""
    random = np.random.default_rng(seed)
    kernels = random.integers(0, 2, (64, 64))
    return np.clip(random.normal(STAIN.means[kernels], 7), 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("mixtures", [[SKIN], [OTHER], [SKIN, OTHER]])
def test_a_photo_suits_the_published_models(photo: NDArray[np.uint8], mixtures: list[Mixture]) -> None:
    """No warning is given where the model is of such pixels, whatever the region."""
    for rows in (slice(None), slice(100, 160), slice(5)):
        assert count_near(photo[rows], mixtures).warning is None
    assert count_near(stained(), [STAIN]).warning is None


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda pixels: pixels.astype(np.uint16) * 257, "divide them by 257"),
        (lambda pixels: pixels.astype(np.float32) / 255, "Multiply them by 255"),
        (lambda pixels: pixels.astype(np.float64) * 255, "divide them by 257"),
        (lambda pixels: pixels[..., ::-1], "reverse the order of their channels"),
    ],
)
def test_the_remedy_is_named(change: Callable[[NDArray[Any]], NDArray[Any]], remedy: str) -> None:
    """Pixels in other units, or with their channels in another order, get the remedy that would fit."""
    warning = count_near(change(stained()), [STAIN]).warning
    assert warning is not None
    assert remedy in warning


def test_a_model_of_small_numbers_meets_bytes() -> None:
    """A model of numbers from 0 to 1 doesn't suit bytes, and a model of 16 bits neither."""
    small = Mixture(STAIN.weights, STAIN.means / 255, STAIN.covariances / 255**2)
    assert "divide them by 255" in (count_near(stained(), [small]).warning or "")
    large = Mixture(STAIN.weights, STAIN.means * 257, STAIN.covariances * 257**2)
    assert "multiply them by 257" in (count_near(stained(), [large]).warning or "")
    assert count_near(stained() / 255, [small]).warning is None


def test_published_models_meet_floats_from_0_to_1(photo: NDArray[np.uint8]) -> None:
    """Such pixels are black to a model of bytes, which has a kernel there; they are noticed all the same."""
    for mixtures in ([SKIN], [OTHER], [SKIN, OTHER]):
        assert "Multiply them by 255" in (count_near(photo / 255, mixtures).warning or "")


def test_nothing_fits() -> None:
    """Pixels that no remedy brings near a kernel are said to be far, without a remedy."""
    far = Mixture([1], [[-5e4, 3e4, 7e5]], [[1, 1, 1]])
    warning = count_near(stained(), [far]).warning
    assert warning is not None
    assert warning.startswith("0.0% of the pixels that were looked at lie within 6 standard deviations")
    assert "would suit" not in warning


def test_background_alone_is_no_reason() -> None:
    """A few tissue pixels on a white slide are enough, if no remedy would fit more."""
    slide = np.full((64, 64, 3), 255, np.uint8)
    slide[:, :8] = stained()[:, :8]
    assert count_near(slide, [STAIN]).warning is None


def test_pixels_without_data_dont_count() -> None:
    """NaN and masked pixels aren't looked at; without any other there is nothing to say."""
    pixels = stained().astype(np.float32)
    pixels[:32] = np.nan
    valid = np.zeros((64, 64), bool)
    valid[:, :32] = True
    whole, half, quarter = (
        count_near(image, [STAIN], mask).n_pixels
        for image, mask in ((stained(), None), (pixels, None), (pixels, valid))
    )
    assert whole == 2 * half == 4 * quarter == 64
    assert count_near(pixels[:32], [STAIN]) == Nearness()
    assert Nearness().warning is None


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("kernels", "channels"), [(3, 2), (300, 5)])
def test_nearness_is_mahalanobis_distance(full: bool, kernels: int, channels: int) -> None:
    """The count is that of SciPy's distances, for diagonal and full covariances, many kernels or few."""
    mixture = random_mixture(kernels, channels, full=full)
    pixels = np.random.default_rng(3).normal(128, 90, (8, 8, channels))
    full_covariances = mixture.covariances if full else [np.diag(row) for row in mixture.covariances]
    near = sum(
        any(
            mahalanobis(pixel, mean, np.linalg.inv(covariance)) <= 6
            for mean, covariance in zip(mixture.means, full_covariances, strict=True)
        )
        for pixel in pixels.reshape(-1, channels)
    )
    assert count_near(pixels, [mixture, mixture]).n_near == near


def test_counts_of_blocks_add_up() -> None:
    """The counts of two blocks are those of both."""
    one, two = count_near(stained(1), [STAIN]), count_near(stained(2)[..., ::-1], [STAIN])
    both = one.plus(two)
    assert both.n_pixels == one.n_pixels + two.n_pixels
    assert both.n_near == one.n_near + two.n_near
    assert both.n_mended[-1] == one.n_mended[-1] + two.n_mended[-1] > 0
    assert Nearness().plus(one) == one
