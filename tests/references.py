"""Independent references: each formula is written again, without the code of this package.

`REFERENCES` has them by name, as functions of (image, quantity). `hard_points` returns the pixels at which
they are compared.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import mpmath
import numpy as np
from scipy.special import entr, logsumexp
from scipy.stats import multivariate_normal

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Mixture, Posterior
from pipeline.models.class_quantities import ClassQuantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

    Array = NDArray[np.float64]
    Reference = Callable[[NDArray[Any], Any], Array]

TINY = np.finfo(np.float64).tiny
MP = mpmath.mp.clone()
MP.dps = 50


def scipy_density(image: NDArray[Any], mixture: Mixture) -> Array:
    """Return the sum of SciPy's densities of the kernels."""
    pixels = np.asarray(image, dtype=np.float64)
    total = np.zeros(pixels.shape[:-1])
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        matrix = np.diag(covariance) if covariance.ndim == 1 else covariance
        total += weight * multivariate_normal(mean, matrix).pdf(pixels).reshape(total.shape)
    return total


def pixel_loop(image: NDArray[Any], mixture: Mixture, *, norm: bool = False) -> Array:
    """Loop over pixels and kernels, as the original question did.

    If `norm` is True, its matrix norm takes the place of the determinant.
    """
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
    """Loop over kernels only, without the power of 2 pi."""
    total = np.zeros(image.shape[:2])
    for weight, mean, variances in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        d = image - mean
        total += weight / np.sqrt(np.prod(variances)) * np.exp(-0.5 * np.sum(d * d / variances, axis=-1))
    return total


def broadcast(image: NDArray[Any], mixture: Mixture) -> Array:
    """Broadcast over all kernels at once, with the power of 2 pi for three channels."""
    d = image[..., np.newaxis, :] - mixture.means
    variances = mixture.covariances
    scale = mixture.weights / np.sqrt((2 * np.pi) ** 3 * np.prod(variances, axis=-1))
    return np.asarray(np.sum(scale * np.exp(-0.5 * np.sum(d * d / variances, axis=-1)), axis=-1))


def scipy_log_density(image: NDArray[Any], mixture: Mixture) -> Array:
    """Return the log-sum-exp of SciPy's log-densities of the kernels."""
    pixels = np.asarray(image, dtype=np.float64)
    terms = []
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        matrix = np.diag(covariance) if covariance.ndim == 1 else covariance
        logs = np.reshape(multivariate_normal(mean, matrix).logpdf(pixels), pixels.shape[:-1])
        terms.append(np.log(weight) + logs)
    return np.asarray(logsumexp(terms, axis=0))


def scipy_reference(image: NDArray[Any], quantity: Quantity) -> Array:
    """Return any quantity, computed from SciPy's log-densities, with classes along the last axis."""
    two_pi = quantity.n_channels / 2 * np.log(2 * np.pi)
    logs = np.array([scipy_log_density(image, mixture) for mixture in quantity.mixtures])
    if isinstance(quantity, Density | LogDensity):
        log = logs[0] if quantity.normalized else logs[0] + two_pi
        return np.exp(log) if isinstance(quantity, Density) else log
    if isinstance(quantity, LogRatio):
        return np.asarray(logs[0] - logs[1])
    assert isinstance(quantity, ClassQuantity)
    scores = np.moveaxis(logs, 0, -1) + np.log(quantity.priors)
    if isinstance(quantity, Label):
        return scores.argmax(axis=-1).astype(np.float64)
    shares = np.exp(scores - logsumexp(scores, axis=-1, keepdims=True))
    if isinstance(quantity, Confidence | Entropy):
        ordered = np.sort(shares, axis=-1)
        highest, others = ordered[..., -1], ordered[..., :-1]
        if isinstance(quantity, Confidence):
            return np.asarray(highest - others.max(axis=-1, initial=0))
        # The highest share may be so close to 1 that its logarithm is lost.
        return np.asarray(entr(others).sum(axis=-1) - highest * np.log1p(-others.sum(axis=-1)))
    assert isinstance(quantity, Posterior)
    return np.asarray(shares if quantity.only is None else shares[..., quantity.names.index(quantity.only)])


@cache
def _mp_kernels(mixture: Mixture) -> list[tuple[Any, Any, Any]]:
    """Return for each kernel the mean, the inverse covariance, and the logarithm of the factor."""
    kernels = []
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        if covariance.ndim == 1:
            inverse = [1 / MP.mpf(variance) for variance in covariance]
            determinant = MP.fprod(map(MP.mpf, covariance))
        else:
            matrix = MP.matrix(covariance.tolist())
            inverse, determinant = (matrix**-1).tolist(), MP.det(matrix)
        scale = MP.log(weight) - MP.log(determinant) / 2 - mixture.n_channels * MP.log(2 * MP.pi) / 2
        kernels.append(([MP.mpf(m) for m in mean], inverse, scale))
    return kernels


