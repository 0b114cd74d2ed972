"""The command: one clear line for each mistake, a non-zero status, nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from pipeline import LogRatio, Mixture, cli, compute_densities, evaluate, load_model, open_result
from pipeline.run import read_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of images, good and bad."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.png", photo[..., ::-1])
    cv2.imwrite("photo.jpg", photo[..., ::-1])
    for kind in ("jpg", "png"):
        whole = (tmp_path / f"photo.{kind}").read_bytes()
        (tmp_path / f"truncated.{kind}").write_bytes(whole[: len(whole) // 2])
    tifffile.imwrite("photo.tif", photo, tile=(128, 128), compression="zlib", photometric="rgb")
    whole = (tmp_path / "photo.tif").read_bytes()
    (tmp_path / "truncated.tif").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    tifffile.imwrite("two.tif", photo[..., :2], planarconfig="contig", photometric="minisblack")
    (tmp_path / "other").mkdir()
    return tmp_path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, check=False
    )


def test_run_then_info(folder: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A run writes the densities; info describes the image and the store."""
    done = command("run", "photo.tif", "out.zarr", "--density", "jones-rehg-skin", "--block", "256")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.3 megapixels in" in done.stdout
    np.testing.assert_array_equal(open_result(folder / "out.zarr")["density"], compute_densities(photo, skin))
    lines = command("info", "out.zarr").stdout.splitlines()
    assert lines[0].startswith("store out.zarr: 0.3 megapixels")
    assert lines[1] == "density: 512 x 512, float32, shards of 256 x 256, chunks of 256 x 256"
    lines = command("info", "photo.tif").stdout.splitlines()
    assert lines[0] == "image photo.tif: 512 x 512 pixels (0.3 megapixels)"
    assert lines[1] == "pixels: 3 channels (red, green, blue), uint8, in tiles of 128 x 128"


def test_overwrite_and_a_model_from_a_file(folder: Path, photo: NDArray[np.uint8]) -> None:
    """A model may be a JSON file, and a result is replaced when told."""
    mixture = Mixture([1.0], [[100.0, 100.0, 100.0]], [[900.0, 900.0, 900.0]], ["red", "green", "blue"])
    mixture.save(folder / "grey.json")
    for model, extra in (("jones-rehg-skin", []), ("grey.json", ["--overwrite"])):
        assert command("run", "photo.png", "out.zarr", "--density", model, *extra).returncode == 0
    np.testing.assert_array_equal(
        open_result(folder / "out.zarr")["density"], compute_densities(photo, mixture)
    )


@pytest.mark.parametrize(
    ("image", "output", "words"),
    [
        ("none.png", "out.zarr", "none.png is not there"),
        ("other", "out.zarr", "other is a directory"),
        ("text.jpg", "out.zarr", "text.jpg isn't an image"),
        ("empty.png", "out.zarr", "empty.png is empty"),
        ("truncated.jpg", "out.zarr", "truncated.jpg is truncated"),
        ("truncated.png", "out.zarr", "truncated.png is truncated"),
        ("truncated.tif", "out.zarr", "truncated.tif"),
        ("two.tif", "out.zarr", "the image has 2 channels"),
        ("photo.png", "other", "other exists"),
        ("photo.png", "photo.png", "lie inside one another"),
    ],
)
def test_mistakes_get_one_line(folder: Path, image: str, output: str, words: str) -> None:
    """One line that says what is wrong, status 2, and no store left behind."""
    before = sorted(path.name for path in folder.rglob("*"))
    done = command("run", image, output, "--density", "jones-rehg-skin")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("Error: ")
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_an_existing_result_is_refused(folder: Path) -> None:
    """Without --overwrite a result stays as it is."""
    assert command("run", "photo.png", "out.zarr", "--density", "jones-rehg-skin").returncode == 0
    files = {path: path.stat().st_mtime_ns for path in (folder / "out.zarr").rglob("*")}
    done = command("run", "photo.png", "out.zarr", "--density", "jones-rehg-nonskin")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "out.zarr exists" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "out.zarr").rglob("*")} == files


