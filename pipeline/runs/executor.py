"""The seam `Executor`: where tasks are computed, and how many of them are in flight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeAlias, TypeVar

from pipeline.runs.dispatch import Dispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from concurrent.futures import Future
    from types import TracebackType

K = TypeVar("K")
R = TypeVar("R")
Task: TypeAlias = "Callable[..., Callable[[], R]]"


class Outcome(Generic[K, R]):
    """How a task ended: with a result or with an error.

    Attributes
    ----------
    key : object
        The key of the call.
    error : BaseException or None
        The error of a task that failed.
    retries : int
        How often the task was tried again after an error.
    """

    def __init__(self, key: K, future: Future[R], retries: int = 0) -> None:
        self.key = key
        self.error = future.exception()
        self.retries = retries
        self._future = future

    @property
    def result(self) -> R:
        """The result of the task; raises the error of a task that failed."""
        return self._future.result()


class Capacity(NamedTuple):
    """The capacity of a process that computes tasks.

    Attributes
    ----------
    threads : int
        The number of tasks that it computes at once.
    memory : int
        The resident memory that it may use, in bytes.
    """

    threads: int
    memory: int


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
    repeats : bool
        Whether a task that takes far longer than others may be started again, elsewhere.
    """

    is_local: bool
    repeats: bool = False

    @property
    @abstractmethod
    def capacities(self) -> tuple[Capacity, ...]:
        """The capacity of each process that computes tasks now; at least one."""

    @property
    @abstractmethod
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The facts about it that a plan shows, each with its name."""

    @property
    def threads(self) -> int:
        """The largest number of tasks that a process computes at once."""
        return max(capacity.threads for capacity in self.capacities)

    @property
    def total_threads(self) -> int:
        """The number of tasks that all processes compute at once."""
        return sum(capacity.threads for capacity in self.capacities)

    @property
    def available_memory(self) -> int:
        """The memory in bytes that any of the processes may use."""
        return min(capacity.memory for capacity in self.capacities)

    @property
    @abstractmethod
    def slots(self) -> int:
        """The number of tasks that should be in flight now."""

    @property
    def step(self) -> int:
        """The number of calls that are best submitted together, while others are in flight."""
        return 1

    @property
    def is_ready(self) -> bool:
        """Whether there is a process that can compute tasks."""
        return True

    def await_workers(self, tell: Callable[[str], object]) -> None:  # noqa: B027  most are always ready
        """Wait until there is a process that can compute tasks.

        Parameters
        ----------
        tell : callable
            It is called with a sentence now and then while there is none.
        """

    @abstractmethod
    def share(self, value: Any) -> Any:  # noqa: ANN401  a value of any kind, or a handle to it
        """Send a value to every process once, and return the handle that :meth:`submit` takes."""

    def renew(self, shared: Any) -> None:  # noqa: ANN401, B027  as `share` returned it; most send nothing
        """Send a value again, for tasks that mustn't wait for processes that hang."""

    @abstractmethod
    def submit(self, task: Task[R], shared: Any, calls: Sequence[tuple[Any, ...]]) -> list[Future[R]]:  # noqa: ANN401  as `task` takes them
        """Start ``task(value, *arguments)()`` for a shared value and the arguments of each call.

        Raises
        ------
        ConnectionError
            If the processes can't be reached any more.
        """

    @abstractmethod
    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel tasks that haven't begun, whose futures are done then; tasks at work go on."""

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

        A task that fails to read or write is tried again a few times, after pauses.

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
            In the order in which tasks end. If the caller stops early, the tasks at work are awaited.
        """
        for key, future, retries in Dispatch(self, task, shared, calls).ended():
            yield Outcome(key, future, retries)
