"""What a client knows of workers: their memory, and which of them are silent."""

from __future__ import annotations

from typing import Any

import dask
import psutil

from pipeline.runs import known_workers
from pipeline.runs.known_workers import KnownWorkers


class _Client:
    """A client of a scheduler that knows of each worker what it is told here."""

    def __init__(self, *workers: dict[str, Any]) -> None:
        self.workers = {f"tcp://{number}": dict(worker) for number, worker in enumerate(workers)}
        self.asked = 0

    def scheduler_info(self, n_workers: int = 5) -> dict[str, Any]:
        """Return what is known; by default of the first few alone, as distributed does."""
        return {"workers": dict(list(self.workers.items())[: n_workers if n_workers >= 0 else None])}

    def nthreads(self) -> dict[str, int]:
        """Return the threads of each worker."""
        self.asked += 1
        return {address: worker["nthreads"] for address, worker in self.workers.items()}


def known(client: Any) -> KnownWorkers:
    """Make the workers of a client that isn't one of distributed."""
    return KnownWorkers(client)


def with_limits(*limits: int) -> KnownWorkers:
    """Make workers of one thread that have these limits of memory."""
    return known(_Client(*({"nthreads": 1, "memory_limit": limit} for limit in limits)))


def test_memory() -> None:
    """The limit of a worker counts up to where Dask pauses it; without one, this machine's memory."""
    for pause, share in ((0.8, 0.8), (0.5, 0.5), (False, 1)):
        with dask.config.set({"distributed.worker.memory.pause": pause}):
            capacities = with_limits(*[2**30] * 9, 2**28).capacities
            assert [capacity.memory for capacity in capacities] == [int(2**30 * share)] * 9 + [
                int(2**28 * share)
            ]
            assert with_limits(0, 2**29).capacities[1].memory == int(2**29 * share)
    for nothing in (with_limits(0), with_limits()):
        ((threads, memory),) = nothing.capacities
        assert threads == 1
        assert 2**20 < memory <= psutil.virtual_memory().total


def test_what_is_told_of_workers() -> None:
    """One number where all workers are alike, and the range where they differ."""
    assert str(with_limits()) == "none yet"
    with dask.config.set({"distributed.worker.memory.pause": False}):
        assert str(with_limits(2**30)) == "1, with 1 thread and 1.00 GiB each"
        client = _Client({"nthreads": 2, "memory_limit": 2**30}, {"nthreads": 4, "memory_limit": 2**31})
        assert str(known(client)) == "2, with 2 to 4 threads and 1.00 GiB to 2.00 GiB each"


def test_silent_workers_are_avoided(monkeypatch: Any) -> None:
    """A worker whose heartbeat is late gets no tasks while there are others, until it is heard again."""
    monkeypatch.setattr(known_workers, "_LOOK", 0.0)
    client = _Client(*({"nthreads": 2, "last_seen": 100.0} for _ in range(3)))
    workers = known(client)
    workers.find_silent()
    assert (workers.answering, workers.preference) == (None, {})
    # It is compared with the others by the scheduler's clock.
    for address in ("tcp://0", "tcp://2"):
        client.workers[address]["last_seen"] = 106.0
    workers.look()
    assert workers.n_threads == 6
    assert workers.answering is None
    workers.find_silent()
    assert workers.preference == {"workers": ["tcp://0", "tcp://2"], "allow_other_workers": True}
    client.workers["tcp://3"] = {"nthreads": 2, "last_seen": 106.0}
    workers.look()
    assert workers.answering == ["tcp://0", "tcp://2", "tcp://3"]
    client.workers["tcp://1"]["last_seen"] = 105.0
    workers.look()
    assert (workers.answering, workers.preference) == (None, {})


def test_no_worker_is_silent_alone() -> None:
    """Without workers, or with one, nothing is avoided."""
    for number in (0, 1):
        workers = known(_Client(*[{"nthreads": 1, "last_seen": 0.0}] * number))
        workers.find_silent()
        assert workers.preference == {}


def test_many_workers_send_heartbeats_rarely() -> None:
    """Among thousands of workers, heartbeats are expected less often."""
    client = _Client(*({"nthreads": 1, "last_seen": 100.0 - (number == 7) * 20} for number in range(4000)))
    workers = known(client)
    workers.find_silent()
    assert workers.answering is None
    client.workers["tcp://7"]["last_seen"] = 70.0
    workers.find_silent()
    assert len(workers.answering or []) == 3999


def test_workers_are_asked_for_once_a_second() -> None:
    """Looks in quick succession cost one message."""
    client = _Client({"nthreads": 3})
    workers = known(client)
    for _ in range(5):
        workers.look()
    assert (workers.n_threads, client.asked) == (3, 1)