@cache
def _mp_logs(mixture: Mixture, raw: bytes) -> list[Any]:
    """Return the log-density of pixels, which are passed as the bytes of float64."""
    logs = []
    for pixel in np.frombuffer(raw).reshape(-1, mixture.n_channels):
        terms = []
        for mean, inverse, scale in _mp_kernels(mixture):
            d = [MP.mpf(x) - m for x, m in zip(pixel, mean, strict=True)]
            if isinstance(inverse[0], list):
                inner = [MP.fdot(row, d) for row in inverse]
            else:
                inner = [part * factor for part, factor in zip(d, inverse, strict=True)]
            terms.append(scale - MP.fdot(d, inner) / 2)
        logs.append(terms[0] if len(terms) == 1 else MP.log(MP.fsum(map(MP.exp, terms))))
    return logs


def _mp_quantity(logs: tuple[Any, ...], quantity: Any) -> Any:
    """Return a quantity at one pixel, computed from the log-densities of its mixtures."""
    if isinstance(quantity, Density | LogDensity):
        two_pi = 0 if quantity.normalized else quantity.n_channels * MP.log(2 * MP.pi) / 2
        return MP.exp(logs[0] + two_pi) if isinstance(quantity, Density) else logs[0] + two_pi
    if isinstance(quantity, LogRatio):
        return logs[0] - logs[1]
    scores = [log + MP.log(prior) for log, prior in zip(logs, quantity.priors, strict=True)]
    if isinstance(quantity, Label):
        return scores.index(max(scores))
    shares = [MP.exp(score - max(scores)) for score in scores]
    shares = [share / MP.fsum(shares) for share in shares]
    if isinstance(quantity, Confidence):
        return max(shares) - sorted([MP.mpf(0), *shares])[-2]
    if isinstance(quantity, Entropy):
        # The highest share may be as close to 1 as 1e-303.
        with MP.workdps(340):
            shares = [MP.exp(score - max(scores)) for score in scores]
            shares = [share / MP.fsum(shares) for share in shares]
            return -MP.fsum(share * MP.log(share) for share in shares if share)
    return shares if quantity.only is None else shares[quantity.names.index(quantity.only)]


def mpmath_reference(image: NDArray[Any], quantity: Quantity) -> Array:
    """Return any quantity, computed with 50 digits and rounded at the end, with classes along the last axis.

    Log-densities and results are kept until the session ends.
    """
    values = _mp_values(np.ascontiguousarray(image, dtype=np.float64).tobytes(), quantity)
    return values.reshape(*image.shape[:-1], *values.shape[1:]).copy()


@cache
def _mp_values(raw: bytes, quantity: Quantity) -> Array:
    """Return a quantity at pixels, which are passed as the bytes of float64."""
    logs = [_mp_logs(mixture, raw) for mixture in quantity.mixtures]
    return np.array([_mp_quantity(each, quantity) for each in zip(*logs, strict=True)], dtype=np.float64)


def _of_density(density: Callable[[NDArray[Any], Mixture], Array], *, normalized: bool) -> Reference:
    """Make a reference from a density that has the power of 2 pi, or lacks it."""

    def reference(image: NDArray[Any], quantity: Density) -> Array:
        power = (int(normalized) - int(quantity.normalized)) * quantity.n_channels / 2
        values = density(image, quantity.mixture)
        return values * (2 * np.pi) ** power if power else values

    return reference


# The first three are for densities, the others for any quantity.
REFERENCES: dict[str, Reference] = {
    "pixel-loop": _of_density(pixel_loop, normalized=False),
    "kernel-loop": _of_density(kernel_loop, normalized=False),
    "broadcast": _of_density(broadcast, normalized=True),
    "scipy": scipy_reference,
    "mpmath": mpmath_reference,
}


def relative_error(got: NDArray[Any], wanted: Array) -> float:
    """Return the largest relative error where the wanted value is a normal number."""
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


def labeled_pixels(n_classes: int, n_channels: int, *, whole: bool) -> tuple[Array, NDArray[np.intp]]:
    """Draw pixels of overlapping classes with correlated channels, and with the numbers of their classes.

    They are small floats, or whole numbers from 0 to 255.
    """
    random = np.random.default_rng(n_classes)
    labels = np.repeat(np.arange(n_classes), 60 + 20 * np.arange(n_classes))
    mixing = random.normal(size=(n_classes, n_channels, n_channels))
    centers = random.normal(size=(n_classes, n_channels))
    noise = random.normal(size=(len(labels), n_channels))
    pixels = centers[labels] + np.einsum("nc,ncd->nd", noise, mixing[labels])
    return (np.clip(np.round(128 + 20 * pixels), 0, 255) if whole else pixels), labels


class Hard(NamedTuple):
    """Two mixtures over the same channels, and pixels of shape (n, C) that are hard for both."""

    one: Mixture
    other: Mixture
    pixels: Array

    @property
    def quantities(self) -> dict[str, Quantity]:
        """The quantities to compare: each one of the two mixtures, and those with kernels as classes."""
        both = {"one": self.one, "other": self.other}
        return {
            "density": Density(self.one),
            "density without 2 pi": Density(self.one, normalized=False),
            "log-density": LogDensity(self.one),
            "log-ratio": LogRatio(self.one, self.other),
            "posterior": Posterior(both, {"one": 1.0, "other": 1e-9}),
            "posterior of kernels": Posterior(self.one),
            "posterior of other": Posterior(both, only="other"),
            "label": Label(both),
            "label of kernels": Label(self.one),
            "confidence": Confidence(both),
            "confidence of kernels": Confidence(self.one),
            "entropy": Entropy(both, {"one": 1.0, "other": 1e-9}),
            "entropy of kernels": Entropy(self.one),
        }


