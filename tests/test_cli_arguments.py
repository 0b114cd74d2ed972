"""The arguments of the command: quantities, classes, packing, channels; and arguments that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import (
    Confidence,
    Entropy,
    Label,
    Mixture,
    Posterior,
    cli,
    compute_densities,
    evaluate,
    load_model,
    open_result,
)
from pipeline.models.classes import Classes
from pipeline.runs.receipt import read_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from forked import Server
    from numpy.typing import NDArray


SKIN, OTHER = "jones-rehg-skin", "jones-rehg-nonskin"


def test_classes(folder: Path, command: Server, photo: NDArray[np.uint8]) -> None:
    """Classes, priors and the one that is wanted reach the quantities, and packed results their store."""
    asked = []
    for option in ("--posterior", "--label"):
        asked += [option, f"skin={SKIN}", option, f"other={OTHER}"]
    asked += ["--prior", "other=3", "--prior", "skin=1", "--only", "skin", "--pack", "posterior=uint8"]
    done = command("run", "photo.tif", "out.zarr", "--density", SKIN, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    classes = {"skin": load_model(SKIN), "other": load_model(OTHER)}
    results = open_result(folder / "out.zarr")
    assert list(results) == ["density", "posterior", "label"]
    np.testing.assert_array_equal(results["label"], evaluate(photo, Label(classes, [1, 3])))
    wanted = evaluate(photo, Posterior(classes, [1, 3], only="skin"))
    assert np.abs(results["posterior"] - wanted).max() <= 0.5 / 254 * 1.001
    lines = command("info", "out.zarr").stdout.splitlines()
    assert lines[2].startswith(
        "posterior: 512 x 512, uint8, 1 level, shards of 512 x 512, chunks of 512 x 512, largest er"
    )
    assert lines[3].startswith("label: 512 x 512, uint8")


def test_kernels_as_classes(folder: Path) -> None:
    """One model's kernels are classes; a density is packed by its logarithm."""
    words = ["--posterior", SKIN, "--density", SKIN, "--pack", "density=uint16:1e-12:1e-3:log"]
    result = CliRunner().invoke(cli.main, ["run", "photo.png", "out.zarr", *words])
    assert result.exit_code == 0, result.output
    results = open_result(folder / "out.zarr")
    assert results["posterior"].shape == (16, 512, 512)
    receipt = read_receipt(folder / "out.zarr")
    assert receipt
    assert 0 < receipt.largest_errors["density"] < 0.01


