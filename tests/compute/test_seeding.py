"""Tests of first mixtures: the sample of the colors, k-means++ and Lloyd's rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from pipeline.compute import seeding
from pipeline.compute.moments import Points, make_points
from pipeline.compute.seeding import cluster, sample_points

if TYPE_CHECKING:
    from numpy.typing import NDArray


def points_of(colors: Any, counts: Any = None) -> Points:
    """Make points of colors, each once if no counts are given."""
    colors = np.asarray(colors, float)
    weights = np.ones(len(colors), np.int64) if counts is None else np.asarray(counts, np.int64)
    return make_points(colors, weights, isotropic=False)


def random_points(seed: int, n: int, n_channels: int = 3) -> Points:
    """Draw different points with weights of several magnitudes."""
    random = np.random.default_rng(seed)
    return points_of(random.normal(size=(n, n_channels)), np.exp(random.uniform(0, 9, n)).astype(int))


def inertia(points: Points, nearest: NDArray[np.intp]) -> float:
    """Return the weighted sum of the squared distances from the means of the clusters."""
    total = 0.0
    for one in np.unique(nearest):
        planes, weights = points.planes[:, nearest == one], points.weights[nearest == one]
        apart = planes - (planes @ weights / weights.sum())[:, np.newaxis]
        total += float((apart**2).sum(axis=0) @ weights)
    return total


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(12, 60))
def test_clusters_are_not_empty(seed: int, n_clusters: int, n: int) -> None:
    """Every cluster has a point, whatever the weights are."""
    points = random_points(seed, n)
    nearest = cluster(points, n_clusters, np.random.default_rng(seed))
    assert nearest.shape == (n,)
    assert set(nearest.tolist()) == set(range(n_clusters))


@given(st.integers(0, 1000), st.integers(1, 12))
def test_first_centers_are_different_points(seed: int, n_clusters: int) -> None:
    """A point of the same color as a center, or of weight 0, is never drawn."""
    random = np.random.default_rng(seed)
    colors = np.repeat(random.normal(size=(12, 2)), 4, axis=0)
    chosen = seeding._draw_centers(points_of(colors), n_clusters, random)
    assert len(np.unique(colors[chosen], axis=0)) == n_clusters


def test_first_centers_are_drawn_by_weight() -> None:
    """The first center is a point with the probability that its weight says (5 standard errors)."""
    points = points_of([[0.0], [1.0], [5.0]], [1, 2, 7])
    random = np.random.default_rng(0)
    drawn = [seeding._draw_centers(points, 1, random)[0] for _ in range(4000)]
    shares = np.bincount(drawn) / 4000
    wanted = np.array([0.1, 0.2, 0.7])
    assert (abs(shares - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / 4000)).all()


def test_the_next_center_is_the_best_of_several_by_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates have probabilities proportional to weight times squared distance; the best one is taken."""
    points = points_of([[0.0], [1.0], [4.0], [9.0]], [100, 3, 2, 1])
    asked: list[NDArray[np.float64]] = []

    def draw(weights: NDArray[np.float64], n: int, _: object) -> NDArray[np.intp]:
        asked.append(weights)
        return np.array([0] if len(asked) == 1 else [1, 2, 3][:n])

    monkeypatch.setattr(seeding, "_draw", draw)
    chosen = seeding._draw_centers(points, 2, np.random.default_rng(0))
    squares = np.array([0.0, 1, 16, 81])
    np.testing.assert_allclose(asked[1] / asked[1].max(), points.weights * squares / 81)
    # Candidates are the points 1 and 2. With 2, less is left: 3 * 1 + 25 instead of 2 * 9 + 64.
    assert chosen == [0, 2]


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_about_as_good_as_those_of_scikit_learn(seed: int) -> None:
    """The best of four divisions has nearly the inertia of the best of ten by scikit-learn, with weights."""
    random = np.random.default_rng(seed)
    centers = random.uniform(-10, 10, (5, 3))
    colors = centers[random.integers(0, 5, 2000)] + random.normal(size=(2000, 3))
    points = points_of(colors, random.integers(1, 20, 2000))
    ours = min(inertia(points, cluster(points, 5, random)) for _ in range(4))
    model = KMeans(5, n_init=10, random_state=0).fit(points.planes.T, sample_weight=points.weights)
    assert ours <= 1.01 * model.inertia_


def test_rounds_lower_the_inertia(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lloyd's rounds never raise the inertia, and end at a division that is nearest to its own means."""
    points, values = random_points(0, 3000), []
    for rounds in (0, 1, 2, 5, 400):
        monkeypatch.setattr(seeding, "_ROUNDS", rounds)
        nearest = cluster(points, 6, np.random.default_rng(1))
        values.append(inertia(points, nearest))
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]
    means = np.array(
        [np.average(points.planes, 1, np.where(nearest == one, points.weights, 0)) for one in range(6)]
    )
    distances = ((points.planes.T[:, np.newaxis] - means) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(nearest, distances.argmin(axis=1))


@pytest.mark.parametrize(("colors", "text"), [([[1.0]], "1 color"), ([[1.0], [2], [1], [2]], "2 colors")])
def test_fewer_colors_than_clusters(colors: Any, text: str) -> None:
    """The message has both numbers, also where colors occur several times."""
    with pytest.raises(ValueError, match=f"got 3 kernels for {text}; wanted no more kernels than colors"):
        cluster(points_of(colors), 3, np.random.default_rng(0))


def test_few_points_are_their_own_sample() -> None:
    """Up to 32768 points are taken as they are."""
    points = random_points(0, 2**15, 1)
    assert sample_points(points, 3, np.random.default_rng(0)) is points


def test_a_sample_has_the_weights() -> None:
    """Points are drawn as often as their weights say, to within one; the heaviest are always there."""
    points = random_points(0, 2**16, 2)
    sample = sample_points(points, 40, np.random.default_rng(0))
    assert len(sample.weights) <= 2**15 + 40
    assert (sample.center is points.center, sample.scale is points.scale) == (True, True)
    places = {tuple(column): number for number, column in enumerate(points.planes.T)}
    drawn = np.zeros(2**16)
    drawn[[places[tuple(column)] for column in sample.planes.T]] = sample.weights
    wanted = points.weights * 2**15 / points.total
    assert abs(drawn - wanted).max() <= 1 + 1e-9
    assert (drawn[np.argsort(points.weights)[-40:]] > 0).all()
    # The sum of independent errors would be some hundred.
    assert abs(drawn.sum() - 2**15) < 40


@pytest.mark.parametrize("n_least", [5, 2**16, 2**17])
def test_one_dominating_color(n_least: int) -> None:
    """Colors that a sample would hardly ever meet are in it, as many as are asked for."""
    random = np.random.default_rng(0)
    counts = np.ones(2**16, int)
    counts[7] = 10**11
    counts[[3, 50, 900, 60_000]] = 2
    points = points_of(random.normal(size=(2**16, 2)), counts)
    sample = sample_points(points, n_least, random)
    columns = {tuple(column) for column in sample.planes.T}
    assert {tuple(points.planes[:, place]) for place in (3, 7, 50, 900, 60_000)} <= columns
    assert len(columns) == min(n_least, 2**16)
