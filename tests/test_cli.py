"""The command: one clear line for each mistake, a non-zero status, nothing half-written."""

from __future__ import annotations

import errno
import fcntl
import logging
import signal
import time
import warnings
from typing import TYPE_CHECKING

import cv2
import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner
from images.examples import box, feature, write_geojson

from pipeline import (
    Density,
    LogRatio,
    Mixture,
    cli,
    compute_densities,
    evaluate,
    load_model,
    open_result,
    stream,
)

if TYPE_CHECKING:
    from pathlib import Path

    from forked import Server
    from numpy.typing import NDArray


SKIN, OTHER = "jones-rehg-skin", "jones-rehg-nonskin"


def test_run_then_info(folder: Path, command: Server, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A run writes the densities; info describes the image and the store."""
    done = command("run", "photo.tif", "out.zarr", "--density", "jones-rehg-skin", "--block", "256")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.3 megapixels in" in done.stdout
    np.testing.assert_array_equal(open_result(folder / "out.zarr")["density"], compute_densities(photo, skin))
    lines = command("info", "out.zarr").stdout.splitlines()
    assert lines[0].startswith("store out.zarr: 0.3 megapixels")
    assert lines[1] == "density: 512 x 512, float32, 2 levels, shards of 256 x 256, chunks of 256 x 256"
    lines = command("info", "photo.tif").stdout.splitlines()
    assert lines[0] == "image photo.tif: 512 x 512 pixels (0.3 megapixels)"
    assert lines[1:4] == [
        "pixels: 3 channels (red, green, blue), uint8",
        "validity: all pixels have data",
        "read: in tiles of 128 x 128",
    ]


def test_overwrite_and_a_model_from_a_file(folder: Path, command: Server, photo: NDArray[np.uint8]) -> None:
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
def test_mistakes_get_one_line(folder: Path, command: Server, image: str, output: str, words: str) -> None:
    """One line that says what is wrong, status 2, and no store left behind."""
    before = sorted(path.name for path in folder.rglob("*"))
    done = command("run", image, output, "--density", "jones-rehg-skin")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("Error: ")
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_an_existing_result_is_refused(folder: Path, command: Server) -> None:
    """Without --overwrite a result stays as it is."""
    assert command("run", "photo.png", "out.zarr", "--density", "jones-rehg-skin").returncode == 0
    files = {path: path.stat().st_mtime_ns for path in (folder / "out.zarr").rglob("*")}
    done = command("run", "photo.png", "out.zarr", "--density", "jones-rehg-nonskin")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "out.zarr exists" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "out.zarr").rglob("*")} == files


@pytest.fixture
def damaged(folder: Path) -> Path:
    """Give a TIFF whose sixth tile can't be decoded."""
    content = bytearray((folder / "photo.tif").read_bytes())
    with tifffile.TiffFile(folder / "photo.tif") as file:
        offset = file.pages[0].dataoffsets[5]  # type: ignore[union-attr]
    content[offset : offset + 200] = bytes(200)
    (folder / "damaged.tif").write_bytes(content)
    return folder / "damaged.tif"


def test_a_block_that_fails_is_named(folder: Path, command: Server, damaged: Path) -> None:
    """Damage that only reading finds is a line with the block, and how to go on if anything was done."""
    done = command("run", damaged.name, "out.zarr", "--density", SKIN)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "block (0, 0), rows 0 to 512, columns 0 to 512: " in done.stderr
    assert "damaged.tif: tile or strip 5 can't be decoded" in done.stderr
    assert "Go on" not in done.stderr
    assert not list(folder.glob("out.zarr*"))
    done = command("run", damaged.name, "out.zarr", "--density", SKIN, "--block", "128")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "block (1, 1), rows 128 to 256, columns 128 to 256: " in done.stderr
    assert "Go on with resume=True, or: mixture-pipeline resume out.zarr" in done.stderr
    assert [path.name for path in folder.glob("out.zarr*")] == ["out.zarr.partial"]


def test_other_mistakes(folder: Path) -> None:
    """An unknown model, a foreign directory and a missing option are told apart."""
    del folder
    runner = CliRunner()
    result = runner.invoke(cli.main, ["run", "photo.png", "out.zarr", "--density", "skin"])
    assert result.exit_code == 2
    assert "no model 'skin'" in result.stderr
    result = runner.invoke(cli.main, ["info", "other"])
    assert result.exit_code == 2
    assert "other is a directory, but not a Zarr array's" in result.stderr
    result = runner.invoke(cli.main, ["run", "photo.png", "out.zarr"])
    assert result.exit_code == 2
    assert "nothing to compute: give --density, --log-density" in result.stderr


def test_models_are_listed() -> None:
    """Each shipped model is a line with its source."""
    lines = CliRunner().invoke(cli.main, ["models"]).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["jones-rehg-nonskin", "jones-rehg-skin"]
    assert all("16 kernels over red, green, blue" in line and "2002" in line for line in lines)


def test_version_and_help() -> None:
    """The version is the distribution's, and help lists every command."""
    runner = CliRunner()
    assert runner.invoke(cli.main, ["--version"]).stdout.startswith("mixture-pipeline, version ")
    for name in ("run", "plan", "resume", "verify", "models", "info", "demo"):
        assert name in runner.invoke(cli.main, ["-h"]).stdout


def test_several_quantities_in_one_pass(folder: Path, command: Server, photo: NDArray[np.uint8]) -> None:
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
def test_an_ended_run_leaves_the_old_result(folder: Path, command: Server, number: signal.Signals) -> None:
    """Interrupted or terminated in the middle, a run keeps what it wrote, and leaves what was there."""
    assert command("run", "photo.png", "out.zarr", "--density", SKIN).returncode == 0
    words = ["run", "photo.tif", "out.zarr", "--overwrite", "--block", "32", "--density", OTHER]
    process = command.start(*words)
    while not process.has_ended() and not list(folder.glob("out.zarr.partial/0/image/c/0/*/*")):
        time.sleep(0.01)
    process.end(number)
    done = process.wait()
    assert done.returncode == 128 + number
    if number == signal.SIGINT:
        assert done.stderr.count("\n") == 1
        assert "Go on with resume=True, or: mixture-pipeline resume out.zarr" in done.stderr
    np.testing.assert_array_equal(open_result("out.zarr")["density"], densities(folder, SKIN))
    lines = command("info", "out.zarr").stdout.splitlines()
    assert lines[0].startswith("store out.zarr: 0.3 megapixels in")
    assert lines[2].startswith("result")
    assert lines[4:] == ["beside it: an unfinished run. Go on with: mixture-pipeline resume out.zarr"]
    done = command("resume", "out.zarr")
    assert (done.returncode, done.stderr) == (0, "")
    assert " of them kept" in done.stdout
    np.testing.assert_array_equal(open_result("out.zarr")["density"], densities(folder, OTHER))


def densities(folder: Path, model: str) -> NDArray[np.float32]:
    """Compute a model's densities of the photo."""
    photo: NDArray[np.float32] = compute_densities(tifffile.imread(folder / "photo.tif"), load_model(model))
    return photo


def test_a_plan_writes_nothing(folder: Path, command: Server) -> None:
    """A plan says what a run would do, line by line, and leaves no file."""
    before = sorted(folder.rglob("*"))
    done = command("plan", "photo.tif", "out.zarr", "--density", SKIN, "--label", SKIN, "--block", "256")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines["store"] == "out.zarr"
    assert lines["image"] == "512 x 512 pixels (0.3 megapixels)"
    assert lines["blocks"] == "4 of 256 x 256, in chunks of 256 x 256"
    assert set(lines) >= {"engine of density", "engine of label", "threads", "peak memory", "output", "time"}
    assert sorted(folder.rglob("*")) == before


def test_a_plan_that_cant_fit(folder: Path, command: Server) -> None:
    """Where a run can't fit the plan is printed, then a line that says what would; status 2."""
    words = ("photo.tif", "out.zarr", "--density", SKIN, "--memory-limit", "10MiB")
    done = command("plan", *words)
    assert done.returncode == 2
    assert "peak memory: " in done.stdout
    assert done.stderr.count("\n") == 1
    assert "may use 10.00 MiB. The run takes at least" in done.stderr
    run = command("run", *words)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", done.stderr)
    assert not (folder / "out.zarr").exists()


def test_verify_then_resume(folder: Path, command: Server) -> None:
    """Verify names what is missing or damaged with status 1; resume mends it; then the status is 0."""
    asked = ("--density", SKIN, "--posterior", f"a={SKIN}", "--posterior", f"b={OTHER}")
    assert command("run", "photo.tif", "out.zarr", *asked, "--block", "256").returncode == 0
    done = command("verify", "out.zarr")
    assert (done.returncode, done.stdout) == (0, "out.zarr: 8 shards, all intact\n")
    whole = {path: path.read_bytes() for path in (folder / "out.zarr").glob("**/c/**/*") if path.is_file()}
    (folder / "out.zarr/0/image/c/0/1/0").unlink()
    shard = folder / "out.zarr/0/image/c/0/0/1"
    shard.write_bytes(whole[shard][:100] + b"?" + whole[shard][101:])
    done = command("verify", "out.zarr")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "damaged: density, posterior, level 0, block (0, 1)",
        "missing: density, posterior, level 0, block (1, 0)",
        "out.zarr: 8 shards, 1 missing, 1 damaged",
    ]
    done = command("resume", "out.zarr")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 blocks, 2 of them kept" in done.stdout
    assert {path: path.read_bytes() for path in whole} == whole
    assert command("verify", "out.zarr").returncode == 0


