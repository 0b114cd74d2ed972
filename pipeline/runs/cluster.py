"""The executor of a run on the workers of a Dask cluster."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

import dask

from pipeline.runs.batches import Batch, BatchSize, Shared, group
from pipeline.runs.dispatch import LostError
from pipeline.runs.executor import Executor
from pipeline.runs.known_workers import KnownWorkers
from pipeline.runs.worker import (
    PACKAGE,
    WINDOW,
    Completed,
    check_versions,
    complete,
    deflate,
    make_basis,
    release,
    remedy,
)
from pipeline.stores.record import current_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from distributed import Client
    from distributed import Future as RemoteFuture

    from pipeline.runs.executor import Capacity, Task

R = TypeVar("R")

# Tasks in flight for each thread of the cluster: one is computed while the next is on its way.
_QUEUE = 2
# Further tasks, which wait at the scheduler: by the time that they will take, an adaptive cluster knows how
# many workers it needs, and a worker that joins finds work. Without them, a block costs twice the messages.
_BACKLOG = 128
# They aren't submitted while so many bytes are in flight, as where tasks carry the pixels of an array.
_HEAVY = 2**26
# Seconds between two looks for the first worker, and between two reports that there is none.
_GLANCE, _EVERY = 0.25, 10.0
# Seconds in which results are gathered, to be fetched with one message.
_GATHERING = 0.01
# Seconds after which a worker that doesn't send a result is taken to hang.
_STUCK = 5.0


class Cluster(Executor):
    """The workers of a Dask cluster, which may come and go.

    Parameters
    ----------
    client : distributed.Client
    """

    is_local = False
    repeats = True

    def __init__(self, client: Client) -> None:
        self._client = client
        # All tasks' keys belong to one group. The scheduler remembers the groups of a computation, so that
        # keys which are a group each, as the client's own executor gives them, would cost it memory.
        self._group = f"task-{uuid.uuid4().hex[:12]}"
        self._n_submitted = 0
        # The batch of each call in flight. A task is canceled when nobody holds its future any more.
        self._batches: dict[Future[Any], Batch] = {}
        self._size = BatchSize()
        self._ended: SimpleQueue[Batch | None] = SimpleQueue()
        self._collecting: list[threading.Thread] = []
        self._fetching = float("inf")
        self._workers = KnownWorkers(client)
        # Without the scheduler the client forgets where it was.
        self._address = client.scheduler.address if client.scheduler else "which is closed"

    @property
    def capacities(self) -> tuple[Capacity, ...]:
        """That of each worker, or of one that is assumed while there is none."""
        return self._workers.capacities

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The number of workers with their threads and memory, and the address of the dashboard."""
        link = self._client.dashboard_link
        # Without bokeh a cluster on this machine has no pages.
        has_pages = link and (find_spec("bokeh") or "//127.0.0.1:" not in link)
        return (("workers", str(self._workers)), *([("dashboard", link)] if has_pages else []))

    @property
    def slots(self) -> int:
        """Two batches for each thread that there is now, and a backlog for workers that may join."""
        now = time.monotonic()
        if now - self._fetching > _STUCK:
            # A worker that hangs keeps the results that were asked of it, and not those of others.
            self._fetching = float("inf")
            self._start_collecting()
        try:
            self._workers.look()
        except Exception as error:
            if self._client.status == "closed":
                raise ConnectionError(self._disconnected) from error
            # The client may find the scheduler again; if not, the tasks in flight will tell.
        in_flight = list(self._batches.values())
        n_bytes = sum(batch.n_bytes for batch in set(in_flight))
        # It grows with what is in flight, so that few tasks are made before their size is known.
        backlog = min(_BACKLOG, 2 * len(in_flight)) if n_bytes < _HEAVY else 0
        return max(1, _QUEUE * self._workers.n_threads * self.step + backlog)

    @property
    def step(self) -> int:
        """As many calls as make a task."""
        return self._size.n_calls

    @property
    def is_ready(self) -> bool:
        """Whether there is a worker."""
        return bool(self._client.nthreads())

    def await_workers(self, tell: Callable[[str], object]) -> None:
        """Wait until there is a worker; an adaptive cluster starts one because a task waits."""
        request = self._client.submit(int, key=f"{self._group}-first", pure=False)
        due = time.monotonic()
        while not self.is_ready:
            if time.monotonic() >= due:
                tell(f"waiting for the first worker of {self._address}")
                due = time.monotonic() + _EVERY
            time.sleep(_GLANCE)
        request.release()

    def share(self, value: Any) -> Shared:  # noqa: ANN401  a value of any kind
        """Keep the value, which is sent with the first task, and from there to each worker once."""
        from distributed.protocol.pickle import dumps  # noqa: PLC0415  costs time where no cluster is used

        return Shared(dumps(value))

    def renew(self, shared: Shared) -> None:
        """Send the value again, from now on to workers that don't seem to hang."""
        # The client may find the scheduler again; if not, the tasks in flight will tell.
        with suppress(Exception):
            self._workers.find_silent()
        shared.basis = None

    def submit(self, task: Task[R], shared: Any, calls: Sequence[tuple[Any, ...]]) -> list[Future[R]]:  # noqa: ANN401  as `task` takes them
        """Start tasks on any workers, with one message to the scheduler."""
        from distributed.protocol.pickle import dumps  # noqa: PLC0415  costs time where no cluster is used

        contents = [dumps((task, arguments)) for arguments in calls]
        shared.sample = shared.sample or contents[0][:WINDOW]
        groups = list(group(contents, self.step))
        sent = [deflate(b"".join(batch), shared.sample) for batch in groups]
        try:
            with _large_graphs():
                remotes = self._send(shared, sent)
        except Exception as error:
            if self._client.status == "running":
                raise
            raise ConnectionError(self._disconnected) from error
        promises: list[Future[R]] = []
        for remote, content, parts in zip(remotes, sent, groups, strict=True):
            batch = Batch(remote, len(content), [Future() for _ in parts])
            promises += batch.promises
            self._batches |= dict.fromkeys(batch.promises, batch)
            remote.add_done_callback(lambda _, batch=batch: self._ended.put(batch))
        return promises

    def _send(self, shared: Shared, contents: list[bytes]) -> list[RemoteFuture[Any]]:
        """Send a task for each content, and before the first of them what they have in common."""
        preference = self._workers.preference
        if shared.basis is None:
            parts, key = (shared.content, shared.sample, current_version()), f"basis-{uuid.uuid4().hex}"
            shared.basis = self._client.submit(make_basis, *parts, key=key, pure=False, **preference)
        keys = [(self._group, self._n_submitted + number) for number in range(len(contents))]
        self._n_submitted += len(contents)
        bases = [shared.basis] * len(contents)
        return list(self._client.map(complete, bases, contents, key=keys, pure=False, **preference))

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel tasks that wait at the scheduler, or that nobody needs."""
        known = {future: self._batches[future] for future in futures if future in self._batches}
        if not known:
            return
        at_work: set[Any] = set()
        if self._client.status == "running":
            # If the scheduler is lost just now, nothing tells what is at work.
            with suppress(Exception):
                at_work = {key for keys in self._client.processing().values() for key in keys}
        idle = {future: batch for future, batch in known.items() if batch.remote.key not in at_work}
        # A batch of which other calls are awaited is computed all the same.
        needless = {batch for batch in idle.values() if not batch.awaited(self._batches) - idle.keys()}
        with suppress(Exception):
            # It also ends the wait for a result that was lost with its worker.
            self._client.cancel([batch.remote for batch in needless], force=True)
        for future in idle:
            # Whoever takes a future out settles it, this thread or one that collects.
            if self._batches.pop(future, None) is not None:
                future.cancel()
                future.set_running_or_notify_cancel()

    def __enter__(self) -> Self:
        """Check that the workers have this package in this version."""
        if self._client.status != "running":
            raise RuntimeError(f"the client is {self._client.status}. Connect a new one: Client(address).")
        # One that hangs would never answer.
        self._workers.find_silent()
        answering = self._workers.answering
        # Not a function of this package, which a worker may lack.
        check_versions(self._client.run(installed_version, PACKAGE, workers=answering, on_error="return"))
        self._start_collecting()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the workers forget the giant pieces of images that their tasks shared, and give memory back."""
        for _ in self._collecting:
            self._ended.put(None)
        for thread in self._collecting:
            # One that waits for a worker that hangs isn't waited for.
            thread.join(_STUCK)
        from distributed import fire_and_forget  # noqa: PLC0415  costs time where no cluster is used

        if self._client.status == "running":
            # Nobody waits for it, since a worker may hang.
            with suppress(Exception):
                for address in self._client.nthreads():
                    # A task for a worker that is lost would wait for it.
                    places: dict[str, Any] = {"workers": [address], "allow_other_workers": True}
                    key = f"release-{uuid.uuid4().hex}"
                    fire_and_forget(self._client.submit(release, key=key, pure=False, **places))

    @property
    def _disconnected(self) -> str:
        return (
            f"the scheduler of the cluster, {self._address}, can't be reached any more. "
            "Connect a new client, and resume"
        )

    def _start_collecting(self) -> None:
        thread = threading.Thread(target=self._collect, name="mixture-pipeline", daemon=True)
        self._collecting.append(thread)
        thread.start()

    def _collect(self) -> None:
        """Fetch the results of tasks that have ended, all that there are by now at once, until the end."""
        while True:
            ended = [self._ended.get()]
            time.sleep(_GATHERING)
            while None not in ended and not self._ended.empty():
                ended.append(self._ended.get())
            self._fetching = time.monotonic()
            # Those that were canceled meanwhile are settled already.
            self._settle([batch for batch in ended if batch and batch.awaited(self._batches)])
            self._fetching = float("inf")
            if None in ended:
                return

    def _settle(self, batches: list[Batch]) -> None:
        """Give futures the results or the errors of their calls."""
        done = [batch for batch in batches if batch.remote.status == "finished"]
        found: dict[Batch, Completed] = {}
        # A worker may be lost with results, so that each task tells of itself.
        with suppress(Exception, CancelledError):
            found = dict(zip(done, self._client.gather([batch.remote for batch in done]), strict=True))
        for batch in batches:
            outcomes: Sequence[tuple[Any, BaseException | None]]
            try:
                completed = found[batch] if batch in found else batch.remote.result()
            except BaseException as raised:  # noqa: BLE001  a task may fail in any way; whoever waits is told
                outcomes = [(None, raised)] * len(batch.promises)
            else:
                self._size.learn(completed.seconds, len(batch.promises))
                outcomes = completed.outcomes
            for promise, (result, error) in zip(batch.promises, outcomes, strict=True):
                if self._batches.pop(promise, None) is None:
                    continue
                if error is None:
                    promise.set_result(result)
                else:
                    promise.set_exception(self._explain(error))

    def _explain(self, error: BaseException) -> BaseException:
        """Return the error of a task in terms of this package."""
        from distributed import KilledWorker  # noqa: PLC0415  costs time where no cluster is used

        if isinstance(error, KilledWorker):
            return LostError(
                f"{error.allowed_failures + 1} workers ended while they computed it, one after the other, at "
                f"last {error.last_worker.address}. Their logs may say why. If they ran out of memory, use "
                "smaller blocks, or workers with more memory"
            )
        if isinstance(error, CancelledError):
            return ConnectionError(self._disconnected)
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "pipeline":
            return RuntimeError(f"a worker has no {PACKAGE}. {remedy()}")
        return error


def _large_graphs() -> Any:  # noqa: ANN401  Dask's context
    """Let Dask not warn of large tasks: it can't know that few of them are in flight."""
    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"})
