"""A scratch is made once, read by all threads and processes, and removed with the last of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import dask
import pytest

from pipeline.images.scratch import leave_scratches, share_scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# It makes the scratch "one" in the directory sys.argv[1], or finds it made, and waits for a line.
READER = """
import sys, dask
from pipeline.images.scratch import share_scratch
dask.config.set({"temporary-directory": sys.argv[1]})
made = []
def make(folder):
    made.append(folder)
    (folder / "content").write_text("another's")
place = share_scratch("one", 10, make)
print(len(made), (place / "content").read_text(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give the folder of scratches."""
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        yield tmp_path / f"mixture-pipeline-{os.getuid()}"
        leave_scratches()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Give a function that starts a process which reads the scratch "one"."""
    started = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", READER, str(tmp_path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate()


def make(folder: Path) -> None:
    """Fill a scratch."""
    (folder / "content").write_text("ours", encoding="utf-8")


def content(place: Path) -> str:
    """Return what a scratch holds."""
    return (place / "content").read_text(encoding="utf-8")


def test_it_is_made_once_and_removed(folder: Path) -> None:
    """Threads that ask at once get the same directory, which is there until the process leaves it."""
    made: list[Path] = []

    def make_slowly(part: Path) -> None:
        made.append(part)
        time.sleep(0.2)
        make(part)

    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(share_scratch("one", 10, make_slowly))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == [folder / "one"] * 4
    assert content(found[0]) == "ours"
    assert folder.stat().st_mode & 0o777 == 0o700
    leave_scratches()
    assert not list(folder.iterdir())


def test_processes_share_it(folder: Path, reader: Callable[[], subprocess.Popen[str]]) -> None:
    """Another process finds it made, and keeps it when its maker leaves it."""
    share_scratch("one", 10, make)
    other = reader()
    assert other.stdout
    assert other.stdout.readline() == "0 ours\n"
    leave_scratches()
    assert content(folder / "one") == "ours"
    other.communicate("\n")
    assert not list(folder.iterdir())


def test_what_a_killed_process_left_is_removed(
    folder: Path, reader: Callable[[], subprocess.Popen[str]]
) -> None:
    """It isn't trusted by a process that wants the same, and one that wants another removes it."""
    for name in ("one", "two"):
        killed = reader()
        assert killed.stdout
        assert killed.stdout.readline() == "1 another's\n"
        killed.kill()
        killed.wait()
        assert content(folder / "one") == "another's"
        assert content(share_scratch(name, 10, make)) == "ours"
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [name]
        leave_scratches()


def test_a_failure_leaves_nothing(folder: Path) -> None:
    """What was made of a scratch is removed, and the next one who wants it makes it."""

    def fail(part: Path) -> NoReturn:
        make(part)
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        share_scratch("one", 10, fail)
    leave_scratches()
    assert not list(folder.iterdir())
    assert content(share_scratch("one", 10, make)) == "ours"


def test_room_is_needed(folder: Path) -> None:
    """A scratch that doesn't fit on the disk isn't begun, and the message says what to do."""
    free = shutil.disk_usage(folder.parent).free
    with pytest.raises(OSError, match=r"GiB free, and .* takes up to .* Set DASK_TEMPORARY_DIRECTORY"):
        share_scratch("one", 2 * free, make)
    assert not list(folder.iterdir())


def test_the_folder_is_this_users(folder: Path, tmp_path: Path) -> None:
    """A link isn't followed, since somebody else may have made it; a file is in the way."""
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="another user's"):
        share_scratch("one", 10, make)
    folder.unlink()
    folder.write_bytes(b"")
    with pytest.raises(OSError, match=r"can't make .* for scratch copies"):
        share_scratch("one", 10, make)
    folder.unlink()
