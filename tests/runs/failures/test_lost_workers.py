"""Clusters that lose workers, the scheduler or the client: only what was in flight is computed again."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.core import Status
from references import random_mixture
from runs.disturbed import (
    ASKED,
    QUANTITIES,
    assert_same,
    resume_with,
    wait_for_shards,
)

from pipeline import Density, LogDensity, Progress, resume, stream, verify
from pipeline.runs import cluster as cluster_module
from pipeline.runs import dispatch, known_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from forked import Server
    from numpy.typing import NDArray

PIXELS = np.random.default_rng(14).integers(0, 256, (160, 160, 3), dtype=np.uint8)
DENSITY = Density(random_mixture(2, 3))
OPTIONS: dict[str, Any] = {"block": 16, "identity": "random pixels"}


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the store of a run in this process that nothing disturbs."""
    store = tmp_path_factory.mktemp("wanted") / "out.zarr"
    stream(PIXELS, DENSITY, store, progress="none", **OPTIONS)
    return store


@contextmanager
def cluster_of(n_workers: int, *, failures: int = 3) -> Iterator[tuple[LocalCluster, Client]]:
    """Run a cluster of worker processes of one thread, each of which is started again when it dies."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    settings = {"distributed.comm.timeouts.connect": "3s", "distributed.scheduler.allowed-failures": failures}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=n_workers, threads_per_worker=1, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield cluster, client


def noting(log: Path, act: Callable[[tuple[int, int], int], None] = lambda *_: None) -> da.Array:
    """Make an image of which each read of a block is noted with the process, and may do something else."""
    path = os.fspath(log)

    def read(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info:
            index = block_info[0]["chunk-location"][:2]
            with open(path, "a+", encoding="utf-8") as file:  # noqa: PTH123  pickled with its text
                file.write(f"{os.getpid()} {index}\n")
            with open(path, encoding="utf-8") as file:  # noqa: PTH123  the same
                act(index, sum(line.endswith(f" {index}\n") for line in file))
        return block

    return da.from_array(PIXELS, chunks=(16, 16, 3)).map_blocks(read, dtype=np.uint8)


def living(cluster: LocalCluster, number: int) -> dict[str, int]:
    """Return the process of each worker, once there are so many that take tasks."""
    while True:
        # A nanny whose worker dies before the nanny has heard of it gives up.
        found = {
            nanny.worker_address: nanny.pid
            for nanny in list(cluster.workers.values())
            if nanny.status == Status.running and nanny.process.status == Status.running
        }
        if len(found) == number and found.keys() <= cluster.scheduler.workers.keys():
            return found
        time.sleep(0.1)


def processes_in(log: Path) -> Counter[int]:
    """Count the blocks that each process has read."""
    return Counter(int(line.partition(" ")[0]) for line in log.read_text(encoding="utf-8").splitlines())


def test_workers_die_leave_and_join(tmp_path: Path, wanted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed three times, one retired, one that joins late: the same bytes, and little is done twice."""
    # The workers stop while one of them is killed, since no block waits for them.
    monkeypatch.setattr(cluster_module, "_BACKLOG", 0)
    store, log = tmp_path / "out.zarr", tmp_path / "log"
    joined: dict[str, int] = {}
    killed: set[int] = set()
    with cluster_of(2) as (cluster, client):

        def disturb(event: Progress) -> None:
            if event.blocks in {8, 24, 40}:
                pids = living(cluster, 2)
                killed.add(pids[min(pids)])
                os.kill(pids[min(pids)], signal.SIGKILL)
            elif event.blocks == 56:
                before = living(cluster, 2)
                cluster.scale(3)
                joined.update({key: pid for key, pid in living(cluster, 3).items() if key not in before})
                client.retire_workers([min(before)])

        receipt = stream(noting(log), DENSITY, store, progress=disturb, client=client, **OPTIONS)
    assert receipt.blocks == 100
    assert_same(store, wanted)
    read = processes_in(log)
    assert len(killed) == 3
    # A worker computes one block, and has another one that waits.
    assert 100 <= read.total() <= 100 + 4 * 2
    assert set(joined.values()) & set(read)


