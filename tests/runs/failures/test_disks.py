"""Disks that are full, and files that can't grow."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from runs.disturbed import (
    ASKED,
    SKIN,
    assert_same,
    resume_with,
    shards_of,
)

from pipeline import (
    Density,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forked import Server


@pytest.mark.parametrize("largest", [1000, 15_000, 20_000])
def test_files_that_cant_grow(
    tmp_path: Path, command: Server, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """Where a file can't be written, at first or in the middle, a line says so, and the run goes on later."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    image[:128] = 0
    tifffile.imwrite("image.tif", image, photometric="rgb")
    stream("image.tif", Density(SKIN), "wanted.zarr", block=128, progress="none")
    words = ("run", "image.tif", "out.zarr", "--density", "jones-rehg-skin", "--block", "128")
    done = command(*words, largest_file=largest)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "File too large" in done.stderr
    assert not Path("out.zarr").exists()
    shards = shards_of(tmp_path / "out.zarr") if Path("out.zarr.partial").exists() else {}
    assert len(shards) == {1000: 0, 15_000: 2, 20_000: 2}[largest]
    assert list(tmp_path.rglob("*.*.partial")) == ([tmp_path / "out.zarr.partial"] if shards else [])
    assert ("block (1, " in done.stderr) == bool(shards)
    done = command(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{len(shards)} of them kept" in done.stdout or not shards
    assert_same(tmp_path / "out.zarr", tmp_path / "wanted.zarr")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk in memory, where that is permitted, and give a function that changes its size."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    words = [mount or "mount", "-t", "tmpfs", "tmpfs", os.fspath(place), "-o"]

    def resize(size: str) -> Path:
        subprocess.run([*words, f"remount,size={size}"], check=True)
        return place

    done = mount and subprocess.run([*words, "size=1m"], capture_output=True, check=False).returncode == 0
    if not done:
        pytest.skip("mounting a disk in memory isn't permitted here")
    yield resize
    subprocess.run([shutil.which("umount") or "umount", os.fspath(place)], check=True)


@pytest.mark.parametrize("size", ["4k", "36k", "280k", "360k"])
def test_a_full_disk(
    disk: Callable[[str], Path], small: Path, undisturbed: Path, command: Server, size: str
) -> None:
    """A run that fills the disk says so in a line, and goes on where it was once there is room."""
    store = disk(size) / "out.zarr"
    done = command("run", os.fspath(small), os.fspath(store), *ASKED, "--block", "16")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert not store.exists()
    partial = store.with_name("out.zarr.partial")
    assert list(disk(size).rglob("*.*.partial")) == ([partial] if partial.exists() else [])
    shards = shards_of(store) if partial.exists() else {}
    assert bool(shards) == (size in {"280k", "360k"})
    disk("10m")
    if shards:
        assert "block (" in done.stderr
        resumed = command("resume", os.fspath(store))
        assert resumed.returncode == 0, resumed.stderr
    else:
        resume_with(small, store)
    after = shards_of(store)
    assert {name: after[name] for name in shards} == shards
    assert_same(store, undisturbed)
