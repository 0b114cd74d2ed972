"""Tests of the formulas of one mixture or two; their accuracy at hard points is tested with the planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from references import random_mixture

from pipeline import Density, LogDensity, LogRatio, Mixture
from pipeline.compute.double import Double
from pipeline.compute.formulas import formula_of
from pipeline.compute.program import DOUBT, Program, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

FLOAT64 = np.dtype("float64")


def run(quantity: Quantity, pixels: NDArray[Any], dtype: Any = FLOAT64) -> tuple[NDArray[Any], Any]:
    """Return the result and the doubt of pixels (n, C) by the steps of the formula."""
    out = np.empty((1, len(pixels)), dtype)
    program = join([Program(tuple(formula_of(quantity).steps(out.dtype)))])
    (doubt,) = program.run(np.ascontiguousarray(pixels.T, np.float64), [out], serial=True)
    return out[0], doubt


def test_a_density_has_a_doubt_only_where_it_is_needed() -> None:
    """Diagonal kernels over few channels are exact enough, and full kernels may not be."""
    for quantity, is_doubtful in (
        (Density(random_mixture(16, 3)), False),
        (Density(random_mixture(4, 3, full=True)), True),
        (Density(Mixture([1.0], np.zeros((1, 2)), [[1e-4, 1e4]])), False),
    ):
        targets = [step.target for step in formula_of(quantity).steps(FLOAT64)]
        assert (DOUBT in targets) is is_doubtful


def test_a_logarithm_near_zero_is_doubtful() -> None:
    """A log-density crosses 0 where the density is 1, and its digits cancel there."""
    one = Mixture([1.0], [[0.0]], [[1e-2]])
    crossing = np.sqrt(2 * 1e-2 * -np.log(np.sqrt(2 * np.pi * 1e-2)))
    values, doubt = run(LogDensity(one), np.array([[crossing], [0.0], [1.0]]))
    assert abs(values[0]) < 1e-14
    assert (doubt > 0).tolist() == [True, False, False]


def test_a_ratio_of_almost_equal_densities_is_doubtful() -> None:
    """The digits of a log-ratio cancel where both densities are the same."""
    one, other = Mixture([1.0], [[0.0]], [[1.0]]), Mixture([1.0], [[1.0]], [[1.0]])
    values, doubt = run(LogRatio(one, other), np.array([[0.5], [0.4], [-3.0]]))
    np.testing.assert_allclose(values, [0, 0.1, 3.5], atol=1e-15)
    assert (doubt > 0).tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_results_are_limited_to_the_dtype(dtype: str) -> None:
    """Both ways limit results to the finite numbers of the dtype."""
    largest = float(np.finfo(dtype).max)
    narrow, wide = (Mixture([1.0], [[0.0]], [[variance]]) for variance in (1e-306, 1e306))
    pixels = np.array([[0.0], [1e150]])
    for quantity in (LogRatio(narrow, wide), LogDensity(narrow)):
        values, _ = run(quantity, pixels, dtype)
        assert np.isfinite(values).all()
        assert values[1] == -largest or dtype == "float64"
    logs = Double(np.array([[800.0, -1e300], [-800.0, 1e300]]), np.zeros((2, 2)))
    with np.errstate(all="ignore"):
        assert formula_of(Density(narrow)).finish(logs[:1], np.dtype(dtype)).tolist()[0][0] <= largest
        ratio = formula_of(LogRatio(narrow, wide)).finish(logs, np.dtype(dtype))
    assert ratio.tolist() == [[1600.0, max(-largest, -2e300)]]


def test_the_power_of_two_pi_is_left_out() -> None:
    """Without the normalization both quantities lack the power of 2 pi."""
    mixture = random_mixture(3, 4)
    pixels = np.full((1, 4), 100.0)
    factor = (2 * np.pi) ** 2
    with_it, without = (run(Density(mixture, normalized=n), pixels)[0][0] for n in (True, False))
    assert without == pytest.approx(with_it * factor, rel=1e-13)
    with_it, without = (run(LogDensity(mixture, normalized=n), pixels)[0][0] for n in (True, False))
    assert without == pytest.approx(with_it + np.log(factor), rel=1e-13)
