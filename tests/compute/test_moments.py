"""Tests of the two steps of EM, against SciPy, scikit-learn's clusters and perturbed parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from pipeline.compute import moments as module
from pipeline.compute.moments import (
    COVARIANCE_TYPES,
    Moments,
    Parameters,
    Points,
    expect,
    harden,
    make_points,
    maximize,
    raise_variances,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = ("diag", "full")


def random_points(seed: int, n: int, n_channels: int) -> Points:
    """Draw colors whose channels have different units and are correlated, with weights."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(n_channels, n_channels)) * 10.0 ** random.integers(-2, 3, n_channels)
    colors = random.normal(size=(n, n_channels)) @ mixing + random.uniform(-50, 50, n_channels)
    return make_points(colors, random.integers(1, 9, n), isotropic=False)


def random_parameters(seed: int, n_kernels: int, n_channels: int, kind: str) -> Parameters:
    """Draw kernels that overlap in the units of points, diagonal or with full covariances."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(n_kernels, 3.0))
    means = random.normal(size=(n_kernels, n_channels))
    if kind == "diag":
        return Parameters(weights, means, random.uniform(0.2, 2, (n_kernels, n_channels)))
    factors = random.normal(size=(n_kernels, n_channels, n_channels))
    return Parameters(weights, means, factors @ factors.mT + 0.2 * np.eye(n_channels))


def as_matrices(covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return full covariances."""
    if covariances.ndim == 3:
        return covariances
    return covariances[:, :, np.newaxis] * np.eye(covariances.shape[1])


def responsibilities(points: Points, parameters: Parameters) -> tuple[float, NDArray[np.float64]]:
    """Return the log-likelihood by SciPy, and how many pixels each kernel has of each color."""
    weights, means, covariances = parameters
    terms = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(points.planes.T)
        for weight, mean, covariance in zip(weights, means, as_matrices(covariances), strict=True)
    ]
    total = logsumexp(terms, axis=0)
    return float(total @ points.weights), np.exp(terms - total) * points.weights


def check_sums(moments: Moments, points: Points, shares: NDArray[np.float64], kind: str) -> None:
    """Compare moments with sums over the colors."""
    planes, powers = points.planes, "cn,dn->cd" if kind == "full" else "cn,cn->c"
    second = [np.einsum(powers, planes * share, planes) for share in shares]
    np.testing.assert_allclose(moments.counts, shares.sum(axis=1), rtol=1e-9)
    size = points.total
    np.testing.assert_allclose(moments.first, shares @ planes.T, atol=1e-10 * size)
    np.testing.assert_allclose(moments.second, second, atol=1e-10 * size)


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_points_have_mean_0_and_deviation_1(isotropic: bool, offset: float) -> None:
    """Units are deviations, or one unit for all channels, and lead back to the colors."""
    random = np.random.default_rng(0)
    colors = random.normal(size=(500, 3)) * [0.1, 1, 20] + offset
    counts = random.integers(1, 5, 500)
    points = make_points(colors, counts, isotropic=isotropic)
    deviations = np.sqrt(np.cov(colors.T, fweights=counts, bias=True).diagonal())
    units = np.full(3, np.sqrt((deviations**2).mean())) if isotropic else deviations
    np.testing.assert_allclose(points.scale, units, rtol=1e-6)
    np.testing.assert_allclose(points.planes @ points.weights / points.total, 0, atol=1e-12)
    np.testing.assert_allclose(points.planes.T * points.scale + points.center, colors, rtol=1e-15, atol=1e-12)
    np.testing.assert_array_equal(points.weights, counts)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_points_are_copies(dtype: str) -> None:
    """The colors stay as they are, even if their memory has the layout of planes."""
    colors = np.arange(5).reshape(5, 1).astype(dtype)
    make_points(colors, np.ones(5, np.int64), isotropic=False)
    np.testing.assert_array_equal(colors[:, 0], np.arange(5))


@pytest.mark.parametrize("isotropic", [False, True])
def test_a_constant_channel_is_0(isotropic: bool) -> None:
    """No rounding error becomes a deviation, whatever the constant and the weights are."""
    colors = np.random.default_rng(0).normal(size=(1000, 2))
    for constant in (0.1, 1e8 + 0.1, -7.3e-5):
        colors[:, 1] = constant
        points = make_points(colors, np.full(1000, 3), isotropic=isotropic)
        assert not points.planes[1].any()
        assert points.center[1] == constant
        assert points.scale[1] == (points.scale[0] if isotropic else 1)


@pytest.mark.parametrize("value", [1e160, -1e300])
def test_pixels_whose_squares_are_too_large(value: float) -> None:
    """The message names the largest number and says what can be done."""
    with pytest.raises(ValueError, match=rf"the pixels hold {abs(value):g}".replace("+", r"\+")):
        make_points(np.array([[0.0], [value]]), np.ones(2, np.int64), isotropic=False)


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 4), st.sampled_from(SHAPES))
def test_expectation_is_that_of_scipy(seed: int, n_kernels: int, n_channels: int, kind: str) -> None:
    """Log-likelihood and moments are sums over SciPy's densities."""
    points = random_points(seed, 70, n_channels)
    parameters = random_parameters(seed, n_kernels, n_channels, kind)
    moments = expect(points, parameters)
    wanted, shares = responsibilities(points, parameters)
    assert moments.log_likelihood == pytest.approx(wanted, rel=1e-10)
    # With one channel, a matrix and a variance are the same number.
    check_sums(moments, points, shares, kind)


