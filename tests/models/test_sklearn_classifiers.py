"""Tests of the classifiers of scikit-learn: posteriors and labels are theirs, and back again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from arrays import evaluate_array
from references import labeled_pixels, random_mixture
from sklearn.base import clone
from sklearn.covariance import OAS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import Label, Mixture, Posterior, evaluate
from pipeline.models.classes import Classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS: dict[str, Any] = {
    "naive Bayes": GaussianNB(),
    "naive Bayes, smoothed": GaussianNB(var_smoothing=0.1),
    "quadratic": QuadraticDiscriminantAnalysis(),
    "quadratic, regularized": QuadraticDiscriminantAnalysis(reg_param=0.3),
    "quadratic, stored": QuadraticDiscriminantAnalysis(reg_param=0.3, store_covariance=True),
    "svd": LinearDiscriminantAnalysis(),
    "svd, one component": LinearDiscriminantAnalysis(n_components=1),
    "svd, directions left out": LinearDiscriminantAnalysis(tol=0.4),
    "svd, stored": LinearDiscriminantAnalysis(store_covariance=True),
    "lsqr": LinearDiscriminantAnalysis(solver="lsqr"),
    "lsqr, Ledoit-Wolf": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "lsqr, OAS": LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=OAS()),
    "eigen": LinearDiscriminantAnalysis(solver="eigen", n_components=1),
    "eigen, shrunk": LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.3),
}


def more_pixels(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pixels and others between the lowest and the highest."""
    random = np.random.default_rng(0)
    return np.concatenate([pixels, random.uniform(pixels.min(), pixels.max(), (500, pixels.shape[1]))])


def assert_same(model: Any, classes: Classes, pixels: NDArray[np.float64]) -> None:
    """Compare posteriors and labels of float32 and of float64 with those of a model."""
    image, wanted = pixels[:, np.newaxis], model.predict_proba(pixels)
    assert np.mean(wanted.max(axis=1) < 0.999) > 0.05, "no pixel is between classes"
    np.testing.assert_allclose(evaluate(image, Posterior(classes))[:, 0], wanted, atol=1e-6)
    np.testing.assert_allclose(evaluate(image, Posterior(classes), dtype="float64")[:, 0], wanted, atol=1e-9)
    labels = np.array(list(classes))[evaluate(image, Label(classes))[:, 0]]
    np.testing.assert_array_equal(labels, model.predict(pixels).astype(str))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("n_classes", "n_channels"), [(2, 1), (2, 3), (3, 3), (6, 3), (3, 5)])
@pytest.mark.parametrize("name", MODELS)
def test_posteriors_and_labels_are_the_models(
    name: str, n_classes: int, n_channels: int, whole: bool
) -> None:
    """Classes and what is made of them again answer as the model does, with names and priors of its own."""
    pixels, labels = labeled_pixels(n_classes, n_channels, whole=whole)
    model = clone(MODELS[name]).fit(pixels, labels)
    classes = Classes.from_sklearn(model)
    assert_same(model, classes, more_pixels(pixels))
    assert all(mixture.is_diagonal == isinstance(model, GaussianNB) for mixture in classes.values())
    back = classes.to_sklearn()
    np.testing.assert_allclose(
        back.predict_proba(more_pixels(pixels)), model.predict_proba(more_pixels(pixels)), atol=1e-9
    )


@pytest.mark.parametrize("name", MODELS)
def test_priors_that_are_set(name: str) -> None:
    """Priors of a model that aren't the frequencies of its classes are taken over."""
    pixels, labels = labeled_pixels(3, 3, whole=False)
    priors = [0.7, 0.2, 0.1]
    model = clone(MODELS[name]).set_params(priors=priors).fit(pixels, labels)
    classes = Classes.from_sklearn(model)
    assert classes.priors == tuple(priors)
    assert_same(model, classes, more_pixels(pixels))


