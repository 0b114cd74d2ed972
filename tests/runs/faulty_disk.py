"""A disk that is full from some call on, or at one of whose calls this process is killed.

It takes the place of the functions of `os` that change files, for paths below one directory. It is put into
each process that writes: :func:`install` and :func:`remove` are functions that a worker of a cluster can run.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.stores import disk

if TYPE_CHECKING:
    from collections.abc import Callable

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FULL, _KILLING = "full", "kill"


class FaultyDisk:
    """The functions of `os`, of which one call fails.

    Parameters
    ----------
    root : str
        The directory. Calls for paths elsewhere aren't counted.
    number : int
        The number of the first call that fails.
    kind : str
        ``"full"``: calls that need room, and all of them from that one on. ``"kill"``: all calls that change
        something, before one of which the process is killed.
    """

    def __init__(self, root: str, number: int, kind: str) -> None:
        self._root, self._left, self._kind = os.path.realpath(root), number, kind
        self._lock = threading.Lock()
        self._opened: set[int] = set()
        self._patch = pytest.MonkeyPatch()

    def install(self) -> None:
        """Take the place of the functions."""
        functions: dict[str, Callable[..., Any]] = {"open": self._open, "write": self._write}
        for name in ("mkdir", "fsync"):
            functions[name] = self._counting(getattr(os, name))
        if self._kind == _KILLING:
            for name in ("replace", "rename", "unlink", "remove", "rmdir"):
                functions[name] = self._counting(getattr(os, name))
            self._patch.setattr(disk, "exchange", self._counting(disk.exchange))
        self._system = {name: getattr(os, name) for name in ("open", "write", "close")}
        functions["close"] = self._close
        for name, function in functions.items():
            self._patch.setattr(os, name, function)

    def remove(self) -> None:
        """Put the functions back."""
        self._patch.undo()

    def _is_inside(self, path: Any, folder: int | None = None) -> bool:
        if isinstance(path, int):
            return path in self._opened
        base = Path(f"/proc/self/fd/{folder}").readlink() if folder is not None and folder >= 0 else Path()
        whole = os.path.abspath(os.path.join(base, os.fsdecode(path)))  # noqa: PTH100, PTH118  links stay
        return whole == self._root or whole.startswith(self._root + os.sep)

    def _call(self, path: Any, folder: int | None = None) -> None:
        """Count a call, and fail if it is its turn."""
        with self._lock:
            if not self._is_inside(path, folder):
                return
            self._left -= 1
            if self._left >= 0:
                return
            if self._kind == _KILLING:
                os.kill(os.getpid(), signal.SIGKILL)
        name = [] if isinstance(path, int) else [os.fspath(path)]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *name)

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            self._call(path, options.get("dir_fd"))
            return function(path, *arguments, **options)

        return call

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & _WRITING:
            self._call(path, dir_fd)
        opened = self._system["open"](path, flags, mode, dir_fd=dir_fd)
        with self._lock:
            if self._is_inside(path, dir_fd):
                self._opened.add(opened)
        return int(opened)

    def _write(self, opened: int, content: Any) -> int:
        self._call(opened)
        return int(self._system["write"](opened, content))

    def _close(self, opened: int) -> None:
        with self._lock:
            self._opened.discard(opened)
            self._system["close"](opened)


_disks: list[FaultyDisk] = []


def install(root: str, number: int, kind: str = _FULL) -> None:
    """Make the disk of this process faulty."""
    disk_ = FaultyDisk(root, number, kind)
    disk_.install()
    _disks.append(disk_)


def remove() -> None:
    """Make the disk of this process as it was."""
    while _disks:
        _disks.pop().remove()
