"""Clusters that lose workers."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import dask
import pytest
from distributed import Client, LocalCluster
from runs.disturbed import (
    QUANTITIES,
    assert_same,
    resume_with,
)

from pipeline import (
    Progress,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def mortal() -> Iterator[Client]:
    """Run a cluster whose workers may die; another takes a dead one's place."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        LocalCluster(n_workers=2, threads_per_worker=1, silence_logs=50, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("losses", [1, 2])
def test_lost_workers(tmp_path: Path, small: Path, undisturbed: Path, mortal: Client, losses: int) -> None:
    """When a worker is killed the run goes on without it; when all are, it goes on or can be resumed."""
    mortal.wait_for_workers(2)
    pids = list(mortal.run(os.getpid).values())
    store = tmp_path / "out.zarr"

    def kill(event: Progress) -> None:
        if event.blocks == 6:
            for pid in pids[:losses]:
                os.kill(pid, signal.SIGKILL)

    try:
        stream(small, QUANTITIES, store, block=16, progress=kill, client=mortal)
    except (OSError, RuntimeError) as error:
        assert losses == 2, error  # noqa: PT017  the run may fail, and must be resumable then
        assert "mixture-pipeline resume" in error.__notes__[0]  # noqa: PT017  the same
        assert resume_with(small, store).kept_blocks >= 6
    assert_same(store, undisturbed)
