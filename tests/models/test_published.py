"""Tests of the published models: they are found by name and have the printed figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline import list_models, load_model
from pipeline.models.classes import Classes
from pipeline.models.published import load_model_or_classes

if TYPE_CHECKING:
    from pathlib import Path


def test_unknown_model_lists_the_known(tmp_path: Path) -> None:
    """A name that is neither a model nor a file gets an error with the list of models."""
    with pytest.raises(FileNotFoundError, match=r"no model 'skin'.*jones-rehg-nonskin, jones-rehg-skin"):
        load_model("skin")
    with pytest.raises(FileNotFoundError, match=r"none.json"):
        load_model(tmp_path / "none.json")


def test_published_models() -> None:
    """The models have the printed sums of weights, and name their source and their channels."""
    assert set(list_models()) == {"jones-rehg-skin", "jones-rehg-nonskin"}
    for name, total in (("jones-rehg-skin", 0.9992), ("jones-rehg-nonskin", 0.9996)):
        mixture = load_model(name)
        assert mixture.channels == ("red", "green", "blue")
        assert mixture.means.shape == (16, 3)
        assert mixture.weights.sum() == pytest.approx(total, abs=1e-12)
        assert "Jones" in list_models()[name]
        assert json.loads(json.dumps(mixture.to_dict())) == mixture.to_dict()
    assert load_model("jones-rehg-skin").means[0].tolist() == [73.53, 29.94, 17.76]
    assert load_model("jones-rehg-nonskin").covariances[0].tolist() == [2.77, 2.81, 5.46]


def test_a_file_of_classes_is_told_apart(tmp_path: Path) -> None:
    """A file of classes isn't a mixture, and the error says how to load it."""
    mixture, path = load_model("jones-rehg-skin"), tmp_path / "classes.json"
    classes = Classes({"skin": mixture}, [0.25])
    classes.save(path)
    with pytest.raises(ValueError, match=r"classes.json: got the JSON of classes; .*Use Classes.load"):
        load_model(path)
    assert load_model_or_classes(path) == classes
    assert load_model_or_classes("jones-rehg-skin") == mixture
    (tmp_path / "neither.json").write_text("[]")
    with pytest.raises(ValueError, match=r"neither.json: not a mixture"):
        load_model_or_classes(tmp_path / "neither.json")


def test_a_path_is_accepted_too(tmp_path: Path) -> None:
    """Any saved mixture is loaded by its path."""
    skin = load_model("jones-rehg-skin")
    skin.save(tmp_path / "mine.json")
    assert load_model(tmp_path / "mine.json") == skin
