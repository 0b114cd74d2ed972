"""Threads: the contract of executors, and as many threads as Dask's settings say."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import dask
import numpy as np
import psutil
import pytest
from dask.system import CPU_COUNT

from pipeline.images import kept
from pipeline.images.kept import KEPT
from pipeline.runs.threads import Threads, n_threads
from pipeline.testing.executors import ExecutorContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TestThreads(ExecutorContract):
    """Threads keep the contract of executors."""

    @pytest.fixture
    def executor(self) -> Threads:
        """Give threads of this process."""
        return Threads()


class TestOneThread(ExecutorContract):
    """One thread, as Dask's synchronous scheduler, keeps the contract of executors."""

    @pytest.fixture
    def executor(self) -> Iterator[Threads]:
        """Give one thread of this process."""
        with dask.config.set(scheduler="synchronous"):
            yield Threads()


def test_threads_follow_dasks_settings() -> None:
    """The number of workers, the synchronous scheduler, or else a thread for each core."""
    with dask.config.set(num_workers=3):
        assert n_threads() == Threads().threads == Threads().slots - 1 == 3
    with dask.config.set(scheduler="synchronous"):
        assert n_threads() == 1
    assert n_threads() == CPU_COUNT


def test_a_task_is_computed_while_another_is_finished() -> None:
    """A task that waits for the disk doesn't keep its thread from computing the next one."""
    computed = threading.Event()

    def task(shared: int, number: int) -> Callable[[], bool]:
        del shared
        if number == 1:
            computed.set()
        return lambda: computed.wait(60)

    with dask.config.set(num_workers=1), Threads() as executor:
        futures = executor.submit(task, 0, [(number,) for number in range(2)])
        assert all(future.result(timeout=60) for future in futures)


def test_available_memory_is_at_most_what_is_free() -> None:
    """No more than this process has and the machine has free."""
    available = psutil.virtual_memory()._replace(available=2**28)
    with patch.object(psutil, "virtual_memory", return_value=available):
        resident = psutil.Process().memory_info().rss
        assert Threads().available_memory == pytest.approx(2**28 + resident, rel=0.2)


def test_giant_pieces_are_released_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the threads of a run shared isn't kept after the run."""
    monkeypatch.setattr(kept, "GIANT", 0)
    with Threads():
        KEPT.get("an image", 0, lambda: np.zeros(5))
        assert KEPT.holds("an image")
    assert not KEPT.holds("an image")
