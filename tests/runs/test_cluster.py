"""Dask clusters: the contract of executors, the memory of workers, and clusters that can't take tasks."""

from __future__ import annotations

import os
import time
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import h5py
import pytest
from distributed import Client
from references import random_mixture
from runs.disturbed import assert_same

from pipeline import Density, open_image, plan, stream
from pipeline.runs import cluster as cluster_module
from pipeline.runs.batches import BatchSize
from pipeline.runs.cluster import Cluster
from pipeline.runs.executor import Capacity
from pipeline.runs.known_workers import KnownWorkers
from pipeline.testing.executors import ExecutorContract, add, name_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

DENSITY = Density(random_mixture(2, 3))


def wait_a_moment(shared: int, content: bytes) -> Callable[[], int]:
    """Take a while, so that tasks are in flight."""
    time.sleep(0.02)
    return lambda: shared + len(content)


def wait_for_file(shared: int, path: str) -> Callable[[], int]:
    """Take so long that what is submitted afterwards waits at the scheduler: until a file is there."""
    for _ in range(3000):
        if Path(path).exists():
            break
        time.sleep(0.02)
    return lambda: shared


class TestCluster(ExecutorContract):
    """A cluster keeps the contract of executors."""

    @pytest.fixture
    def executor(self, processes: Client) -> Cluster:
        """Give a cluster of two worker processes."""
        return Cluster(processes)


class TestClusterOfThreads(ExecutorContract):
    """A cluster whose worker is in this process keeps the contract of executors."""

    @pytest.fixture
    def executor(self) -> Iterator[Cluster]:
        """Give a cluster of one worker of two threads."""
        options: dict[str, Any] = {"processes": False, "dashboard_address": "127.0.0.1:0"}
        with Client(n_workers=1, threads_per_worker=2, set_as_default=False, **options) as client:
            yield Cluster(client)

    def test_tasks_are_computed_where_it_says(self, executor: Cluster) -> None:
        """The worker happens to be in this process."""
        with executor:
            (future,) = executor.submit(name_process, executor.share(0), [(0,)])
            assert future.result(timeout=60) == os.getpid()


def test_two_tasks_are_in_flight_for_each_thread(processes: Client) -> None:
    """While one task is computed, the next is on its way, and others wait at the scheduler."""
    with Cluster(processes) as cluster:
        assert (cluster.slots, cluster.threads, cluster.total_threads) == (4, 1, 2)
        shared = cluster.share(1)
        light = cluster.submit(wait_a_moment, shared, [(b"",)] * 4)
        assert cluster.slots == 4 + 8
        light += cluster.submit(wait_a_moment, shared, [(b"",)] * 80)
        assert cluster.slots == 4 + 128
        heavy = cluster.submit(wait_a_moment, shared, [(bytes(2**26),)])
        assert cluster.slots == 4
        wait([*light, *heavy])


