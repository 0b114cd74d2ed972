"""Tests of intervals, against SciPy and against textbook formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.compute.intervals import jackknife_error, logit_interval, student_quantile


@pytest.mark.parametrize("freedom", [*range(1, 12), 30, 31, 200, 1001])
@pytest.mark.parametrize("level", [0.01, 0.1, 0.5, 0.68, 0.9, 0.95, 0.99, 0.9999])
def test_quantiles_are_scipys(level: float, freedom: int) -> None:
    """Student's quantiles agree with SciPy's for odd and even degrees of freedom."""
    wanted = stats.t.isf((1 - level) / 2, freedom)
    assert student_quantile(level, freedom) == pytest.approx(wanted, rel=1e-9)


@given(st.floats(0.001, 0.999), st.integers(1, 100))
def test_quantiles_invert_the_distribution(level: float, freedom: int) -> None:
    """The probability between the quantile and its negative is the level."""
    quantile = student_quantile(level, freedom)
    assert stats.t.cdf(quantile, freedom) - stats.t.cdf(-quantile, freedom) == pytest.approx(level, abs=1e-9)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_levels_that_are_refused(level: float) -> None:
    """A level is a probability, and not a percentage."""
    with pytest.raises(ValueError, match=f"level is {level:g}; wanted a number between 0 and 1"):
        student_quantile(level, 3)


def test_no_degrees_of_freedom() -> None:
    """A single group has no degree of freedom."""
    with pytest.raises(ValueError, match="got 0 degrees of freedom; wanted at least 1"):
        student_quantile(0.95, 0)


def test_the_error_of_a_mean_of_equal_groups() -> None:
    """With groups of one number each, the error of the mean is the textbook's."""
    values = np.random.default_rng(0).normal(size=20)
    left_out = (values.sum() - values) / 19
    error = jackknife_error(float(values.mean()), left_out, np.full(20, 1 / 20))
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(20))


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(-1, 1)), min_size=2, max_size=10))
def test_the_error_of_unequal_groups(groups: list[tuple[int, float]]) -> None:
    """The error is that of the formulas of Busing, Meijer and van der Leeden, term by term."""
    sizes, means = np.array(groups).T
    n, count = sizes.sum(), len(sizes)
    estimate = (sizes * means).sum() / n
    left_out = (n * estimate - sizes * means) / (n - sizes)
    center = count * estimate - sum((1 - m / n) * one for m, one in zip(sizes, left_out, strict=True))
    variance = 0.0
    for m, one in zip(sizes, left_out, strict=True):
        h = n / m
        variance += (h * estimate - (h - 1) * one - center) ** 2 / (h - 1) / count
    error = jackknife_error(float(estimate), left_out, sizes / n)
    assert error == pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-9)


@given(st.floats(1e-9, 1 - 1e-9), st.floats(0, 1), st.floats(0.01, 0.999), st.integers(1, 20))
def test_intervals_stay_between_0_and_1(share: float, error: float, level: float, freedom: int) -> None:
    """An interval contains its estimate, up to rounding, and no number that the estimate can't be."""
    low, high = logit_interval(share, error, level, freedom)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_an_interval_on_the_scale_of_the_log_odds() -> None:
    """The ends are equally far from the estimate in log-odds, and for small errors as usual."""
    low, high = logit_interval(0.9, 0.02, 0.95, 4)
    reach = stats.t.ppf(0.975, 4) * 0.02 / 0.09
    assert math.log(low / (1 - low)) == pytest.approx(math.log(9) - reach)
    assert math.log(high / (1 - high)) == pytest.approx(math.log(9) + reach)
    low, high = logit_interval(0.9, 1e-6, 0.95, 4)
    assert (high - low) / 2e-6 == pytest.approx(stats.t.ppf(0.975, 4), rel=1e-4)
