"""Tests of the way from scikit-learn and back to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from arrays import evaluate_array
from references import labeled_pixels, pixels_near, random_mixture, relative_error
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import Density, Label, LogDensity, Mixture, Posterior

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


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
def test_a_bayesian_model(prior: str, kind: str, whole: bool) -> None:
    """Log-densities, posteriors and labels are those by which the model scores, also far from all pixels."""
    pixels, _ = labeled_pixels(3, 3, whole=whole)
    model = BayesianGaussianMixture(
        n_components=5, covariance_type=kind, weight_concentration_prior_type=prior, tol=0.1, random_state=0
    ).fit(pixels)
    mixture = Mixture.from_sklearn(model)
    random = np.random.default_rng(0)
    pixels = np.concatenate([pixels, random.uniform(2 * pixels.min(), 2 * pixels.max(), (200, 3))])
    wanted = model.score_samples(pixels)
    assert relative_error(evaluate_array(pixels, LogDensity(mixture), dtype="float64"), wanted) < 1e-11
    posterior = evaluate_array(pixels, Posterior(mixture), dtype="float64")
    np.testing.assert_allclose(posterior, model.predict_proba(pixels), atol=1e-10)
    np.testing.assert_allclose(
        evaluate_array(pixels, Posterior(mixture)), model.predict_proba(pixels), atol=1e-6
    )
    np.testing.assert_array_equal(evaluate_array(pixels, Label(mixture)), model.predict(pixels))
    assert mixture.weights.sum() < 1
    estimates = Mixture(model.weights_, mixture.means, mixture.covariances)
    assert np.abs(evaluate_array(pixels, LogDensity(estimates), dtype="float64") - wanted).max() > 1e-3


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
def test_empty_components(prior: str, kind: str) -> None:
    """Components that no pixel near the others can belong to are dropped, with a warning that says which."""
    random = np.random.default_rng(0)
    pixels = np.concatenate([random.normal(center, 10, (300, 3)) for center in (60, 190)]).round()
    model = BayesianGaussianMixture(
        n_components=6,
        covariance_type=kind,
        weight_concentration_prior_type=prior,
        weight_concentration_prior=1e-4,
        max_iter=1000,
        random_state=0,
    ).fit(pixels)
    with pytest.warns(
        UserWarning, match=r"dropped . of 6 components of the BayesianGaussianMixture"
    ) as caught:
        mixture = Mixture.from_sklearn(model)
    assert caught[0].filename == __file__
    kept = [int(number) for number in str(caught[0].message).partition("are the components ")[2].split(", ")]
    assert 0 < len(kept) == mixture.n_kernels < 6
    wanted = model.predict_proba(pixels)
    np.testing.assert_array_equal(np.delete(wanted, kept, axis=1), 0)
    posterior = evaluate_array(pixels, Posterior(mixture), dtype="float64")
    np.testing.assert_allclose(posterior, wanted[:, kept], atol=1e-10)
    labels = np.array(kept)[evaluate_array(pixels, Label(mixture))]
    np.testing.assert_array_equal(labels, model.predict(pixels))
    got = evaluate_array(pixels, LogDensity(mixture), dtype="float64")
    assert relative_error(got, model.score_samples(pixels)) < 1e-11


def test_an_empty_component_of_a_mixture() -> None:
    """A weight of 0 is dropped, while one that is merely small is kept."""
    model = random_mixture(4, 2).to_sklearn()
    model.weights_ = np.array([0.5, 0, 1e-300, 0.5])
    with pytest.warns(UserWarning, match=r"dropped 1 of 4 .* are the components 0, 2, 3$"):
        mixture = Mixture.from_sklearn(model)
    np.testing.assert_array_equal(mixture.weights, [0.5, 1e-300, 0.5])
    np.testing.assert_array_equal(mixture.means, model.means_[[0, 2, 3]])
    for wrong in (np.nan, -0.1):
        model.weights_ = np.array([0.5, 0.25, wrong, 0.5])
        with pytest.raises(ValueError, match=f"kernel 2: weight is {wrong}"):
            Mixture.from_sklearn(model)


def test_named_columns_are_channels() -> None:
    """The columns of a data frame are the channels, unless others are passed."""
    pixels, _ = labeled_pixels(2, 2, whole=True)
    frame = pd.DataFrame(pixels, columns=["red", "near infrared"])
    for model in (GaussianMixture(2), make_pipeline(StandardScaler(), GaussianMixture(2))):
        assert Mixture.from_sklearn(model.fit(frame)).channels == ("red", "near infrared")
        assert Mixture.from_sklearn(model, ["a", "b"]).channels == ("a", "b")
        assert Mixture.from_sklearn(model.fit(pixels)).channels is None


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
    for other in (KMeans(), GaussianMixture, None, GaussianNB(), make_pipeline(KMeans())):
        with pytest.raises(
            TypeError, match=r"got .*; wanted a fitted GaussianMixture .*use Classes.from_sklearn"
        ):
            Mixture.from_sklearn(other)
    with pytest.raises(ValueError, match="wanted 3 different names"):
        Mixture.from_sklearn(random_mixture(2, 3).to_sklearn(), channels=["red", "green"])


def test_a_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn the error says how to install it."""
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[sklearn\]'"):
        random_mixture(1, 1).to_sklearn()
