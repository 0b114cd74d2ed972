"""Mixtures: each form that kernels come in, what is refused and how, JSON, published models, scikit-learn."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import pixels_near, random_mixture, relative_error
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from pipeline import Density, Kernel, LogDensity, Mixture, evaluate, load_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MEAN = [10.0, 20.0, 30.0]
VARIANCES = [1.0, 4.0, 9.0]


@pytest.mark.parametrize("mean", [MEAN, [MEAN], [[m] for m in MEAN], tuple(MEAN), np.array(MEAN)])
@pytest.mark.parametrize("covariance", [VARIANCES, [VARIANCES], np.array(VARIANCES)])
def test_diagonal_kernels_in_every_form(mean: Any, covariance: Any) -> None:
    """A mean may be a row, a column or a plain vector, variances a row or a plain vector."""
    mixture = Mixture.from_kernels([Kernel(mean, covariance, 0.5), (mean, covariance, 0.25)])
    assert mixture == Mixture([0.5, 0.25], [MEAN, MEAN], [VARIANCES, VARIANCES])
    assert mixture.is_diagonal
    assert (mixture.n_kernels, mixture.n_channels) == (2, 3)


def test_full_and_diagonal_kernels_mix() -> None:
    """One full covariance makes all of them full."""
    mixture = Mixture.from_kernels([(MEAN, np.diag(VARIANCES), 1), (MEAN, VARIANCES, 1)])
    assert mixture.covariances.shape == (2, 3, 3)
    np.testing.assert_array_equal(mixture.covariances[0], mixture.covariances[1])


def test_one_channel() -> None:
    """With one channel every form of a number is a mean and a variance."""
    mixture = Mixture.from_kernels([([1.0], [2.0], 1), ([[1.0]], [[2.0]], 1)])
    assert mixture.covariances.ravel().tolist() == [2.0, 2.0]


def test_mixture_is_immutable_and_apart() -> None:
    """A mixture copies what it is given, and can't be written to."""
    means = np.array([MEAN])
    mixture = Mixture([1], means, [VARIANCES])
    means[0, 0] = 99
    assert mixture.means[0, 0] == MEAN[0]
    with pytest.raises(ValueError, match="read-only"):
        mixture.means[0, 0] = 1
    with pytest.raises(AttributeError):
        mixture.weights = np.ones(1)  # type: ignore[misc]


def test_equality_hash_repr_and_pickle() -> None:
    """Equal mixtures hash alike, and one that travelled is equal and still immutable."""
    mixture = random_mixture(3, 2)
    other = pickle.loads(pickle.dumps(mixture))  # noqa: S301  made here
    assert mixture == other
    assert hash(mixture) == hash(other)
    assert not other.means.flags.writeable
    assert mixture != random_mixture(3, 2, seed=1)
    assert mixture != Mixture(mixture.weights, mixture.means, mixture.covariances, ["a", "b"])
    assert mixture != 3
    assert repr(load_model("jones-rehg-skin")) == "<Mixture: 16 diagonal kernels over red, green, blue>"
    assert repr(random_mixture(2, 5, full=True)) == "<Mixture: 2 full kernels over 5 channels>"


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ([], "no kernels"),
        ([(MEAN, VARIANCES)], r"kernel 0 .*wanted Kernel"),
        ([3], r"kernel 0 .*wanted Kernel"),
        ([(MEAN, VARIANCES, 1), (MEAN[:2], VARIANCES, 1)], "kernel 1: the (mean|covariance) has"),
        ([(MEAN, VARIANCES, 1), (MEAN[:2], VARIANCES[:2], 1)], "kernel 1"),
        ([([MEAN, MEAN], VARIANCES, 1)], r"kernel 0: the mean has shape \(2, 3\)"),
        ([([], [], 1)], r"kernel 0: the mean has shape \(0,\)"),
        ([(MEAN, VARIANCES[:2], 1)], r"kernel 0: the covariance has shape \(2,\)"),
        ([(MEAN, ["x", 1, 2], 1)], "kernel 0: the covariance's elements aren't real numbers"),
        ([(MEAN, [1, 0, 1], 1)], "kernel 0: variance of channel 'green' is 0; .*[Dd]rop the kernel"),
        ([(MEAN, [1, 1, -1], 1)], "kernel 0: variance of channel 'blue' is -1"),
        ([(MEAN, [1, 1, 1e-320], 1)], "kernel 0: variance of channel 'blue' is"),
        ([(MEAN, [np.inf, 1, 1], 1)], "kernel 0: variance of channel 'red' is inf"),
        ([(MEAN, VARIANCES, 1), (MEAN, VARIANCES, 0)], "kernel 1: weight is 0"),
        ([(MEAN, VARIANCES, np.nan)], "kernel 0: weight is nan"),
        ([([np.nan, 0, 0], VARIANCES, 1)], "kernel 0: mean of channel 'red' is nan"),
        ([(MEAN, [[1, 2, 0], [2, 1, 0], [0, 0, 1]], 1)], "kernel 0: the covariance isn't positive definite"),
        ([(MEAN, np.full((3, 3), 1 - 1e-16) + 1e-16 * np.eye(3), 1)], "kernel 0: .*isn't positive definite"),
        ([(MEAN, VARIANCES, "1")], "kernel 0: the weight's elements aren't real numbers"),
        ([(MEAN, VARIANCES, [1, 2])], "kernel 0: the weight has shape"),
        ([(MEAN, VARIANCES, 1 + 2j)], "aren't real numbers"),
        ([(MEAN, VARIANCES, 10**400)], "aren't real numbers"),
        ([(np.ma.masked_less(MEAN, 15), VARIANCES, 1)], "aren't real numbers"),
        ([(MEAN, [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]], 1)], "kernel 0: the covariance isn't symmetric"),
        ([(MEAN, [[1, np.nan, 0], [np.nan, 1, 0], [0, 0, 1]], 1)], "kernel 0: the covariance isn't finite"),
    ],
)
def test_bad_kernels_are_named(kernels: Any, message: str) -> None:
    """An error names the kernel, counted from 0, and what is wrong with it."""
    with pytest.raises(ValueError, match=message):
        Mixture.from_kernels(kernels, channels=["red", "green", "blue"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], MEAN, [VARIANCES]), r"wanted \(K,\) and \(K, C\)"),
        (([1, 1], [MEAN], [VARIANCES]), "2 weights for means"),
        (([1], [MEAN], [VARIANCES[:2]]), r"covariances have shape \(1, 2\)"),
        (([[1, 2], [3]], [MEAN], [VARIANCES]), "weights aren't real numbers"),
        (([1], [MEAN], [VARIANCES], ["r", "g"]), "wanted 3 different names"),
        (([1], [MEAN], [VARIANCES], ["r", "g", "r"]), "wanted 3 different names"),
        (([1], [MEAN], [VARIANCES], "rgb"), "wanted a sequence of names"),
        (([1], [MEAN], [VARIANCES], 5), "wanted a sequence of names"),
        (([1], [MEAN], [VARIANCES], [1, 1, 2]), "wanted a sequence of names"),
        (([1], [MEAN], [VARIANCES], [["a"], ["b"], ["c"]]), "wanted a sequence of names"),
    ],
)
def test_bad_arrays_are_refused(arguments: Any, message: str) -> None:
    """Arrays that don't fit together get an error that says what was wanted."""
    with pytest.raises(ValueError, match=message):
        Mixture(*arguments)


