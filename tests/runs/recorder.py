"""A recorder of what a run does to a disk, and of the directories that a power cut could leave at any point.

It stands between the run and the functions of `os` that change files and directories. A hook of Python's own
notices every change that passes it by, in any thread.
"""

from __future__ import annotations

import os
import random
import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from pipeline.stores import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

# The content of every file of a directory under its path; None for a directory.
Tree = dict[str, bytes | None]
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.partial$")
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}


class Node:
    """A file or a directory, with every content that it had since it was flushed.

    The content of a file is its bytes; that of a directory the nodes under their names.
    """

    def __init__(self, content: Any) -> None:
        self.history = [content]

    @property
    def now(self) -> Any:
        """The content that a running system sees."""
        return self.history[-1]

    def change(self, content: Any) -> None:
        """Change the content in memory, and not yet on the disk."""
        self.history.append(content)

    def flush(self) -> None:
        """Bring the content to the disk."""
        self.history = [self.now]


def everything(node: Node) -> Any:
    """Choose what a killed process leaves."""
    return node.now


def nothing(node: Node) -> Any:
    """Choose what is left if nothing survives that wasn't flushed."""
    return node.history[0]


def names(node: Node) -> Any:
    """Choose what is left if names survive, and contents don't."""
    return node.now if isinstance(node.now, dict) else node.history[0]


