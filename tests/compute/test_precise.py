"""Tests of results in double-double arithmetic: exact for any number of kernels and classes."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from references import hard_points, mpmath_reference, random_mixture, relative_error

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Mixture, Packed, Posterior
from pipeline.compute.precise import compute_precisely

FLOAT64 = np.dtype("float64")
NAMES = [
    *("density", "log-density", "log-ratio", "posterior", "posterior of kernels", "posterior of other"),
    *("confidence", "confidence of kernels", "entropy", "entropy of kernels"),
]


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_mpmath(name: str) -> None:
    """Without the program, errors are a few units in the last place."""
    for case in hard_points()[::5]:
        quantity = case.quantities[name]
        got = compute_precisely(quantity, case.pixels.T, FLOAT64)
        wanted = mpmath_reference(case.pixels, quantity).reshape(len(case.pixels), -1).T
        normal = np.where(np.abs(wanted) > 1e-300, wanted, 0)
        if not normal.any():
            # The entropy of a single class is 0.
            np.testing.assert_array_equal(got, wanted)
            continue
        assert relative_error(got, normal) < 1e-15


def test_far_pixels_are_left_to_the_program() -> None:
    """Results are NaN where the arithmetic overflows, and only there."""
    mixture = random_mixture(3, 2, full=True)
    planes = np.array([[1e100, 1e150, 3.0], [1.0, 1.0, 1e160]])
    for quantity in (
        *(LogDensity(mixture), Density(mixture), LogRatio(mixture, random_mixture(2, 2))),
        *(Posterior(mixture), Label(mixture), Confidence(mixture), Entropy(mixture)),
        *(Confidence(random_mixture(1, 2)), Entropy(random_mixture(1, 2, full=True))),
    ):
        far = np.isnan(compute_precisely(quantity, planes, FLOAT64))
        assert not far[:, 0].any()
        assert far[:, 2].all()


def test_chunks_do_not_change_a_bit() -> None:
    """Many pixels at once have the results of each alone."""
    mixture = random_mixture(7, 3, full=True)
    planes = np.random.default_rng(0).uniform(-1e4, 1e4, (3, 5000))
    for quantity in (Posterior(mixture), LogDensity(mixture), Confidence(mixture), Entropy(mixture)):
        whole = compute_precisely(quantity, planes, FLOAT64)
        for part in (slice(0, 1), slice(2337, 2345), slice(4990, 5000)):
            np.testing.assert_array_equal(
                compute_precisely(quantity, planes[:, part], FLOAT64), whole[:, part]
            )


def test_classes_of_different_sizes() -> None:
    """The sum of each class takes its own kernels, diagonal or full, and no others."""
    classes = {
        "a": random_mixture(1, 3),
        "b": random_mixture(4, 3, full=True, seed=1),
        "c": random_mixture(2, 3, seed=2),
        "d": random_mixture(1, 3, full=True, seed=3),
    }
    pixels = np.random.default_rng(0).uniform(0, 255, (40, 3))
    for quantity in (
        *(Posterior(classes, [1, 2, 3, 4]), Posterior(classes, only="c")),
        *(Confidence(classes, [1, 2, 3, 4]), Entropy(classes, [1, 2, 3, 4])),
    ):
        got = compute_precisely(quantity, pixels.T, FLOAT64)
        wanted = mpmath_reference(pixels, quantity).reshape(40, -1).T
        np.testing.assert_allclose(got, wanted, rtol=1e-15)
    label = Label(classes, [1, 2, 3, 4])
    got = compute_precisely(label, pixels.T, label.output_dtype())
    np.testing.assert_array_equal(got[0], mpmath_reference(pixels, label))


def test_the_first_of_equal_classes_wins() -> None:
    """Classes that are the same, or mirror images of each other, are equal to the last bit."""
    one, other = Mixture([1.0], [[0.0]], [[1 / 3]]), Mixture([1.0], [[0.3]], [[1 / 3]])
    planes = np.array([[0.0, 0.3, 0.15]])
    same = Label({"a": one, "b": one, "c": other, "d": other})
    assert compute_precisely(same, planes, np.dtype("uint8")).tolist() == [[0, 2, 0]]
    pair = {"a": one, "b": other}
    assert compute_precisely(Confidence(pair), planes, FLOAT64)[0, 2] == 0
    assert compute_precisely(Entropy(pair), planes, FLOAT64)[0, 2] == np.log(2)


def test_limits_are_those_of_the_dtype() -> None:
    """Results never exceed the finite numbers of their dtype."""
    narrow = Mixture([1.0], np.zeros((1, 3)), np.full((1, 3), 1e-250))
    planes = np.array([[0.0, 1e3]] * 3)
    largest = float(np.finfo(np.float32).max)
    assert compute_precisely(Density(narrow), planes, np.dtype("float32")).tolist() == [[largest, 0]]
    assert compute_precisely(LogDensity(narrow), planes, np.dtype("float32"))[0, 1] == -largest
    assert (
        compute_precisely(LogRatio(random_mixture(1, 3), narrow), planes, np.dtype("float16"))[0, 1] == 65504
    )


def test_memory_stays_small_for_a_thousand_kernels() -> None:
    """A thousand classes at a thousand pixels need little more memory than their results."""
    posterior = Posterior(random_mixture(1000, 3))
    planes = np.random.default_rng(0).uniform(0, 255, (3, 1000))
    compute_precisely(posterior, planes[:, :1], FLOAT64)
    tracemalloc.start()
    got = compute_precisely(posterior, planes, FLOAT64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * got.nbytes + 16 * 2**20


def test_a_packed_quantity_is_refused() -> None:
    """Only quantities are computed, and their encoding follows."""
    packed: Any = Packed(Density(random_mixture(1, 1)), "float16")
    with pytest.raises(TypeError, match="has no formula; wanted a quantity of one of the kinds Density, "):
        compute_precisely(packed, np.zeros((1, 1)), FLOAT64)


@pytest.mark.parametrize("x", [1e8, 4e9, 1e10, 1e12, 1e14])
def test_ratios_of_equal_kernels_far_away(x: float) -> None:
    """Where logarithms are above 1e18, the digits below their last one still count, all 31 of them."""
    error = 1e-12 + 2e-31 * x * x
    one = Mixture([0.25, 0.25], [[10.0], [10.0]], [[1.0], [1.0]])
    other = Mixture([0.4, 0.2], [[10.0], [10.0]], [[1.0], [1.0]])
    planes = np.array([[x]])
    classes = {"one": one, "other": other}
    ratio = compute_precisely(LogRatio(one, other), planes, FLOAT64)
    assert ratio[0, 0] == pytest.approx(math.log(0.5 / 0.6), rel=error)
    posterior = compute_precisely(Posterior(classes), planes, FLOAT64)
    np.testing.assert_allclose(posterior[:, 0], [5 / 11, 6 / 11], rtol=error)
    assert compute_precisely(Label(classes), planes, np.dtype("uint8"))[0, 0] == 1
