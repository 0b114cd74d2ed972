"""Object storage as a place of stores that the campaign disturbs, and faults of its server.

The faults take the place of the one function through which the package asks for objects. They are put into
each process that writes: a worker of a cluster can run :func:`refuse_from` and :func:`stop_refusing`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import from_url
from stores import released_stores

from pipeline.images import object_storage
from pipeline.images.object_storage import ObjectFolder
from pipeline.stores import lease, object_placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from object_server import ObjectServer

_BUCKET = "campaign"
# What writes, and what else changes something.
_WRITING, _CHANGING = {"put", "copy"}, {"put", "copy", "delete"}
_patch = pytest.MonkeyPatch()


@contextlib.contextmanager
def served(server: ObjectServer) -> Iterator[None]:
    """Let this process, and those that it starts, find the server, and take leases over soon."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.variables.items():
            patch.setenv(name, value)
        patch.setattr(lease, "INTERVAL", 0.1)
        server.make_bucket(_BUCKET)
        yield


def _disturb(functions: set[str], number: int, act: Callable[[], None]) -> None:
    """Act before each request of some kinds from one on; renewals of leases don't count."""
    asked, lock, left = object_storage.ask, threading.Lock(), number

    def ask(function: str, *given: Any, **options: Any) -> Any:
        nonlocal left
        if function in functions and threading.current_thread().name != "lease":
            with lock:
                left -= 1
                is_over = left < 0
            if is_over:
                act()
        return asked(function, *given, **options)

    _patch.setattr(object_storage, "ask", ask)


def refuse_from(number: int) -> None:
    """Let the server refuse what this process writes from some request on."""

    def refuse() -> None:
        raise PermissionDeniedError("The credentials have expired")

    _disturb(_WRITING, number, refuse)


def stop_refusing() -> None:
    """Let the server do as it did."""
    _patch.undo()


class ObjectFiles:
    """The objects of a store.

    Parameters
    ----------
    place : S3Store
        The client of the folder of the whole output.
    find : callable
        It returns the path of the store in this folder, or None if there is no store.
    """

    def __init__(self, place: Any, find: Callable[[], str | None]) -> None:
        self._place, self._find = place, find
        # The content of each object by what the server says of it, which saves most requests.
        self._known: dict[tuple[str, str], bytes] = {}

    def _path(self, path: str) -> str:
        return f"{self._find()}/{path}"

    def _list(self) -> dict[str, Any]:
        found = self._find()
        if found is None:
            return {}
        chunks = obstore.list(self._place, f"{found}/")
        return {meta["path"].removeprefix(f"{found}/"): meta for chunk in chunks for meta in chunk}

    def list(self) -> list[str]:
        """Return the paths of all objects, in alphabetic order."""
        return sorted(self._list())

    def everything(self) -> dict[str, tuple[bytes, Any]]:
        """Return the content of each object, and a value that changes whenever it is written again."""
        found = {}
        for path, meta in sorted(self._list().items()):
            key = path, str(meta["e_tag"])
            if key not in self._known:
                self._known[key] = self.read(path) or b""
            found[path] = self._known[key], (meta["e_tag"], meta["last_modified"])
        return found

    def read(self, path: str) -> bytes | None:
        """Return the content of an object, or None if it isn't there."""
        try:
            return bytes(obstore.get(self._place, self._path(path)).bytes())
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        """Replace the content of an object, or make the object."""
        obstore.put(self._place, self._path(path), content)

    def delete(self, path: str) -> None:
        """Remove an object that is there."""
        obstore.delete(self._place, self._path(path))


class ObjectPlace:
    """A folder in a bucket of the server that the environment names; see :func:`served`."""

    full_message = "refuses access"

    def __init__(self, folder: Path) -> None:
        url = f"s3://{_BUCKET}/{folder.name}"
        self.address = f"{url}/out.zarr"
        self._lease = object_placement.beside(ObjectFolder(self.address))
        self._place = from_url(url)
        self.published = ObjectFiles(self._place, lambda: "out.zarr")
        self.unfinished = ObjectFiles(self._place, self._find_unfinished)

    def _find_unfinished(self) -> str | None:
        left = lease.read(self._lease)
        return None if left is None or left.store is None else f"out.zarr.partial/{left.store}"

    @property
    def is_taken(self) -> bool:
        """Whether something is left of a run that hasn't published its store."""
        return bool(self.unfinished.list())

    @property
    def is_publishing(self) -> bool:
        """Whether a run was killed while it published its store, so that the old one may be gone."""
        left = lease.read(self._lease)
        return left is not None and left.is_publishing

    @contextlib.contextmanager
    def full(self, number: int, everywhere: Callable[..., None]) -> Iterator[None]:
        """Let the server take no more than so many objects of each process, until the end of the context."""
        everywhere(refuse_from, number)
        try:
            yield
        finally:
            everywhere(stop_refusing)

    def kill_at(self, number: int) -> None:
        """Let this process be killed before one of its requests that change something."""
        _disturb(_CHANGING, number, lambda: os.kill(os.getpid(), signal.SIGKILL))

    def unpack(self, version: str) -> None:
        """Put the store that a released version wrote under the address, where nothing is."""
        with tempfile.TemporaryDirectory() as name:
            released_stores.unpack(version, Path(name))
            for file in Path(name).rglob("*"):
                if file.is_file():
                    self.published.write(file.relative_to(name).as_posix(), file.read_bytes())

    def clear(self) -> None:
        """Remove all that is under the address and beside it."""
        for chunk in obstore.list(self._place):
            obstore.delete(self._place, [meta["path"] for meta in chunk])