def halves(node: Node) -> Any:
    """Choose what is left if names survive, and of files half of what wasn't flushed."""
    whole = isinstance(node.now, dict) or len(node.history) == 1
    return node.now if whole else node.now[: len(node.now) // 2]


class Mixed:
    """Choose at random, for each file and directory, a content that it had since it was flushed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret

    def __call__(self, node: Node) -> Any:
        """Choose the content of one node."""
        return self._random.choice(node.history)


class _Thread(threading.local):
    """Whether a thread is inside a function of the recorder."""

    is_changing = False


class Recorder:
    """What is done in a directory inside ``with``.

    Parameters
    ----------
    root : Path
        The directory that is watched.
    choices : callable
        For each of them, the tree that it makes of what there is is collected after each change.
    fail_at : int, optional
        The number of the call to open for writing, write, flush or rename that fails.
    error : int
        The number of the error with which it fails.

    Attributes
    ----------
    points : int
        The number of changes.
    calls : int
        The number of calls that could have failed.
    missed : list
        Changes that the recorder didn't see.
    """

    def __init__(
        self,
        root: Path,
        *choices: Callable[[Node], Any],
        fail_at: int | None = None,
        error: int = 0,
    ) -> None:
        self._root, self._choices = root, choices
        self._fail_at, self._error = fail_at, error
        self._lock, self._thread = threading.RLock(), _Thread()
        self._opened: dict[int, Node] = {}
        self._node = _read(root)
        self._seen: dict[frozenset[Any], Tree] = {}
        self._patch = pytest.MonkeyPatch()
        self.points = self.calls = 0
        self.missed: list[tuple[str, str]] = []

    @property
    def trees(self) -> list[Tree]:
        """The different trees, in the order of their first appearance."""
        return list(self._seen.values())

    def __enter__(self) -> Self:
        """Take the place of the functions."""
        # A function may be called under its name in `os` alone, so that each is kept here.
        self._open_file, self._write_file, self._close_file = os.open, os.write, os.close
        self._rename_node, self._exchange_nodes = os.replace, disk.exchange
        self._unlink_file, self._remove_directory, self._make_directory = os.unlink, os.rmdir, os.mkdir
        for name in ("open", "write", "close", "fsync", "rename", "replace", "unlink", "rmdir", "mkdir"):
            self._patch.setattr(os, name, getattr(self, f"_{name}"))
        self._patch.setattr(os, "remove", self._unlink)
        self._patch.setattr(disk, "exchange", self._exchange)
        _watchers.add(self)
        self._note()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the functions back."""
        _watchers.discard(self)
        self._patch.undo()

    def audit(self, event: str, path: str) -> None:
        """Note a change that doesn't come from here."""
        if not self._thread.is_changing and self._place(path) is not None:
            self.missed.append((event, path))

    @contextmanager
    def _changing(self, *paths: tuple[Any, int | None], may_fail: bool = False) -> Iterator[list[Any]]:
        """Do something to paths, and give their places; then note what a power cut could leave."""
        with self._lock:
            places = [self._place(path, folder) for path, folder in paths]
            if may_fail and any(place is not None for place in places):
                self._call(paths[0][0])
            self._thread.is_changing = True
            try:
                yield places
            finally:
                self._thread.is_changing = False
            if any(place is not None for place in places):
                self._note()

    def _call(self, path: Any = None) -> None:
        """Count a call, and fail if it is its turn."""
        self.calls += 1
        if self.calls - 1 == self._fail_at:
            raise OSError(self._error, os.strerror(self._error), *([] if path is None else [os.fspath(path)]))

    def _note(self) -> None:
        """Collect what a power cut could leave now."""
        self.points += 1
        for choose in self._choices:
            tree = dict(_walk(choose(self._node), choose))
            # It makes no difference how much of a temporary file there is.
            same = frozenset(item if not _TEMPORARY.search(item[0]) else "temporary" for item in tree.items())
            self._seen.setdefault(same, tree)

    def _place(self, path: Any, folder: int | None = None) -> tuple[str, ...] | None:
        """Return the names that lead from the root to a path, or None if it isn't there."""
        if isinstance(path, int):
            return None
        base = Path() if folder is None or folder < 0 else Path(f"/proc/self/fd/{folder}").readlink()
        whole = Path(os.path.abspath(base / os.fsdecode(path)))  # noqa: PTH100  links stay
        # A lock says nothing after a power cut. It is first tried on a file without a name in the root.
        if whole == self._root or whole.suffix == ".lock" or not whole.is_relative_to(self._root):
            return None
        return whole.relative_to(self._root).parts

    def _find(self, place: tuple[str, ...]) -> Node:
        node = self._node
        for name in place:
            node = node.now[name]
        return node

    def _set(self, place: tuple[str, ...], node: Node | None) -> None:
        """Give a node a name, or take the name away."""
        folder = self._find(place[:-1])
        rest = {name: other for name, other in folder.now.items() if name != place[-1]}
        folder.change(rest if node is None else {**rest, place[-1]: node})

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & _WRITING:
            opened = self._open_file(path, flags, mode, dir_fd=dir_fd)
            place = () if os.fspath(path) == os.fspath(self._root) else self._place(path, dir_fd)
            if place is not None:
                with self._lock:
                    self._opened[opened] = self._find(place)
            return opened
        with self._changing((path, dir_fd), may_fail=True) as (place,):
            opened = self._open_file(path, flags, mode, dir_fd=dir_fd)
            if place is not None:
                if place[-1] not in self._find(place[:-1]).now:
                    self._set(place, Node(b""))
                node = self._find(place)
                if flags & os.O_TRUNC and node.now:
                    node.change(b"")
                self._opened[opened] = node
        return opened

    def _write(self, opened: int, content: Any) -> int:
        node = self._opened.get(opened)
        if node is None:
            return self._write_file(opened, content)
        with self._lock:
            self._call()
            n_bytes = self._write_file(opened, content)
            node.change(node.now + bytes(content[:n_bytes]))
            self._note()
        return n_bytes

    def _close(self, opened: int) -> None:
        with self._lock:
            self._opened.pop(opened, None)
            self._close_file(opened)

    def _fsync(self, opened: int) -> None:
        # Nothing is flushed: that takes long, and here no power is cut.
        node = self._opened.get(opened)
        if node is not None:
            with self._lock:
                self._call()
                node.flush()
                self._note()

    def _replace(self, source: Any, target: Any) -> None:
        with self._changing((source, None), (target, None), may_fail=True) as (old, new):
            self._rename_node(source, target)
            if old is not None:
                assert old[:-1] == new[:-1], "a rename from directory to directory isn't one change"
                folder = self._find(old[:-1])
                rest = {name: node for name, node in folder.now.items() if name not in {old[-1], new[-1]}}
                # Nothing is known of a file that was missed.
                folder.change({**rest, new[-1]: folder.now.get(old[-1]) or _read(Path(target))})

    _rename = _replace

    def _exchange(self, one: Path, other: Path) -> bool:
        with self._changing((one, None), (other, None)) as (first, second):
            done = self._exchange_nodes(one, other)
            if done:
                folder = self._find(first[:-1])
                swapped = {first[-1]: folder.now[second[-1]], second[-1]: folder.now[first[-1]]}
                folder.change({**folder.now, **swapped})
        return done

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._changing((path, dir_fd)) as (place,):
            self._unlink_file(path, dir_fd=dir_fd)
            if place is not None:
                self._set(place, None)

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._changing((path, dir_fd)) as (place,):
            self._remove_directory(path, dir_fd=dir_fd)
            if place is not None:
                self._set(place, None)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self._changing((path, dir_fd)) as (place,):
            self._make_directory(path, mode, dir_fd=dir_fd)
            if place is not None:
                self._set(place, Node({}))


def write_tree(folder: Path, tree: Tree) -> None:
    """Write the files and directories of a tree."""
    for path, content in sorted(tree.items()):
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)


def _read(path: Path) -> Node:
    """Return the node of a file or directory, all of which is on the disk."""
    if path.is_dir():
        return Node({entry.name: _read(entry) for entry in path.iterdir()})
    return Node(path.read_bytes())


def _walk(
    entries: dict[str, Node], choose: Callable[[Node], Any], above: str = ""
) -> Iterator[tuple[str, bytes | None]]:
    """List what is in a directory and below it, with chosen contents."""
    for name, node in entries.items():
        content, path = choose(node), f"{above}{name}"
        if isinstance(content, dict):
            yield path, None
            yield from _walk(content, choose, f"{path}/")
        else:
            yield path, content


_watchers: set[Recorder] = set()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watchers:
        return
    if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
        for watcher in list(_watchers):
            watcher.audit(event, arguments[0])


sys.addaudithook(_audit)
