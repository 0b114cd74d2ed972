"""The executor of a run on processes of this machine, for Dask's setting ``scheduler="processes"``."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

from distributed.protocol.pickle import dumps, loads

from pipeline.runs.dispatch import LostError
from pipeline.runs.executor import Capacity, Executor
from pipeline.runs.limits import available_memory
from pipeline.runs.threads import n_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from pipeline.runs.executor import Task

R = TypeVar("R")


class Processes(Executor):
    """Processes of this machine, as many as Dask's settings say, by default one for each core.

    Each of them computes one task at a time. If one dies, the others end too, and new ones are started.
    """

    is_local = False
    _pool: ProcessPoolExecutor

    def __init__(self) -> None:
        self._n_processes = n_threads()

    @property
    def capacities(self) -> tuple[Capacity, ...]:
        """One thread for each process, and its part of the memory that this machine and its limits leave."""
        memory = available_memory(1) // self._n_processes
        return (Capacity(1, memory),) * self._n_processes

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The number of processes."""
        return (("processes", f"{self._n_processes}"),)

    @property
    def slots(self) -> int:
        """One task for each process, and one that is on its way."""
        return self._n_processes + 1

    def share(self, value: Any) -> Any:  # noqa: ANN401  a value of any kind, as the path of a file
        """Write the value to a file, which each process reads once."""
        path = Path(self._folder.name, uuid4().hex)
        path.write_bytes(dumps(value))
        return str(path)

    def submit(self, task: Task[R], shared: Any, calls: Sequence[tuple[Any, ...]]) -> list[Future[R]]:  # noqa: ANN401  as `task` takes them
        """Start each task in the next free process."""
        return [self._submit(shared, dumps((task, arguments))) for arguments in calls]

    def _submit(self, shared: str, content: bytes) -> Future[Any]:
        promise: Future[Any] = Future()
        try:
            started = self._pool.submit(_complete, shared, content)
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._start()
            started = self._pool.submit(_complete, shared, content)
        started.add_done_callback(partial(_settle, promise))
        return promise

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel nothing, because hardly any task waits for a process."""

    def __enter__(self) -> Self:
        """Get ready; a process is started when there is a task for it."""
        self._folder = tempfile.TemporaryDirectory(prefix="mixture-pipeline-")
        self._pool = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        self._pool.shutdown()
        self._folder.cleanup()

    def _start(self) -> ProcessPoolExecutor:
        # Forked processes can deadlock in libraries that have threads.
        return ProcessPoolExecutor(self._n_processes, mp_context=get_context("spawn"))


def _settle(promise: Future[Any], started: Future[Any]) -> None:
    """Give a future the result or the error of its task."""
    error = started.exception()
    if error is None:
        promise.set_result(started.result())
    elif isinstance(error, BrokenProcessPool):
        promise.set_exception(
            LostError("the process that computed it ended. If it ran out of memory, use smaller blocks")
        )
    else:
        promise.set_exception(error)


@lru_cache(maxsize=4)
def _read_shared(path: str) -> Any:  # noqa: ANN401  a value of any kind
    return loads(Path(path).read_bytes())


def _complete(shared: str, content: bytes) -> Any:  # noqa: ANN401  as the task returns it
    """Compute a task and finish it, in another process."""
    task, arguments = loads(content)
    return task(_read_shared(shared), *arguments)()
