"""A run of the campaign in a process of its own, which is killed at a call or a block."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import dask
from distributed import Client
from runs.places import PLACES
from runs.scenery import FILE, Run, at_block, start

from pipeline.stores import lease

if TYPE_CHECKING:
    from collections.abc import Sequence


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str], **_: object) -> NoReturn:
    """Do what a request says, in JSON."""
    request = json.loads(arguments[0])
    # A process that is killed leaves all that it wrote, flushed or not.
    os.fsync = lambda _: None
    # The process from which this one was forked may have begun before the server of objects.
    os.environ.update(request["environment"])
    lease.INTERVAL = request["interval"]
    run = Run(*request["run"])
    place = PLACES[request["place"]](Path(request["folder"]))
    image = request["file"] if run.image == FILE else run.pixels
    address = request["scheduler"]
    client = None if address is None else Client(address, set_as_default=False)
    with dask.config.set(request["settings"]):
        if request["moment"] == "call":
            place.kill_at(request["number"])
        listener = at_block(request["number"], _kill) if request["moment"] == "block" else "none"
        start(request["way"], image, run.model, place.address, client, listener)
    if client is not None:
        client.close()
    raise SystemExit(0)
