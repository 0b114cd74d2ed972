"""Places of stores, as the campaign sees them: files that it reads, damages and deletes."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any, Protocol

from runs import faulty_disk
from runs.object_place import ObjectPlace
from stores import released_stores

from pipeline.stores import target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Files(Protocol):
    """The files of one store, under their paths in it."""

    def list(self) -> list[str]:
        """Return the paths of all files of groups, arrays and blocks, in some fixed order."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None if it isn't there."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Replace the content of a file, or make the file."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file that is there."""
        ...

    def everything(self) -> dict[str, tuple[bytes, Any]]:
        """Return the content of each file, and a value that changes whenever it is written again."""
        ...


class Place(Protocol):
    """One place where runs write their store.

    Attributes
    ----------
    address : str
        What runs are given.
    published : Files
        The files of the store that is published under the address.
    unfinished : Files
        Those of the store of an unfinished run.
    full_message : str
        What the error of a run says for which the place is full.
    """

    full_message: str
    address: str
    published: Files
    unfinished: Files

    @property
    def is_taken(self) -> bool:
        """Whether something is left of a run that hasn't published its store."""
        ...

    @property
    def is_publishing(self) -> bool:
        """Whether a run was killed while it published its store, so that the old one may be gone."""
        ...

    def full(self, number: int, everywhere: Callable[..., None]) -> contextlib.AbstractContextManager[None]:
        """Let no more than so many calls of each process write something, until the end of the context.

        Parameters
        ----------
        number : int
        everywhere : callable
            It runs a function with arguments in every process that writes.
        """
        ...

    def kill_at(self, number: int) -> None:
        """Let this process be killed before one of its calls that change something."""
        ...

    def unpack(self, version: str) -> None:
        """Put the store that a released version wrote under the address, where nothing is."""
        ...

    def clear(self) -> None:
        """Remove all that is under the address and beside it."""
        ...


class LocalFiles:
    """The files of a store in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def list(self) -> list[str]:
        """Return the paths of all files but temporary ones and the marks of runs."""
        files = (file for file in self._directory.rglob("*") if file.is_file())
        names = (file.relative_to(self._directory).as_posix() for file in files)
        return sorted(name for name in names if not name.startswith(".") and not name.endswith(".partial"))

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None if it isn't there."""
        try:
            return (self._directory / path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        """Replace the content of a file, or make the file."""
        (self._directory / path).parent.mkdir(parents=True, exist_ok=True)
        (self._directory / path).write_bytes(content)

    def delete(self, path: str) -> None:
        """Remove a file that is there."""
        (self._directory / path).unlink()

    def everything(self) -> dict[str, tuple[bytes, Any]]:
        """Return the content of each file, and when it was written, and which one it is."""
        found = {}
        for path in self.list():
            status = (self._directory / path).stat()
            found[path] = (self._directory / path).read_bytes(), (status.st_mtime_ns, status.st_ino)
        return found


class LocalPlace:
    """A local directory."""

    full_message = "No space left on device"
    # Directories exchange their names, so that there is always one of the two stores.
    is_publishing = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "place"
        self._folder.mkdir(exist_ok=True)
        self._path = self._folder / "out.zarr"
        self.address = os.fspath(self._path)
        self.published, self.unfinished = LocalFiles(self._path), LocalFiles(target.unfinished(self._path))

    @property
    def is_taken(self) -> bool:
        """Whether there is the directory of an unfinished run, and not of an old store."""
        partial = target.unfinished(self._path)
        return partial.exists() and not target.is_obsolete(partial)

    @contextlib.contextmanager
    def full(self, number: int, everywhere: Callable[..., None]) -> Iterator[None]:
        """Let no more than so many calls of each process write something, until the end of the context."""
        everywhere(faulty_disk.install, os.fspath(self._folder), number)
        try:
            yield
        finally:
            everywhere(faulty_disk.remove)

    def kill_at(self, number: int) -> None:
        """Let this process be killed before one of its calls that change something."""
        faulty_disk.install(os.fspath(self._folder), number, "kill")

    def unpack(self, version: str) -> None:
        """Put the store that a released version wrote under the address, where nothing is."""
        released_stores.unpack(version, self._path)

    def clear(self) -> None:
        """Remove all that is under the address and beside it."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()


PLACES: dict[str, Callable[[Path], Place]] = {"local": LocalPlace, "object storage": ObjectPlace}