@given(
    st.lists(
        st.tuples(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300), st.floats(1e-300, 1e300)),
        min_size=1,
        max_size=5,
    )
)
def test_json_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, numbers: list[Any]) -> None:
    """What was saved loads bit for bit."""
    means, variances, weights = zip(*numbers, strict=True)
    mixture = Mixture(weights, [[m] for m in means], [[v] for v in variances], ["grey"])
    path = tmp_path_factory.mktemp("models") / "model.json"
    mixture.save(path)
    assert Mixture.load(path) == mixture
    assert load_model(path) == mixture


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is replaced whole or not at all, and nothing else is left beside it."""
    path = tmp_path / "model.json"
    mixture = random_mixture(1, 1)
    mixture.save(path)
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        random_mixture(2, 2).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "not JSON"),
        (b"\xff\xfe", "isn't text"),
        (b"[1, 2]", "not a mixture"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"format": "other"}', "not a mixture"),
        (b'{"format": "gaussian-mixture", "version": 2}', "schema version 2"),
        (b'{"format": "gaussian-mixture", "version": 1, "weights": [1]}', "lacks covariances, means"),
        (b'{"format": "gaussian-mixture", "version": 1, "weights": [NaN]}', "NaN is not a finite number"),
    ],
)
def test_bad_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that isn't a mixture gets an error that names it."""
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"model.json: .*{message}"):
        load_model(path)


def test_a_byte_order_mark_and_large_covariances(tmp_path: Path) -> None:
    """JSON as some editors save it loads, and covariances as large as they may be warn of nothing."""
    mixture = Mixture([1], [[0, 0]], [[[1e300, 1e299], [1e299, 1e300]]])
    mixture.save(tmp_path / "plain.json")
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "plain.json").read_bytes())
    assert load_model(tmp_path / "marked.json") == mixture


