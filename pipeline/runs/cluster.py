"""The executor of a run on the workers of a Dask cluster."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

import dask

from pipeline.runs.executor import Executor
from pipeline.runs.threads import Threads

if TYPE_CHECKING:
    from types import TracebackType

    from distributed import Client
    from distributed import Future as RemoteFuture

    from pipeline.runs.executor import Task

R = TypeVar("R")

# Tasks in flight for each thread of the cluster: one is computed while the next is on its way.
_QUEUE = 2


class Cluster(Executor):
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    """

    is_local = False

    def __init__(self, client: Client) -> None:
        self._client = client
        # All tasks' keys belong to one group. The scheduler remembers the groups of a computation, so that
        # keys which are a group each, as the client's own executor gives them, would cost it memory.
        self._group = f"task-{uuid.uuid4().hex}"
        self._n_submitted = 0
        # A remote task is canceled when nobody holds its future any more.
        self._held: dict[int, RemoteFuture[Any]] = {}

    @property
    def threads(self) -> int:
        """The threads of the worker that has the most."""
        return int(max(self._client.nthreads().values(), default=1))

    @property
    def n_processes(self) -> int:
        """The number of workers, and at least 1."""
        return max(1, len(self._client.nthreads()))

    @property
    def available_memory(self) -> int:
        """The smallest limit of a worker, up to where Dask pauses the worker, in bytes."""
        workers: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        limits = [worker["memory_limit"] for worker in workers.values() if worker["memory_limit"]]
        if not limits:
            return Threads().available_memory
        share = float(dask.config.get("distributed.worker.memory.pause", 0.8) or 1)
        return int(min(limits) * share)

    @property
    def slots(self) -> int:
        """Two tasks for each thread of each worker that there was when the run began."""
        return int(self._slots)

    def share(self, value: Any) -> Any:  # noqa: ANN401  a value of any kind, as a future
        """Send the value to every worker."""
        return self._client.scatter(value, broadcast=True, hash=False)

    def submit(self, task: Task[R], shared: Any, *arguments: Any) -> Future[R]:  # noqa: ANN401  as `task` takes them
        """Start a task on one of the workers."""
        promise: Future[R] = Future()
        number = self._n_submitted
        self._n_submitted += 1

        def settle(remote: RemoteFuture[R]) -> None:
            try:
                promise.set_result(remote.result())
            except Exception as error:  # noqa: BLE001  a task may fail in any way; whoever waits is told
                promise.set_exception(error)
            finally:
                self._held.pop(number, None)

        remote = self._client.submit(
            _complete, task, shared, *arguments, key=(self._group, number), pure=False
        )
        self._held[number] = remote
        remote.add_done_callback(settle)
        return promise

    def __enter__(self) -> Self:
        """Check that the cluster can take tasks."""
        if self._client.status != "running":
            raise RuntimeError(f"the client is {self._client.status}. Connect a new one: Client(address).")
        threads = self._client.nthreads()
        if not threads:
            raise RuntimeError("the cluster has no workers. Start some, or wait: client.wait_for_workers(1).")
        self._slots = _QUEUE * sum(threads.values())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster as it is."""


def _complete(task: Task[R], shared: Any, *arguments: Any) -> R:  # noqa: ANN401  as `task` takes them
    """Compute a task and finish it, on a worker."""
    return task(shared, *arguments)()
