"""Tests of the ratio of a class and all others, against SciPy and the costs of every threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from arrays import evaluate_array
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from pipeline import LogDensity, LogRatio, load_model
from pipeline.compute.likelihood_ratio import log_ratio_to_rest, log_sum, threshold_of_costs


@given(
    st.lists(st.lists(st.floats(-1000, 10), min_size=3, max_size=3), min_size=1, max_size=5),
    st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
    st.integers(0, 2),
)
def test_ratios_to_the_rest(logs: list[list[float]], priors: list[float], number: int) -> None:
    """The score is the log-density of a class minus that of the mixture of all others, as by SciPy."""
    densities, weights = np.array(logs), np.array(priors)
    others = [other for other in range(3) if other != number]
    rest = logsumexp(densities[:, others], b=weights[others] / weights[others].sum(), axis=1)
    got = log_ratio_to_rest(densities + np.log(weights), priors, number)
    np.testing.assert_allclose(got, densities[:, number] - rest, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(
        log_sum(densities, range(3)), logsumexp(densities, axis=1), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("priors", [(0.5, 0.5), (1.0, 99.0), (1e-6, 1.0)])
def test_the_ratio_of_two_classes_needs_no_priors(priors: tuple[float, float]) -> None:
    """Two classes have their log-ratio, also where densities underflow or logarithms are huge."""
    densities = np.array([[-1.0, -2.0], [-5000.0, -3000.0], [-1e18, -3e18], [-1.7e308, -1.7e308], [3.0, 0.0]])
    got = log_ratio_to_rest(densities + np.log(priors), priors, 0)
    # The priors are lost in huge logarithms, which leaves an error of their size.
    np.testing.assert_allclose(got, densities[:, 0] - densities[:, 1], rtol=1e-12, atol=20)
    np.testing.assert_allclose(got[[0, 1, 4]], [1, -2000, 3], rtol=1e-12)
    np.testing.assert_allclose(log_ratio_to_rest(densities + np.log(priors), priors, 1), -got, rtol=1e-12)


def test_the_ratio_of_two_classes_is_the_log_ratio() -> None:
    """The ratio of the first class is LogRatio(first, second) at every color."""
    skin, other = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
    colors = np.random.default_rng(0).integers(0, 256, (500, 3)).astype(np.uint8)
    densities = [evaluate_array(colors, LogDensity(model), dtype="float64") for model in (skin, other)]
    joint = np.stack(densities, axis=1) + np.log([0.1, 0.9])
    wanted = evaluate_array(colors, LogRatio(skin, other), dtype="float64")
    np.testing.assert_allclose(log_ratio_to_rest(joint, (0.1, 0.9), 0), wanted, rtol=1e-11, atol=1e-11)


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.lists(st.floats(0.01, 10), min_size=2, max_size=4))
def test_the_threshold_of_costs(alarm: float, miss: float, priors: list[float]) -> None:
    """A pixel is taken for the class where that has the lower expected cost, by the posterior."""
    threshold = threshold_of_costs((alarm, miss), priors, 1)
    densities = np.random.default_rng(0).normal(0, 3, (200, len(priors)))
    joint = densities + np.log(priors)
    posterior = np.exp(joint[:, 1] - logsumexp(joint, axis=1))
    gain = miss * posterior - alarm * (1 - posterior)
    is_clear = abs(gain) > 1e-9
    is_taken = log_ratio_to_rest(joint, priors, 1) >= threshold
    np.testing.assert_array_equal(is_taken[is_clear], gain[is_clear] > 0)


def test_thresholds_of_equal_and_extreme_costs() -> None:
    """Equal costs and priors give 0, and neither priors nor costs of any size overflow."""
    assert threshold_of_costs((1, 1), (0.5, 0.5), 0) == 0
    assert threshold_of_costs((3, 1), (0.2, 0.8), 0) == pytest.approx(math.log(12))
    assert threshold_of_costs((1, 3), (2, 6, 2), 2) == pytest.approx(math.log(4 / 3))
    assert threshold_of_costs((1e300, 1e-300), (1, 1e-20), 0) == pytest.approx(580 * math.log(10))


@pytest.mark.parametrize("costs", [(1, 0), (-1, 2), (1, math.inf), (math.nan, 1), (1,), (1, 2, 3), 5, "ab"])
def test_costs_that_are_refused(costs: Any) -> None:
    """Costs are two positive numbers, and the error says which is which."""
    with pytest.raises(ValueError, match="wanted two positive numbers, that of a false alarm and that of a"):
        threshold_of_costs(costs, (1, 1), 0)