def colors(photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Draw pixels of the photo and blur them, so that they are floats of 53 bits."""
    random = np.random.default_rng(0)
    pixels = random.permutation(photo.reshape(-1, 3))[:4000]
    return pixels + random.uniform(-0.5, 0.5, pixels.shape)


@pytest.fixture(scope="module", params=["full", "tied", "diag", "spherical"])
def fitted(request: pytest.FixtureRequest, photo: NDArray[np.uint8]) -> GaussianMixture:
    """Fit a model of each covariance type to the colours of a photo."""
    model = GaussianMixture(6, covariance_type=request.param, max_iter=1000, random_state=0)
    return model.fit(colors(photo))


def test_parity_with_sklearn(fitted: GaussianMixture, photo: NDArray[np.uint8]) -> None:
    """Densities are those of scikit-learn, up to its rounding.

    Why not to 1e-12: by mpmath with 50 digits, scikit-learn is off by 2e-13 nats here and by 1e-12 in other
    fits to this photo, as it multiplies pixels and means out before it subtracts. This package is off by
    2e-14.
    """
    mixture, pixels = Mixture.from_sklearn(fitted, ["red", "green", "blue"]), colors(photo)
    wanted = fitted.score_samples(pixels)
    assert relative_error(evaluate(pixels, LogDensity(mixture), dtype="float64"), wanted) < 1e-11
    assert relative_error(evaluate(pixels, Density(mixture), dtype="float64"), np.exp(wanted)) < 1e-11


def test_bytes_are_right_where_sklearn_wants_floats(
    fitted: GaussianMixture, photo: NDArray[np.uint8]
) -> None:
    """An 8-bit image needs no cast, as scikit-learn's does."""
    got = evaluate(photo, LogDensity(Mixture.from_sklearn(fitted)), dtype="float64")
    wanted = fitted.score_samples(photo.reshape(-1, 3).astype(np.float64))
    assert relative_error(got.ravel(), wanted) < 1e-11


def test_round_trip_of_a_fitted_model(fitted: GaussianMixture, photo: NDArray[np.uint8]) -> None:
    """A model that went through a mixture answers as before, and has all that a fitted one has."""
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
    """A mixture that went through scikit-learn is equal, and its weights still don't sum to 1."""
    mixture = random_mixture(4, 3, full=full)
    model = mixture.to_sklearn()
    assert Mixture.from_sklearn(model) == mixture
    pixels = pixels_near(mixture, (500,))
    got = evaluate(pixels, LogDensity(mixture), dtype="float64")
    np.testing.assert_allclose(model.score_samples(pixels), got, rtol=1e-11)
    model.weights_[0] = 0.5
    model.means_[0] = 0
    assert Mixture.from_sklearn(model) != mixture
    assert mixture == random_mixture(4, 3, full=full)


@pytest.mark.parametrize("full", [False, True])
def test_sklearn_samples_a_mixture(full: bool) -> None:
    """With weights that sum to 1, scikit-learn draws pixels of the mixture."""
    raw = random_mixture(3, 2, full=full)
    mixture = Mixture(raw.weights / raw.weights.sum(), raw.means, raw.covariances)
    pixels, kernels = mixture.to_sklearn().set_params(random_state=0).sample(30_000)
    for k in range(mixture.n_kernels):
        drawn = pixels[kernels == k]
        assert len(drawn) / len(pixels) == pytest.approx(mixture.weights[k], abs=0.02)
        np.testing.assert_allclose(drawn.mean(axis=0), mixture.means[k], atol=2)


def test_bayesian_estimates(photo: NDArray[np.uint8]) -> None:
    """Of a Bayesian model the estimates are taken; it differs by its terms for their uncertainty."""
    model = BayesianGaussianMixture(n_components=4, max_iter=1000, random_state=0).fit(colors(photo))
    mixture = Mixture.from_sklearn(model)
    np.testing.assert_array_equal(mixture.weights, model.weights_)
    np.testing.assert_array_equal(mixture.means, model.means_)
    got = evaluate(colors(photo), LogDensity(mixture), dtype="float64")
    np.testing.assert_allclose(got, model.score_samples(colors(photo)), atol=0.1)
    model.weights_ = np.array([0.5, 0.5, 0, 0])
    with pytest.raises(ValueError, match="kernel 2: weight is 0"):
        Mixture.from_sklearn(model)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_a_fit_to_float32(kind: str, photo: NDArray[np.uint8]) -> None:
    """Covariances that rounding to float32 left unsymmetric are taken."""
    pixels = colors(photo).astype(np.float32)
    model = GaussianMixture(4, covariance_type=kind, max_iter=1000, random_state=0).fit(pixels)
    model.covariances_[..., 0, 1] *= np.float32(1 + 1e-6)
    got = evaluate(pixels, LogDensity(Mixture.from_sklearn(model)))
    np.testing.assert_allclose(got, model.score_samples(pixels), rtol=1e-4)


def test_what_is_no_fitted_model_is_refused() -> None:
    """An unfitted model is told to be fitted, anything else what was wanted."""
    with pytest.raises(ValueError, match=r"BayesianGaussianMixture lacks weights_, .*Call its fit first"):
        Mixture.from_sklearn(BayesianGaussianMixture())
    for other in (KMeans(), GaussianMixture, None):
        with pytest.raises(TypeError, match=r"got .*; wanted a fitted GaussianMixture"):
            Mixture.from_sklearn(other)
    with pytest.raises(ValueError, match="wanted 3 different names"):
        Mixture.from_sklearn(random_mixture(2, 3).to_sklearn(), channels=["red", "green"])


def test_missing_sklearn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn the error says how to install it."""
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[sklearn\]'"):
        random_mixture(1, 1).to_sklearn()
