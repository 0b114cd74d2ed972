"""Tests of mixtures: every accepted form of kernels, every refusal, and JSON."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Kernel, Mixture, load_model

if TYPE_CHECKING:
    from pathlib import Path

MEAN = [10.0, 20.0, 30.0]
VARIANCES = [1.0, 4.0, 9.0]


@pytest.mark.parametrize("mean", [MEAN, [MEAN], [[m] for m in MEAN], tuple(MEAN), np.array(MEAN)])
@pytest.mark.parametrize("covariance", [VARIANCES, [VARIANCES], np.array(VARIANCES)])
def test_diagonal_kernels_in_every_form(mean: Any, covariance: Any) -> None:
    """A mean may be a row, a column or a vector, and variances may be a row or a vector."""
    mixture = Mixture.from_kernels([Kernel(mean, covariance, 0.5), (mean, covariance, 0.25)])
    assert mixture == Mixture([0.5, 0.25], [MEAN, MEAN], [VARIANCES, VARIANCES])
    assert mixture.is_diagonal
    assert (mixture.n_kernels, mixture.n_channels) == (2, 3)


def test_full_and_diagonal_kernels_mix() -> None:
    """One full covariance makes all covariances full."""
    mixture = Mixture.from_kernels([(MEAN, np.diag(VARIANCES), 1), (MEAN, VARIANCES, 1)])
    assert mixture.covariances.shape == (2, 3, 3)
    np.testing.assert_array_equal(mixture.covariances[0], mixture.covariances[1])


def test_one_channel() -> None:
    """With one channel, every form of a number is accepted as a mean and a variance."""
    mixture = Mixture.from_kernels([([1.0], [2.0], 1), ([[1.0]], [[2.0]], 1)])
    assert mixture.covariances.ravel().tolist() == [2.0, 2.0]


def test_a_mixture_is_immutable_and_a_copy() -> None:
    """A mixture copies its arguments, and its arrays can't be written to."""
    means = np.array([MEAN])
    mixture = Mixture([1], means, [VARIANCES])
    means[0, 0] = 99
    assert mixture.means[0, 0] == MEAN[0]
    with pytest.raises(ValueError, match="read-only"):
        mixture.means[0, 0] = 1
    with pytest.raises(AttributeError):
        mixture.weights = np.ones(1)  # type: ignore[misc]


def test_equality_hash_repr_and_pickle() -> None:
    """Equal mixtures have equal hashes, and a pickled mixture is equal and still immutable."""
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
        ([(MEAN, ["x", 1, 2], 1)], "kernel 0: the covariance's elements are .*; wanted real numbers"),
        ([(MEAN, [1, 0, 1], 1)], "kernel 0: variance of channel 'green' is 0; .*[Dd]rop the kernel"),
        ([(MEAN, [1, 1, -1], 1)], "kernel 0: variance of channel 'blue' is -1"),
        ([(MEAN, [1, 1, 1e-320], 1)], "kernel 0: variance of channel 'blue' is"),
        ([(MEAN, [np.inf, 1, 1], 1)], "kernel 0: variance of channel 'red' is inf"),
        ([(MEAN, VARIANCES, 1), (MEAN, VARIANCES, 0)], "kernel 1: weight is 0"),
        ([(MEAN, VARIANCES, np.nan)], "kernel 0: weight is nan"),
        ([([np.nan, 0, 0], VARIANCES, 1)], "kernel 0: mean of channel 'red' is nan"),
        ([(MEAN, [[1, 2, 0], [2, 1, 0], [0, 0, 1]], 1)], "kernel 0: the covariance isn't positive definite"),
        ([(MEAN, np.full((3, 3), 1 - 1e-16) + 1e-16 * np.eye(3), 1)], "kernel 0: .*isn't positive definite"),
        ([(MEAN, VARIANCES, "1")], "kernel 0: the weight's elements are '1'; wanted real numbers"),
        ([(MEAN, VARIANCES, [1, 2])], "kernel 0: the weight has shape"),
        ([(MEAN, VARIANCES, 1 + 2j)], "elements are .*; wanted real numbers"),
        ([(MEAN, VARIANCES, 10**400)], "elements are .*; wanted real numbers"),
        ([(np.ma.masked_less(MEAN, 15), VARIANCES, 1)], "elements are .*; wanted real numbers"),
        ([(MEAN, [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]], 1)], "kernel 0: the covariance isn't symmetric"),
        ([(MEAN, [[1, np.nan, 0], [np.nan, 1, 0], [0, 0, 1]], 1)], "kernel 0: the covariance isn't finite"),
    ],
)
def test_bad_kernels_are_named(kernels: Any, message: str) -> None:
    """An error names the kernel, counted from 0, and says what is wrong with it."""
    with pytest.raises(ValueError, match=message):
        Mixture.from_kernels(kernels, channels=["red", "green", "blue"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], MEAN, [VARIANCES]), r"wanted \(K,\) and \(K, C\)"),
        (([1, 1], [MEAN], [VARIANCES]), "2 weights for means"),
        (([1], [MEAN], [VARIANCES[:2]]), r"covariances have shape \(1, 2\)"),
        (([[1, 2], [3]], [MEAN], [VARIANCES]), r"weights are \[\[1, 2\], \[3\]\]; wanted real numbers"),
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
    """A saved mixture is loaded bit for bit."""
    means, variances, weights = zip(*numbers, strict=True)
    mixture = Mixture(weights, [[m] for m in means], [[v] for v in variances], ["gray"])
    path = tmp_path_factory.mktemp("models") / "model.json"
    mixture.save(path)
    assert Mixture.load(path) == mixture
    assert load_model(path) == mixture


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is replaced in one step or not at all, and no other file is left beside it."""
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
    """A file that isn't a mixture gets an error that names the file."""
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"model.json: .*{message}"):
        load_model(path)


def test_a_byte_order_mark_and_large_covariances(tmp_path: Path) -> None:
    """JSON with a byte order mark is loaded, and the largest covariances cause no warning."""
    mixture = Mixture([1], [[0, 0]], [[[1e300, 1e299], [1e299, 1e300]]])
    mixture.save(tmp_path / "plain.json")
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "plain.json").read_bytes())
    assert load_model(tmp_path / "marked.json") == mixture
