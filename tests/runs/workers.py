"""The kinds of executors, as the campaign disturbs them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Workers:
    """What computes the blocks of a run.

    Attributes
    ----------
    client : Client or None
        The cluster, if it is one.
    may_die : bool
        Whether the workers are processes that can be killed.
    """

    def __init__(
        self, client: Client | None = None, cluster: LocalCluster | None = None, *, may_die: bool = False
    ) -> None:
        self.client, self.may_die = client, may_die
        self._cluster = cluster

    @property
    def address(self) -> str | None:
        """The address of the scheduler, for another process."""
        return None if self.client is None else str(self.client.scheduler.address)

    def everywhere(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in each process that writes; one that dies in the meantime is left out."""
        function(*arguments)
        if self.client is not None and self.may_die:
            self.client.run(function, *arguments, on_error="ignore")

    def kill_one(self) -> None:
        """Kill a worker; its nanny starts another one."""
        assert self.client is not None
        pids = self.client.run(os.getpid, on_error="ignore")
        # Without the last one a run would wait, or end.
        if len(pids) > 1:
            os.kill(pids[min(pids)], signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the cluster is whole, and has ended the tasks of clients that are gone.

        A nanny may give up a worker that was killed while it started; then the cluster starts another one,
        once it has noticed, after 15 seconds.
        """
        due = time.monotonic() + 20
        while self.client is not None and self._cluster is not None:
            # A worker computes a task to its end, though the scheduler may have forgotten it.
            busy = self.client.run(_count_tasks, on_error="return").values()
            n_workers, n_tasks = self.client.run_on_scheduler(_count)
            if n_workers == 2 and n_tasks == 0 and list(busy) == [0] * n_workers:
                return
            if n_workers < 2 and time.monotonic() > due:
                self._cluster.scale(2)
                due += 20
            time.sleep(0.01)


def _count(dask_scheduler: Any) -> tuple[int, int]:
    """Count the workers of a scheduler, and the tasks that aren't done."""
    done = {"memory", "erred", "released", "forgotten", "no-worker"}
    return len(dask_scheduler.workers), sum(task.state not in done for task in dask_scheduler.tasks.values())


def _count_tasks(dask_worker: Any) -> int:
    """Count the tasks of a worker that aren't done."""
    return sum(task.state not in {"memory", "error"} for task in dask_worker.state.tasks.values())


@contextmanager
def _threads(**settings: Any) -> Iterator[Workers]:
    with dask.config.set(settings):
        yield Workers()


@contextmanager
def _cluster(*, processes: bool) -> Iterator[Workers]:
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with (
        # A worker that died is given up soon, and no worker is left out for good.
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=processes, protocol="tcp", memory_limit=0, **options
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(2)
        yield Workers(client, cluster, may_die=processes)


WORKERS = {
    "threads": lambda: _threads(num_workers=2),
    "one thread": lambda: _threads(scheduler="synchronous"),
    "cluster of processes": lambda: _cluster(processes=True),
    "cluster of threads": lambda: _cluster(processes=False),
}
