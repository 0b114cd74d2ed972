"""The command `view`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.stores.local import LocalStore
from pipeline.testing.stores import FRESH, fill, make_record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store of random numbers."""
    with LocalStore(tmp_path / "out.zarr").opened_for_run(**FRESH) as opened:
        fill(opened, make_record())
    return tmp_path / "out.zarr"


def test_the_page_is_served_until_it_is_interrupted(store: Path) -> None:
    """The address is the one line of the output, and Ctrl-C ends the command with success."""
    arguments = [sys.executable, "-m", "pipeline", "view", str(store), "--no-browser"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        url = running.stdout.readline().strip()
        with urlopen(f"{url}info.json", timeout=20) as answer:  # noqa: S310  the page of this test
            assert b'"title": "out.zarr"' in answer.read()
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=30)
    assert (running.returncode, rest, errors) == (0, "", "closed\n")


def test_what_can_not_be_shown(tmp_path: Path) -> None:
    """A store that isn't there and a port that is none are one line and status 2."""
    before = threading.active_count()
    found = CliRunner().invoke(main, ["view", str(tmp_path / "none.zarr")])
    assert (found.exit_code, found.output.count("\n")) == (2, 1)
    assert "doesn't exist" in found.output
    assert CliRunner().invoke(main, ["view", str(tmp_path), "--port", "70000"]).exit_code == 2
    assert threading.active_count() == before
