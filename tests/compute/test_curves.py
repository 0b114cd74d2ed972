"""Tests of the curves and the areas under them, against scikit-learn and against every pair of pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from pipeline.compute.curves import Ranking
from pipeline.compute.intervals import logit_interval

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


def clustered(random: np.random.Generator, sizes: list[tuple[int, int]], spread: float) -> Ranking:
    """Return pixels of two sides, whose scores differ from group to group, 1.5 apart on average."""
    scores, is_inside, groups = [], [], []
    for group, both in enumerate(sizes):
        for side, size in enumerate(both):
            center = 1.5 * side + spread * random.normal()
            scores.append(random.normal(center, 1, size))
            is_inside.append(np.full(size, bool(side)))
            groups.append(np.full(size, group))
    joined = np.concatenate(scores), np.concatenate(is_inside), np.concatenate(groups)
    return Ranking.from_samples(joined[0], joined[1], np.ones(len(joined[0]), np.int64), joined[2])


def error_of_pixels(ranking: Ranking) -> float:
    """Return the standard error of the area if pixels were independent (Hanley and McNeil, 1982)."""
    area, n_inside, n_outside = ranking.auc(), ranking.inside.sum(), ranking.outside.sum()
    pairs = (n_inside - 1) * (area / (2 - area) - area**2)
    pairs += (n_outside - 1) * (2 * area**2 / (1 + area) - area**2)
    return math.sqrt((area * (1 - area) + pairs) / (n_inside * n_outside))


# Pixels of the rest and of the class in each group: equal groups, unequal ones, groups without one side.
SIZES = [
    [(40, 40)] * 6,
    [(20, 200), (30, 100), (50, 50), (100, 30), (200, 20)],
    [(1000, 20), (2000, 10), (100, 30), (20, 40), (600, 20)],
    [(60, 60)] * 4 + [(60, 0), (0, 60)],
]


@pytest.mark.parametrize("sizes", SIZES)
def test_intervals_contain_the_true_area(sizes: list[tuple[int, int]]) -> None:
    """Groups that differ are taken into account; intervals of independent pixels miss the true area.

    The area is that of a pixel of the class and one of the rest from different groups.
    """
    random = np.random.default_rng(0)
    area, repetitions = stats.norm.cdf(1.5 / math.sqrt(2 * (1 + 0.5**2))), 400
    n_by_groups = n_by_pixels = 0
    for _ in range(repetitions):
        ranking = clustered(random, sizes, spread=0.5)
        low, high = ranking.auc_interval(0.9)
        n_by_groups += low <= area <= high
        low, high = logit_interval(ranking.auc(), error_of_pixels(ranking), 0.9, 1000)
        n_by_pixels += low <= area <= high
    assert 0.85 < n_by_groups / repetitions < 0.96
    assert n_by_pixels / repetitions < 0.7


def test_intervals_are_those_of_the_formulas() -> None:
    """An interval is that of the jackknife, computed anew without each group from every pair of pixels."""
    random = np.random.default_rng(0)
    ranking = clustered(random, [(20, 30), (10, 50), (40, 5), (30, 0)], spread=0.5)
    is_inside, groups = ranking.inside > 0, ranking.groups
    without = np.array(
        [area_of_all_pairs(ranking.scores[groups != g], is_inside[groups != g]) for g in range(4)]
    )
    shares = (np.array([30, 50, 5, 0]) / 85 + np.array([20, 10, 40, 30]) / 100) / 2
    area = area_of_all_pairs(ranking.scores, is_inside)
    pseudo = (area - (1 - shares) * without) / shares
    center = (shares * pseudo).sum()
    variance = np.mean((pseudo - center) ** 2 * shares / (1 - shares))
    # Three of the groups hold the class.
    reach = stats.t.ppf(0.95, 2) * math.sqrt(variance) / (area * (1 - area))
    ends = special.expit(special.logit(area) + np.array([-reach, reach]))
    assert ranking.auc_interval(0.9) == pytest.approx(ends.tolist(), rel=1e-9)


def test_intervals_don_t_depend_on_the_number_of_pixels_of_a_side() -> None:
    """Ten times as many pixels of the rest, alike in all groups, tell nothing new."""
    ranking = clustered(np.random.default_rng(0), SIZES[1], spread=0.5)
    more = replace(ranking, outside=ranking.outside * 10)
    assert more.auc_interval(0.9) == pytest.approx(ranking.auc_interval(0.9), rel=1e-9)


@pytest.mark.parametrize(
    ("is_inside", "groups", "message"),
    [
        ([1, 0, 1, 0], [0, 0, 0, 0], "1 of 1 groups of held-out pixels hold pixels both of the class and of"),
        ([1, 0, 0, 1], [0, 1, 2, 2], "1 of 3 groups .* wanted at least two, .* Hold out more of the image"),
        ([1, 1, 0, 0], [0, 1, 0, 1], "the AUC is 1 in all groups of held-out pixels; wanted groups that"),
        ([0, 0, 1, 1], [0, 1, 0, 1], "the AUC is 0 in all groups"),
    ],
)
def test_intervals_that_are_refused(is_inside: list[int], groups: list[int], message: str) -> None:
    """Without two groups of both sides that differ there is no interval, and the error says why."""
    scores, ones = np.array([4.0, 3.0, 2.0, 1.0]), np.ones(4, np.int64)
    ranking = Ranking.from_samples(scores, np.array(is_inside, bool), ones, np.array(groups))
    with pytest.raises(ValueError, match=message):
        ranking.auc_interval(0.95)
