"""Tests of the way from scikit-learn and back to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from arrays import evaluate_array
from references import pixels_near, random_mixture, relative_error
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from pipeline import Density, LogDensity, Mixture

if TYPE_CHECKING:
    from numpy.typing import NDArray


def colors(photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return pixels of the photo with noise, so that they are floats of 53 bits."""
    random = np.random.default_rng(0)
    pixels = random.permutation(photo.reshape(-1, 3))[:4000]
    return pixels + random.uniform(-0.5, 0.5, pixels.shape)


@pytest.fixture(scope="module", params=["full", "tied", "diag", "spherical"])
def fitted(request: pytest.FixtureRequest, photo: NDArray[np.uint8]) -> GaussianMixture:
    """Return a model of each covariance type that is fitted to the colors of a photo."""
    model = GaussianMixture(6, covariance_type=request.param, max_iter=1000, random_state=0)
    return model.fit(colors(photo))


def test_parity_with_sklearn(fitted: GaussianMixture, photo: NDArray[np.uint8]) -> None:
    """Densities are those of scikit-learn, up to its rounding.

    They don't agree to 1e-12: compared with mpmath, scikit-learn has errors of 2e-13 nats here and of 1e-12
    in other fits to this photo, because it expands the squares before it subtracts. The error of this package
    is 2e-14.
    """
    mixture, pixels = Mixture.from_sklearn(fitted, ["red", "green", "blue"]), colors(photo)
    wanted = fitted.score_samples(pixels)
    assert relative_error(evaluate_array(pixels, LogDensity(mixture), dtype="float64"), wanted) < 1e-11
    assert relative_error(evaluate_array(pixels, Density(mixture), dtype="float64"), np.exp(wanted)) < 1e-11


def test_bytes_need_no_conversion(fitted: GaussianMixture, photo: NDArray[np.uint8]) -> None:
    """An 8-bit image is evaluated as it is, while scikit-learn needs floats."""
    got = evaluate_array(photo, LogDensity(Mixture.from_sklearn(fitted)), dtype="float64")
    wanted = fitted.score_samples(photo.reshape(-1, 3).astype(np.float64))
    assert relative_error(got.ravel(), wanted) < 1e-11


def test_round_trip_of_a_fitted_model(fitted: GaussianMixture, photo: NDArray[np.uint8]) -> None:
    """A model made from the mixture of a model has its predictions and all its attributes."""
    mixture, pixels = Mixture.from_sklearn(fitted), colors(photo)
    assert mixture.is_diagonal == (fitted.covariance_type in {"diag", "spherical"})
    back = mixture.to_sklearn()
    np.testing.assert_allclose(back.score_samples(pixels), fitted.score_samples(pixels), rtol=1e-11)
    np.testing.assert_allclose(back.predict_proba(pixels), fitted.predict_proba(pixels), atol=1e-11)
    np.testing.assert_array_equal(back.predict(pixels), fitted.predict(pixels))
    assert vars(back).keys() >= vars(fitted).keys()
    if back.covariance_type == fitted.covariance_type:
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "precisions_"):
            np.testing.assert_allclose(getattr(back, name), getattr(fitted, name), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("full", [False, True])
def test_round_trip_of_a_mixture(full: bool) -> None:
    """A mixture that is made from its model again is equal, also if its weights don't sum to 1."""
    mixture = random_mixture(4, 3, full=full)
    model = mixture.to_sklearn()
    assert Mixture.from_sklearn(model) == mixture
    pixels = pixels_near(mixture, (500,))
    got = evaluate_array(pixels, LogDensity(mixture), dtype="float64")
    np.testing.assert_allclose(model.score_samples(pixels), got, rtol=1e-11)
    model.weights_[0] = 0.5
    model.means_[0] = 0
    assert Mixture.from_sklearn(model) != mixture
    assert mixture == random_mixture(4, 3, full=full)


@pytest.mark.parametrize("full", [False, True])
def test_sklearn_samples_a_mixture(full: bool) -> None:
    """With weights that sum to 1, scikit-learn draws pixels from the mixture."""
    raw = random_mixture(3, 2, full=full)
    mixture = Mixture(raw.weights / raw.weights.sum(), raw.means, raw.covariances)
    pixels, kernels = mixture.to_sklearn().set_params(random_state=0).sample(30_000)
    for k in range(mixture.n_kernels):
        drawn = pixels[kernels == k]
        assert len(drawn) / len(pixels) == pytest.approx(mixture.weights[k], abs=0.02)
        np.testing.assert_allclose(drawn.mean(axis=0), mixture.means[k], atol=2)


def test_bayesian_estimates(photo: NDArray[np.uint8]) -> None:
    """The estimates of a Bayesian model are taken. It accounts for their uncertainty and differs a little."""
    model = BayesianGaussianMixture(n_components=4, max_iter=1000, random_state=0).fit(colors(photo))
    mixture = Mixture.from_sklearn(model)
    np.testing.assert_array_equal(mixture.weights, model.weights_)
    np.testing.assert_array_equal(mixture.means, model.means_)
    got = evaluate_array(colors(photo), LogDensity(mixture), dtype="float64")
    np.testing.assert_allclose(got, model.score_samples(colors(photo)), atol=0.1)
    model.weights_ = np.array([0.5, 0.5, 0, 0])
    with pytest.raises(ValueError, match="kernel 2: weight is 0"):
        Mixture.from_sklearn(model)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_a_fit_to_float32(kind: str, photo: NDArray[np.uint8]) -> None:
    """Covariances that aren't symmetric because of rounding to float32 are accepted."""
    pixels = colors(photo).astype(np.float32)
    model = GaussianMixture(4, covariance_type=kind, max_iter=1000, random_state=0).fit(pixels)
    model.covariances_[..., 0, 1] *= np.float32(1 + 1e-6)
    got = evaluate_array(pixels, LogDensity(Mixture.from_sklearn(model)))
    np.testing.assert_allclose(got, model.score_samples(pixels), rtol=1e-4)


def test_other_arguments_are_refused() -> None:
    """An unfitted model and anything that isn't a model get an error that says what was wanted."""
    with pytest.raises(ValueError, match=r"BayesianGaussianMixture lacks weights_, .*Call its fit first"):
        Mixture.from_sklearn(BayesianGaussianMixture())
    for other in (KMeans(), GaussianMixture, None):
        with pytest.raises(TypeError, match=r"got .*; wanted a fitted GaussianMixture"):
            Mixture.from_sklearn(other)
    with pytest.raises(ValueError, match="wanted 3 different names"):
        Mixture.from_sklearn(random_mixture(2, 3).to_sklearn(), channels=["red", "green"])


def test_a_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn the error says how to install it."""
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[sklearn\]'"):
        random_mixture(1, 1).to_sklearn()
