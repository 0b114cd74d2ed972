"""The options of commands that run on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask
import pytest
from click.testing import CliRunner
from runs.disturbed import assert_same

from pipeline import Density, cli, cli_cluster, load_model, stream
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


def test_a_command_runs_on_a_cluster(folder: Path, processes: Client, submitted: list[str]) -> None:
    """The scheduler is that of the option or the environment; the bytes are those of a run without it."""
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


def test_a_performance_report(folder: Path) -> None:
    """A page of Dask's about the run is written, where bokeh is installed."""
    pytest.importorskip("bokeh")
    words = ["run", "photo.tif", "out.zarr", "--density", SKIN, "--workers", "1"]
    done = CliRunner().invoke(cli.main, [*words, "--performance-report", "report.html"])
    assert done.exit_code == 0, done.output
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