def test_a_file_of_classes(folder: Path, photo: NDArray[np.uint8]) -> None:
    """A file of classes has its priors, which the option replaces."""
    classes = Classes({"skin": load_model(SKIN), "other": load_model(OTHER)}, [1, 20])
    classes.save(folder / "classes.json")
    words = ["run", "photo.png", "out.zarr", "--label", "classes.json", "--overwrite"]
    other_priors = ["--prior", "skin=20", "--prior", "other=1"]
    wanted = [evaluate(photo, Label(classes)), evaluate(photo, Label(classes, [20, 1]))]
    assert np.any(wanted[0] != wanted[1])
    for extra, labels in zip(([], other_priors), wanted, strict=True):
        result = CliRunner().invoke(cli.main, [*words, *extra])
        assert result.exit_code == 0, result.output
        np.testing.assert_array_equal(open_result(folder / "out.zarr")["label"], labels)
    for option in (["--density", "classes.json"], ["--label", "skin=classes.json"]):
        result = CliRunner().invoke(cli.main, ["run", "photo.png", "new.zarr", *option])
        assert result.exit_code == 2, result.output
        assert "classes.json: got the JSON of classes; wanted that of a mixture." in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--posterior", "a"], "no model 'a'"),
        (["--posterior", "a", "--posterior", "b"], "got 'a'; wanted NAME=VALUE"),
        (["--label", "a="], "got 'a='; wanted NAME=VALUE"),
        (["--label", "a=jones-rehg-skin", "--label", "a=jones-rehg-nonskin"], "each name once"),
        (["--label", "jones-rehg-skin", "--prior", "0"], "got '0'; wanted NAME=VALUE"),
        (["--label", "jones-rehg-skin", "--prior", "0=much"], "got 'much'; wanted a number"),
        (
            ["--label", "jones-rehg-skin", "--prior", "0=1"],
            "priors are given for 0; wanted one for each of 0, 1, ",
        ),
        (["--label", "jones-rehg-skin", "--only", "0"], "--only goes with --posterior"),
        (["--density", "jones-rehg-skin", "--prior", "a=1"], "--prior with quantities of classes"),
        (["--posterior", "jones-rehg-skin", "--only", "16"], "only is '16'"),
        (["--density", "jones-rehg-skin", "--pack", "label=uint8"], "wanted one of the results density"),
        (["--density", "jones-rehg-skin", "--pack", "density=uint8"], "has no range; wanted two finite"),
        (["--density", "jones-rehg-skin", "--pack", "density=uint8:0"], "wanted DTYPE, DTYPE:LOW:HIGH"),
        (["--density", "jones-rehg-skin", "--pack", "density=uint8:0:1:lag"], "wanted DTYPE, DTYPE:LOW:HIGH"),
        (["--density", "jones-rehg-skin", "--pack", "density=uint8:0:one"], "got 'one'; wanted a number"),
        (["--density", "jones-rehg-skin", "--pack", "density=int4"], "dtype is 'int4'"),
        (["--label", "jones-rehg-skin", "--pack", "label=uint8"], "--pack label=uint8: "),
        (["--density", "jones-rehg-skin", "--mask", "none.png"], "none.png is not there"),
        (["--density", "jones-rehg-skin", "--mask", "alpha"], "photo.png has no alpha channel"),
        (["--density", "jones-rehg-skin", "--no-data", "nan"], "no_data is nan"),
        (
            ["--density", "jones-rehg-skin", "--memory-limit", "lots"],
            "memory_limit is 'lots'; wanted bytes, or",
        ),
        (["--density", "jones-rehg-skin", "--resume", "--overwrite"], "got both resume and overwrite"),
        (["--density", "jones-rehg-skin", "--on-error", "ignore"], "'ignore' is not one of 'raise', 'skip'"),
    ],
)
def test_options_that_are_refused(folder: Path, words: list[str], message: str) -> None:
    """A wrong option is told in a line, with status 2, and nothing is written."""
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(cli.main, ["run", "photo.png", "out.zarr", *words])
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_confidence_and_entropy(folder: Path, photo: NDArray[np.uint8]) -> None:
    """Every quantity has an option; those of classes share priors."""
    words = []
    for option in ("--confidence", "--entropy"):
        words += [option, f"skin={SKIN}", option, f"other={OTHER}"]
    words += [
        "--prior",
        "skin=1",
        "--prior",
        "other=3",
        "--pack",
        "confidence=uint8",
        "--pack",
        "entropy=uint8",
    ]
    result = CliRunner().invoke(cli.main, ["run", "photo.png", "out.zarr", *words])
    assert result.exit_code == 0, result.output
    classes = {"skin": load_model(SKIN), "other": load_model(OTHER)}
    results = open_result(folder / "out.zarr")
    for name, quantity in (
        ("confidence", Confidence(classes, [1, 3])),
        ("entropy", Entropy(classes, [1, 3])),
    ):
        assert np.abs(results[name] - evaluate(photo, quantity)).max() <= 0.5 / 254 * 1.001


def test_channels(folder: Path, photo: NDArray[np.uint8]) -> None:
    """Channels are chosen by names or numbers, and resume chooses the same ones."""
    gray = Mixture([1.0], [[100.0]], [[900.0]])
    gray.save(folder / "gray.json")
    runner = CliRunner()
    for channels in ("green", "1"):
        words = ["run", "photo.tif", f"{channels}.zarr", "--density", "gray.json", "--channels", channels]
        result = runner.invoke(cli.main, words)
        assert result.exit_code == 0, result.output
        wanted = compute_densities(photo[..., 1], gray, channel_axis=None)
        np.testing.assert_array_equal(open_result(folder / f"{channels}.zarr")["density"], wanted)
        (folder / f"{channels}.zarr/0/image/c/0/0/0").unlink()
        assert runner.invoke(cli.main, ["resume", f"{channels}.zarr"]).exit_code == 0
        np.testing.assert_array_equal(open_result(folder / f"{channels}.zarr")["density"], wanted)
    result = runner.invoke(cli.main, ["run", "photo.tif", "x.zarr", "--density", SKIN, "--channels", "nir"])
    assert result.exit_code == 2
    assert "nir" in result.stderr
