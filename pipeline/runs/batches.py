"""Batches of calls that a cluster computes as one task, since a task costs Dask more than a short call."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from concurrent.futures import Future

    from distributed import Future as RemoteFuture

# A task takes so many seconds at least, if the calls are short, but has so many calls and bytes at most.
_ENOUGH, _MOST_CALLS, _MOST_BYTES = 0.05, 32, 2**16
# The number of tasks whose durations tell how many calls make the next one.
_RECENT = 20


@dataclass(eq=False)
class Shared:
    """A value that all batches of a computation take.

    Attributes
    ----------
    content : bytes
        The value, pickled.
    sample : bytes
        The content of the first task that takes it, of which others tell the difference.
    basis : distributed.Future or None
        What the workers have of both, once a task was sent. It is a task, which is done again if all workers
        that had its result are lost.
    """

    content: bytes
    sample: bytes = b""
    basis: RemoteFuture[Any] | None = None


@dataclass(eq=False)
class Batch:
    """Calls that are one task.

    Attributes
    ----------
    remote : distributed.Future
        The task.
    n_bytes : int
        The size of what was sent.
    promises : list of Future
        One for each call.
    """

    remote: RemoteFuture[Any]
    n_bytes: int
    promises: list[Future[Any]]

    def awaited(self, in_flight: Container[Future[Any]]) -> set[Future[Any]]:
        """Return the promises that are in flight."""
        return {promise for promise in self.promises if promise in in_flight}


class BatchSize:
    """The number of calls that make a batch: one, until calls are known to be short."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_RECENT)

    def learn(self, seconds: float, n_calls: int) -> None:
        """Note how long the calls of a batch took."""
        self._seconds.append(seconds / n_calls)

    @property
    def n_calls(self) -> int:
        """The number of calls that should make a batch now."""
        # Another thread may note more meanwhile.
        seconds = list(self._seconds)
        if not seconds:
            return 1
        usual = sum(seconds) / len(seconds)
        return max(1, min(_MOST_CALLS, int(_ENOUGH / max(usual, 1e-9))))


def group(contents: Sequence[bytes], n_calls: int) -> Iterator[list[bytes]]:
    """Group the contents of calls in their order, so many at most, and fewer where they are long."""
    batch: list[bytes] = []
    n_bytes = 0
    for content in contents:
        if batch and (len(batch) == n_calls or n_bytes + len(content) > _MOST_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(content)
        n_bytes += len(content)
    if batch:
        yield batch