@pytest.mark.parametrize("kind", SHAPES)
def test_threads_and_tiles_don_t_matter(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Any number of threads gives the same bits, and tiles of any size the same sums."""
    points, parameters = random_points(0, 70_000, 3), random_parameters(0, 16, 3, kind)
    one = expect(points, parameters, threads=1)
    for threads in (2, 3, 8):
        for first, second in zip(one, expect(points, parameters, threads), strict=True):
            np.testing.assert_array_equal(first, second)
    monkeypatch.setattr(module, "_TILE_NUMBERS", 2**22)
    for first, second in zip(one, expect(points, parameters), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_flat_kernels_are_exact(seed: int) -> None:
    """The density of a kernel 10,000 times as wide as thick is right at the colors within it."""
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
    variances = np.array([1.0, 1e-4, 1e-8])
    colors = random.normal(size=(200, 3)) * np.sqrt(variances)
    mean = 3 * random.normal(size=3)
    points = Points(axes @ colors.T + mean[:, np.newaxis], np.ones(200), np.zeros(3), np.ones(3))
    covariance = (axes * variances) @ axes.T
    moments = expect(points, Parameters(np.ones(1), mean[np.newaxis], covariance[np.newaxis]))
    wanted = -0.5 * (np.log(2 * np.pi * variances).sum() + (colors**2 / variances).sum(axis=1))
    assert moments.log_likelihood == pytest.approx(wanted.sum(), abs=1e-4)


def test_kernels_that_are_too_flat() -> None:
    """The message says what can be done where rounding decides."""
    points = random_points(0, 20, 2)
    flat = np.array([[[1.0, 1.0], [1.0, 1.0 - 1e-15]]])
    with pytest.raises(ValueError, match=r"a kernel has become so flat .* Raise variance_floor"):
        expect(points, Parameters(np.ones(1), np.zeros((1, 2)), flat))


def test_colors_far_from_all_kernels() -> None:
    """The nearest kernel is responsible for a color at which all densities underflow."""
    points = Points(np.array([[0.0, 100.0, -90.0]]), np.ones(3), np.zeros(1), np.ones(1))
    moments = expect(points, Parameters(np.full(2, 0.5), np.array([[-1.0], [1.0]]), np.full((2, 1), 0.25)))
    np.testing.assert_allclose(moments.counts, [1.5, 1.5], rtol=1e-12)
    wanted = sum(np.log(0.5 / np.sqrt(np.pi / 2)) - 2 * (far**2) for far in (1, 99, 89)) + np.log(2)
    assert moments.log_likelihood == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("kind", SHAPES)
def test_hard_clusters(kind: str) -> None:
    """The moments of clusters are sums over their colors, also of an empty cluster."""
    points = random_points(0, 200, 3)
    nearest = np.random.default_rng(0).choice([0, 1, 3], 200)
    moments = harden(points, nearest, 4, full=kind == "full")
    shares = (nearest == np.arange(4)[:, np.newaxis]) * points.weights
    check_sums(moments, points, shares, kind)
    assert np.isnan(moments.log_likelihood)


def completed(moments: Moments, parameters: Parameters) -> float:
    """Return the expected log-likelihood of colors whose kernels are known, which EM maximizes."""
    weights, means, covariances = parameters
    second = as_matrices(moments.second)
    total = float(moments.counts @ np.log(weights))
    for k, covariance in enumerate(as_matrices(covariances)):
        cross = np.outer(moments.first[k], means[k])
        scatter = second[k] - cross - cross.T + moments.counts[k] * np.outer(means[k], means[k])
        _, logarithm = np.linalg.slogdet(2 * np.pi * covariance)
        total -= 0.5 * (moments.counts[k] * logarithm + np.trace(np.linalg.solve(covariance, scatter)))
    return total


def perturbed(parameters: Parameters, kind: str, random: np.random.Generator, size: float) -> Parameters:
    """Change all parameters a little, as the covariance type allows."""
    weights, means, covariances = parameters
    n_kernels, n_channels = means.shape
    weights = weights * np.exp(size * random.normal(size=n_kernels))
    means = means + size * random.normal(size=means.shape) * np.sqrt(
        as_matrices(covariances).diagonal(axis1=1, axis2=2).min()
    )
    if kind in {"diag", "spherical"}:
        columns = n_channels if kind == "diag" else 1
        covariances = covariances * np.exp(size * random.normal(size=(n_kernels, columns)))
    else:
        rows = n_kernels if kind == "full" else 1
        factors = np.eye(n_channels) + size * random.normal(size=(rows, n_channels, n_channels))
        covariances = factors @ covariances @ factors.mT
    return Parameters(weights / weights.sum(), means, covariances)


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(COVARIANCE_TYPES),
    st.sampled_from([1e-9, 0.3, 1.0, 30.0]),
)
def test_maximization_finds_the_maximum(
    seed: int, n_kernels: int, n_channels: int, kind: Any, floor: float
) -> None:
    """No change of the parameters, within the covariance type and above the floor, raises the likelihood."""
    isotropic = kind == "spherical"
    random = np.random.default_rng(seed)
    colors = random.normal(size=(60, n_channels)) * (
        [1] * n_channels if isotropic else [1, 3, 0.3][:n_channels]
    )
    points = make_points(colors, random.integers(1, 5, 60), isotropic=isotropic)
    shape = "full" if kind in {"full", "tied"} else "diag"
    moments = expect(points, random_parameters(seed, n_kernels, n_channels, shape))
    best = maximize(moments, kind, floor, points.scale)
    assert best.weights.sum() == pytest.approx(1)
    units = np.outer(points.scale, points.scale)
    lowest = np.linalg.eigvalsh(as_matrices(best.covariances) * units).min()
    assert lowest >= floor * (1 - 1e-9)
    highest = completed(moments, best)
    for size in (1e-4, 1e-2, 0.3):
        for _ in range(4):
            other = perturbed(best, kind, random, size)
            values, vectors = np.linalg.eigh(as_matrices(other.covariances) * units)
            raised = (vectors * np.maximum(values, floor)[:, np.newaxis]) @ vectors.mT / units
            if kind == "diag":
                raised = np.diagonal(raised, axis1=1, axis2=2)
            other = other._replace(covariances=raised)
            assert completed(moments, other) <= highest + 1e-9 * (1 + abs(highest))


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_covariances_have_their_type(kind: Any) -> None:
    """Spheres have equal variances, and tied kernels equal covariances."""
    points = random_points(0, 100, 3)
    shape = "full" if kind in {"full", "tied"} else "diag"
    moments = expect(points, random_parameters(0, 4, 3, shape))
    covariances = maximize(moments, kind, 1e-9, points.scale).covariances
    assert covariances.shape == ((4, 3, 3) if shape == "full" else (4, 3))
    same = {"spherical": covariances.T[..., :1].T, "tied": covariances[:1]}
    if kind == "spherical":
        np.testing.assert_array_equal(covariances, np.repeat(covariances[:, :1], 3, axis=1))
    elif kind == "tied":
        np.testing.assert_array_equal(covariances, np.repeat(same["tied"], 4, axis=0))
    else:
        assert len(np.unique(covariances.round(9), axis=0)) == 4


@pytest.mark.parametrize("count", [0.0, 5e-324, 1e-310, 1e-101])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_kernels_responsible_for_nothing_are_left_out(kind: Any, count: float) -> None:
    """Sums that are too small to be divided exactly make no kernel."""
    second: Any = np.array([[5.0, 5], [count, count]])
    if kind in {"full", "tied"}:
        second = second[:, :, np.newaxis] * np.eye(2)
    moments = Moments(0.0, np.array([2.0, count]), np.array([[2.0, 2], [count, count]]), second)
    parameters = maximize(moments, kind, 1e-3, np.ones(2))
    np.testing.assert_array_equal(parameters.weights, [1.0])
    np.testing.assert_array_equal(parameters.means, [[1.0, 1.0]])
    assert len(parameters.covariances) == 1


@given(st.integers(0, 1000), st.sampled_from([1e-3, 0.5, 5.0]))
def test_variances_are_raised_to_the_floor(seed: int, floor: float) -> None:
    """Eigenvalues in the units of the pixels are raised, and eigenvectors stay; so are plain variances."""
    random = np.random.default_rng(seed)
    scale = random.uniform(0.1, 10, 3)
    factors = random.normal(size=(4, 3, 3))
    matrices = factors @ factors.mT
    units = np.outer(scale, scale)
    raised = raise_variances(matrices, floor, scale) * units
    values, vectors = np.linalg.eigh(matrices * units)
    wanted = (vectors * np.maximum(values, floor)[:, np.newaxis]) @ vectors.mT
    np.testing.assert_allclose(raised, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(raised, raised.mT)
    variances = random.uniform(0, 1, (4, 3))
    np.testing.assert_allclose(
        raise_variances(variances, floor, scale) * scale**2, np.maximum(variances * scale**2, floor)
    )


def test_units_don_t_hide_a_small_variance() -> None:
    """A covariance above the floor stays as it is, even if its channels have very different units."""
    scale = np.array([1.0, 2.0, 1e9])
    factors = np.random.default_rng(0).normal(size=(20, 3, 3))
    matrices = factors @ factors.mT + 0.5 * np.eye(3)
    assert np.linalg.eigvalsh(matrices * np.outer(scale, scale)).min() < 0
    assert raise_variances(matrices, 0.1, scale) is matrices
