"""Power cuts at every point of a run: whatever survives, no wrong result is taken for a right one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import zarr
from runs.kinds import IMAGE, KINDS, REPLACING
from runs.power_cuts import cut_power
from runs.recorder import Recorder, everything, halves, names, nothing

from pipeline.stores import disk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("unflushed")
@pytest.mark.parametrize(
    ("kind", "exchanges"),
    [*((kind, "exchange") for kind in KINDS), ("overwrite", "two renames")],
    indirect=["exchanges"],
)
def test_power_cuts(tmp_path: Path, wanted: Path, old: Path, kind: str, exchanges: bool) -> None:
    """After a power cut at any point, what is complete is right, no old result is lost, and a run goes on."""
    tried = cut_power(tmp_path / "run", kind, wanted, old, mixtures=1, step=8)
    assert tried.points > 10
    if kind in REPLACING and exchanges:
        assert all("out.zarr" in tree for tree in tried.trees)


def test_what_passes_the_recorder_by_is_noticed(tmp_path: Path) -> None:
    """A file that zarr writes, in a thread of its own, isn't overlooked."""
    with Recorder(tmp_path, everything) as recorder:
        zarr.create_array(tmp_path / "array.zarr", data=IMAGE)
        (tmp_path / "note").write_text("by the way")
    assert {event for event, _ in recorder.missed} >= {"open"}
    assert any("c/0" in path for _, path in recorder.missed)


@pytest.mark.parametrize("call", ["sync_tree", "sync_directory"])
@pytest.mark.usefixtures("unflushed")
def test_a_flush_that_is_forgotten_is_noticed(
    tmp_path: Path, wanted: Path, old: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Without one of its flushes, a run is caught at saying that it is complete while shards may be lost."""
    monkeypatch.setattr(disk, call, lambda _: None)
    with pytest.raises((AssertionError, FileNotFoundError, FileExistsError)):
        cut_power(tmp_path / "run", "fresh", wanted, old, mixtures=6, step=2)


def test_what_a_power_cut_leaves(tmp_path: Path) -> None:
    """A file's content and its name survive once both were flushed, and either may be lost before."""
    (tmp_path / "before").write_bytes(b"1")
    with Recorder(tmp_path, everything, nothing, names, halves) as recorder:
        (tmp_path / "a").mkdir()
        file = os.open(tmp_path / "a" / "file", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"12")
        os.write(file, b"34")
        os.fsync(file)
        os.close(file)
        disk.sync_tree(tmp_path)
        (tmp_path / "before").unlink()
    assert recorder.missed == []
    assert recorder.trees == [
        {"before": b"1"},
        {"before": b"1", "a": None},
        {"before": b"1", "a": None, "a/file": b""},
        {"before": b"1", "a": None, "a/file": b"12"},
        {"before": b"1", "a": None, "a/file": b"1"},
        {"before": b"1", "a": None, "a/file": b"1234"},
        {"a": None, "a/file": b"1234"},
    ]