def test_short_calls_are_sent_together(processes: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once calls are known to be short, many are one task, and each has its own result or error."""
    sizes: list[int] = []
    map_calls = processes.map

    def noting(function: Any, *lists: list[Any], **options: Any) -> Any:
        sizes.append(len(lists[0]))
        return map_calls(function, *lists, **options)

    monkeypatch.setattr(processes, "map", noting)
    with Cluster(processes) as cluster:
        shared = cluster.share(1)
        assert cluster.step == 1
        wait(cluster.submit(add, shared, [(number,) for number in range(40)]))
        assert cluster.step > 1
        futures = cluster.submit(add, shared, [(number,) for number in (*range(10), "text", *range(10))])
        errors = [type(future.exception()) for future in futures]
    assert sizes[0] == 40
    assert sizes[1] < 21
    assert errors == [*[type(None)] * 10, TypeError, *[type(None)] * 10]
    assert [future.result() for future in futures[11:]] == list(range(1, 11))


def test_a_part_of_a_batch_is_canceled(
    tmp_path: Path, processes: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls of a batch that others await are computed; one that nobody awaits is canceled."""
    with Cluster(processes) as cluster:
        shared = cluster.share(1)
        ahead = cluster.submit(wait_for_file, shared, [(os.fspath(tmp_path / "go"),)] * 8)
        monkeypatch.setattr(BatchSize, "n_calls", 4)
        first, second = (cluster.submit(add, shared, [(number,) for number in range(4)]) for _ in range(2))
        cluster.cancel([*first[:2], *second])
        canceled = [future.cancelled() for future in (*first, *second)]
        (tmp_path / "go").touch()
        wait([*ahead, *first])
    assert canceled == [True, True, False, False, *[True] * 4]
    assert [future.result() for future in first[2:]] == [3, 4]


def test_a_cluster_forgets_what_is_done(processes: Client) -> None:
    """Once futures are done, the scheduler has no task of theirs."""

    def tasks(dask_scheduler: Any) -> set[str]:
        return {str(key) for key in dask_scheduler.tasks if "'task-" in str(key)}

    before = processes.run_on_scheduler(tasks)
    with Cluster(processes) as cluster:
        shared = cluster.share(1)
        wait(cluster.submit(add, shared, [(number,) for number in range(6)]))
    # The client tells the scheduler in its own time.
    for _ in range(500):
        if not (left := processes.run_on_scheduler(tasks) - before):
            break
        time.sleep(0.01)
    assert left == set()


def test_clusters_that_cant_take_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed client is refused with the remedy."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with Client(n_workers=0, **options) as client:
        cluster = Cluster(client)
        assert (cluster.threads, cluster.total_threads, cluster.is_ready) == (1, 1, False)
        with monkeypatch.context() as patch:
            patch.setattr(cluster_module, "find_spec", bool)
            assert cluster.facts == (("workers", "none yet"), ("dashboard", client.dashboard_link))
            patch.setattr(cluster_module, "find_spec", lambda _: None)
            assert cluster.facts == (("workers", "none yet"),)
    with pytest.raises(RuntimeError, match=r"the client is closed. Connect a new one"), Cluster(client):
        pass


def test_available_memory(processes: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker with the least memory counts, and the one with the most threads."""
    capacities = (Capacity(1, 2**30), Capacity(2, 2**28), Capacity(4, 2**29))
    monkeypatch.setattr(KnownWorkers, "capacities", capacities)
    cluster = Cluster(processes)
    assert (cluster.available_memory, cluster.threads, cluster.total_threads) == (2**28, 4, 7)


def test_a_plan_for_a_cluster(tmp_path: Path, photo: NDArray[np.uint8], processes: Client) -> None:
    """A plan takes a cluster's threads and memory, and executes there."""
    image = da.from_array(photo, chunks=(128, 128, 3))
    planned = plan(image, DENSITY, tmp_path / "out.zarr", client=processes, block=128, progress="none")
    workers = processes.scheduler_info(n_workers=-1)["workers"].values()
    assert planned.threads == 1
    pause = dask.config.get("distributed.worker.memory.pause")
    assert planned.memory_limit == int(min(worker["memory_limit"] for worker in workers) * pause)
    assert planned.execute().blocks == 16
    wanted = plan(photo, DENSITY, tmp_path / "wanted.zarr", block=128, progress="none")
    wanted.execute()
    assert_same(tmp_path / "out.zarr", tmp_path / "wanted.zarr")


def test_what_a_cluster_cant_do(tmp_path: Path, photo: NDArray[np.uint8], processes: Client) -> None:
    """Pixels that the cluster holds, or that can't travel, are refused with what to do instead."""
    lazy = da.from_array(photo, chunks=(128, 128, 3))
    held = processes.persist(lazy)
    for image, mask in ((held, None), (lazy, held[..., 0])):
        for start in (plan, stream):
            with pytest.raises(
                ValueError, match=r"persisted on the cluster.* Pass them as they were before persist"
            ):
                start(image, DENSITY, tmp_path / "out.zarr", mask=mask, client=processes, progress="none")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=photo)
        with pytest.raises(
            ValueError, match=r"can't be sent to the workers .* Pass the path of the file, or"
        ):
            plan(open_image(dataset)[::2], DENSITY, tmp_path / "out.zarr", client=processes, progress="none")
    (tmp_path / "x.h5").unlink()
    assert list(tmp_path.iterdir()) == []
