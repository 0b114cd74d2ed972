"""The clusters that benchmarks start, and the tasks that do nothing; cluster.py uses them.

Workers import this module, since a function of a script would be sent with every task.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, LocalCluster

from pipeline import stream
from pipeline.images.grid import Grid
from pipeline.runs.allocator import ALLOCATOR
from pipeline.runs.executors import choose_executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import zarr

    from pipeline import Output

_HERE = Path(__file__).parent
_HOST = "127.0.0.1"
# Seconds that processes have to start, or to end.
_PATIENCE = 60


@contextmanager
def local_client(n_workers: int) -> Iterator[Client]:
    """Start worker processes of one thread each on this machine; this process has the scheduler.

    Each worker is started by a nanny, which sets OMP_NUM_THREADS=1. The client isn't the current one, so
    that runs without it use threads.
    """
    options: dict[str, Any] = {"host": _HOST, "dashboard_address": f"{_HOST}:0"}
    options["scheduler_kwargs"] = {"dashboard": False}
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def separate_client(n_workers: int, folder: Path) -> Iterator[Client]:
    """Start scheduler and workers of one thread each as processes, by `dask scheduler` and `dask worker`.

    Parameters
    ----------
    n_workers : int
    folder : Path
        Where the processes keep their own files; it is made.
    """
    folder.mkdir()
    address = folder / "scheduler.json"
    common = ["--scheduler-file", str(address), "--host", _HOST, "--no-dashboard"]
    local = ["--nworkers", str(n_workers), "--nthreads", "1", "--local-directory", str(folder)]
    with _command("scheduler", *common, "--port", "0", "--dashboard-address", f"{_HOST}:0"):
        due = time.monotonic() + _PATIENCE
        while not address.exists():
            if time.monotonic() > due:
                raise TimeoutError(f"the scheduler hasn't started within {_PATIENCE} s")
            time.sleep(0.1)
        with (
            _command("worker", *common, *local),
            Client(scheduler_file=str(address), set_as_default=False) as client,
        ):
            client.wait_for_workers(n_workers, timeout=_PATIENCE)
            yield client


@contextmanager
def _command(*words: str) -> Iterator[None]:
    """Let a command of Dask run meanwhile, which finds the modules of the benchmarks."""
    path = os.pathsep.join([str(_HERE), str(_HERE.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *words],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def run_alone(
    source: zarr.Array[Any], output: Output, path: Path, block: tuple[int, int], client: Client
) -> None:
    """Run the whole image in each worker, by one thread that knows nothing of the others."""
    addresses = list(client.nthreads())
    path.mkdir()
    runs = [
        client.submit(_run, source, output, path / str(n), block, workers=[address], pure=False)
        for n, address in enumerate(addresses)
    ]
    client.gather(runs)


def _run(source: zarr.Array[Any], output: Output, path: Path, block: tuple[int, int]) -> None:
    ALLOCATOR.keep_freed()
    with dask.config.set(num_workers=1):
        stream(source, output, path, block=block, progress="none")


def run_nothing(n_blocks: int, client: Client | None, report: Callable[[int], object] | None = None) -> None:
    """Run so many tasks that do nothing, as a run does its blocks; report each number of finished ones."""
    grid = Grid((n_blocks, 1), (1, 1), (1, 1))
    calls = ((block, (block.index,)) for block in grid.blocks())
    with choose_executor(client) as executor:
        outcomes = executor.outcomes(_do_nothing, executor.share(None), calls)
        for done, outcome in enumerate(outcomes, start=1):
            if outcome.error is not None:
                raise outcome.error
            if report is not None:
                report(done)


def _do_nothing(shared: None, index: tuple[int, int]) -> Callable[[], None]:
    del shared, index
    return _finish


def _finish() -> None:
    """End a task that does nothing."""
