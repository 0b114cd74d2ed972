"""First mixtures for expectation maximization, by k-means on a few of the colors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compute.moments import Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The number of colors by which starts are made and compared.
SAMPLE = 2**15
_ROUNDS = 20


def sample_points(points: Points, n_least: int, random: np.random.Generator) -> Points:
    """Return some of the points, with weights that say how often each was drawn.

    Parameters
    ----------
    points : Points
    n_least : int
        The heaviest points, so many, are always among them.
    random : numpy.random.Generator

    Returns
    -------
    Points
        All of them if they aren't many. Else a systematic sample: each color is drawn as often as its weight
        says, to within one.
    """
    if len(points.weights) <= SAMPLE:
        return points
    edges = np.cumsum(points.weights)
    step = edges[-1] / SAMPLE
    drawn = np.searchsorted(edges, (np.arange(SAMPLE) + random.uniform()) * step, "right")
    counts = np.bincount(np.minimum(drawn, len(edges) - 1), minlength=len(edges)).astype(np.float64)
    n_least = min(n_least, len(edges))
    heaviest = np.argpartition(points.weights, -n_least)[-n_least:]
    counts[heaviest] = np.maximum(counts[heaviest], points.weights[heaviest] / step)
    chosen = np.flatnonzero(counts)
    return Points(points.planes[:, chosen], counts[chosen], points.center, points.scale)


def cluster(points: Points, n_clusters: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Divide points among clusters around their means.

    Parameters
    ----------
    points : Points
    n_clusters : int
    random : numpy.random.Generator

    Returns
    -------
    ndarray of intp, shape (n,)
        The cluster of each point. No cluster is empty.

    Raises
    ------
    ValueError
        If there are fewer different points than clusters.

    Notes
    -----
    The first centers are drawn by k-means++, the best of a few for each center (Arthur and Vassilvitskii,
    "k-means++: the advantages of careful seeding", 2007). At most 20 rounds of Lloyd's algorithm follow.
    """
    _check_number(n_clusters, len(points.weights))
    centers = points.planes[:, _draw_centers(points, n_clusters, random)]
    nearest: NDArray[np.intp] = _distances(points.planes, centers).argmin(axis=0)
    for _ in range(_ROUNDS):
        counts = np.bincount(nearest, points.weights, n_clusters)
        centers = np.array([np.bincount(nearest, plane * points.weights) / counts for plane in points.planes])
        before, nearest = nearest, _distances(points.planes, centers).argmin(axis=0)
        if not np.bincount(nearest, minlength=n_clusters).all():
            return before
        if np.array_equal(before, nearest):
            break
    return nearest


def _draw_centers(points: Points, n_clusters: int, random: np.random.Generator) -> list[int]:
    """Draw different points as centers, each far from those before it."""
    n_candidates = 2 + int(math.log(n_clusters))
    chosen = [int(_draw(points.weights, 1, random)[0])]
    nearest = _distances(points.planes, points.planes[:, chosen])[0]
    while len(chosen) < n_clusters:
        if not nearest.any():
            _check_number(n_clusters, len(chosen))
        candidates = _draw(points.weights * nearest, n_candidates, random)
        distances = np.minimum(nearest, _distances(points.planes, points.planes[:, candidates]))
        best = int((distances @ points.weights).argmin())
        chosen.append(int(candidates[best]))
        nearest = distances[best]
    return chosen


def _check_number(n_clusters: int, n_colors: int) -> None:
    """Raise ValueError if there are fewer colors than clusters."""
    if n_clusters > n_colors:
        count = "1 color" if n_colors == 1 else f"{n_colors} colors"
        raise ValueError(
            f"got {n_clusters} kernels for {count}; wanted no more kernels than colors. Ask for fewer "
            "kernels, or fit to more of the image."
        )


def _draw(weights: NDArray[np.float64], n_draws: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Draw places with probabilities that are proportional to the weights; never one of weight 0."""
    edges = np.cumsum(weights)
    drawn = np.searchsorted(edges, random.uniform(size=n_draws) * edges[-1], "right")
    last: NDArray[np.intp] = np.minimum(drawn, np.flatnonzero(weights)[-1])
    return last


def _distances(planes: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distances of points from centers, shape (centers, n); 0 for a center itself."""
    distances = np.zeros((centers.shape[1], planes.shape[1]))
    for plane, center in zip(planes, centers, strict=True):
        apart = plane - center[:, np.newaxis]
        apart *= apart
        distances += apart
    return distances
