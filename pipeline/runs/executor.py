"""Where tasks run: threads of this process, or the workers of a Dask cluster."""

from __future__ import annotations

import sys
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dask
from dask.system import CPU_COUNT

from pipeline.runs.task import Done, do_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client
    from distributed import Future as Remote

    from pipeline.images.opening import Piece
    from pipeline.runs.task import Job

    Submit = Callable[[Piece, tuple[int, int], tuple[str, ...]], Future[Done]]

# Blocks in flight for each thread of a cluster: one computes while the next is on its way.
_CLUSTER_QUEUE = 2


@contextmanager
def submitting(client: Client | None, job: Job) -> Iterator[tuple[Submit, int]]:
    """Give a function that submits a block of a job, and how many blocks may be in flight.

    Parameters
    ----------
    client : distributed.Client or None
        None for threads of this process.
    job : Job
        Sent to each worker once.

    Raises
    ------
    RuntimeError
        If the cluster has no workers.
    """
    if client is None:
        threads = n_threads()
        with ThreadPoolExecutor(threads, thread_name_prefix="mixture-pipeline") as pool:
            yield (lambda *task: pool.submit(do_block, job, *task)), threads
    else:
        if client.status != "running":
            raise RuntimeError(f"the client is {client.status}. Connect a new one: Client(address).")
        if not client.nthreads():
            raise RuntimeError("the cluster has no workers. Start some, or wait: client.wait_for_workers(1).")
        window = _CLUSTER_QUEUE * sum(client.nthreads().values())
        yield _submit_to(client, client.scatter(job, broadcast=True, hash=False)), window


def _submit_to(client: Client, shared: Remote[Job]) -> Submit:
    """Give what submits to a cluster.

    All blocks' keys belong to one group of tasks: the scheduler remembers a computation's groups, so that the
    client's own executor, whose keys are a group each, costs it memory for each block.
    """
    group = f"do_block-{uuid.uuid4().hex}"
    # A remote task is given up when nobody holds its future any more.
    held: dict[tuple[int, int], Remote[Done]] = {}

    def submit(piece: Piece, index: tuple[int, int], names: tuple[str, ...]) -> Future[Done]:
        promise: Future[Done] = Future()

        def settle(remote: Remote[Done]) -> None:
            try:
                promise.set_result(remote.result())
            except Exception as error:  # noqa: BLE001  a task may fail of anything; who waits is told
                promise.set_exception(error)
            finally:
                held.pop(index, None)

        remote = client.submit(do_block, shared, piece, index, names, key=(group, *index), pure=False)
        held[index] = remote
        remote.add_done_callback(settle)
        return promise

    return submit


def n_threads() -> int:
    """Count the threads of a run without a cluster, as Dask's settings say."""
    if dask.config.get("scheduler", None) in {"sync", "synchronous", "single-threaded"}:
        return 1
    return int(dask.config.get("num_workers", None) or CPU_COUNT)


def current_client() -> Client | None:
    """Give the current Dask client, if there is one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client  # noqa: PLC0415  costs half a second where no cluster is used

    try:
        client: Client = default_client()
    except ValueError:
        return None
    return client
