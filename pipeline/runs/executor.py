"""The seam `Executor`: where tasks are computed, and how many of them are in flight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future
    from types import TracebackType

K = TypeVar("K")
R = TypeVar("R")
Task: TypeAlias = "Callable[..., Callable[[], R]]"

# After this many tasks all that are in flight are awaited: Dask's scheduler notes each task of a computation
# for as long as the computation goes on, and a new one begins when nothing is in flight.
_STINT = 500


class Outcome(Generic[K, R]):
    """How a task ended: with a result or with an error."""

    def __init__(self, key: K, future: Future[R]) -> None:
        self.key = key
        self.error = future.exception()
        self._future = future

    @property
    def result(self) -> R:
        """What the task returned; raises the error of a task that failed."""
        return self._future.result()


class Executor(ABC):
    """Where tasks are computed.

    An executor is a context manager: inside ``with`` it takes tasks, and at its end no task is at work any
    more. A task is a function of a shared value and arguments of its own. It returns a function without
    arguments that needs next to no processor, finishes the task and returns its result; the next task may be
    computed in the meantime. All that isn't local must be picklable, apart from that function.

    Attributes
    ----------
    is_local : bool
        Whether tasks are computed in this process.
    """

    is_local: bool

    @property
    @abstractmethod
    def threads(self) -> int:
        """How many tasks a process computes at once."""

    @property
    @abstractmethod
    def n_processes(self) -> int:
        """How many processes compute tasks."""

    @property
    @abstractmethod
    def available_memory(self) -> int:
        """The memory in bytes that each process may use."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks should be in flight now."""

    @abstractmethod
    def share(self, value: Any) -> Any:  # noqa: ANN401  a value of any kind, or a handle to it
        """Send a value to every process once, and return what :meth:`submit` takes in its place."""

    @abstractmethod
    def submit(self, task: Task[R], shared: Any, *arguments: Any) -> Future[R]:  # noqa: ANN401  as `task` takes them
        """Start ``task(value, *arguments)()`` for a shared value."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Start taking tasks.

        Raises
        ------
        RuntimeError
            If no task can be computed.
        """

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop taking tasks."""

    def outcomes(
        self,
        task: Task[R],
        shared: Any,  # noqa: ANN401  a value of any kind, or a handle to it
        calls: Iterable[tuple[K, tuple[Any, ...]]],
    ) -> Generator[Outcome[K, R]]:
        """Compute many calls of a task, as many at once as there are slots.

        Parameters
        ----------
        task : callable
        shared : object
            As :meth:`share` returned it.
        calls : iterable of (key, arguments)
            They are taken one by one, when a slot is free.

        Yields
        ------
        Outcome
            In the order in which tasks end. If the caller stops early, the tasks in flight are awaited.
        """
        in_flight: dict[Future[R], K] = {}
        ended: SimpleQueue[Future[R]] = SimpleQueue()
        waiting = iter(calls)
        submitted = 0
        try:
            while True:
                slots = self.slots
                stint = max(_STINT, 50 * slots)
                while len(in_flight) < slots and (submitted % stint or not in_flight):
                    if (call := next(waiting, None)) is None:
                        break
                    submitted += 1
                    key, arguments = call
                    future = self.submit(task, shared, *arguments)
                    in_flight[future] = key
                    future.add_done_callback(ended.put)
                if not in_flight:
                    return
                future = ended.get()
                yield Outcome(in_flight.pop(future), future)
        finally:
            # Nothing may write any more once the caller goes on.
            wait(in_flight)
