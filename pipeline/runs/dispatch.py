"""The dispatch of calls to an executor: slots are kept filled, and calls that fail may be tried again.

A call that fails to read or write is tried again after a pause. A call during which processes ended is tried
once more while nothing else is at work, since the processes may have ended because of another one. A call
that is far behind all others is started again, if the executor allows that, and the first attempt that ends
counts.
"""

from __future__ import annotations

import errno
import io
import statistics
import time
from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures import Future

    from pipeline.runs.executor import Executor, Task

K = TypeVar("K")
R = TypeVar("R")

# After this many calls all that are in flight are awaited: Dask's scheduler notes each task of a computation
# for as long as the computation goes on, and a new one begins when nothing is in flight.
_STINT = 500
# Seconds before a call is tried again, each time it fails.
_PAUSES = (0.5, 2.0, 8.0)
# Seconds between two looks at the slots, which change as workers come and go.
_TICK = 0.5
# A call is far behind if nothing has ended for so many seconds, and for so many times the median of what
# the last calls took. It is started so often at most.
_PATIENCE, _TIMES, _MOST, _RECENT = 10.0, 3.0, 4, 101
# Where no call has ended yet, as where a single one makes coarser levels: so many times that patience.
_UNKNOWN = 12.0
# Errors that trying again doesn't mend. The first of them says that another run is at work.
_LASTING = (
    BlockingIOError,
    FileExistsError,
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    io.UnsupportedOperation,
)
_LASTING_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.EINVAL}


class LostError(RuntimeError):
    """The error of a task whose processes ended while they computed it, one after the other."""


def may_pass(error: BaseException) -> bool:
    """Return whether an error of reading or writing may be gone when the task is tried again."""
    return (
        isinstance(error, OSError) and not isinstance(error, _LASTING) and error.errno not in _LASTING_NUMBERS
    )


@dataclass(eq=False)
class _Call(Generic[K, R]):
    """A call, with the futures of its attempts that are in flight."""

    key: K
    arguments: tuple[Any, ...]
    retries: int = 0
    due: float = 0.0
    started: float = 0.0
    is_alone: bool = False
    n_started: int = 0
    futures: list[Future[R]] = field(default_factory=list)


class Dispatch(Generic[K, R]):
    """The dispatch of calls of a task.

    Parameters
    ----------
    executor : Executor
    task, shared, calls
        As for :meth:`Executor.outcomes`.
    """

    def __init__(
        self,
        executor: Executor,
        task: Task[R],
        shared: Any,  # noqa: ANN401  a value of any kind, or a handle to it
        calls: Iterable[tuple[K, tuple[Any, ...]]],
    ) -> None:
        self._executor, self._task, self._shared = executor, task, shared
        self._calls = (_Call[K, R](key, arguments) for key, arguments in calls)
        self._submitted = 0
        self._in_flight: dict[Future[R], _Call[K, R]] = {}
        self._ended: SimpleQueue[Future[R]] = SimpleQueue()
        # Calls that wait for their pause to end, and calls during which processes ended.
        self._pausing: list[_Call[K, R]] = []
        self._suspects: list[_Call[K, R]] = []
        self._durations: deque[float] = deque(maxlen=_RECENT)
        self._heard = time.monotonic()

    def ended(self) -> Generator[tuple[K, Future[R], int]]:
        """Yield each call's key with the future of its last attempt and the number of retries."""
        try:
            while True:
                # There may be more slots once the executor has seen what a task needs.
                while self._fill():
                    pass
                if not self._in_flight and not self._pausing:
                    return
                for future in self._wait():
                    # An attempt whose twin has ended first isn't in flight any more.
                    call = self._in_flight.pop(future, None)
                    if call is not None and self._is_over(call, future):
                        yield call.key, future, call.retries
        finally:
            # Nothing may write any more once the caller goes on.
            rest = set(self._in_flight)
            while rest:
                # Tasks at work end, or go back to those that wait if their worker is lost.
                self._executor.cancel(rest)
                rest = wait(rest, timeout=_TICK).not_done

    def _wait(self) -> list[Future[R]]:
        """Return the attempts that have ended by now, or none if none does for a while."""
        try:
            ended = [self._ended.get(timeout=_TICK if self._in_flight else self._pause())]
        except Empty:
            self._repeat_late()
            return []
        while not self._ended.empty():
            ended.append(self._ended.get())
        return ended

    def _pause(self) -> float:
        """Return the seconds until the first call that waits is due."""
        return max(0.0, min(call.due for call in self._pausing) - time.monotonic())

    def _fill(self) -> bool:
        """Submit as many calls as there are free slots, and return whether there were any."""
        if self._suspects:
            if not self._in_flight:
                suspect = self._suspects.pop()
                suspect.is_alone = True
                self._submit([suspect])
            return False
        if any(call.is_alone for call in self._in_flight.values()):
            return False
        slots = self._executor.slots
        if self._in_flight and slots - len(self._in_flight) < self._executor.step:
            return False
        stint = max(_STINT, 50 * slots)
        batch: list[_Call[K, R]] = []
        while len(self._in_flight) + len(batch) < slots:
            if (call := self._take(stint, is_resting=bool(self._in_flight or batch))) is None:
                break
            batch.append(call)
        if batch:
            self._submit(batch)
        return bool(batch)

    def _take(self, stint: int, *, is_resting: bool) -> _Call[K, R] | None:
        """Return the next call, or None if there is none now."""
        now = time.monotonic()
        due = next((call for call in self._pausing if call.due <= now), None)
        if due is not None:
            self._pausing.remove(due)
            return due
        if is_resting and self._submitted and self._submitted % stint == 0:
            return None
        next_call = next(self._calls, None)
        self._submitted += next_call is not None
        return next_call

    def _submit(self, calls: list[_Call[K, R]]) -> None:
        futures = self._executor.submit(self._task, self._shared, [call.arguments for call in calls])
        self._heard = time.monotonic()
        for call, future in zip(calls, futures, strict=True):
            call.started = call.started or self._heard
            call.n_started += 1
            call.futures.append(future)
            self._in_flight[future] = call
            future.add_done_callback(self._ended.put)

    def _is_over(self, call: _Call[K, R], future: Future[R]) -> bool:
        """Return whether a call is over, of which an attempt has ended; if not, see to the next attempt."""
        call.futures.remove(future)
        error = future.exception()
        self._heard = time.monotonic()
        if error is None:
            self._durations.append(self._heard - call.started)
            for twin in call.futures:
                del self._in_flight[twin]
            self._executor.cancel(call.futures)
            return True
        if call.futures:
            return False
        if isinstance(error, LostError) and not call.is_alone:
            self._suspects.append(call)
            return False
        if may_pass(error) and call.retries < len(_PAUSES):
            call.due = self._heard + _PAUSES[call.retries]
            call.retries += 1
            self._pausing.append(call)
            return False
        return True

    def _repeat_late(self) -> None:
        """Start calls again that are far behind: their process may hang, or be paused."""
        silence = time.monotonic() - self._heard
        if not self._executor.repeats or silence < _PATIENCE:
            return
        known = _TIMES * statistics.median(self._durations) if self._durations else _UNKNOWN * _PATIENCE
        late = [
            call
            for call in dict.fromkeys(self._in_flight.values())
            if silence > known * len(call.futures) and call.n_started < _MOST
        ]
        if late:
            self._executor.renew(self._shared)
        for call in late:
            # One that hangs mustn't keep the others.
            self._submit([call])
