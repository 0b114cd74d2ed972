"""The commands fit and score: they do as the functions do, and say what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipeline import Classes, Mixture, fit_classes, fit_mixture, score_classes
from pipeline.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8]) -> Path:
    """Make a photo and its labels, in the working directory."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.png", photo[..., ::-1])
    labels = np.zeros(photo.shape[:2], np.uint8)
    labels[:, :150], labels[:, 300:] = 1, 2
    cv2.imwrite("labels.png", labels)
    return tmp_path


def command(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, arguments)


def test_fit_writes_the_model_of_the_function(folder: Path) -> None:
    """The file holds what fit_mixture returns, with its record, and a picture is drawn."""
    done = command("fit", "photo.png", "model.json", "-k", "3", "--seed", "5", "--picture", "model.png")
    assert done.exit_code == 0, done.output
    assert "model.json: 3 kernels, fitted to" in done.output
    mixture = Mixture.load("model.json")
    assert mixture == fit_mixture("photo.png", 3, seed=5, progress="none")
    assert mixture.channels == ("red", "green", "blue")
    assert mixture.fit is not None
    assert (mixture.fit.seed, mixture.fit.image) == (5, str(folder / "photo.png"))
    assert cv2.imread("model.png") is not None


def test_options_reach_the_function(folder: Path) -> None:
    """Channels, mask, covariance type and numbers of kernels are those that the command names."""
    options = ("--channels", "red,blue", "--mask", "labels.png", "--covariance-type", "full")
    done = command("fit", "photo.png", "model.json", "-k", "1,2", "--variance-floor", "4", *options)
    assert done.exit_code == 0, done.output
    mixture = Mixture.load(folder / "model.json")
    assert mixture.channels == ("red", "blue")
    assert mixture.fit is not None
    assert (mixture.fit.covariance_type, mixture.fit.variance_floor) == ("full", 4)
    assert mixture.fit.n_pixels == np.count_nonzero(cv2.imread("labels.png", cv2.IMREAD_GRAYSCALE))


def test_classes_are_fitted_and_scored(folder: Path) -> None:
    """The file of classes, its scores and its thresholds are those of the functions."""
    names = ("--name", "1=left", "--name", "2=right")
    labeled = ("--labels", "labels.png", *names, "--held-out", "0.25")
    done = command("fit", "photo.png", "classes.json", "-k", "2", *labeled)
    assert done.exit_code == 0, done.output
    options: dict[str, Any] = {"names": {1: "left", 2: "right"}, "held_out": 0.25, "progress": "none"}
    classes = fit_classes("photo.png", "labels.png", 2, **options)
    assert Classes.load(folder / "classes.json") == classes
    scores = score_classes(classes, "photo.png", "labels.png", **options)
    assert str(scores) in done.output
    done = command("score", "classes.json", "photo.png", *labeled, "--false-alarm-rate", "0.1")
    assert done.exit_code == 0, done.output
    assert str(scores) in done.output
    assert f"{scores.threshold('right', false_alarm_rate=0.1):.6g}" in done.output
    done = command("score", "classes.json", "photo.png", *labeled, "--false-alarm-rate", "0.1", "--json")
    # Progress is logged before the result.
    content = json.loads(done.stdout[done.stdout.index("{") :])
    assert content["accuracy"] == scores.accuracy
    assert content["thresholds"]["left"] == scores.threshold("left", false_alarm_rate=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "photo.png", "labels.png", "-k", "2"), "labels.png exists"),
        (("fit", "photo.png", "m.json", "-k", "two"), "wanted whole numbers"),
        (("fit", "photo.png", "m.json", "-k", "0"), "n_kernels is [0]"),
        (("fit", "photo.png", "m.json", "--held-out", "0.5"), "go with --labels"),
        (("fit", "photo.png", "m.json", "--labels", "labels.png", "--name", "one=left"), "wanted LABEL=NAME"),
        (
            ("fit", "photo.png", "m.json", "--labels", "labels.png", "--name", "1=a", "--name", "01=b"),
            "each label once",
        ),
        (("fit", "none.png", "no/m.json"), "no/m.json can't be written; wanted a directory no"),
        (("fit", "none.png", "s3://bucket/m.json"), "s3://bucket/m.json is a URL, and only runs write there"),
        (("fit", "none.png", "m.json", "--picture", "no/p.png"), "no/p.png can't be written"),
        (
            ("fit", "none.png", "m.json", "--picture", "p.xyz"),
            "p.xyz doesn't end with a format; wanted one of",
        ),
        (("fit", "photo.png", "m.json", "--labels", "labels.png", "--picture", "p.png"), "Leave out"),
        (("fit", "none.png", "m.json"), "none.png is not there"),
        (("score", "jones-rehg-skin", "photo.png", "--labels", "labels.png"), "is one mixture"),
        (("score", "none.json", "photo.png", "--labels", "labels.png"), "none.json"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_errors_are_one_line(arguments: tuple[str, ...], words: str) -> None:
    """What the user can mend ends with status 2 and says what is wrong."""
    done = command(*arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_overwrite_replaces_a_model(folder: Path) -> None:
    """An existing file is replaced only if the user says so."""
    (folder / "model.json").write_text("mine")
    assert command("fit", "photo.png", "model.json", "-k", "1").exit_code == 2
    assert (folder / "model.json").read_text() == "mine"
    assert command("fit", "photo.png", "model.json", "-k", "1", "--overwrite").exit_code == 0
    assert Mixture.load(folder / "model.json").n_kernels == 1
    (folder / "p.png").write_text("mine")
    for model in ("model.json", "other.json"):
        refused = command("fit", "photo.png", model, "-k", "1", "--picture", "p.png")
        assert refused.exit_code == 2
        assert "exists. Choose another name, or overwrite it" in refused.output
    assert (folder / "p.png").read_text() == "mine"
    assert not (folder / "other.json").exists()
