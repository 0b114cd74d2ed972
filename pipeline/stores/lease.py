"""The lease of an address in object storage: one run at a time writes there, without a lock of a system.

The lease is an object that the first who asks creates; the server sees to it that one wins. Its holder writes
it again every few seconds. Whoever finds a lease waits whether it changes, so that no clocks are compared;
one that doesn't change belongs to a run that was killed, and is taken over, again by one alone. The lease
also says where the unfinished store of the address is.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.images.object_storage import ObjectFolder

# Seconds between two renewals of a lease.
INTERVAL = 5.0
# A lease that hasn't changed in so many intervals is nobody's.
_PATIENCE = 2.5
# The name of the object.
NAME = "lease"


@dataclass(frozen=True)
class Content:
    """What a lease says.

    Attributes
    ----------
    token : str
        Another text for each run.
    is_held : bool
        Whether a run holds it, or has left it for another run to resume its store.
    store : str or None
        The folder of the unfinished store, beside the lease.
    is_publishing : bool
        Whether the unfinished store is whole and is being copied to the address, where the old store and what
        is copied may be removed.
    host : str
        The computer of the run.
    process : int
        The number of its process.
    beat : int
        A number that every renewal raises.
    """

    token: str
    is_held: bool = True
    store: str | None = None
    is_publishing: bool = False
    host: str = ""
    process: int = 0
    beat: int = 0

    def encode(self) -> bytes:
        """Return the content of the object."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, content: bytes) -> Content:
        """Return what an object says; one that can't be read is that of nobody."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return cls(token="", is_held=False)


class Lease:
    """A lease that a run holds.

    Attributes
    ----------
    before : Content
        What the lease said before.
    content : Content
        What it says now.
    """

    def __init__(self, folder: ObjectFolder, before: Content, content: Content, version: str) -> None:
        self.before, self.content = before, content
        self._folder, self._version = folder, version
        self._is_lost, self._ended, self._writing = False, Event(), Lock()
        self._thread = Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether another run has taken the lease over."""
        return self._is_lost

    def note(self, **changes: Any) -> None:  # noqa: ANN401  fields of Content
        """Write something into the lease, which also makes sure that it is held.

        Raises
        ------
        BlockingIOError
            If another run has taken it over.
        """
        with self._writing:
            content = replace(self.content, beat=self.content.beat + 1, **changes)
            version = None
            if not self._is_lost:
                version = self._folder.write_if(NAME, content.encode(), self._version)
            if version is None:
                self._is_lost = True
                raise _taken(self._folder)
            self.content, self._version = content, version

    def end(self) -> None:
        """Stop renewing, and give the lease away: it stays only where it names an unfinished store."""
        self._ended.set()
        self._thread.join()
        if self._is_lost:
            return
        self.note(is_held=self.content.store is None)
        if self.content.store is None:
            # Nobody takes over a lease that has just been renewed.
            self._folder.remove([NAME])

    def _renew(self) -> None:
        while not self._ended.wait(INTERVAL):
            try:
                self.note()
            except BlockingIOError:
                return
            except (OSError, ImportError):
                # The next time the server may answer again; until then another run may take over.
                continue


@contextmanager
def held(folder: ObjectFolder, address: str) -> Iterator[Lease]:
    """Hold the lease in a folder.

    Parameters
    ----------
    folder : ObjectFolder
        Where the lease is.
    address : str
        What messages call the place.

    Raises
    ------
    BlockingIOError
        If another run holds it, or takes it over in the end.
    OSError
        If the server can't write an object on a condition, or fails.
    """
    lease = _acquire(folder, address)
    try:
        yield lease
    except BaseException:
        # The error that ended the run is the one to report.
        with suppress(OSError):
            lease.end()
        raise
    lease.end()


def read(folder: ObjectFolder) -> Content | None:
    """Return what the lease in a folder says, or None if there is none."""
    try:
        return Content.decode(folder.read(NAME))
    except FileNotFoundError:
        return None


def check(folder: ObjectFolder, token: str) -> None:
    """Raise BlockingIOError unless the run of a token holds the lease in a folder."""
    found = read(folder)
    if found is None or not found.is_held or found.token != token:
        raise _taken(folder)


def _acquire(folder: ObjectFolder, address: str) -> Lease:
    content = Content(uuid4().hex, host=socket.gethostname(), process=os.getpid())
    while True:
        version = folder.write_if(NAME, content.encode(), None)
        if version is not None:
            _check_conditions(folder, content)
            return Lease(folder, Content(""), content, version)
        try:
            before, found_version = _wait(folder, address)
        except FileNotFoundError:
            continue
        # Until the run has made up its mind, the lease goes on saying where the store is.
        content = replace(content, store=before.store, is_publishing=before.is_publishing)
        version = folder.write_if(NAME, content.encode(), found_version)
        if version is None:
            raise _held(address)
        return Lease(folder, before, content, version)


def _check_conditions(folder: ObjectFolder, content: Content) -> None:
    """Raise OSError if the server writes objects that are there though it was told not to."""
    if folder.write_if(NAME, replace(content, beat=-1).encode(), None) is not None:
        folder.remove([NAME])
        raise OSError(
            f"{folder.url}: the server ignores the condition If-None-Match, so that two runs could mix. "
            "Object storage for results needs conditional puts; write to a local directory, and copy it."
        )


def _wait(folder: ObjectFolder, address: str) -> tuple[Content, str]:
    """Return a lease that nobody holds, and its version, after waiting whether it changes.

    Raises
    ------
    BlockingIOError
        If it changes.
    FileNotFoundError
        If it is removed.
    """
    content, version, _ = folder.read_version(NAME)
    due = time.monotonic() + _PATIENCE * INTERVAL
    while (found := Content.decode(content)).is_held:
        if time.monotonic() > due:
            return found, version
        time.sleep(INTERVAL / 4)
        content, now, _ = folder.read_version(NAME)
        if now != version and Content.decode(content).is_held:
            raise _held(address)
        version = now
    return found, version


def _held(address: str) -> BlockingIOError:
    return BlockingIOError(f"another run is writing {address}. Wait until it ends, or end it.")


def _taken(folder: ObjectFolder) -> BlockingIOError:
    return BlockingIOError(
        f"another run has taken over {folder.url}, or this run has ended, so nothing more is written there"
    )
