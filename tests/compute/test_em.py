"""Tests of EM: it climbs, it climbs as scikit-learn does, and it finds the mixture that pixels come from."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from pipeline import Mixture
from pipeline.compute import moments
from pipeline.compute.em import Fitted, Schedule, default_floor, fit_kernels
from pipeline.compute.histogram import Histogram, count_colors_of
from pipeline.compute.moments import COVARIANCE_TYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.compute.moments import CovarianceType


def count(pixels: NDArray[Any]) -> Histogram:
    """Count pixels (n, C), exactly if they can be counted, else as a sample that has all of them."""
    is_exact = pixels.dtype.kind == "u" and pixels.itemsize * pixels.shape[1] <= 3
    priorities = np.random.default_rng(0).permutation(len(pixels)).astype(np.uint64)
    return count_colors_of(pixels, None if is_exact else priorities)


def fit(
    histogram: Histogram,
    n_kernels: int,
    kind: CovarianceType = "diag",
    *,
    floor: float | None = None,
    start: Mixture | None = None,
    schedule: Schedule = Schedule(4, 1e-4, 300),  # noqa: B008  it can't be changed
    **options: Any,
) -> Fitted:
    """Fit with the defaults of fit_mixture."""
    return fit_kernels(
        histogram,
        n_kernels,
        kind,
        floor=default_floor(histogram) if floor is None else floor,
        start=start,
        schedule=schedule,
        **{"seed": 0, "threads": 1, "report": lambda *_: None, **options},
    )


def draw_start(seed: int, pixels: NDArray[Any], n_kernels: int, kind: str) -> tuple[Mixture, dict[str, Any]]:
    """Draw a start, as a mixture and as arguments of scikit-learn."""
    random = np.random.default_rng(seed)
    n_channels = pixels.shape[1]
    weights = random.dirichlet(np.full(n_kernels, 5.0))
    means = random.choice(pixels, n_kernels, replace=False).astype(float)
    variance = pixels.astype(float).var(axis=0)
    variances = variance * random.uniform(0.3, 2, (n_kernels, n_channels))
    factors = random.normal(size=(n_kernels, n_channels, n_channels)) * np.sqrt(variance)
    matrices = factors @ factors.mT + np.eye(n_channels) * variance.min()
    if kind == "spherical":
        variances = np.repeat(variances[:, :1], n_channels, axis=1)
    if kind == "tied":
        matrices = np.repeat(matrices[:1], n_kernels, axis=0)
    is_full = kind in {"full", "tied"}
    inverse = np.linalg.inv(matrices) if is_full else 1 / variances
    precisions = {"spherical": inverse[:, 0], "tied": inverse[0]}.get(kind, inverse)
    start = Mixture(weights, means, matrices if is_full else variances)
    return start, {"weights_init": weights, "means_init": means, "precisions_init": precisions}


def by_sklearn(pixels: NDArray[Any], n_kernels: int, **options: Any) -> GaussianMixture:
    """Fit scikit-learn's model, which warns if it ends before it converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(n_kernels, random_state=0, **options).fit(pixels.astype(float))


def covariances_of(model: GaussianMixture) -> NDArray[np.float64]:
    """Return a model's covariances as those of a mixture."""
    found, shape = model.covariances_, model.means_.shape
    if model.covariance_type == "spherical":
        return np.repeat(found[:, np.newaxis], shape[1], axis=1)
    if model.covariance_type == "tied":
        return np.repeat(found[np.newaxis], shape[0], axis=0)
    return np.asarray(found)


