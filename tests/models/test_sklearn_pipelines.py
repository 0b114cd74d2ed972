"""Tests of pipelines of scikit-learn: steps are undone exactly, and those that can't be are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import evaluate_array
from hypothesis import given
from hypothesis import strategies as st
from references import labeled_pixels
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from pipeline import Label, LogDensity, Mixture, Posterior
from pipeline.models.classes import Classes
from pipeline.models.sklearn_pipelines import Undo, feature_names, kind_of, last_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS: dict[str, list[Any]] = {
    "standard": [StandardScaler()],
    "only centered": [StandardScaler(with_std=False)],
    "only scaled": [StandardScaler(with_mean=False)],
    "range": [MinMaxScaler((-1, 3))],
    "highest": [MaxAbsScaler()],
    "robust": [RobustScaler(unit_variance=True)],
    "robust, only centered": [RobustScaler(with_scaling=False)],
    "robust, only scaled": [RobustScaler(with_centering=False)],
    "nothing": ["passthrough", None, FunctionTransformer()],
    "rotated": [PCA()],
    "whitened": [PCA(whiten=True)],
    "several scalers": [MinMaxScaler(), "passthrough", StandardScaler()],
    "scaled, then rotated": [StandardScaler(), PCA(whiten=True)],
    "rotated, then scaled": [PCA(), MaxAbsScaler()],
    "rotated twice": [RobustScaler(), PCA(), FunctionTransformer(), MinMaxScaler(), PCA(whiten=True)],
}
MIXTURES = [
    model(n_components=3, covariance_type=kind, random_state=0, max_iter=500, **options)
    for model, options in ((GaussianMixture, {}), (BayesianGaussianMixture, {"tol": 0.1}))
    for kind in ("full", "tied", "diag", "spherical")
]
CLASSIFIERS = [GaussianNB(), QuadraticDiscriminantAnalysis(tol=1e-9), LinearDiscriminantAnalysis()]


def is_rotated(name: str) -> bool:
    """Return whether a PCA is among the steps."""
    return any(isinstance(step, PCA) for step in STEPS[name])


def pipeline_of(name: str, model: Any) -> Pipeline:
    """Return a pipeline of copies of the steps and of the model."""
    steps = [clone(step) if hasattr(step, "fit") else step for step in STEPS[name]]
    return Pipeline([(str(number), step) for number, step in enumerate([*steps, clone(model)])])


def transformed(model: Pipeline, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the steps before the last one make of pixels."""
    return np.asarray(model[:-1].transform(pixels))


def log_determinant(model: Pipeline, n_channels: int) -> float:
    """Return the logarithm of the factor by which the steps before the last one change volumes."""
    matrix = transformed(model, np.eye(n_channels)) - transformed(model, np.zeros((1, n_channels)))
    return float(np.linalg.slogdet(matrix).logabsdet)


@pytest.mark.parametrize(
    "model", MIXTURES, ids=lambda model: f"{type(model).__name__}-{model.covariance_type}"
)
@pytest.mark.parametrize("name", STEPS)
def test_mixtures(name: str, model: Any) -> None:
    """Posteriors and labels are those of the pipeline, and log-densities differ by the change of volumes."""
    pixels, _ = labeled_pixels(3, 3, whole=True)
    fitted = pipeline_of(name, model).fit(pixels)
    mixture = Mixture.from_sklearn(fitted)
    diagonal = model.covariance_type in {"diag", "spherical"} and not is_rotated(name)
    assert mixture.is_diagonal == diagonal
    wanted = fitted.score_samples(pixels) + log_determinant(fitted, 3)
    got = evaluate_array(pixels, LogDensity(mixture), dtype="float64")
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)
    posterior = evaluate_array(pixels, Posterior(mixture), dtype="float64")
    np.testing.assert_allclose(posterior, fitted.predict_proba(pixels), atol=1e-9)
    np.testing.assert_array_equal(evaluate_array(pixels, Label(mixture)), fitted.predict(pixels))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("name", STEPS)
def test_classifiers(name: str, model: Any, whole: bool) -> None:
    """Posteriors and labels are those of the pipeline."""
    pixels, labels = labeled_pixels(3, 3, whole=whole)
    fitted = pipeline_of(name, model).fit(pixels, labels)
    classes = Classes.from_sklearn(fitted)
    diagonal = isinstance(model, GaussianNB) and not is_rotated(name)
    assert all(mixture.is_diagonal == diagonal for mixture in classes.values())
    posterior = evaluate_array(pixels, Posterior(classes), dtype="float64")
    np.testing.assert_allclose(posterior, fitted.predict_proba(pixels), atol=1e-9)
    np.testing.assert_array_equal(evaluate_array(pixels, Label(classes)), fitted.predict(pixels))


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"nothing"}))
def test_the_way_back(name: str) -> None:
    """Results are mapped back to the pixels that they were made of."""
    pixels, _ = labeled_pixels(3, 3, whole=True)
    fitted = pipeline_of(name, KMeans(2, n_init=1)).fit(pixels)
    model, undo = last_step(fitted)
    assert model is fitted[-1]
    assert undo is not None
    np.testing.assert_allclose(undo.means(transformed(fitted, pixels)), pixels, rtol=1e-11, atol=1e-11)