def test_masks(folder: Path, photo: NDArray[np.uint8]) -> None:
    """A mask's file, the image's alpha and a value each say where there are no data."""
    mask = np.zeros((512, 512), np.uint8)
    mask[100:200, 50:300] = 1
    cv2.imwrite("mask.png", mask)
    cv2.imwrite("alpha.png", np.dstack([photo[..., ::-1], mask]))
    black = (photo != 0).any(axis=-1)
    runner = CliRunner()
    write_geojson(folder / "mask.geojson", feature(box(50, 100, 300, 200)))
    cases = [("photo.png", ["--mask", "mask.png"], mask), ("alpha.png", ["--mask", "alpha"], mask)]
    cases.append(("photo.png", ["--mask", "mask.geojson"], mask))
    for image, words, valid in [*cases, ("photo.png", ["--no-data", "0"], black)]:
        store = f"{image}-{words[1]}.zarr"
        result = runner.invoke(cli.main, ["run", image, store, "--density", SKIN, *words])
        assert result.exit_code == 0, result.output
        wanted = evaluate(photo, Density(load_model(SKIN)), mask=valid)
        np.testing.assert_array_equal(open_result(folder / store)["density"], wanted)


def test_failing_blocks_may_be_skipped(folder: Path, damaged: Path) -> None:
    """With --on-error skip a run goes on, says what it skipped and ends with 1; verify tells it too."""
    runner = CliRunner()
    words = ["run", damaged.name, "out.zarr", "--density", SKIN, "--block", "128"]
    result = runner.invoke(cli.main, [*words, "--on-error", "skip"])
    assert result.exit_code == 1, result.output
    skipped, receipt, *summary = result.stdout.splitlines()
    assert skipped.startswith("skipped: rows 128 to 256, columns 128 to 256: ")
    assert "16 blocks, 1 of them skipped" in receipt
    # The pixels of the block have no data.
    assert summary[1].split()[:3] == ["density", str(512**2 - 128**2), str(128**2)]
    assert "missing: density, level 0, block (1, 1)" in runner.invoke(cli.main, ["verify", "out.zarr"]).stdout
    result = runner.invoke(cli.main, ["resume", "out.zarr"])
    assert result.exit_code == 2
    assert "block (1, 1), rows 128 to 256, columns 128 to 256: " in result.stderr
    result = runner.invoke(cli.main, ["resume", "out.zarr", "--on-error", "skip", "--memory-limit", "8GiB"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == skipped
    result = runner.invoke(cli.main, ["run", "photo.tif", "whole.zarr", *words[3:], "--on-error", "skip"])
    assert (result.exit_code, result.stdout.count("\n")) == (0, 3)
    del folder


@pytest.mark.parametrize("name", ["resume", "verify"])
def test_what_is_no_store(folder: Path, name: str) -> None:
    """Each command that reads a store tells nothing from something foreign."""
    del folder
    runner = CliRunner()
    for store, message in (("none.zarr", "none.zarr"), ("other", "isn't a result of mixture-pipeline")):
        result = runner.invoke(cli.main, [name, store])
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_resume_is_for_the_same_run(folder: Path) -> None:
    """A run with --resume starts where there is nothing, and refuses another model."""
    runner = CliRunner()
    for model, status in ((SKIN, 0), (SKIN, 0), (OTHER, 2)):
        words = ["run", "photo.png", "out.zarr", "--density", model, "--resume"]
        result = runner.invoke(cli.main, words)
        assert result.exit_code == status, result.output
    assert "out.zarr can't be resumed: its outputs density quantity mixture weights was" in result.stderr
    cv2.imwrite("photo.png", np.zeros((512, 512, 3), np.uint8))
    result = runner.invoke(cli.main, ["resume", "out.zarr"])
    assert result.exit_code == 2
    assert "its image was another one" in result.stderr
    del folder


def test_an_image_in_memory_cant_be_resumed_here(folder: Path, photo: NDArray[np.uint8]) -> None:
    """A store whose image was an array says how to resume it."""
    stream(photo, Density(load_model(SKIN)), folder / "out.zarr", block=256, progress="none")
    result = CliRunner().invoke(cli.main, ["resume", "out.zarr"])
    assert result.exit_code == 2
    assert "the image of the run was an array in memory. Pass it" in result.stderr


def test_kinds_of_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user can mend has status 2, the rest 1, an interruption 130, each in a line with its notes."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "verify_store", fail)
    for error, status in (
        (ValueError("two\n lines"), 2),
        (OSError(28, "No space left on device"), 2),
        (BlockingIOError("another run"), 2),
        (RuntimeError("broken"), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
    ):
        error.add_note("Go on.")
        result = CliRunner().invoke(cli.main, ["verify", "out.zarr"])
        assert result.exit_code == status
        name = "interrupted" if status == 128 + signal.SIGINT else type(error).__name__
        words = " ".join((str(error) or name).split())
        assert result.stderr == f"Error: {words}. Go on.\n"


def test_without_a_terminal_progress_goes_by_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log, lines with a time say how far a run is."""
    monkeypatch.setattr("pipeline.runs.progress._EVERY", 0.0)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    words = ["run", "photo.png", "out.zarr", "--density", SKIN, "--block", "256"]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert all("megapixels a second" in line for line in lines)
    assert "100.0%: block 4 of 4, " in lines[-1]
    del folder


def test_info_describes_what_run_accepts(folder: Path, photo: NDArray[np.uint8]) -> None:
    """A Zarr array's directory is an image, and a gray file has one channel."""
    zarr.create_array(folder / "array.zarr", data=photo, chunks=(100, 200, 3))
    cv2.imwrite("gray.png", photo[..., 0])
    runner = CliRunner()
    lines = runner.invoke(cli.main, ["info", "array.zarr"]).stdout.splitlines()
    assert lines[0] == "image array.zarr: 512 x 512 pixels (0.3 megapixels)"
    assert lines[1] == "pixels: 3 channels, uint8"
    lines = runner.invoke(cli.main, ["info", "gray.png"]).stdout.splitlines()
    assert lines[1] == "pixels: 1 channel (gray), uint8"
    run = ["run", "array.zarr", "out.zarr", "--density", SKIN, "--channels", "0,1,2"]
    assert runner.invoke(cli.main, run).exit_code == 0


def test_an_image_behind_a_url(folder: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A URL is described and read as a path is."""
    system = fsspec.filesystem("memory")
    system.pipe_file("/photo.tif", (folder / "photo.tif").read_bytes())
    runner = CliRunner()
    lines = runner.invoke(cli.main, ["info", "memory://photo.tif"]).stdout.splitlines()
    assert lines[0] == "image memory://photo.tif: 512 x 512 pixels (0.3 megapixels)"
    done = runner.invoke(cli.main, ["run", "memory://photo.tif", "remote.zarr", "--density", SKIN])
    assert done.exit_code == 0
    found = open_result(folder / "remote.zarr")["density"]
    np.testing.assert_array_equal(found, compute_densities(photo, skin))
    system.rm("/photo.tif")


def test_help_texts_are_whole() -> None:
    """No summary is cut, and every command has an example."""
    runner = CliRunner()
    text = runner.invoke(cli.main, ["--help"]).stdout
    assert "..." not in text.replace("COMMAND [ARGS]...", "")
    for name in cli.main.commands:
        lines = runner.invoke(cli.main, [name, "--help"]).stdout.splitlines()
        # Each example stands on a line of its own.
        assert any(line.startswith(f"    mixture-pipeline {name}") for line in lines), name
        assert not any("\\b" in line for line in lines)


def test_an_output_named_as_an_image(folder: Path) -> None:
    """An output that looks like an image's name is refused before anything is made."""
    result = CliRunner().invoke(cli.main, ["run", "photo.png", "out.tif", "--density", SKIN])
    assert result.exit_code == 2
    assert ".zarr" in result.stderr
    assert not list(folder.glob("out*"))


def test_nothing_left_to_do(folder: Path) -> None:
    """Resuming a whole store says so."""
    runner = CliRunner()
    runner.invoke(cli.main, ["run", "photo.png", "out.zarr", "--density", SKIN])
    result = runner.invoke(cli.main, ["resume", "out.zarr"])
    assert "nothing was left to do" in result.stdout
    del folder


def test_a_warning_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a mount that can't lock files a run says so in a line, and writes its store."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = CliRunner().invoke(cli.main, ["run", "photo.tif", "out.zarr", "--density", SKIN])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(
        f"Warning: the file system of {folder} can't lock files (No locks available)"
    )
    np.testing.assert_array_equal(open_result("out.zarr")["density"], densities(folder, SKIN))
