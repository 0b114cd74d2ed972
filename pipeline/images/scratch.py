"""Scratch directories: one process makes what all processes of this user on this machine read.

They lie in a folder of Dask's ``temporary-directory`` if that is set, else of the system's. A process that
reads one holds the system's lock of a file beside it until it ends, and the lock ends even if the process is
killed. The last process that reads a scratch removes it. Whoever makes another one removes those whose
processes were all killed.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
from contextlib import contextmanager, suppress
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import dask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

ELSEWHERE = "Set DASK_TEMPORARY_DIRECTORY to a directory on another disk"
_LOCK, _USE, _PART = ".lock", ".use", ".part"
_PRIVATE = 0o700


class _Joined:
    """The scratches that this process reads, each with the lock that keeps it."""

    def __init__(self) -> None:
        self.uses: dict[tuple[int, str], tuple[Path, BaseFileLock]] = {}
        # One scratch is made at a time; other threads wait.
        self.lock = threading.Lock()


_JOINED = _Joined()


def share_scratch(name: str, n_bytes: int, make: Callable[[Path], None]) -> Path:
    """Return a scratch directory, which is made unless a process of this machine has it already.

    Other threads and processes that want it wait until it is made. It stays until this process ends.

    Parameters
    ----------
    name : str
        Letters and digits, which are equal for the same content.
    n_bytes : int
        The bytes that it takes on the disk at most.
    make : callable
        It gets the path of an empty directory, which it fills.

    Returns
    -------
    Path
        The directory. Nothing may be written to it.

    Raises
    ------
    OSError
        If the disk has too little room, or can't be written to.
    """
    # A forked process has none of its parent's locks.
    key = (os.getpid(), name)
    if key not in _JOINED.uses:
        with _JOINED.lock:
            if key not in _JOINED.uses:
                _JOINED.uses[key] = _join(name, n_bytes, make)
                # The processes of multiprocessing don't call what atexit knows; all call finalizers.
                Finalize(None, leave_scratches, exitpriority=0)
    return _JOINED.uses[key][0]


def leave_scratches() -> None:
    """Remove the scratches of this process that no other process reads."""
    with _JOINED.lock:
        for key, (place, use) in list(_JOINED.uses.items()):
            del _JOINED.uses[key]
            if key[0] == os.getpid():
                _leave(place, use)


def _join(name: str, n_bytes: int, make: Callable[[Path], None]) -> tuple[Path, BaseFileLock]:
    """Return the directory and the lock that keeps it, once the directory is made."""
    folder = _make_folder()
    _remove_dead(folder)
    place = folder / name
    with _locked(place):
        # What killed processes left may be damaged, if the machine went down with them.
        if not _is_used(place):
            _remove(place)
        if not place.exists():
            _make(place, n_bytes, make)
        use = _new_lock(folder / f"{name}-{uuid4().hex}{_USE}")
        use.acquire()
    return place, use


def _make(place: Path, n_bytes: int, make: Callable[[Path], None]) -> None:
    free = shutil.disk_usage(place.parent).free
    if free < n_bytes:
        raise OSError(
            f"{place.parent} has {free / 2**30:.1f} GiB free, and a scratch copy of the image takes up to "
            f"{n_bytes / 2**30:.1f} GiB. {ELSEWHERE}"
        )
    part = _part_of(place)
    part.mkdir()
    try:
        make(part)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _make_folder() -> Path:
    """Return this user's folder of scratches, which nobody else may write to."""
    parent = Path(dask.config.get("temporary-directory", None) or tempfile.gettempdir()).absolute()
    # Windows has a directory of temporary files for each user.
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = parent / f"mixture-pipeline-{user}"
    try:
        folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise OSError(f"can't make {folder} for scratch copies: {error.strerror}. {ELSEWHERE}") from error
    if status.st_uid != user or not stat.S_ISDIR(status.st_mode):
        raise OSError(f"{folder} is another user's, so no scratch copies are written to it. {ELSEWHERE}")
    return folder


def _new_lock(path: Path) -> BaseFileLock:
    from filelock import FileLock  # noqa: PLC0415  costs a tenth of a second, and only giant photos need it

    return FileLock(path, thread_local=False, fallback_to_soft=False)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the lock of a scratch, with which it is made, joined and left."""
    lock = _new_lock(place.with_name(f"{place.name}{_LOCK}"))
    with lock:
        try:
            yield
        finally:
            _unlink(lock)


def _leave(place: Path, use: BaseFileLock) -> None:
    """Remove a scratch unless another process reads it."""
    with suppress(OSError), _locked(place):
        _unlink(use)
        use.release()
        if not _is_used(place):
            _remove(place)


def _remove_dead(folder: Path) -> None:
    """Remove the scratches whose processes were killed."""
    for name in {path.name.partition(".")[0].partition("-")[0] for path in folder.iterdir()}:
        place = folder / name
        lock = _new_lock(place.with_name(f"{name}{_LOCK}"))
        with suppress(TimeoutError, OSError), lock.acquire(blocking=False):
            if not _is_used(place):
                _remove(place)
                _unlink(lock)


def _is_used(place: Path) -> bool:
    """Return whether a process reads a scratch. Its lock is held."""
    for path in place.parent.glob(f"{place.name}-*{_USE}"):
        lock = _new_lock(path)
        try:
            with lock.acquire(blocking=False):
                _unlink(lock)
        except TimeoutError:
            return True
    return False


def _remove(place: Path) -> None:
    """Remove a scratch, and what is left of one that wasn't finished."""
    part = _part_of(place)
    shutil.rmtree(part, ignore_errors=True)
    with suppress(FileNotFoundError):
        place.rename(part)
        shutil.rmtree(part, ignore_errors=True)


def _part_of(place: Path) -> Path:
    return place.with_name(f"{place.name}{_PART}")


def _unlink(lock: BaseFileLock) -> None:
    # Windows doesn't allow it while the lock is held, and keeps the file.
    with suppress(PermissionError):
        Path(lock.lock_file).unlink(missing_ok=True)
