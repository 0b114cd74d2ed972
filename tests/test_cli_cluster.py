"""The options of commands that run on a cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import dask
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from runs.disturbed import assert_same

from pipeline import Density, cli, cli_cluster, load_model, resume, stream
from pipeline.demo import load_photo
from pipeline.runs import cluster
from pipeline.runs.cluster import Cluster
from pipeline.runs.executors import current_client

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

SKIN = "jones-rehg-skin"


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the addresses of the clusters that tasks are submitted to."""
    addresses, submit = [], Cluster.submit

    def note(self: Cluster, *arguments: object) -> object:
        addresses.append(self._address)
        return submit(self, *arguments)  # type: ignore[arg-type]  as they came

    monkeypatch.setattr(Cluster, "submit", note)
    return addresses


def test_a_command_runs_on_a_cluster(
    folder: Path, processes: Client, submitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler is that of the option or the environment; the bytes are those of a run without it."""
    # As if the pages of the dashboard could be shown.
    monkeypatch.setattr(cluster, "find_spec", bool)
    stream("photo.tif", Density(load_model(SKIN)), "wanted.zarr", block=128, progress="none")
    address, words = processes.scheduler.address, ["--density", SKIN, "--block", "128"]
    done = CliRunner().invoke(cli.main, ["plan", "photo.tif", "out.zarr", *words, "--scheduler", address])
    assert done.exit_code == 0, done.output
    assert "workers: 2, with 1 thread and " in done.stdout
    assert f"dashboard: {processes.dashboard_link}" in done.stdout
    assert submitted == []
    done = CliRunner().invoke(cli.main, ["run", "photo.tif", "out.zarr", *words, "--scheduler", address])
    assert done.exit_code == 0, done.output
    with dask.config.set({"scheduler-address": address}):
        done = CliRunner().invoke(cli.main, ["run", "photo.tif", "again.zarr", *words])
        assert done.exit_code == 0, done.output
    assert set(submitted) == {address}
    assert current_client() is None
    for name in ("out", "again"):
        assert_same(folder / f"{name}.zarr", folder / "wanted.zarr")


def test_a_command_starts_workers(folder: Path, submitted: list[str]) -> None:
    """A cluster on this machine listens on the loopback address alone, and ends with the command."""
    words = ["run", "photo.tif", "out.zarr", "--density", SKIN, "--workers", "1"]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output
    assert (folder / "out.zarr").is_dir()
    assert {address.rpartition(":")[0] for address in submitted} == {"tcp://127.0.0.1"}
    assert current_client() is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "1", "--scheduler", "tcp://127.0.0.1:1"], "got both --scheduler and --workers"),
        (["--workers", "0"], "'--workers': 0 is not in the range"),
        (["--performance-report", "x.html"], "--performance-report goes with a cluster"),
        (["--workers", "1", "--performance-report", "x.html"], "needs bokeh: pip install bokeh"),
        (["--scheduler", "nonsense://1"], "no scheduler of Dask answers at nonsense://1: "),
        (["--scheduler", "tcp://127.0.0.1:1"], "no scheduler of Dask answers at tcp://127.0.0.1:1: "),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes_are_told(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be is told in words, and nothing is written."""
    monkeypatch.setattr(cli_cluster, "find_spec", lambda _: None)
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        done = CliRunner().invoke(cli.main, ["run", "photo.tif", "out.zarr", "--density", SKIN, *words])
    assert done.exit_code == 2
    assert message in done.stderr
    # A client that couldn't connect isn't there for what comes next.
    assert current_client() is None


@pytest.mark.usefixtures("folder")
def test_a_server_that_is_something_else(tmp_path: Path) -> None:
    """A server that doesn't speak first is no scheduler, and isn't waited for."""
    words = ["run", "photo.tif", "out.zarr", "--density", SKIN, "--scheduler"]
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
    ):
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        done = CliRunner().invoke(cli.main, [*words, address])
    assert done.exit_code == 2
    assert f"no scheduler of Dask answers at {address}: timed out" in done.stderr
    assert not (tmp_path / "out.zarr").exists()


def test_an_interruption_ends_a_run_whose_workers_end_too(folder: Path) -> None:
    """Ctrl-C reaches the workers of --workers as well; the command says how to go on."""
    store = folder / "out.zarr"
    photo = np.tile(load_photo(), (4, 4, 1))
    tifffile.imwrite("large.tif", photo, tile=(128, 128), photometric="rgb")
    words = ["run", "large.tif", "out.zarr", "--density", SKIN, "--block", "64", "--workers", "1"]
    # A background job would ignore interruptions. It gets a group of its own, as in a shell.
    code = (
        "import signal, sys; from pipeline.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], start_new_session=True, stderr=subprocess.PIPE
    )
    partial = store.with_name("out.zarr.partial")
    while not list(partial.glob("0/image/c/0/*/[0-9]*")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT, said
    assert b"blocks are done. Go on with resume=True, or: mixture-pipeline resume out.zarr" in said
    assert resume(store, progress="none").kept_blocks > 0


def test_a_performance_report(folder: Path) -> None:
    """A page of Dask's about the run is written, where bokeh is installed."""
    pytest.importorskip("bokeh")
    words = ["run", "photo.tif", "out.zarr", "--density", SKIN, "--workers", "1"]
    done = CliRunner().invoke(cli.main, [*words, "--performance-report", "report.html"])
    assert done.exit_code == 0, done.output
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
