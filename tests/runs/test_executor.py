"""Executors: the same tasks on threads and on a cluster, and what can't take any."""

from __future__ import annotations

import time
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from dask.system import CPU_COUNT
from distributed import Client
from references import random_mixture

from pipeline import Density
from pipeline.compute.engine import Request
from pipeline.runs.executor import current_client, n_threads, submitting
from pipeline.images.grid import Grid
from pipeline.images.opening import Piece
from pipeline.runs.task import Job
from pipeline.stores.local import create

QUANTITY = Density(random_mixture(2, 3))
GRID = Grid((32, 48), (16, 16), (16, 16))


def job_in(path: Path) -> Job:
    """Make a job of six blocks, with its store."""
    job = Job(path, GRID, {"density": Request(QUANTITY, np.dtype("float32"), "numexpr")})
    create(path, GRID, job.quantities, {})
    return job


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_tasks_give_what_they_did_or_failed_of(tmp_path: Path, processes: Client, where: str) -> None:
    """Each task's future has its outcome, and an error is that of the task."""
    client = processes if where == "cluster" else None
    pixels = np.zeros((16, 16, 3), np.uint8)
    with submitting(client, job_in(tmp_path / "out.zarr")) as (submit, window):
        assert window == (4 if where == "cluster" else n_threads())
        piece = Piece(pixels, None, has_alpha=False, no_data=None)
        futures = [submit(piece, index, ("density",)) for index in GRID.blocks()]
        broken = submit(Piece(pixels[..., :0], None, has_alpha=False, no_data=None), (9, 9), ("nothing",))
        wait([*futures, broken])
    assert [future.result().pixels for future in futures] == [256] * 6
    assert isinstance(broken.exception(), KeyError)
    assert len(list((tmp_path / "out.zarr" / "density" / "0" / "c").glob("*/*"))) == 6


def test_a_cluster_forgets_what_is_done(tmp_path: Path, processes: Client) -> None:
    """Once futures are done, the scheduler has no task of theirs."""

    def tasks(dask_scheduler: Any) -> set[str]:
        return {str(key) for key in dask_scheduler.tasks if "do_block" in str(key)}

    before = processes.run_on_scheduler(tasks)
    with submitting(processes, job_in(tmp_path / "out.zarr")) as (submit, _):
        piece = Piece(np.zeros((16, 16, 3), np.uint8), None, has_alpha=False, no_data=None)
        wait([submit(piece, index, ("density",)) for index in GRID.blocks()])
    # The client tells the scheduler in its own time.
    for _ in range(500):
        if not (left := processes.run_on_scheduler(tasks) - before):
            break
        time.sleep(0.01)
    assert left == set()


def test_threads_follow_dasks_settings() -> None:
    """The number of workers, the synchronous scheduler, or else a thread a core."""
    with dask.config.set(num_workers=3):
        assert n_threads() == 3
    with dask.config.set(scheduler="synchronous"):
        assert n_threads() == 1
    assert n_threads() == CPU_COUNT


def test_clients_that_cant_take_tasks() -> None:
    """A closed client and a cluster without workers are said to be so; an open client is the current one."""
    job = Job(Path("nowhere"), GRID, {})
    options: dict[str, Any] = {"processes": False, "dashboard_address": "127.0.0.1:0"}
    with Client(n_workers=0, **options) as client:
        assert current_client() is client
        with pytest.raises(RuntimeError, match=r"no workers. Start some"), submitting(client, job):
            pass
    assert current_client() is None
    with (
        pytest.raises(RuntimeError, match=r"the client is closed. Connect a new one"),
        submitting(client, job),
    ):
        pass
