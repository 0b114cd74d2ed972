"""The options of commands that can run on a Dask cluster."""

from __future__ import annotations

import functools
import logging
import re
import socket
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import dask
from dask.utils import parse_timedelta

from pipeline.stores.disk import check_new_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import LocalCluster

_SCHEDULER = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="The scheduler of a Dask cluster to run on, as tcp://host:8786. By default that in the environment "
    "variable DASK_SCHEDULER_ADDRESS, if there is one.",
)
_WORKERS = click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="Start a Dask cluster of N processes on this machine, and run on it.",
)
_REPORT = click.option(
    "--performance-report",
    metavar="FILE.html",
    help="Write what Dask knows of the run to a page: tasks, workers, memory. It needs bokeh.",
)


def cluster_options(*, reports: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that lets a command run on a Dask cluster, which is the current one inside it.

    Parameters
    ----------
    reports : bool
        Whether the command can write a performance report.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(
            *positional: Any,  # noqa: ANN401  of the command
            scheduler: str | None,
            workers: int | None,
            performance_report: str | None = None,
            **arguments: Any,  # noqa: ANN401  of the command
        ) -> None:
            with ExitStack() as stack:
                _connect(stack, scheduler, workers, performance_report)
                command(*positional, **arguments)

        return _SCHEDULER(_WORKERS(_REPORT(run) if reports else run))

    return decorate


def _connect(stack: ExitStack, scheduler: str | None, workers: int | None, report: str | None) -> None:
    """Connect to the cluster that the options name, if they name one, until the stack is closed."""
    if scheduler and workers:
        raise click.UsageError("got both --scheduler and --workers; wanted one of them, or neither.")
    if scheduler is None and workers is None:
        scheduler = dask.config.get("scheduler-address", None)
    if scheduler is None and workers is None:
        if report is not None:
            raise click.UsageError("--performance-report goes with a cluster: give --scheduler or --workers.")
        return
    if report is not None:
        _check_report(report)
    from distributed import LocalCluster, performance_report  # noqa: PLC0415  takes half a second

    # What Dask logs about workers that end would look as if the run had failed.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if workers:
        options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        local = LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **options)
        _use(stack.enter_context(local), stack)
    elif scheduler is not None:
        _check_answers(scheduler)
        try:
            _use(scheduler, stack)
        except (OSError, ValueError) as error:
            raise click.UsageError(f"no scheduler of Dask answers at {scheduler}: {error}") from None
    if report is not None:
        stack.enter_context(performance_report(report))


def _check_report(path: str) -> None:
    """Raise an error unless a performance report can be written when the run, which may take hours, ends."""
    if find_spec("bokeh") is None:
        raise click.UsageError("--performance-report needs bokeh: pip install bokeh.")
    check_new_file(Path(path), overwrite=True)


def _use(cluster: LocalCluster | str, stack: ExitStack) -> None:
    from distributed import Client  # noqa: PLC0415  takes half a second

    # As the default, a client would stay it if it can't connect.
    client = stack.enter_context(Client(cluster, set_as_default=False))
    stack.enter_context(client.as_current())


def _check_answers(scheduler: str) -> None:
    """Raise an error unless a scheduler of Dask answers, which is the first to speak on a connection.

    Dask would wait for the answer of a server that is something else.
    """
    found = re.fullmatch(r"(?:tcp://)?\[?([^\[\]/]+)\]?:(\d+)", scheduler)
    if not found:
        return
    timeout = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect", "30s"))
    try:
        with socket.create_connection((found[1], int(found[2])), timeout) as connection:
            connection.settimeout(timeout)
            answer = connection.recv(1)
    except (OSError, OverflowError) as error:
        raise click.UsageError(f"no scheduler of Dask answers at {scheduler}: {error}") from None
    if not answer:
        raise click.UsageError(
            f"the server at {scheduler} is no scheduler of Dask. Give the address that the scheduler logs."
        )