@pytest.mark.parametrize("data", ["exact", "float", "offset"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_steps_are_those_of_scikit_learn(kind: CovarianceType, data: str) -> None:
    """From the same start, the parameters after any number of steps are scikit-learn's."""
    random = np.random.default_rng(0)
    pixels: NDArray[Any] = random.normal(size=(400, 3)) @ random.normal(size=(3, 3)) * [20, 9, 30] + 120
    pixels[:200] += random.uniform(-40, 40, 3)
    if data == "exact":
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    elif data == "offset":
        pixels += [1e5, 0, -1e4]
    start, arguments = draw_start(1, pixels, 4, kind)
    histogram = count(pixels)
    for steps in (1, 2, 10, 40):
        model = by_sklearn(pixels, 4, covariance_type=kind, reg_covar=0, tol=0, max_iter=steps, **arguments)
        found = fit(histogram, 4, kind, floor=1e-12, start=start, schedule=Schedule(1, 0.0, steps))
        assert model.n_iter_ == found.n_iterations == steps
        assert not found.is_converged
        np.testing.assert_allclose(found.weights, model.weights_, rtol=1e-6)
        np.testing.assert_allclose(found.means, model.means_, rtol=1e-6)
        wanted = covariances_of(model)
        deviations = np.sqrt(wanted if wanted.ndim == 2 else np.diagonal(wanted, axis1=1, axis2=2))
        sizes = deviations**2 if wanted.ndim == 2 else deviations[:, np.newaxis] * deviations[..., np.newaxis]
        np.testing.assert_allclose(found.covariances / sizes, wanted / sizes, rtol=1e-6, atol=1e-6)
        assert found.log_likelihood == pytest.approx(model.score(pixels.astype(float)), abs=1e-6)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_log_likelihood_is_that_of_the_mixture(kind: CovarianceType, dtype: str) -> None:
    """The mean log-likelihood is what scikit-learn computes from the returned parameters and all pixels."""
    random = np.random.default_rng(0)
    pixels = np.clip(random.normal(100, 15, (3000, 3)) + 50 * random.integers(0, 2, (3000, 1)), 0, 255)
    pixels = pixels.astype(dtype)
    found = fit(count(pixels), 3, kind)
    mixture = Mixture(found.weights, found.means, found.covariances)
    assert found.log_likelihood == pytest.approx(mixture.to_sklearn().score(pixels.astype(float)), abs=1e-9)
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(COVARIANCE_TYPES),
    st.sampled_from([1e-6, 1 / 12, 3.0, 300.0]),
    st.booleans(),
)
@example(127, 3, 3, "full", 1e-6, False)  # flat kernels
def test_the_likelihood_never_decreases(
    seed: int, n_kernels: int, n_channels: int, kind: CovarianceType, floor: float, with_start: bool
) -> None:
    """Each step raises the likelihood, for any colors, weights, types and floors, and from any start."""
    random = np.random.default_rng(seed)
    n = int(random.integers(n_kernels, 40))
    colors = np.unique(random.integers(0, 30, (n + 9, n_channels)), axis=0)[:n].astype(np.uint8)
    n_kernels = min(n_kernels, len(colors))
    counts = np.exp(random.uniform(0, 8, len(colors))).astype(np.int64)
    start = None
    if with_start:
        # Its variances are far below the floor, or far above.
        variances = np.exp(random.uniform(-12, 8, (n_kernels, n_channels)))
        start = Mixture(np.ones(n_kernels), random.uniform(0, 30, (n_kernels, n_channels)), variances)
    reached: list[float] = []
    found = fit(
        Histogram(colors, counts, int(counts.sum())),
        n_kernels,
        kind,
        floor=floor,
        start=start,
        schedule=Schedule(2, 0.0, 40),
        seed=seed,
        report=lambda _, log_likelihood: reached.append(log_likelihood),
    )
    # Exponents are differences of terms as large as the square of a color divided by a variance.
    rounding = 1e-9 * (1 + np.abs(reached[1:])) + 1e-15 * 30**2 / floor
    assert (np.diff(reached) >= -rounding).all()
    assert found.log_likelihood == reached[-1]
    assert found.n_iterations == len(reached) - 1
    matrices = found.covariances
    lowest = matrices.min() if matrices.ndim == 2 else np.linalg.eigvalsh(matrices).min()
    assert lowest >= floor * (1 - 1e-6)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_threads_and_the_order_of_parts_don_t_change_a_bit(kind: CovarianceType) -> None:
    """Any number of threads gives the same mixture, and the seed alone decides which."""
    pixels = np.random.default_rng(0).integers(0, 2**16, (60_000, 1)).astype(np.uint16)
    histogram = count(pixels)
    one, other = fit(histogram, 3, kind, threads=1), fit(histogram, 3, kind, threads=4)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


def test_equal_pixels_of_a_sample_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floating point pixels with few colors cost as little as their colors, and give the same mixture."""
    seen = []
    expect = moments.expect

    def note(points: Any, *arguments: Any) -> Any:
        seen.append(points.planes.shape[1])
        return expect(points, *arguments)

    monkeypatch.setattr("pipeline.compute.em.expect", note)
    pixels = np.random.default_rng(0).integers(0, 9, (5000, 1)).astype(np.uint8)
    exact, sample = fit(count(pixels), 2), fit(count(pixels.astype(np.float32)), 2, floor=1 / 12)
    assert set(seen) == {9}
    np.testing.assert_allclose(exact.means, sample.means, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_one_dominating_color(kind: CovarianceType, dtype: str) -> None:
    """Among a million pixels, of which all but four have one color, as many kernels as colors are found."""
    pixels = np.full((10**6, 3), 200)
    rare = np.array([[0, 0, 0], [10, 200, 30], [200, 200, 40], [90, 0, 90]])
    pixels[[10, 200, 3000, 999_999]] = rare
    found = fit(count(pixels.astype(dtype)), 5, kind, floor=1 / 12)
    assert len(found.weights) == 5
    means = found.means[np.argsort(-found.weights, kind="stable")]
    np.testing.assert_allclose(means[0], 200, atol=1e-3)
    np.testing.assert_allclose(sorted(means[1:].tolist()), sorted(rare.tolist()), atol=1e-3)


def test_a_photo_is_described_as_well_as_by_scikit_learn(photo: NDArray[np.uint8]) -> None:
    """On a real photo, the mixture is as likely as that of scikit-learn with the same least variance."""
    pixels = photo[::4, ::4].reshape(-1, 3)
    found = fit(count(pixels), 8)
    model = by_sklearn(pixels, 8, covariance_type="diag", reg_covar=1 / 12)
    assert found.is_converged
    assert found.log_likelihood >= model.score(pixels.astype(float)) - 1e-3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("dtype", "unit"), [("uint8", 1.0), ("uint16", 200.0), ("float32", 1e-3)])
def test_known_mixtures_are_recovered(dtype: str, unit: float, seed: int) -> None:
    """Pixels drawn from kernels that lie apart give these back, to 5 standard errors."""
    random, n = np.random.default_rng(seed), 40_000
    n_channels = 1 if dtype == "uint16" else 3
    weights = np.array([0.5, 0.3, 0.2])
    means = random.permutation([[50.0], [120.0], [200.0]])[:, 0, np.newaxis] + random.uniform(
        -9, 9, (3, n_channels)
    )
    variances = random.uniform(4, 25, (3, n_channels))
    truth = random.choice(3, n, p=weights)
    pixels: NDArray[Any] = unit * (
        means[truth] + random.normal(size=(n, n_channels)) * np.sqrt(variances[truth])
    )
    is_rounded = dtype != "float32"
    pixels = (pixels.round() if is_rounded else pixels).astype(dtype)
    found = fit(count(pixels), 3)
    # Rounding adds a variance (Sheppard's correction).
    means, variances = unit * means, unit**2 * variances + is_rounded / 12
    distances = abs(found.means[:, np.newaxis] - means).sum(axis=-1)
    order = linear_sum_assignment(distances.T)[1]
    each = n * weights[:, np.newaxis]
    assert (abs(found.weights[order] - weights) < 5 * np.sqrt(weights * (1 - weights) / n)).all()
    assert (abs(found.means[order] - means) < 5 * np.sqrt(variances / each)).all()
    assert (abs(found.covariances[order] - variances) < 5 * variances * np.sqrt(2 / each)).all()


def test_a_start_is_taken_as_the_type_allows() -> None:
    """Weights are divided by their sum; tied and spherical covariances are means; variances are raised."""
    pixels = np.random.default_rng(0).normal(size=(50, 2))
    matrices = np.array([[[4.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 1e-9]]])
    start = Mixture([3.0, 1.0], [[0.0, 1.0], [2.0, 3.0]], matrices)
    wanted: dict[CovarianceType, Any] = {
        "diag": [[4, 2], [1, 0.5]],
        "spherical": [[3, 3], [0.5, 0.5]],
        "full": [[[4, 1], [1, 2]], [[1, 0], [0, 0.5]]],
        "tied": [[[3.25, 0.75], [0.75, 1.5]]] * 2,
    }
    for kind, covariances in wanted.items():
        found = fit(count(pixels), 2, kind, floor=0.5, start=start, schedule=Schedule(1, 1e-4, 0))
        np.testing.assert_allclose(found.weights, [0.75, 0.25])
        np.testing.assert_allclose(found.means, start.means, atol=1e-12)
        np.testing.assert_allclose(found.covariances, covariances, atol=1e-9)
        assert (found.n_iterations, found.is_converged) == (0, False)
        diagonal = fit(
            count(pixels),
            2,
            kind,
            floor=1e-3,
            start=Mixture([1.0, 1.0], start.means, [[4.0, 2.0], [1.0, 6.0]]),
            schedule=Schedule(1, 1e-4, 0),
        ).covariances
        pairs = {"spherical": [[3, 3], [3.5, 3.5]], "tied": [[2.5, 4]] * 2}.get(kind, [[4, 2], [1, 6]])
        variances = diagonal if diagonal.ndim == 2 else np.diagonal(diagonal, axis1=1, axis2=2)
        np.testing.assert_allclose(variances, pairs)


def test_a_start_far_from_all_pixels() -> None:
    """A kernel that is responsible for no pixel, or for next to none, is left out."""
    pixels = np.random.default_rng(0).normal(size=(200, 1))
    for far in (36.0, 38.0, 39.0, 1000.0):
        start = Mixture([1.0, 1.0], [[0.0], [far]], [[1.0], [1.0]])
        found = fit(count(pixels), 2, start=start, schedule=Schedule(1, 0.0, 3))
        np.testing.assert_array_equal(found.weights, [1.0])
        np.testing.assert_allclose(found.means, [[pixels.mean()]])
        np.testing.assert_allclose(found.covariances, [[pixels.var()]])


def test_when_steps_end() -> None:
    """A larger tolerance ends them earlier, and the last gain is the first one below it."""
    pixels = np.random.default_rng(0).normal(size=(1000, 2))
    start, _ = draw_start(0, pixels, 3, "diag")
    ends = []
    for tolerance in (1e-1, 1e-3, 1e-5):
        reached: list[float] = []
        found = fit(
            count(pixels),
            3,
            start=start,
            schedule=Schedule(1, tolerance, 1000),
            report=lambda _, value, reached=reached: reached.append(value),
        )
        gains = np.diff(reached)
        assert found.is_converged
        assert gains[-1] < tolerance <= gains[:-1].min(initial=np.inf)
        ends.append(found.n_iterations)
    assert ends == sorted(set(ends))


def test_more_starts_are_no_worse() -> None:
    """The best of several starts is taken."""
    random = np.random.default_rng(0)
    centers = random.uniform(0, 250, (9, 2))
    pixels = np.clip(centers[random.integers(0, 9, 3000)] + random.normal(0, 2, (3000, 2)), 0, 255)
    histogram = count(pixels.astype(np.uint8))
    for seed in range(3):
        one, many = (
            fit(histogram, 9, schedule=Schedule(n, 1e-4, 300), seed=seed).log_likelihood for n in (1, 12)
        )
        assert many >= one - 1e-3


def test_the_least_variance() -> None:
    """It is 1/12 for integers, and else a millionth of the smallest variance of a channel that varies."""
    random = np.random.default_rng(0)
    assert default_floor(count(np.zeros((4, 1), np.uint8))) == 1 / 12
    assert default_floor(count(random.integers(-9, 9, (40, 5)))) == 1 / 12
    pixels = random.normal(size=(300, 3)) * [3, 1, 2]
    assert default_floor(count(pixels)) == pytest.approx(1e-6 * pixels[:, 1].var(), rel=1e-9)
    pixels[:, 1] = 0.1
    assert default_floor(count(pixels)) == pytest.approx(1e-6 * pixels[:, 2].var(), rel=1e-9)
    with pytest.raises(ValueError, match=r"all pixels have the same color.*Pass variance_floor"):
        default_floor(count(np.full((1000, 3), 0.1)))


def test_the_fit_leaves_the_histogram_as_it_is() -> None:
    """Colors and counts are the same afterwards."""
    pixels = np.random.default_rng(0).normal(5, 1, (100, 1))
    histogram = count(pixels)
    before = histogram.colors.copy()
    fit(histogram, 2)
    np.testing.assert_array_equal(histogram.colors, before)
