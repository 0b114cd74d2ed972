"""Tests of the curves and the areas under them, against scikit-learn and against every pair of pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from pipeline.compute.curves import Ranking, log_ratio_to_rest, log_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Few distinct scores, so that many of them tie.
SAMPLES = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.integers(1, 5), st.integers(0, 3)),
    min_size=2,
    max_size=30,
).filter(lambda samples: len({inside for _, inside, _, _ in samples}) == 2)


def columns(samples: list[tuple[int, bool, int, int]]) -> tuple[NDArray[np.float64], ...]:
    """Return scores, sides, counts and groups, which are numbered without gaps."""
    scores, is_inside, counts, groups = map(np.array, zip(*samples, strict=True))
    return scores / 2, is_inside, counts, np.unique(groups, return_inverse=True)[1]


def area_of_all_pairs(scores: NDArray[np.float64], is_inside: NDArray[np.bool_]) -> float:
    """Return the share of pairs of pixels in the right order."""
    first, second = scores[is_inside, np.newaxis], scores[~is_inside]
    return float(np.mean((first > second) + (first == second) / 2))


@given(SAMPLES)
def test_curves_are_those_of_scikit_learn(samples: list[tuple[int, bool, int, int]]) -> None:
    """Both curves and the area equal scikit-learn's, with weights and with every pixel for itself."""
    scores, is_inside, counts, groups = columns(samples)
    ranking = Ranking.from_samples(scores, is_inside, counts, groups)
    roc, curve = ranking.roc(), ranking.precision_recall()
    for labels, values, weights in (
        (is_inside, scores, counts),
        (np.repeat(is_inside, counts), np.repeat(scores, counts), None),
    ):
        alarms, detections, thresholds = roc_curve(
            labels, values, sample_weight=weights, drop_intermediate=False
        )
        np.testing.assert_array_equal(roc.thresholds, thresholds)
        np.testing.assert_allclose(roc.false_alarm_rate, alarms, rtol=1e-14)
        np.testing.assert_allclose(roc.detection_rate, detections, rtol=1e-14)
        precision, recall, thresholds = precision_recall_curve(labels, values, sample_weight=weights)
        np.testing.assert_array_equal(curve.thresholds[:0:-1], thresholds)
        np.testing.assert_allclose(curve.precision[::-1], precision, rtol=1e-14)
        np.testing.assert_allclose(curve.recall[::-1], recall, rtol=1e-14)
        area = roc_auc_score(labels, values, sample_weight=weights)
        assert ranking.auc() == pytest.approx(area, rel=1e-13, abs=1e-15)


@given(SAMPLES)
def test_areas_without_each_group(samples: list[tuple[int, bool, int, int]]) -> None:
    """Leaving out a group equals computing the area of the others anew."""
    scores, is_inside, counts, groups = columns(samples)
    without = Ranking.from_samples(scores, is_inside, counts, groups).auc_without_each_group()
    assert without.shape == (groups.max() + 1,)
    for group, area in enumerate(without.tolist()):
        is_left = groups != group
        if len(set(is_inside[is_left].tolist())) < 2:
            assert math.isnan(area)
            continue
        repeats = counts[is_left]
        values, sides = (np.repeat(array[is_left], repeats) for array in (scores, is_inside))
        assert area == pytest.approx(area_of_all_pairs(values, sides), rel=1e-13, abs=1e-15)


def test_pixels_of_each_side_in_each_group() -> None:
    """Pixels are counted by side and group, also where a group lacks a side."""
    ranking = Ranking.from_samples(
        np.array([0.0, 1.0, 2.0, 3.0]),
        np.array([True, False, True, False]),
        np.array([3, 5, 7, 9]),
        np.array([0, 0, 1, 2]),
    )
    inside, outside = ranking.sides
    assert inside.tolist() == [3, 7, 0]
    assert outside.tolist() == [5, 0, 9]


@pytest.mark.parametrize("scale", [1, 10**9])
def test_areas_of_many_pixels_that_are_told_apart(scale: int) -> None:
    """The area is exactly 1 if no pair is in the wrong order, and below 1 if one is."""
    random = np.random.default_rng(0)
    counts = random.integers(1, 5, 1000) * scale + 1
    scores, groups = np.arange(1000.0), random.integers(0, 4, 1000)
    ranking = Ranking.from_samples(scores, scores >= 300, counts, groups)
    assert ranking.auc() == 1
    np.testing.assert_allclose(ranking.auc_without_each_group(), 1, rtol=1e-13)
    assert Ranking.from_samples(-scores, scores >= 300, counts, groups).auc() == 0
    is_inside = scores >= 300
    is_inside[299:301] = True, False
    assert 1 - 1e-3 < Ranking.from_samples(scores, is_inside, counts, groups).auc() < 1


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
