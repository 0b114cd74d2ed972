"""Two runs that write to the same store."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from runs.disturbed import (
    ASKED,
    QUANTITIES,
    assert_same,
    wait_for_shards,
)

from pipeline import (
    stream,
    verify,
)

if TYPE_CHECKING:
    from pathlib import Path

    from forked import Server


def test_two_runs_at_once(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process writes a store, every other run on it is refused, and harms nothing."""
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "out.zarr"
    process = command.start("run", os.fspath(small), "out.zarr", *ASKED, "--block", "16")
    wait_for_shards(process, tmp_path / "out.zarr")
    process.end(signal.SIGSTOP)
    try:
        for options, error, message in (
            ({}, FileExistsError, "was interrupted, or that is still at work"),
            ({"resume": True}, BlockingIOError, "another run is writing"),
            ({"overwrite": True}, BlockingIOError, "another run is writing"),
        ):
            with pytest.raises(error, match=message):
                stream(small, QUANTITIES, store, block=16, progress="none", **options)
        assert not verify(store, progress="none").complete
    finally:
        process.end(signal.SIGCONT)
    done = process.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(store, undisturbed)
