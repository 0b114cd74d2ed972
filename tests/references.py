"""Independent references: each formula written again, without this package's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from pipeline import Mixture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TINY = np.finfo(np.float64).tiny


def scipy_density(image: NDArray[Any], mixture: Mixture) -> Array:
    """Sum SciPy's densities of the kernels."""
    pixels = np.asarray(image, dtype=np.float64)
    total = np.zeros(pixels.shape[:-1])
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        matrix = np.diag(covariance) if covariance.ndim == 1 else covariance
        total += weight * multivariate_normal(mean, matrix).pdf(pixels).reshape(total.shape)
    return total


def pixel_loop(image: NDArray[Any], mixture: Mixture, *, norm: bool = False) -> Array:
    """Loop over pixels and kernels, as the question did; `norm` takes its matrix norm for the determinant."""
    total = np.zeros(image.shape[:2])
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for weight, mean, variances in zip(
                mixture.weights, mixture.means, mixture.covariances, strict=True
            ):
                covariance = np.diag(variances)
                inverse = np.diag([1 / v if v else 0.0 for v in variances])
                size = np.linalg.norm(covariance) if norm else np.linalg.det(covariance)
                d = image[row, column].astype(np.float64) - mean
                total[row, column] += weight / np.sqrt(size) * np.exp(-0.5 * d @ inverse @ d)
    return total


def kernel_loop(image: NDArray[Any], mixture: Mixture) -> Array:
    """Loop over kernels alone; no power of 2 pi."""
    total = np.zeros(image.shape[:2])
    for weight, mean, variances in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        d = image - mean
        total += weight / np.sqrt(np.prod(variances)) * np.exp(-0.5 * np.sum(d * d / variances, axis=-1))
    return total


def broadcast(image: NDArray[Any], mixture: Mixture) -> Array:
    """Broadcast all kernels at once, with the power of 2 pi of three channels."""
    d = image[..., np.newaxis, :] - mixture.means
    variances = mixture.covariances
    scale = mixture.weights / np.sqrt((2 * np.pi) ** 3 * np.prod(variances, axis=-1))
    return np.asarray(np.sum(scale * np.exp(-0.5 * np.sum(d * d / variances, axis=-1)), axis=-1))


def scipy_log_density(image: NDArray[Any], mixture: Mixture) -> Array:
    """Take the log-sum-exp of SciPy's log-densities of the kernels."""
    pixels = np.asarray(image, dtype=np.float64)
    terms = []
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        matrix = np.diag(covariance) if covariance.ndim == 1 else covariance
        logs = np.reshape(multivariate_normal(mean, matrix).logpdf(pixels), pixels.shape[:-1])
        terms.append(np.log(weight) + logs)
    return np.asarray(logsumexp(terms, axis=0))


def relative_error(got: NDArray[Any], wanted: Array) -> float:
    """Give the largest relative error where the wanted value is a normal number."""
    normal = np.abs(wanted) >= TINY
    assert normal.any(), "no value to compare"
    return float(np.max(np.abs((got[normal] - wanted[normal]) / wanted[normal])))


def random_mixture(n_kernels: int, n_channels: int, *, full: bool = False, seed: int = 0) -> Mixture:
    """Make a mixture over 0 to 255 with standard deviations of 5 to 45."""
    random = np.random.default_rng(seed)
    means = random.uniform(0, 255, (n_kernels, n_channels))
    covariances = random.uniform(25, 2000, (n_kernels, n_channels))
    if full:
        factors = random.normal(size=(n_kernels, n_channels, n_channels)) * 20 / np.sqrt(n_channels)
        covariances = factors @ factors.transpose(0, 2, 1) + 50 * np.eye(n_channels)
    return Mixture(random.uniform(0.1, 1, n_kernels), means, covariances)


def pixels_near(mixture: Mixture, shape: tuple[int, ...] = (17, 19), seed: int = 1) -> Array:
    """Draw pixels around the kernels, so that densities are normal numbers."""
    random = np.random.default_rng(seed)
    centers = mixture.means[random.integers(0, mixture.n_kernels, shape)]
    return np.asarray(centers + random.normal(scale=15, size=(*shape, mixture.n_channels)))
