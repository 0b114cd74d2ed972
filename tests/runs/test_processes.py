"""Processes: the contract of executors, and a process that ends."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import dask
import pytest
from references import random_mixture
from runs.disturbed import assert_same

from pipeline import Density, plan, stream
from pipeline.runs.dispatch import LostError
from pipeline.runs.processes import Processes
from pipeline.testing.executors import ExecutorContract, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    """Have two processes."""
    with dask.config.set(scheduler="processes", num_workers=2):
        yield


class TestProcesses(ExecutorContract):
    """Processes keep the contract of executors."""

    @pytest.fixture
    def executor(self) -> Processes:
        """Give two processes."""
        return Processes()


def end(shared: int, number: int) -> Callable[[], int]:
    """End the process that computes one of the tasks."""
    if number == shared:
        os.kill(os.getpid(), signal.SIGKILL)
    return lambda: number


def test_a_task_that_ends_its_process_is_told_from_the_others() -> None:
    """New processes compute the tasks that were at work beside it."""
    with Processes() as executor:
        calls = ((number, (number,)) for number in range(6))
        ended = {one.key: one for one in executor.outcomes(end, executor.share(2), calls)}
    assert isinstance(ended[2].error, LostError)
    assert [ended[number].result for number in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]


def test_a_run_on_processes(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """The bytes are those of a run on threads, and the plan names the processes."""
    density = Density(random_mixture(2, 3))
    stream(photo, density, tmp_path / "out.zarr", block=256, progress="none")
    planned = plan(photo, density, tmp_path / "plan.zarr", block=256)
    assert "processes: 2" in str(planned)
    with dask.config.set(scheduler="threads"):
        stream(photo, density, tmp_path / "wanted.zarr", block=256, progress="none")
    assert_same(tmp_path / "out.zarr", tmp_path / "wanted.zarr")


def test_a_value_is_shared_once() -> None:
    """Its file is gone at the end."""
    with Processes() as executor:
        path = executor.share(3)
        (future,) = executor.submit(add, path, [(4,)])
        assert future.result(timeout=60) == 7
        assert os.path.exists(path)  # noqa: PTH110  the handle is a text
    assert not os.path.exists(path)  # noqa: PTH110  the same
