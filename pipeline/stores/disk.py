"""Files and directories that survive a power cut.

A file gets its name when its content is on the disk, so whatever has its final name is whole. The names in a
directory are on the disk once the directory is flushed. Only these files and directories are flushed, never
all that the machine has to write.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.images.remote import url_of_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Some systems and network disks can't flush a directory.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
# How temporary files end, those of Zarr as well.
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.partial$")
# Arguments of the system call renameat2, from Linux's headers.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Draft(AbstractContextManager["Draft"]):
    """A file that is written under another name, so that it may not be on the disk yet.

    It is a context manager: at its end the file is removed, unless it was published.

    Parameters
    ----------
    path : Path
        Where the file will be. Missing directories are created.
    content : iterable of bytes or memoryview
        The parts of the content one after the other.
    base : Path, optional
        A directory above the file, which isn't created if it is missing, nor are those above it.

    Attributes
    ----------
    n_bytes : int
        The size of the file.

    Raises
    ------
    OSError
        If the file can't be written. Nothing is left of it then.
    """

    def __init__(
        self, path: Path, content: Iterable[bytes | memoryview], *, base: Path | None = None
    ) -> None:
        self.n_bytes = 0
        self._path = path
        self._file: int | None = None
        # A killed writer leaves this file.
        self._temporary = path.with_name(f"{path.name}.{uuid4().hex}.partial")
        if base is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            _make_below(base, path.parent)
        with self._removed_on_error():
            # Windows would translate the ends of lines without the last flag.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._file = os.open(self._temporary, flags, 0o666)
            for part in content:
                rest = memoryview(part).cast("B")
                self.n_bytes += rest.nbytes
                while rest:
                    rest = rest[os.write(self._file, rest) :]

    def publish(self) -> None:
        """Bring the content to the disk and give the file its name; until then the file at the path stays.

        The name in its directory is on the disk once the directory is flushed.

        Raises
        ------
        OSError
            If the system can't. Nothing is left of the file then.
        """
        with self._removed_on_error():
            if self._file is not None:
                os.fsync(self._file)
            self._close()
            self._temporary.replace(self._path)

    def __exit__(self, *_: object) -> None:
        """Remove the file, unless it was published."""
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @contextmanager
    def _removed_on_error(self) -> Iterator[None]:
        """Remove the file after an error, which then names the path."""
        try:
            yield
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError) and error.errno is not None and error.filename is None:
                raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error
            raise


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Raise an error unless a file or a directory can be written there: a check before long work.

    Raises
    ------
    ValueError
        If the path was a URL.
    FileNotFoundError
        If the directory that it would be in isn't there, or may not be written to.
    FileExistsError
        If it exists and may not be overwritten.
    """
    if url := url_of_path(os.fspath(path)):
        raise ValueError(f"{url} is a URL, and only runs write there; wanted a path of this machine")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise FileNotFoundError(
            f"{path} can't be written; wanted a directory {path.parent} that may be written to. Make it, or "
            "choose another one"
        )
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{path} exists. Choose another name, or overwrite it (overwrite=True, --overwrite)"
        )


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file, which afterwards is on the disk as a whole: a :class:`Draft` that is published."""
    with Draft(path, [content]) as draft:
        draft.publish()


def remove_temporary_files(directory: Path) -> None:
    """Remove the files in a directory and below it that killed writers left."""
    for path in directory.rglob("*.partial"):
        if _TEMPORARY.search(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def make_directory(directory: Path) -> None:
    """Create a directory and those above it, so that they are on the disk; one that exists is left alone."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_directory(place.parent)


def _make_below(base: Path, directory: Path) -> None:
    """Create the directories below one that must exist."""
    if not directory.is_dir():
        for parent in [*reversed(directory.relative_to(base).parents[:-1]), directory.relative_to(base)]:
            (base / parent).mkdir(exist_ok=True)


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk, where the system can."""
    try:
        opened = os.open(directory, os.O_RDONLY)
    except PermissionError:
        # Windows doesn't open directories.
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise OSError(error.errno, error.strerror, os.fspath(directory)) from error
    finally:
        os.close(opened)


def sync_tree(directory: Path) -> None:
    """Bring the names in a directory and in all directories below it to the disk, the lowest first."""
    for folder, _, _ in os.walk(directory, topdown=False):
        sync_directory(Path(folder))


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two directories at once.

    Returns
    -------
    bool
        Whether the system could. If it couldn't, nothing has changed.
    """
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    places = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(rename(*places, _RENAME_EXCHANGE) == 0)