@pytest.mark.parametrize("solver", ["svd", "lsqr", "eigen"])
def test_densities_of_a_linear_analysis(solver: str) -> None:
    """With a stored covariance, densities are those of Gaussians with the covariance within classes."""
    pixels, labels = labeled_pixels(2, 3, whole=True)
    model = LinearDiscriminantAnalysis(
        solver=solver, store_covariance=True, n_components=None if solver == "lsqr" else 1
    ).fit(pixels, labels)
    centered = pixels - np.array([pixels[labels == label].mean(axis=0) for label in range(2)])[labels]
    wanted = centered.T @ centered / len(pixels)
    for mixture in Classes.from_sklearn(model).values():
        # Releases of scikit-learn divide by the number of pixels with or without that of the classes.
        np.testing.assert_allclose(mixture.covariances[0], wanted, rtol=0.02, atol=0.02 * wanted.max())


def test_means_of_a_linear_analysis() -> None:
    """Means that span fewer directions than there are channels come back as they are."""
    pixels, labels = labeled_pixels(3, 5, whole=True)
    model = LinearDiscriminantAnalysis().fit(pixels, labels)
    means = [mixture.means[0] for mixture in Classes.from_sklearn(model).values()]
    np.testing.assert_allclose(means, model.means_, rtol=1e-10)


@pytest.mark.parametrize("column", ["sum of the others", "constant", "number of the class"])
@pytest.mark.filterwarnings("ignore:Variables are collinear:UserWarning")
def test_directions_without_spread(column: str) -> None:
    """Directions in which no class spreads are left out, as by the solver "svd"."""
    pixels, labels = labeled_pixels(3, 3, whole=True)
    last = {"sum of the others": pixels.sum(axis=1), "constant": np.zeros(len(pixels))}.get(
        column, 10.0 * labels
    )
    pixels = np.column_stack([pixels, last])
    model = LinearDiscriminantAnalysis().fit(pixels, labels)
    assert_same(model, Classes.from_sklearn(model), pixels)


def test_equal_means() -> None:
    """Where no direction tells the classes apart, the priors are the posteriors."""
    pixels, labels = labeled_pixels(2, 2, whole=False)
    model = LinearDiscriminantAnalysis(priors=[0.25, 0.75]).fit(pixels, labels)
    model.scalings_ = model.scalings_[:, :0]
    got = evaluate_array(pixels, Posterior(Classes.from_sklearn(model)), dtype="float64")
    np.testing.assert_allclose(got, np.broadcast_to([0.25, 0.75], got.shape), rtol=1e-12)


@pytest.mark.parametrize("name", ["naive Bayes", "quadratic", "svd", "lsqr"])
def test_fits_to_float32_and_named_columns(name: str) -> None:
    """Parameters of float32 are accepted, and the columns of a data frame are the channels."""
    pixels, labels = labeled_pixels(3, 2, whole=True)
    frame = pd.DataFrame(pixels.astype(np.float32), columns=["red", "near infrared"])
    for model in (clone(MODELS[name]), make_pipeline(StandardScaler(), clone(MODELS[name]))):
        model.fit(frame, labels)
        classes = Classes.from_sklearn(model)
        assert classes.channels == ("red", "near infrared")
        got = evaluate_array(pixels, Posterior(classes))
        np.testing.assert_allclose(got, model.predict_proba(frame), atol=1e-3)
        assert Classes.from_sklearn(model, ["a", "b"]).channels == ("a", "b")


