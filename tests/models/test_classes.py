"""Tests of classes: a mapping that doesn't change, its priors, every refusal, and JSON."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import labeled_pixels, random_mixture
from sklearn.naive_bayes import GaussianNB

from pipeline import Mixture, load_model
from pipeline.models.classes import Classes

if TYPE_CHECKING:
    from pathlib import Path

SKIN, OTHER = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
MIXTURES = {"skin": SKIN, "other": OTHER}


def test_a_mapping() -> None:
    """Classes are a mapping with priors and channels, and keep the order that they are given."""
    classes = Classes(MIXTURES, {"other": 3, "skin": np.float32(1)})
    assert dict(classes) == MIXTURES
    assert list(classes) == ["skin", "other"]
    assert len(classes) == 2
    assert classes["other"] is OTHER
    assert "hair" not in classes
    with pytest.raises(KeyError, match="hair"):
        classes["hair"]
    assert classes.priors == (1, 3)
    assert all(type(prior) is float for prior in classes.priors)
    assert classes.channels == ("red", "green", "blue")
    assert Classes({"one": random_mixture(1, 2)}).channels is None


def test_default_priors() -> None:
    """Priors are equal by default, or those of the classes that are given."""
    assert Classes(MIXTURES).priors == (0.5, 0.5)
    assert Classes(Classes(MIXTURES, [1, 3])) == Classes(MIXTURES, [1, 3])
    assert Classes(Classes(MIXTURES, [1, 3]), [2, 2]).priors == (2, 2)


def test_classes_do_not_change() -> None:
    """Classes copy the mapping, and can't be written to."""
    given = dict(MIXTURES)
    classes = Classes(given)
    del given["skin"]
    assert list(classes) == ["skin", "other"]
    with pytest.raises(AttributeError):
        classes.priors = (1.0, 1.0)  # type: ignore[misc]
    with pytest.raises(TypeError):
        classes["skin"] = OTHER  # type: ignore[index]


def test_equality_hash_repr_and_pickle() -> None:
    """Equal classes have equal hashes; names, order, mixtures and priors tell classes apart."""
    classes = Classes(MIXTURES)
    copy = pickle.loads(pickle.dumps(classes))  # noqa: S301  made here
    others = [
        Classes(dict(reversed(MIXTURES.items()))),
        Classes(MIXTURES, [1, 1]),
        Classes({"a": SKIN, "b": OTHER}),
        Classes({"skin": SKIN, "other": SKIN}),
    ]
    assert copy == classes
    assert len({classes, copy, *others}) == 5
    assert classes != MIXTURES
    assert repr(classes) == "<Classes: 2 (skin, other) over red, green, blue>"
    many = Classes({str(number): random_mixture(1, 2) for number in range(300)})
    assert repr(many) == "<Classes: 300 (0, 1, 2, 3, ...) over 2 channels>"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({},), ValueError, "classes are {}; wanted at least one name and its mixture, as {'skin': mixture}"),
        ((SKIN,), ValueError, "classes are <Mixture: 16 .*wanted at least one name"),
        (({"skin": 3},), TypeError, "class 'skin' is 3; wanted a name and a Mixture"),
        (({"a": SKIN, "b": random_mixture(1, 2)},), ValueError, "different channels"),
        ((MIXTURES, [1]), ValueError, "got 1 priors for 2 classes"),
        (
            (MIXTURES, {"skin": 1}),
            ValueError,
            "priors are given for skin; wanted one for each of skin, other",
        ),
        ((MIXTURES, [1, 0]), ValueError, "prior of class 'other' is 0; wanted a positive number"),
        ((MIXTURES, [1, 10**400]), TypeError, r"priors are \[1, 1000.*; wanted a positive number"),
        ((MIXTURES, 3), TypeError, "priors are 3; wanted a positive number"),
    ],
)
def test_what_is_refused(arguments: Any, error: type[Exception], message: str) -> None:
    """Anything but mixtures over the same channels with positive priors is refused by name."""
    with pytest.raises(error, match=message):
        Classes(*arguments)


@given(st.dictionaries(st.text(), st.floats(1e-300, 1e300), min_size=1, max_size=5))
def test_json_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, priors: dict[str, float]) -> None:
    """Saved classes are loaded bit for bit, in their order."""
    mixtures = {name: random_mixture(2, 1, seed=number) for number, name in enumerate(priors)}
    classes = Classes(mixtures, priors)
    path = tmp_path_factory.mktemp("models") / "classes.json"
    classes.save(path)
    assert Classes.load(path) == classes
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "format": "gaussian-mixture-classes",
        "version": 1,
        "classes": [{"name": name, "mixture": mixture.to_dict()} for name, mixture in mixtures.items()],
        "priors": list(priors.values()),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "gaussian-mixture"}, "got the JSON of a mixture; .*Use Mixture.load"),
        ({"version": 2}, "got schema version 2 of classes"),
        ({"priors": None}, "priors are None; wanted a list of numbers"),
        ({"priors": ["a", 1]}, r"priors are \['a', 1\]; wanted a positive number"),
        ({"priors": [1, 10**400]}, r"priors are \[1, 1000.*; wanted a positive number"),
        ({"priors": [1]}, "got 1 priors for 2 classes"),
        ({"classes": {}}, "classes are {}; wanted a list of names with mixtures"),
        ({"classes": []}, "classes are {}; wanted at least one name"),
        ({"classes": [3]}, 'a class is 3; wanted an object with "name" and "mixture"'),
        (
            {"classes": [{"name": 3, "mixture": SKIN.to_dict()}]},
            'a class is .*; wanted an object with "name"',
        ),
        ({"classes": [{"name": "a"}]}, "class 'a': not a mixture"),
        ({"classes": [{"name": "a", "mixture": SKIN.to_dict()}] * 2}, "there are two classes 'a'"),
        (
            {"classes": [{"name": "a", "mixture": {**SKIN.to_dict(), "weights": [1]}}]},
            "class 'a': 1 weights for means",
        ),
    ],
)
def test_bad_json_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """A file that doesn't hold classes gets an error that names the file."""
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({**Classes(MIXTURES).to_dict(), **changes}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"classes.json: {message}"):
        Classes.load(path)


def test_names_and_channels_of_scikit_learn() -> None:
    """The names are those of the model's classes as text, and the channels are those that are passed."""
    pixels, labels = labeled_pixels(3, 2, whole=False)
    model = GaussianNB().fit(pixels, np.array([10, 2, 3])[labels])
    classes = Classes.from_sklearn(model, channels=["red", "green"])
    assert list(classes) == ["2", "3", "10"]
    assert classes.channels == ("red", "green")
    assert classes["10"] == Mixture([1], model.theta_[2:], model.var_[2:], ["red", "green"])
    assert classes.priors == tuple(model.class_prior_)
    model.classes_ = np.array([1, "1", 2], dtype=object)
    with pytest.raises(ValueError, match="the classes are 1, 1, 2; wanted a name of its own for each class"):
        Classes.from_sklearn(model)
    model.classes_, model.var_[1, 1] = np.array(["a", "b", "c"]), 0
    with pytest.raises(ValueError, match="class 'b': kernel 0: variance of channel 1 is 0"):
        Classes.from_sklearn(model)
