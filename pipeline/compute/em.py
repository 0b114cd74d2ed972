"""Gaussian mixtures of the highest likelihood for weighted colors, by expectation maximization (EM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.compute.moments import Parameters, expect, harden, make_points, maximize, raise_variances
from pipeline.compute.seeding import cluster, sample_points

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.compute.histogram import Histogram
    from pipeline.compute.moments import CovarianceType, Moments, Points
    from pipeline.models.mixture import Mixture

# Starts are compared after so many steps, or when a step gains less than this, in nats for a pixel.
_TRIAL_STEPS, _TRIAL_GAIN = 50, 1e-3
# The variance that rounding to integers adds to each channel.
ROUNDING = 1 / 12
# The least variance of a kernel over floating point pixels, as a share of the smallest variance of a channel.
_LEAST_SHARE = 1e-6


class Schedule(NamedTuple):
    """When to stop.

    Attributes
    ----------
    n_starts : int
        How many first mixtures are tried.
    tolerance : float
        The gain of a step in mean log-likelihood, in nats for a pixel, below which the steps end.
    max_iterations : int
        The largest number of steps.
    """

    n_starts: int
    tolerance: float
    max_iterations: int


class Fitted(NamedTuple):
    """A mixture of the highest likelihood.

    Attributes
    ----------
    weights, means, covariances : ndarray
        The parameters of a :class:`Mixture`, in the units of the pixels.
    log_likelihood : float
        The mean logarithm of the mixture's density over the pixels, in nats.
    n_iterations : int
        The number of steps.
    is_converged : bool
        Whether the last step gained less than the tolerance.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    log_likelihood: float
    n_iterations: int
    is_converged: bool


def default_floor(histogram: Histogram) -> float:
    """Return the least variance of a kernel, if the caller names none.

    Returns
    -------
    float
        For integers 1/12, the variance that rounding adds. For floating point pixels a millionth of the
        smallest variance of a channel that isn't constant.

    Raises
    ------
    ValueError
        If all pixels have the same color, and its channels are floating point numbers, and for the reason
        that :func:`make_points` gives.
    """
    if histogram.colors.dtype.kind != "f":
        return ROUNDING
    points = make_points(*histogram.distinct, isotropic=False)
    varying = points.planes.any(axis=1)
    if not varying.any():
        raise ValueError(
            "all pixels have the same color, so that no variance can be estimated. Pass variance_floor, the "
            "least variance of a kernel."
        )
    return float(_LEAST_SHARE * points.scale[varying].min() ** 2)


def fit_kernels(
    histogram: Histogram,
    n_kernels: int,
    kind: CovarianceType,
    *,
    floor: float,
    start: Mixture | None,
    schedule: Schedule,
    seed: int,
    threads: int,
    report: Callable[[int, float], object],
) -> Fitted:
    """Fit a mixture to the colors of a histogram.

    Parameters
    ----------
    histogram : Histogram
        With at least one color.
    n_kernels : int
    kind : str
        The covariance type.
    floor : float
        The least variance of a kernel in any direction, in squared units of the pixels.
    start : Mixture, optional
        The first mixture, instead of those by k-means.
    schedule : Schedule
    seed : int
    threads : int
        How many threads compute. The result doesn't depend on it.
    report : callable
        It is called with the number of steps and the mean log-likelihood before each step over all colors.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If there are fewer colors than kernels, and for the reasons that :func:`make_points` and
        :func:`expect` give.

    Notes
    -----
    The first mixtures are made of 32768 colors by k-means, and improved on these. The best one is improved on
    all colors, by the steps of Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM
    algorithm", 1977.
    """
    points = make_points(*histogram.distinct, isotropic=kind == "spherical")
    climb = _Climb(points, kind, floor, threads)
    first = (
        _best_start(climb, n_kernels, schedule.n_starts, seed)
        if start is None
        else _in_units_of(points, start, kind, floor)
    )
    end = climb.improve(first, schedule.tolerance, schedule.max_iterations, report)
    weights, means, covariances = end.parameters
    scale = points.scale
    units = scale**2 if covariances.ndim == means.ndim else np.outer(scale, scale)
    return Fitted(
        weights,
        means * scale + points.center,
        covariances * units,
        end.log_likelihood - float(np.log(scale).sum()),
        end.n_iterations,
        end.is_converged,
    )


class _End(NamedTuple):
    """Where the steps ended; the log-likelihood is that of the parameters, in the units of the points."""

    parameters: Parameters
    log_likelihood: float
    n_iterations: int
    is_converged: bool


class _Climb(NamedTuple):
    """The steps toward the highest likelihood for some points."""

    points: Points
    kind: CovarianceType
    floor: float
    threads: int

    def improve(
        self,
        parameters: Parameters,
        tolerance: float,
        max_iterations: int,
        report: Callable[[int, float], object] = lambda *_: None,
    ) -> _End:
        """Take steps until one gains less than the tolerance, or there are enough of them."""
        total, before = self.points.total, -np.inf
        for n_iterations in range(max_iterations + 1):
            moments = expect(self.points, parameters, self.threads)
            reached = moments.log_likelihood / total
            report(n_iterations, reached - float(np.log(self.points.scale).sum()))
            is_converged = reached - before < tolerance
            if is_converged or n_iterations == max_iterations:
                break
            before = reached
            parameters = self.maximized(moments)
        return _End(parameters, reached, n_iterations, is_converged)

    def maximized(self, moments: Moments) -> Parameters:
        """Return the parameters of the highest likelihood, given the responsibilities."""
        return maximize(moments, self.kind, self.floor, self.points.scale)


def _best_start(climb: _Climb, n_kernels: int, n_starts: int, seed: int) -> Parameters:
    """Make several first mixtures of a few of the points, and return the best of them, a little improved."""
    random = np.random.default_rng(seed)
    few = sample_points(climb.points, n_kernels, random)
    climb, ends = climb._replace(points=few), []
    for _ in range(n_starts):
        nearest = cluster(few, n_kernels, random)
        first = climb.maximized(harden(few, nearest, n_kernels, full=climb.kind in {"full", "tied"}))
        ends.append(climb.improve(first, _TRIAL_GAIN, _TRIAL_STEPS))
    return max(ends, key=lambda end: end.log_likelihood).parameters


def _in_units_of(points: Points, mixture: Mixture, kind: CovarianceType, floor: float) -> Parameters:
    """Return a mixture's parameters in the units of the points, as the covariance type and the floor allow.

    Steps from variances below the floor would lower the likelihood.
    """
    weights = mixture.weights / mixture.weights.sum()
    matrices = mixture.covariances
    if mixture.is_diagonal:
        matrices = matrices[:, np.newaxis] * np.eye(mixture.n_channels)
    matrices = matrices / np.outer(points.scale, points.scale)
    if kind == "tied":
        matrices = np.broadcast_to(np.einsum("k,kij->ij", weights, matrices), matrices.shape)
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    if kind == "spherical":
        variances = np.repeat(variances.mean(axis=1, keepdims=True), mixture.n_channels, axis=1)
    means = (mixture.means - points.center) / points.scale
    covariances = matrices if kind in {"full", "tied"} else variances
    return Parameters(weights, means, raise_variances(covariances, floor, points.scale))
