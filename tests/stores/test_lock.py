"""The lock of a store: the system's, or on mounts that have none a file that exists."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.stores.lock import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ERRORS = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL]
# A run that holds the lock of sys.argv[1] until it is killed; its file system can't lock files.
HOLDER = """
import fcntl, os, pathlib, sys, time, warnings
from pipeline.stores.lock import locked
def flock(descriptor, operation):
    raise OSError(37, os.strerror(37))
fcntl.flock = flock
warnings.simplefilter("ignore")
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""


def refuse_with(number: int) -> Callable[[object, int], NoReturn]:
    """Return a function flock of a file system that gives an error."""

    def flock(descriptor: object, operation: int) -> NoReturn:
        del descriptor, operation
        raise OSError(number, os.strerror(number))

    return flock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a store."""
    return tmp_path / "out.zarr"


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on a mount that has no locks."""
    monkeypatch.setattr(fcntl, "flock", refuse_with(errno.ENOLCK))


def left_by(path: Path) -> list[str]:
    """Return the names of the files beside a store."""
    return sorted(file.name for file in path.parent.iterdir())


def refused(path: Path, message: str) -> None:
    """Check that the lock can't be had now, and what is said."""
    with pytest.raises(BlockingIOError, match=message), locked(path):
        pass


def test_one_at_a_time(path: Path) -> None:
    """Whoever holds the lock keeps others off, says nothing, and leaves no file."""
    with locked(path):
        assert left_by(path) == [".out.zarr.lock"]
        refused(path, r"another run is writing .*out\.zarr. Wait")
    with locked(path):
        pass
    assert left_by(path) == []


def check_mark(path: Path) -> None:
    """Check that a mark is there and keeps others off."""
    assert left_by(path) == [".out.zarr.softlock"]
    refused(path, r"another run is writing .*\.out\.zarr\.softlock has the number of its process")


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_a_mount_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where the system can't lock a file, a warning says so, and a file that exists is the lock."""
    monkeypatch.setattr(fcntl, "flock", refuse_with(number))
    for _ in range(2):
        with pytest.warns(RuntimeWarning) as said, locked(path):
            check_mark(path)
        assert len(said) == 1
        assert str(said[0].message).startswith(
            f"the file system of {path.parent} can't lock files ({os.strerror(number)}), so the file "
        )
        assert left_by(path) == []


@pytest.mark.usefixtures("without_locks")
def test_an_error_frees_it(path: Path) -> None:
    """A run that fails leaves no lock."""
    with pytest.warns(RuntimeWarning), pytest.raises(KeyError), locked(path):
        raise KeyError
    assert left_by(path) == []


@pytest.fixture
def holder(path: Path) -> subprocess.Popen[str]:
    """Start another process that holds the lock on a mount without locks."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("has_locks", [False, True])
def test_a_process_that_was_killed(
    path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, has_locks: bool
) -> None:
    """Another process keeps this one off until it ends; the file that it leaves when killed doesn't."""
    if not has_locks:
        monkeypatch.setattr(fcntl, "flock", refuse_with(errno.ENOLCK))
    with holder:
        refused(path, "another run is writing")
        holder.kill()
    assert left_by(path) == [".out.zarr.softlock"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with locked(path):
            pass
    assert left_by(path) == []


@pytest.mark.usefixtures("without_locks")
def test_a_process_of_another_computer(path: Path) -> None:
    """What a process of another computer left can't be judged: the message says which file to remove."""
    mark = path.with_name(".out.zarr.softlock")
    mark.write_text("4711\nanother-computer\n")
    with (
        pytest.raises(BlockingIOError, match=r"or was killed: .*\.out\.zarr\.softlock has the .*remove"),
        locked(path),
    ):
        pass
    assert mark.read_text() == "4711\nanother-computer\n"
    mark.unlink()
    with pytest.warns(RuntimeWarning), locked(path):
        pass
    assert left_by(path) == []


@pytest.mark.usefixtures("without_locks")
def test_locks_that_are_out_of_reach_for_a_moment(path: Path) -> None:
    """A file that may be locked keeps others off even when its lock can't be asked for."""
    file = path.with_name(".out.zarr.lock")
    file.touch()
    with (
        pytest.raises(BlockingIOError, match=r"may be writing .*out\.zarr\.lock is there.*or remove"),
        locked(path),
    ):
        pass
    assert left_by(path) == [".out.zarr.lock"]


def test_other_errors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that isn't about locks says where nothing can be written."""
    path.touch()
    with (
        pytest.raises(OSError, match=r"can't write to .*out\.zarr: .*Choose another"),
        locked(path / "in.zarr"),
    ):
        pass
    monkeypatch.setattr(fcntl, "flock", refuse_with(errno.EIO))
    with pytest.raises(OSError, match=r"can't write to .*Input/output error. Choose another"), locked(path):
        pass


@pytest.mark.usefixtures("without_locks")
@pytest.mark.filterwarnings("ignore:the file system:RuntimeWarning")
def test_of_many_at_once_one_holds_it(path: Path) -> None:
    """On a mount without locks too, at most one is inside at any time."""
    inside, most, ended = 0, 0, []

    def attempt() -> None:
        nonlocal inside, most
        for _ in range(30):
            try:
                with locked(path):
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
            except BlockingIOError:
                ended.append("refused")
            else:
                ended.append("done")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(ended) == 120
    assert "done" in ended
    assert left_by(path) == []