@lru_cache(maxsize=1)
def hard_points(seed: int = 0) -> tuple[Hard, ...]:
    """Return about three thousand pixels that are hard to compute, for forty pairs of mixtures.

    The mixtures have K from 1 to 16, C from 1 to 5, diagonal covariances and full ones of condition 1e8,
    weights from 1e-12, variances from 1e-6 to 1e6, and means that are far apart or close. The pixels lie at 0
    to 1000 standard deviations, between kernels, far from all kernels, and where a log-density or a log-ratio
    crosses 0.
    """
    random = np.random.default_rng(seed)
    cases = []
    for n_kernels in (1, 2, 5, 16):
        for n_channels in (1, 2, 3, 4, 5):
            for full in (False, True):
                close = bool(random.integers(2))
                pair = [_hard_mixture(random, n_kernels, n_channels, full=full, close=close) for _ in "ab"]
                cases.append(Hard(*pair, _hard_pixels(random, *pair)))
    return tuple(cases)


def _hard_mixture(
    random: np.random.Generator, n_kernels: int, n_channels: int, *, full: bool, close: bool
) -> Mixture:
    shape = (n_kernels, n_channels)
    means = (
        100 + random.normal(size=shape) * 10 ** random.uniform(-3, 0)
        if close
        else random.uniform(0, 255, shape)
    )
    covariances = 10 ** random.uniform(-6, 6, shape)
    if full:
        scales = 10 ** random.uniform(-2, 2, (n_kernels, 1, 1))
        axes = np.linalg.qr(random.normal(size=(*shape, n_channels)))[0]
        covariances = scales * (axes * np.geomspace(1e-4, 1e4, n_channels)) @ axes.mT
        covariances = (covariances + covariances.mT) / 2
    return Mixture(10 ** random.uniform(-12, 0, n_kernels), means, covariances)


def _hard_pixels(random: np.random.Generator, one: Mixture, other: Mixture) -> Array:
    n_channels = one.n_channels
    pixels = [one.means[0], one.means.mean(axis=0), (one.means[-1] + other.means[0]) / 2]
    for distance in (*(10 ** random.uniform(-3, 3, 40)), *[1000.0] * 5):
        mixture = (one, other)[random.integers(2)]
        k = random.integers(mixture.n_kernels)
        direction = random.normal(size=n_channels)
        direction *= distance / np.linalg.norm(direction)
        factor = np.linalg.cholesky(_matrix(mixture.covariances[k]))
        pixels.append(mixture.means[k] + factor @ direction)
    pixels += list(random.uniform(-1, 1, (5, n_channels)) * 10 ** random.uniform(3, 6, (5, 1)))
    for _ in range(6):
        k, m = random.integers(one.n_kernels), random.integers(other.n_kernels)
        away = one.means[k] + random.normal(size=n_channels) * 1e4
        pixels += _crossing(lambda x: _log(x, one), one.means[k], away)
        pixels += _crossing(lambda x: _log(x, one) - _log(x, other), one.means[k], other.means[m])
        a, b = (Mixture(one.weights[[i]], one.means[[i]], one.covariances[[i]]) for i in (k, m))
        pixels += _crossing(lambda x, a=a, b=b: _log(x, a) - _log(x, b), one.means[k], one.means[m])
    return np.array(pixels)


def _matrix(covariance: Array) -> Array:
    return np.diag(covariance) if covariance.ndim == 1 else covariance


@lru_cache(maxsize=8)
def _scaled_matrices(mixture: Mixture) -> tuple[Array, Array]:
    """Return the covariance matrices of all kernels, and the logarithms of their scales."""
    matrices = np.array([_matrix(covariance) for covariance in mixture.covariances])
    two_pi = mixture.n_channels * np.log(2 * np.pi)
    return matrices, np.log(mixture.weights) - (np.linalg.slogdet(matrices)[1] + two_pi) / 2


def _log(pixel: Array, mixture: Mixture) -> float:
    matrices, scales = _scaled_matrices(mixture)
    d = pixel - mixture.means
    squares = np.sum(d * np.linalg.solve(matrices, d[..., np.newaxis])[..., 0], axis=-1)
    return float(np.logaddexp.reduce(scales - squares / 2))


def _crossing(function: Callable[[Array], float], start: Array, end: Array) -> list[Array]:
    """Return the two pixels beside the place where a function crosses 0, found by bisection, if it does."""
    if not function(start) > 0 > function(end):
        return []
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if function(start + middle * (end - start)) > 0 else (low, middle)
    return [start + low * (end - start), start + high * (end - start)]