def test_other_arguments_are_refused() -> None:
    """An unfitted model and anything that isn't a model get an error that says what was wanted."""
    for model in (GaussianNB(), QuadraticDiscriminantAnalysis(), LinearDiscriminantAnalysis()):
        unfitted = rf"the {type(model).__name__} lacks classes_, .*Call its fit first"
        with pytest.raises(ValueError, match=unfitted):
            Classes.from_sklearn(model)
        with pytest.raises(ValueError, match=unfitted):
            Classes.from_sklearn(make_pipeline("passthrough", model))
    for other in (LogisticRegression(), GaussianMixture(), GaussianNB, None, make_pipeline("passthrough")):
        with pytest.raises(
            TypeError, match=r"got .*; wanted a fitted GaussianNB, .*use Mixture.from_sklearn"
        ):
            Classes.from_sklearn(other)
    pixels, labels = labeled_pixels(2, 2, whole=False)
    with pytest.raises(ValueError, match="class '0': channels are red; wanted 2 different names"):
        Classes.from_sklearn(GaussianNB().fit(pixels, labels), ["red"])
    with pytest.raises(ValueError, match="prior of class '1' is 0"):
        Classes.from_sklearn(GaussianNB(priors=[1, 0]).fit(pixels, labels))


@pytest.mark.parametrize("kinds", [(False, False, False), (True, True, True), (True, False, True)])
def test_classes_as_a_classifier(kinds: tuple[bool, ...]) -> None:
    """Any order of names, weights, and priors that don't sum to 1 give the same posteriors and labels."""
    names = ["two", "one", "three"]
    mixtures = {
        name: random_mixture(1, 3, full=full, seed=number)
        for number, (name, full) in enumerate(zip(names, kinds, strict=True))
    }
    classes = Classes(mixtures, [2, 0.5, 3])
    model = classes.to_sklearn()
    assert isinstance(model, QuadraticDiscriminantAnalysis if any(kinds) else GaussianNB)
    weights = [mixture.weights[0] for mixture in mixtures.values()]
    assert max(weights) < 1
    pixels = np.random.default_rng(0).uniform(0, 255, (2000, 3))
    assert_same(model, classes, pixels)
    back = Classes.from_sklearn(model)
    np.testing.assert_allclose(back.priors, np.multiply(weights, [2, 0.5, 3]), rtol=1e-15)
    for name, mixture in mixtures.items():
        covariance = mixture.covariances[0]
        wanted = np.diag(covariance) if any(kinds) and mixture.is_diagonal else covariance
        np.testing.assert_allclose(back[name].covariances[0], wanted, rtol=1e-10, atol=1e-9)
        np.testing.assert_array_equal(back[name].means, mixture.means)


@pytest.mark.parametrize("full", [False, True])
def test_the_classifier_has_all_attributes(full: bool) -> None:
    """A model that is made of classes has the attributes of a fitted one, as copies."""
    mixtures = {"a": random_mixture(1, 2, full=full), "b": random_mixture(1, 2, full=full, seed=1)}
    model = Classes(mixtures).to_sklearn()
    pixels, labels = labeled_pixels(2, 2, whole=False)
    assert vars(model).keys() >= vars(clone(model).fit(pixels, labels)).keys()
    for array in (model.means_, model.covariance_[0]) if full else (model.theta_, model.var_):
        array[...] = 1
    assert mixtures["a"] == random_mixture(1, 2, full=full)


def test_classes_of_several_kernels_have_no_classifier() -> None:
    """The error says what to do instead, which gives the scores of the classes."""
    classes = Classes({"a": random_mixture(1, 2), "b": random_mixture(3, 2, seed=1)}, [1, 2])
    with pytest.raises(
        ValueError, match=r"class 'b' has 3 kernels; wanted one .*Call to_sklearn of each mixture"
    ):
        classes.to_sklearn()
    pixels = np.random.default_rng(0).uniform(0, 255, (500, 2))
    scores = [
        mixture.to_sklearn().score_samples(pixels) + np.log(prior)
        for mixture, prior in zip(classes.values(), classes.priors, strict=True)
    ]
    np.testing.assert_array_equal(evaluate_array(pixels, Label(classes)), np.argmax(scores, axis=0))


def test_a_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn the error says how to install it."""
    monkeypatch.setitem(sys.modules, "sklearn.naive_bayes", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[sklearn\]'"):
        Classes({"a": Mixture([1], [[0]], [[1]])}).to_sklearn()
