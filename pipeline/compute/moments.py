"""The two steps of expectation maximization (EM) for Gaussian mixtures over weighted colors.

The exponent of a Gaussian is a polynomial of degree 2 in the channels. Both steps are therefore products of
matrices: coefficients times monomials are the exponents, and responsibilities times monomials are the moments
from which the next mixture is made.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CovarianceType = Literal["diag", "full", "spherical", "tied"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("diag", "full", "spherical", "tied")
# So many numbers stay in the second cache of a core while a tile of colors is at work.
_TILE_NUMBERS = 2**15
# A thread takes so many tiles at once. Sums are made in the same order, however many threads there are.
_TILES_AT_ONCE = 16
# A kernel that is responsible for less than this share of one pixel is responsible for nothing: its mean
# would be a quotient of numbers that are too small to be exact.
_LEAST_COUNT = 1e-100


@dataclass(frozen=True, eq=False)
class Points:
    """Colors with weights, in units in which they have mean 0 and deviation 1.

    Attributes
    ----------
    planes : ndarray of float64, shape (C, n)
        The colors.
    weights : ndarray of float64, shape (n,)
        How many pixels have each color.
    center : ndarray of float64, shape (C,)
        The mean color, in the units of the pixels.
    scale : ndarray of float64, shape (C,)
        The unit of each channel.
    """

    planes: Floats
    weights: Floats
    center: Floats
    scale: Floats

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weights.sum())


class Parameters(NamedTuple):
    """The parameters of a mixture in the units of :class:`Points`.

    Attributes
    ----------
    weights : ndarray of float64, shape (K,)
        They sum to 1.
    means : ndarray of float64, shape (K, C)
    covariances : ndarray of float64, shape (K, C) or (K, C, C)
    """

    weights: Floats
    means: Floats
    covariances: Floats


class Moments(NamedTuple):
    """The sums over all colors, weighted by how responsible each kernel is for a color.

    Attributes
    ----------
    log_likelihood : float
        The sum of the logarithms of the mixture's density.
    counts : ndarray of float64, shape (K,)
        The sums of the responsibilities.
    first : ndarray of float64, shape (K, C)
        The sums of the colors.
    second : ndarray of float64, shape (K, C) or (K, C, C)
        The sums of their squares, or of the products of their channels.
    """

    log_likelihood: float
    counts: Floats
    first: Floats
    second: Floats


def make_points(colors: NDArray[np.generic], counts: NDArray[np.int64], *, isotropic: bool) -> Points:
    """Bring weighted colors into units in which they have mean 0 and deviation 1.

    Parameters
    ----------
    colors : ndarray, shape (n, C)
    counts : ndarray of int64, shape (n,)
    isotropic : bool
        Whether all channels have the same unit, as kernels that are spheres need.

    Returns
    -------
    Points
        A channel that is constant is 0 there.

    Raises
    ------
    ValueError
        If the pixels are so large that their squares can't be summed.
    """
    # Differences from the first color are exact where an offset is large or a channel is constant.
    first = colors[0].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        planes = np.array(colors.T, dtype=np.float64, order="C")
        planes -= first[:, np.newaxis]
        weights = counts.astype(np.float64)
        total = weights.sum()
        shift = planes @ weights / total
        planes -= shift[:, np.newaxis]
        variances = np.array([plane * plane @ weights / total for plane in planes])
    if not np.isfinite(variances).all():
        largest = max(abs(float(colors.max())), abs(float(colors.min())))
        raise ValueError(
            f"the pixels hold {largest:g}, whose square is too large for a float64; wanted smaller numbers. "
            "Divide the pixels, or name the value that stands for missing pixels: no_data."
        )
    if isotropic:
        variances[:] = variances.mean()
    scale = np.sqrt(np.where(variances > 0, variances, 1.0))
    planes /= scale[:, np.newaxis]
    return Points(planes, weights, first + shift, scale)


def expect(points: Points, parameters: Parameters, threads: int = 1) -> Moments:
    """Compute the responsibilities of the kernels for each color, and sum the moments.

    Parameters
    ----------
    points : Points
    parameters : Parameters
    threads : int
        How many threads compute. The result doesn't depend on it.

    Returns
    -------
    Moments
        Of the products of all channels if the covariances are matrices, and else of the squares.

    Raises
    ------
    ValueError
        If rounding decides whether a covariance is positive definite.
    """
    coefficients = _coefficients(parameters)
    n_kernels, n_monomials = coefficients.shape
    tile = max(64, _TILE_NUMBERS // max(n_kernels, n_monomials))
    n_points = points.planes.shape[1]
    step = tile * _TILES_AT_ONCE

    def expect_part(start: int) -> tuple[float, Floats]:
        return _expect_tiles(points, coefficients, range(start, min(start + step, n_points), tile), tile)

    starts = range(0, n_points, step)
    if threads == 1 or len(starts) == 1:
        return _moments(map(expect_part, starts), parameters)
    with ThreadPoolExecutor(threads) as pool:
        return _moments(pool.map(expect_part, starts), parameters)


def harden(points: Points, nearest: NDArray[np.intp], n_kernels: int, *, full: bool) -> Moments:
    """Sum the moments of colors each of which belongs to one kernel only.

    Parameters
    ----------
    points : Points
    nearest : ndarray of intp, shape (n,)
        The kernel of each color.
    n_kernels : int
    full : bool
        Whether to sum the products of all channels, and not only the squares.

    Returns
    -------
    Moments
        Its log-likelihood is NaN, since there is no mixture yet.
    """
    monomials = _monomials(points.planes, full=full)
    sums = [np.bincount(nearest, row * points.weights, n_kernels) for row in monomials]
    return _as_moments(math.nan, np.array(sums, np.float64).T, len(points.planes), full=full)


def maximize(moments: Moments, kind: CovarianceType, floor: float, scale: Floats) -> Parameters:
    """Return the parameters with the highest likelihood, given the responsibilities.

    Parameters
    ----------
    moments : Moments
        With the products of the channels for the covariance types "full" and "tied".
    kind : str
        The covariance type.
    floor : float
        The least variance of a kernel in any direction, in squared units of the pixels.
    scale : ndarray of float64, shape (C,)
        The units of the points.

    Returns
    -------
    parameters : Parameters
        Without the kernels that are responsible for next to nothing, less than 1e-100 of a pixel.

    Notes
    -----
    The covariance of highest likelihood whose variances have a lower bound has the eigenvectors of the
    moments and their eigenvalues, raised to the bound. The likelihood hence never decreases.
    """
    used = moments.counts >= _LEAST_COUNT
    counts, first, second = moments.counts[used], moments.first[used], moments.second[used]
    means = first / counts[:, np.newaxis]
    if kind in {"diag", "spherical"}:
        covariances = second / counts[:, np.newaxis] - means**2
        if kind == "spherical":
            covariances = np.repeat(covariances.mean(axis=1, keepdims=True), means.shape[1], axis=1)
    else:
        products = means[:, :, np.newaxis] * means[:, np.newaxis, :]
        covariances = second / counts[:, np.newaxis, np.newaxis] - products
        if kind == "tied":
            covariances = np.einsum("k,kij->ij", counts / counts.sum(), covariances)[np.newaxis]
    covariances = raise_variances(covariances, floor, scale)
    if kind == "tied":
        covariances = np.broadcast_to(covariances, products.shape)
    return Parameters(counts / counts.sum(), means, covariances)


def raise_variances(covariances: Floats, floor: float, scale: Floats) -> Floats:
    """Return covariances whose variances are at least the floor in every direction.

    Parameters
    ----------
    covariances : ndarray of float64, shape (K, C) or (K, C, C)
        In the units of the points.
    floor : float
        In squared units of the pixels.
    scale : ndarray of float64, shape (C,)
        The units of the points.

    Returns
    -------
    ndarray of float64, of the same shape
        Variances, or the eigenvalues of matrices in the units of the pixels, are raised to the floor.
    """
    if covariances.shape[1:] == scale.shape:
        return np.maximum(covariances, floor / scale**2)
    # In the units of the points, rounding doesn't hide the channels of small variances.
    if np.linalg.eigvalsh(covariances - np.diag(floor / scale**2)).min() >= 0:
        return covariances
    units = np.outer(scale, scale)
    values, vectors = np.linalg.eigh(covariances * units)
    raised: Floats = np.einsum("kic,kc,kjc->kij", vectors, np.maximum(values, floor), vectors)
    return (raised + raised.mT) / 2 / units


def _coefficients(parameters: Parameters) -> Floats:
    """Return the coefficients of the logarithms of the weighted kernels, shape (K, monomials)."""
    weights, means, covariances = parameters
    n_channels = means.shape[1]
    if covariances.ndim == means.ndim:
        offsets = -0.5 * (np.log(2 * np.pi * covariances) + means**2 / covariances).sum(axis=1)
        linear, quadratic = means / covariances, -0.5 / covariances
    else:
        factors = _factors(covariances)
        # The errors of these inverses grow with the square root of the ratio of eigenvalues only.
        inverses = np.linalg.inv(factors)
        precisions = inverses.mT @ inverses
        linear = np.einsum("kij,kj->ki", precisions, means)
        logarithms = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        offsets = -0.5 * (n_channels * math.log(2 * math.pi) + logarithms + (linear * means).sum(axis=1))
        upper = np.triu_indices(n_channels)
        # Products of two different channels stand for both orders.
        quadratic = -precisions[:, *upper] * np.where(upper[0] == upper[1], 0.5, 1.0)
    return np.hstack([(np.log(weights) + offsets)[:, np.newaxis], linear, quadratic])


def _factors(covariances: Floats) -> Floats:
    """Return the Cholesky factors of covariances, shape (K, C, C)."""
    try:
        return np.linalg.cholesky(covariances).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        raise ValueError(
            "a kernel has become so flat that rounding decides whether its covariance is positive definite. "
            'Raise variance_floor, leave out a channel, or pass covariance_type="diag".'
        ) from None


def _monomials(planes: Floats, *, full: bool) -> Floats:
    """Return 1, the channels, and their squares or all their products, shape (monomials, n)."""
    rows, columns = np.triu_indices(len(planes)) if full else (np.arange(len(planes)),) * 2
    products: Floats = planes[rows] * planes[columns]
    return np.concatenate([np.ones((1, planes.shape[1])), planes, products])


def _expect_tiles(points: Points, coefficients: Floats, starts: range, tile: int) -> tuple[float, Floats]:
    """Return the log-likelihood of some tiles, and the sums of monomials, shape (K, monomials)."""
    full = coefficients.shape[1] > 1 + 2 * len(points.planes)
    log_likelihood, sums = 0.0, np.zeros(coefficients.shape)
    for start in starts:
        part = slice(start, min(start + tile, starts.stop))
        monomials = _monomials(points.planes[:, part], full=full)
        terms = coefficients @ monomials
        highest = terms.max(axis=0)
        terms -= highest
        np.exp(terms, out=terms)
        total = terms.sum(axis=0)
        log_likelihood += float(points.weights[part] @ (np.log(total) + highest))
        terms *= points.weights[part] / total
        sums += terms @ monomials.T
    return log_likelihood, sums


def _moments(parts: Iterator[tuple[float, Floats]], parameters: Parameters) -> Moments:
    """Sum the parts in their order."""
    log_likelihood, sums = next(parts)
    for more, further in parts:
        log_likelihood += more
        sums += further
    n_channels = parameters.means.shape[1]
    full = parameters.covariances.ndim > parameters.means.ndim
    return _as_moments(log_likelihood, sums, n_channels, full=full)


def _as_moments(log_likelihood: float, sums: Floats, n_channels: int, *, full: bool) -> Moments:
    """Take sums of monomials apart."""
    counts, first, second = sums[:, 0], sums[:, 1 : 1 + n_channels], sums[:, 1 + n_channels :]
    if full:
        rows, columns = np.triu_indices(n_channels)
        matrices = np.empty((len(sums), n_channels, n_channels))
        matrices[:, rows, columns] = matrices[:, columns, rows] = second
        second = matrices
    return Moments(log_likelihood, counts, first, second)
