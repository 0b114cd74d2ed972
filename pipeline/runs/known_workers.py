"""What a client knows of the workers of a cluster: their number and memory, and which are silent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import format_bytes

from pipeline.runs.executor import Capacity
from pipeline.runs.limits import available_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client

# Seconds between two questions for the workers that there are.
_LOOK = 1.0
# A worker is silent if its last heartbeat is so many seconds older than the newest one of all. Where there
# are many workers, they send it every (number / 200) seconds.
_SILENT, _PER_WORKER = 5.0, 1 / 200


class KnownWorkers:
    """The workers that the scheduler of a client knows.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    n_threads : int
        The number of threads of all workers, when :meth:`look` asked last.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.n_threads = 0
        self._looked = float("-inf")
        # Where some are silent, the others.
        self._answering: list[str] = []

    def look(self) -> None:
        """Ask for the workers again, once a second at most; raises what the client raises if it can't ask."""
        now = time.monotonic()
        if now - self._looked > _LOOK:
            self._looked = now
            self.n_threads = sum(self._client.nthreads().values())
            if self._answering:
                self.find_silent()

    def find_silent(self) -> None:
        """Find out which workers are silent, from now on until none is.

        Dask itself goes on to send tasks to a worker that hangs, until it gives it up after five minutes.
        """
        seen = {address: float(worker["last_seen"]) for address, worker in self._ask().items()}
        oldest = max(seen.values(), default=0.0) - _SILENT - _PER_WORKER * len(seen)
        answering = [address for address, last_seen in seen.items() if last_seen >= oldest]
        self._answering = answering if len(answering) < len(seen) else []

    @property
    def answering(self) -> list[str] | None:
        """The addresses of workers that aren't silent, or None where all were heard."""
        return self._answering or None

    @property
    def preference(self) -> dict[str, Any]:
        """The arguments with which a client sends tasks to workers that aren't silent."""
        return {"workers": self._answering, "allow_other_workers": True} if self._answering else {}

    @property
    def capacities(self) -> tuple[Capacity, ...]:
        """That of each worker, with its memory up to where Dask pauses it.

        While there is none, a worker of one thread is assumed, with the memory that is free here.
        """
        share = float(dask.config.get("distributed.worker.memory.pause", 0.8) or 1)
        capacities = tuple(
            Capacity(
                int(worker["nthreads"]),
                int(worker["memory_limit"] * share) or available_memory(int(worker["nthreads"])),
            )
            for worker in self._ask().values()
        )
        return capacities or (Capacity(1, available_memory(1)),)

    def __str__(self) -> str:
        """Tell how many there are, with how many threads and how much memory."""
        if not self._client.nthreads():
            return "none yet"
        capacities = self.capacities
        threads = _range([capacity.threads for capacity in capacities], str)
        memory = _range([capacity.memory for capacity in capacities], format_bytes)
        noun = "thread" if threads == "1" else "threads"
        return f"{len(capacities)}, with {threads} {noun} and {memory} each"

    def _ask(self) -> dict[str, Any]:
        """Return what the scheduler tells of each worker."""
        workers: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return workers


def _range(numbers: Sequence[int], show: Callable[[int], str]) -> str:
    low, high = show(min(numbers)), show(max(numbers))
    return low if low == high else f"{low} to {high}"