def test_a_block_that_fails_is_named(folder: Path, photo: NDArray[np.uint8]) -> None:
    """Damage that only reading finds is one line too, with the block, and leaves nothing."""
    content = bytearray((folder / "photo.tif").read_bytes())
    with tifffile.TiffFile(folder / "photo.tif") as file:
        offset = file.pages[0].dataoffsets[5]  # type: ignore[union-attr]
    content[offset : offset + 200] = bytes(200)
    (folder / "damaged.tif").write_bytes(content)
    done = command("run", "damaged.tif", "out.zarr", "--density", "jones-rehg-skin")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "block (0, 0)" in done.stderr
    assert "damaged.tif: tile or strip 5 can't be decoded" in done.stderr
    assert not (folder / "out.zarr").exists()
    del photo


def test_other_mistakes(folder: Path) -> None:
    """An unknown model, a foreign directory and a missing option are told apart."""
    del folder
    runner = CliRunner()
    result = runner.invoke(cli.main, ["run", "photo.png", "out.zarr", "--density", "skin"])
    assert result.exit_code == 2
    assert "no model 'skin'" in result.stderr
    result = runner.invoke(cli.main, ["info", "other"])
    assert result.exit_code == 2
    assert "isn't a result of mixture-pipeline" in result.stderr
    result = runner.invoke(cli.main, ["run", "photo.png", "out.zarr"])
    assert result.exit_code == 2
    assert "give --density, --log-density or --log-ratio" in result.stderr


def test_models_are_listed() -> None:
    """Each shipped model is a line with its source."""
    lines = CliRunner().invoke(cli.main, ["models"]).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["jones-rehg-nonskin", "jones-rehg-skin"]
    assert all("16 kernels over red, green, blue" in line and "2002" in line for line in lines)


def test_version_and_help() -> None:
    """The version is the distribution's, and help lists every command."""
    runner = CliRunner()
    assert runner.invoke(cli.main, ["--version"]).stdout.startswith("mixture-pipeline, version ")
    for name in ("run", "models", "info", "demo"):
        assert name in runner.invoke(cli.main, ["-h"]).stdout


def test_several_quantities_in_one_pass(folder: Path, photo: NDArray[np.uint8]) -> None:
    """Density, its logarithm and a log-ratio are stored beside each other under their names."""
    skin, other = "jones-rehg-skin", "jones-rehg-nonskin"
    done = command(
        "run", "photo.tif", "out.zarr", "--density", skin, "--log-density", skin, "--log-ratio", skin, other
    )
    assert (done.returncode, done.stderr) == (0, "")
    results = open_result(folder / "out.zarr")
    assert list(results) == ["density", "log-density", "log-ratio"]
    wanted = evaluate(photo, LogRatio(load_model(skin), load_model(other)))
    np.testing.assert_array_equal(results["log-ratio"], wanted)
    np.testing.assert_allclose(np.exp(results["log-density"]), results["density"], rtol=1e-4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_run_leaves_the_old_result(folder: Path, number: signal.Signals) -> None:
    """Interrupted or terminated in the middle, a run removes its own and leaves what was there."""
    assert command("run", "photo.png", "out.zarr", "--density", "jones-rehg-skin").returncode == 0
    before = sorted(path.name for path in folder.iterdir())
    words = [sys.executable, "-m", "pipeline", "run", "photo.tif", "out.zarr", "--overwrite", "--block", "16"]
    with subprocess.Popen([*words, "--density", "jones-rehg-nonskin"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(folder.glob("out.zarr.*.partial/density/0/c")):
            time.sleep(0.01)
        process.send_signal(number)
    assert process.returncode not in {0, 2}
    assert sorted(path.name for path in folder.iterdir()) == before
    receipt = read_receipt(folder / "out.zarr")
    assert receipt
    assert receipt.blocks == 1