def test_what_is_not_a_pipeline_is_its_own_last_step() -> None:
    """There is nothing to undo then, nor where no step changes pixels."""
    model = KMeans()
    assert last_step(model) == (model, None)
    assert last_step(make_pipeline("passthrough", FunctionTransformer(), model)) == (model, None)


NUMBERS = st.floats(0.1, 10) | st.floats(-10, -0.1)


@given(st.lists(st.tuples(st.booleans(), st.lists(NUMBERS, min_size=8, max_size=8)), min_size=1, max_size=3))
def test_ways_back_follow_one_another(given_steps: list[tuple[bool, list[float]]]) -> None:
    """Several ways back are one: means and covariances are those of going back step by step."""
    ways = []
    for is_matrix, numbers in given_steps:
        factor = np.reshape(numbers[:4], (2, 2)) if is_matrix else np.array(numbers[:2])
        ways.append(Undo(factor, np.array(numbers[4:6])))
    means, covariances = np.array([[1.0, 2.0], [-3.0, 0.5]]), np.array([[[2.0, 0.5], [0.5, 1.0]], np.eye(2)])
    one = ways[0]
    for way in ways[1:]:
        one = one.after(way)
    wanted_means, wanted = means, covariances
    for way in reversed(ways):
        wanted_means = (
            wanted_means @ (way.factor if way.factor.ndim == 2 else np.diag(way.factor)) + way.offset
        )
        matrix = way.factor if way.factor.ndim == 2 else np.diag(way.factor)
        wanted = np.array([matrix.T @ covariance @ matrix for covariance in wanted])
    np.testing.assert_allclose(
        one.means(means), wanted_means, rtol=1e-9, atol=1e-9 * np.abs(wanted_means).max()
    )
    got = one.covariances(covariances)
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())
    variances = one.covariances([[2.0, 3.0]])
    np.testing.assert_allclose(
        variances if variances.ndim == 3 else [np.diag(variances[0])],
        one.covariances([np.diag([2.0, 3.0])]),
        rtol=1e-9,
        atol=1e-9 * np.abs(variances).max(),
    )


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (
            PolynomialFeatures(),
            TypeError,
            "step 'a' of the pipeline is PolynomialFeatures, which can't be folded",
        ),
        (
            IncrementalPCA(),
            TypeError,
            "is IncrementalPCA, .*wanted one of StandardScaler, .*Apply this step to",
        ),
        (MinMaxScaler(clip=True), ValueError, "step 'a' of the pipeline, MinMaxScaler, clips .*clip=False"),
        (
            FunctionTransformer(np.log1p),
            ValueError,
            "FunctionTransformer, calls a function, .*wanted func=None",
        ),
        (PCA(2), ValueError, r"PCA, keeps 2 of 3 components, .*PCA\(n_components=None\)"),
    ],
)
def test_steps_that_are_refused(step: Any, error: type[Exception], message: str) -> None:
    """A step that isn't an invertible affine map is named, with what to do."""
    pixels, labels = labeled_pixels(2, 3, whole=True)
    model = Pipeline([("a", step), ("b", GaussianNB())]).fit(pixels, labels)
    with pytest.raises(error, match=message):
        Classes.from_sklearn(model)


def test_a_step_of_the_same_name_is_refused() -> None:
    """A class of somebody else's may do anything, whatever its name and its base."""
    mine: Any = type("StandardScaler", (StandardScaler,), {"__module__": "mine"})
    pixels, labels = labeled_pixels(2, 3, whole=True)
    model = make_pipeline(mine(), GaussianNB()).fit(pixels, labels)
    with pytest.raises(TypeError, match="is StandardScaler, which can't be folded"):
        Classes.from_sklearn(model)


@pytest.mark.parametrize("step", [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), PCA()])
def test_a_step_that_is_not_fitted(step: Any) -> None:
    """The step is named."""
    pixels, labels = labeled_pixels(2, 3, whole=True)
    model = GaussianNB().fit(pixels, labels)
    with pytest.raises(
        ValueError, match=rf"step .* {type(step).__name__}, lacks .*_: it isn't fitted. Call its"
    ):
        Classes.from_sklearn(make_pipeline(step, model))
    with pytest.raises(ValueError, match="the GaussianMixture lacks weights_"):
        Mixture.from_sklearn(make_pipeline(StandardScaler().fit(pixels), GaussianMixture()))


def test_names_of_kinds_and_of_columns() -> None:
    """A derived class is of the kind of its base, and columns without names have none."""
    derived: Any = type("Derived", (GaussianNB,), {})
    assert kind_of(derived(), {"GaussianNB", "KMeans"}) == "GaussianNB"
    assert kind_of(GaussianNB, {"GaussianNB"}) is None
    pixels, labels = labeled_pixels(2, 3, whole=True)
    assert feature_names(make_pipeline(StandardScaler(), GaussianNB()).fit(pixels, labels)) is None
