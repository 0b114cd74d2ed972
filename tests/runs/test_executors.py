"""The choice of an executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask
import pytest
from distributed import Client as DaskClient

from pipeline.runs.cluster import Cluster
from pipeline.runs.executors import choose_executor, current_client
from pipeline.runs.processes import Processes
from pipeline.runs.threads import Threads

if TYPE_CHECKING:
    from distributed import Client


def test_a_client_is_used_where_there_is_one(processes: Client) -> None:
    """A client that is passed, or else the current one, or else threads of this process."""
    assert isinstance(choose_executor(processes), Cluster)
    assert current_client() is None
    with dask.config.set(scheduler="processes"):
        assert isinstance(choose_executor(None), Processes)
        assert isinstance(choose_executor(processes), Cluster)
    assert isinstance(choose_executor(None), Threads)
    with pytest.raises(TypeError, match=r"client is 3; wanted a distributed\.Client or None"):
        choose_executor(3)  # type: ignore[arg-type]  what is refused
    with DaskClient(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as client:
        assert current_client() is client
        assert isinstance(choose_executor(None), Cluster)
    assert current_client() is None
    with processes.as_current():
        assert current_client() is processes
    assert current_client() is None