def test_both_workers_die(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """When all workers that had what tasks share are lost, it is sent again."""
    store = tmp_path / "out.zarr"
    with cluster_of(2) as (cluster, client):

        def kill(event: Progress) -> None:
            if event.blocks == 6:
                for pid in living(cluster, 2).values():
                    os.kill(pid, signal.SIGKILL)

        stream(small, QUANTITIES, store, block=16, progress=kill, client=client)
    assert_same(store, undisturbed)


def test_a_block_that_ends_every_worker_is_named(tmp_path: Path) -> None:
    """The error names the block that is to blame, not one that waited beside it; the others are kept."""

    def act(index: tuple[int, int], _: int) -> None:
        if index == (1, 4):
            os.kill(os.getpid(), signal.SIGKILL)

    message = r"block \(1, 4\).* rows 16 to 32, columns 64 to 80: 2 workers ended .* Their logs may say why"
    with cluster_of(2, failures=1) as (_, client), pytest.raises(RuntimeError, match=message) as caught:
        stream(noting(tmp_path / "log", act), DENSITY, tmp_path / "out.zarr", client=client, **OPTIONS)
    assert "mixture-pipeline resume" in caught.value.__notes__[0]


@pytest.mark.parametrize("other_joins_late", [False, True])
def test_a_worker_that_hangs_is_passed_over(
    tmp_path: Path, wanted: Path, other_joins_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of a worker that doesn't answer any more are computed by another one, in a later run, too."""
    monkeypatch.setattr(dispatch, "_PATIENCE", 2.0)
    monkeypatch.setattr(dispatch, "_TIMES", 0.5)
    monkeypatch.setattr(known_workers, "_SILENT", 1.0)
    # A block takes the longer, the more of them wait before it.
    monkeypatch.setattr(cluster_module, "_BACKLOG", 0)
    stopped: list[int] = []
    with cluster_of(1 if other_joins_late else 2) as (cluster, client):

        def stop(event: Progress) -> None:
            if event.blocks == 20 and not stopped:
                pids = list(living(cluster, len(cluster.workers)).values())
                if other_joins_late:
                    # It has to get from the one that hangs what tasks share.
                    cluster.scale(2)
                    living(cluster, 2)
                stopped.append(pids[0])
                os.kill(stopped[0], signal.SIGSTOP)

        try:
            for name in ("out.zarr", "again.zarr"):
                image = noting(tmp_path / name.replace("zarr", "log"))
                stream(image, DENSITY, tmp_path / name, progress=stop, client=client, **OPTIONS)
        finally:
            with suppress(ProcessLookupError, IndexError):
                os.kill(stopped[0], signal.SIGKILL)
    for name in ("out.zarr", "again.zarr"):
        assert_same(tmp_path / name, wanted)
    assert stopped[0] not in processes_in(tmp_path / "again.log")


def test_blocks_that_cant_be_read_at_first(tmp_path: Path, wanted: Path) -> None:
    """A block that fails on one worker is tried again, and the receipt tells how often."""

    def act(index: tuple[int, int], times: int) -> None:
        if index in {(0, 3), (7, 7)} and times < 3:
            raise OSError(errno.EIO, "Input/output error")

    store = tmp_path / "out.zarr"
    with cluster_of(2) as (_, client):
        receipt = stream(noting(tmp_path / "log", act), DENSITY, store, client=client, **OPTIONS)
    assert (receipt.retries, receipt.skipped) == (4, [])
    assert "4 retries" in str(receipt)
    assert_same(store, wanted)


def test_a_run_waits_for_its_first_worker(tmp_path: Path, wanted: Path) -> None:
    """An adaptive cluster without workers starts some, more than one, because blocks wait."""
    events: list[Progress] = []

    def act(*_: object) -> None:
        time.sleep(0.05)

    with cluster_of(0) as (cluster, client):
        cluster.adapt(minimum=0, maximum=2, interval="200ms", target_duration="500ms")
        image, store = noting(tmp_path / "log", act), tmp_path / "out.zarr"
        stream(image, DENSITY, store, progress=events.append, client=client, **OPTIONS)
    assert events[0].stage.startswith("waiting for the first worker of tcp://127.0.0.1:")
    assert events[1].stage.startswith("workers: 1, with 1 thread and ")
    assert len(processes_in(tmp_path / "log")) == 2
    assert_same(store, wanted)


def wait_for_port(port: int) -> None:
    """Wait until something listens on a port of this machine."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return


@contextmanager
def dask_processes(folder: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a scheduler and a worker in processes of their own, and give the address and the scheduler."""
    address = f"tcp://127.0.0.1:{port}"
    common = ["--host", "127.0.0.1", "--no-dashboard"]
    worker = [address, "--nworkers", "1", "--nthreads", "1", "--local-directory", os.fspath(folder), *common]
    with (folder / "dask.txt").open("wb") as log:
        started = [
            subprocess.Popen([sys.executable, "-m", "dask", *arguments], stdout=log, stderr=log)
            for arguments in (["scheduler", "--port", str(port), *common], ["worker", *worker])
        ]
        try:
            wait_for_port(port)
            yield address, started[0]
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


def test_the_scheduler_is_lost(tmp_path: Path, wanted: Path, unused_port: int) -> None:
    """The error says so, what was written stays, and a run without a cluster goes on with it."""
    store = tmp_path / "out.zarr"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        dask_processes(tmp_path, unused_port) as (address, scheduler),
        # As long as it takes to find out that the scheduler doesn't come back.
        Client(address, set_as_default=False, timeout=8) as client,
    ):

        def kill(event: Progress) -> None:
            if event.blocks == 10:
                scheduler.kill()

        message = rf"the scheduler of the cluster, {address}, can't be reached any more"
        image = noting(tmp_path / "log")
        with pytest.raises(ConnectionError, match=message) as caught:
            stream(image, DENSITY, store, progress=kill, client=client, **OPTIONS)
    # Blocks that ended at the same time are counted too.
    assert re.match(r"1\d of 100 blocks are done\. Go on with resume=True", caught.value.__notes__[0])
    receipt = resume(store, image=PIXELS, identity="random pixels", progress="none")
    assert receipt.kept_blocks >= 10
    assert_same(store, wanted)


def test_the_client_is_killed(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed command leaves tasks at work; a new client goes on at once, or replaces what is there."""
    monkeypatch.chdir(tmp_path)
    with cluster_of(2) as (cluster, client):
        place = cluster.scheduler_address
        for number, overwrite in enumerate((False, True)):
            store = tmp_path / f"{number}.zarr"
            process = command.start(
                "run", os.fspath(small), store.name, *ASKED, "--block", "16", "--scheduler", place
            )
            wait_for_shards(process, store)
            process.end(signal.SIGKILL)
            assert process.wait().returncode == -signal.SIGKILL
            if overwrite:
                # The tasks of the killed run may write nothing into the new store.
                other = {"density": LogDensity(random_mixture(2, 3))}
                stream(small, other, store, block=16, overwrite=True, client=client)
                assert verify(store, progress="none").intact
                stream(small, QUANTITIES, store, block=16, overwrite=True, client=client)
            else:
                resume_with(small, store, client=client)
            assert_same(store, undisturbed)


@pytest.fixture
def unused_port() -> int:
    """Give a number of a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
