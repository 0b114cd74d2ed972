"""The executor of a run without a cluster: threads of this process."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

import dask
from dask.system import CPU_COUNT

from pipeline.images.kept import KEPT
from pipeline.runs.executor import Capacity, Executor
from pipeline.runs.limits import available_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from pipeline.runs.executor import Task

R = TypeVar("R")


class Threads(Executor):
    """Threads of this process: as many as Dask's settings say, by default one for each core."""

    is_local = True

    def __init__(self) -> None:
        self._threads = n_threads()

    @property
    def capacities(self) -> tuple[Capacity, ...]:
        """That of this process: the memory that it has, and that the machine and the limits leave it."""
        return (Capacity(self._threads, available_memory(self._threads)),)

    @property
    def threads(self) -> int:
        """The number of tasks that are computed at once."""
        return self._threads

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The number of threads."""
        return (("threads", f"{self._threads}"),)

    @property
    def slots(self) -> int:
        """One task for each thread, and one that is being finished."""
        return self._threads + 1

    def share(self, value: Any) -> Any:  # noqa: ANN401  a value of any kind
        """Return the value itself: all threads see it."""
        return value

    def submit(self, task: Task[R], shared: Any, calls: Sequence[tuple[Any, ...]]) -> list[Future[R]]:  # noqa: ANN401  as `task` takes them
        """Start each task in the next free thread; another thread finishes it, so that this one is free."""
        return [self._submit(task, shared, arguments) for arguments in calls]

    def _submit(self, task: Task[R], shared: Any, arguments: tuple[Any, ...]) -> Future[R]:  # noqa: ANN401  as `task` takes them
        promise: Future[R] = Future()

        def settle(step: Callable[[], object]) -> None:
            try:
                step()
            except BaseException as error:  # noqa: BLE001  a task may fail in any way; whoever waits is told
                promise.set_exception(error)

        def compute() -> None:
            rest = task(shared, *arguments)
            self._finishing.submit(settle, lambda: promise.set_result(rest()))

        self._computing.submit(settle, compute)
        return promise

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel nothing, because hardly any task waits for a thread."""

    def __enter__(self) -> Self:
        """Start the threads."""
        self._computing = ThreadPoolExecutor(self._threads, thread_name_prefix="mixture-pipeline")
        # Finishing waits for the disk, several times at once for disks that are quick at that.
        n_finishing = -(-self._threads // 2)
        self._finishing = ThreadPoolExecutor(n_finishing, thread_name_prefix="mixture-pipeline-finishing")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads, and forget the giant pieces of images that they shared."""
        self._computing.shutdown()
        self._finishing.shutdown()
        KEPT.release()


def n_threads() -> int:
    """Return the number of threads of a run without a cluster, as Dask's settings say."""
    if dask.config.get("scheduler", None) in {"sync", "synchronous", "single-threaded"}:
        return 1
    return int(dask.config.get("num_workers", None) or CPU_COUNT)
