"""The part of a run that the workers of a cluster execute, and whether they can: each has this package."""

from __future__ import annotations

import io
import pickle
import time
import zlib
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.images.kept import KEPT
from pipeline.runs.allocator import ALLOCATOR
from pipeline.stores.record import current_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = "mixture-pipeline"
# What deflate can refer to, in bytes.
WINDOW = 2**15


def check_versions(found: Mapping[str, Any]) -> None:
    """Raise RuntimeError unless all workers have this version of this package."""
    wanted = current_version()
    # A worker that can't answer is about to end, and no reason to refuse the others.
    others = {
        address: which if isinstance(which, str) else "none"
        for address, which in found.items()
        if which != wanted and isinstance(which, str | PackageNotFoundError)
    }
    if others:
        listed = ", ".join(f"{address} has {which}" for address, which in others.items())
        raise RuntimeError(
            f"{len(others)} of {len(found)} workers don't have {PACKAGE} {wanted}: {listed:.500}. {remedy()}"
        )


def remedy() -> str:
    """Return a sentence that says how workers get this package."""
    return (
        "Install the same version on all workers, and start them again: pip install "
        f"'{PACKAGE}=={current_version()}'"
    )


def deflate(content: bytes, sample: bytes) -> bytes:
    """Return a content as its difference from a sample; one that is far longer stays as it is."""
    if len(content) > 2 * WINDOW:
        return b"\0" + content
    compressor = zlib.compressobj(level=1, wbits=-15, zdict=sample)
    return b"\1" + compressor.compress(content) + compressor.flush()


def inflate(content: bytes, sample: bytes) -> bytes:
    """Return the content that :func:`deflate` was given."""
    if content[:1] == b"\0":
        return content[1:]
    return zlib.decompressobj(wbits=-15, zdict=sample).decompress(content[1:])


def load_all(content: bytes) -> Iterator[Any]:
    """Yield the values that were sent one after the other, on a worker."""
    file = io.BytesIO(content)
    while file.tell() < len(content):
        # What the client has sent, as Dask itself sends tasks.
        yield pickle.load(file)  # noqa: S301


class Basis(NamedTuple):
    """What tasks have in common.

    Attributes
    ----------
    shared : object
        The value that they take.
    sample : bytes
        The content of the first of them, of which others tell the difference.
    version : str
        The version of this package that sends them.
    """

    shared: Any
    sample: bytes
    version: str


def make_basis(content: bytes, sample: bytes, version: str) -> Basis:
    """Return what tasks have in common, on a worker, of the content of the shared value."""
    (shared,) = load_all(content)
    return Basis(shared, sample, version)


class Completed(NamedTuple):
    """How the calls of a batch ended.

    Attributes
    ----------
    outcomes : list of tuple
        The result or the error of each call.
    seconds : float
        What they took together.
    """

    outcomes: list[tuple[Any, Exception | None]]
    seconds: float


def complete(basis: Basis, content: bytes) -> Completed:
    """Compute the calls of a batch and finish them, one after the other, on a worker."""
    if current_version() != basis.version:
        # It may have joined after the run began.
        raise RuntimeError(
            f"a worker has {PACKAGE} {current_version()}; wanted {basis.version}. Install it there"
        )
    ALLOCATOR.keep_freed()
    started = time.perf_counter()
    outcomes: list[tuple[Any, Exception | None]] = []
    for task, arguments in load_all(inflate(content, basis.sample)):
        try:
            outcomes.append((task(basis.shared, *arguments)(), None))
        except Exception as error:  # noqa: BLE001  a task may fail in any way; the client is told
            outcomes.append((None, _portable(error)))
    return Completed(outcomes, time.perf_counter() - started)


def _portable(error: Exception) -> Exception:
    """Return the error, or one that tells the same if it can't be sent."""
    from distributed.protocol.pickle import dumps, loads  # noqa: PLC0415  costs time where no cluster is used

    try:
        loads(dumps(error))
    except Exception:  # noqa: BLE001  whatever keeps it from being sent
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def release() -> None:
    """Forget the giant pieces of images that tasks shared, and give memory back."""
    KEPT.release()
    ALLOCATOR.give_back()
