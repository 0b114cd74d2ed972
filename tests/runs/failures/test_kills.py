"""Runs that are interrupted or killed: nothing that was written is lost."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from runs.disturbed import (
    ASKED,
    QUANTITIES,
    SKIN,
    assert_same,
    at_block,
    missing_from,
    resume_with,
    shards_of,
    wait_for_shards,
)

from pipeline import (
    Density,
    LogDensity,
    Mixture,
    compute_densities,
    open_result,
    stream,
)
from pipeline.runs.receipt import read_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from forked import Server
    from numpy.typing import NDArray


@pytest.fixture
def duration(tmp_path: Path, small: Path, command: Server, monkeypatch: pytest.MonkeyPatch) -> float:
    """Give the seconds of a run that nothing disturbs, in the directory that the test works in."""
    monkeypatch.chdir(tmp_path)
    seconds = []
    # The first also reads what isn't in memory yet.
    for _ in range(2):
        started = time.perf_counter()
        done = command("run", os.fspath(small), "timed.zarr", *ASKED, "--block", "16", "--overwrite")
        assert done.returncode == 0, done.stderr
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def test_interruption_keeps_what_was_written(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Ctrl-C waits for the blocks at work, keeps all that are done and says how to go on."""
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt) as caught:
        stream(photo, Density(skin), store, block=64, progress=at_block(7, KeyboardInterrupt()))
    assert caught.value.__notes__ == [
        f"7 of 64 blocks are done. Go on with resume=True, or: mixture-pipeline resume {store}"
    ]
    missing = missing_from(store)
    assert len(missing) <= 57
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr.partial"]
    assert list(tmp_path.rglob("*.*.partial")) == [tmp_path / "out.zarr.partial"]
    assert read_receipt(store) is None
    receipt = stream(photo, Density(skin), store, block=64, progress="none", resume=True)
    assert receipt.kept_blocks == 64 - len(missing)
    np.testing.assert_array_equal(open_result(store)["density"], compute_densities(photo, skin))


def test_twenty_kills_at_random_moments(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, duration: float
) -> None:
    """Killed at any moment, then resumed, a run gives the same bytes, and keeps what it had written.

    Every other run replaces an older result, which is there until the new one is. Every third is killed once
    it has written something.
    """
    random = np.random.default_rng()
    kills = in_the_middle = 0
    while kills < 20:
        store = tmp_path / f"{kills}.zarr"
        if kills % 2:
            stream(np.zeros((4, 5, 3), np.uint8), LogDensity(SKIN), store, progress="none", overwrite=True)
        words = ("run", os.fspath(small), store.name, *ASKED, "--block", "16", "--overwrite")
        process = command.start(*words)
        if kills % 3:
            time.sleep(random.uniform(0, duration))
        else:
            wait_for_shards(process, store)
        process.end(signal.SIGKILL)
        if process.wait().returncode == 0:
            # It had ended by then.
            assert_same(store, undisturbed)
            shutil.rmtree(store)
            continue
        kills += 1
        if store.exists():
            # What is in its place is whole.
            assert verify_in_place(store)
        shards = shards_of(store)
        in_the_middle += 0 < len(shards) < 48
        try:
            resume_with(small, store)
        except ValueError as error:
            # It was killed before it began to replace the old one.
            assert kills % 2 == 0, error  # noqa: PT017  most kills raise nothing
            assert list(open_result(store)) == ["log-density"]
            stream(small, QUANTITIES, store, block=16, progress="none", overwrite=True)
        else:
            kept = shards_of(store)
            assert {name: kept[name] for name in shards} == shards
        assert_same(store, undisturbed)
    assert in_the_middle >= 5


def verify_in_place(store: Path) -> bool:
    """Tell whether all of a store in its place can be read, beside whatever is unfinished."""
    return all(np.asarray(result).size for result in open_result(store).values())


def test_kills_of_resumed_runs(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, duration: float
) -> None:
    """A run that is killed again and again as it is resumed by the command loses nothing that it had."""
    store = tmp_path / "out.zarr"
    words = ("run", os.fspath(small), "out.zarr", *ASKED, "--block", "16", "--resume")
    before: dict[str, tuple[bytes, int]] = {}
    for kill in range(6):
        process = command.start(*(("resume", "out.zarr") if before else words))
        time.sleep(duration * (0.3 + 0.05 * kill))
        process.end(signal.SIGKILL)
        process.wait()
        if not list(tmp_path.glob("out.zarr*")):
            continue
        now = shards_of(store)
        assert {name: now[name] for name in before} == before
        before = now
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert_same(store, undisturbed)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_process_ends_cleanly(
    tmp_path: Path,
    undisturbed: Path,
    small: Path,
    command: Server,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    status: int,
) -> None:
    """Ctrl-C ends the command with its status, a line that says how to go on, and no half-written file."""
    monkeypatch.chdir(tmp_path)
    process = command.start("run", os.fspath(small), "out.zarr", *ASKED, "--block", "16")
    wait_for_shards(process, tmp_path / "out.zarr")
    process.end(number)
    done = process.wait()
    assert done.returncode == status
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if number == signal.SIGINT:
        assert done.stderr.count("\n") == 1
        assert (
            "of 16 blocks are done. Go on with resume=True, or: mixture-pipeline resume out.zarr"
            in done.stderr
        )
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr.partial"]
    assert list(tmp_path.rglob("*.*.partial")) == [tmp_path / "out.zarr.partial"]
    assert 0 < len(missing_from(tmp_path / "out.zarr")) < 48
    done = command("resume", "out.zarr")
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "out.zarr", undisturbed)
