"""The one place that chooses where tasks are computed: a new executor is its own file and a line here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import dask

from pipeline.runs.cluster import Cluster
from pipeline.runs.threads import Threads

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.runs.executor import Executor


def choose_executor(client: Client | None) -> Executor:
    """Return the executor of a run.

    Parameters
    ----------
    client : distributed.Client or None
        The cluster to use; None takes the current client if there is one, and else threads of this process,
        or other processes if Dask's setting ``scheduler`` says so.

    Raises
    ------
    TypeError
        If the client is something else.
    """
    client = client or current_client()
    if client is None and dask.config.get("scheduler", None) in {"processes", "multiprocessing"}:
        from pipeline.runs.processes import Processes  # noqa: PLC0415  imports distributed, which takes long

        return Processes()
    if client is None:
        return Threads()
    if not hasattr(client, "scheduler_info"):
        raise TypeError(f"client is {client!r:.80}; wanted a distributed.Client or None")
    return Cluster(client)


def current_client() -> Client | None:
    """Return the current Dask client, if there is one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client  # noqa: PLC0415  costs half a second where no cluster is used

    try:
        client: Client = Client.current()
    except ValueError:
        return None
    return client
