"""Tests of the published models: they are found by name and have the printed figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline import list_models, load_model

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


def test_a_path_is_accepted_too(tmp_path: Path) -> None:
    """Any saved mixture is loaded by its path."""
    skin = load_model("jones-rehg-skin")
    skin.save(tmp_path / "mine.json")
    assert load_model(tmp_path / "mine.json") == skin
