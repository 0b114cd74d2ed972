"""A few short sequences of runs, faults and damage, on every kind of store and of executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from forked import Server
from runs.campaign import make_machine, try_sequences
from runs.object_place import served
from runs.places import PLACES
from runs.workers import WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from object_server import ObjectServer

# How many steps a sequence has: a request to the server of objects takes longer than a call of the system.
STEPS = {"local": 8, "object storage": 4}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give runs in processes of their own."""
    with Server(tmp_path_factory.mktemp("killed"), "runs.killed:main") as server:
        yield server


@pytest.mark.usefixtures("unflushed")
@pytest.mark.xdist_group("campaign")
@pytest.mark.parametrize("executor", WORKERS)
@pytest.mark.parametrize("place", PLACES)
def test_short_sequences(
    tmp_path: Path, server: Server, object_server: ObjectServer, place: str, executor: str
) -> None:
    """What opens is right or says that it isn't, and an operation that is refused changes nothing."""
    with served(object_server), WORKERS[executor]() as workers:
        machine = make_machine(place, workers, server, tmp_path / "campaign")
        try_sequences(machine, None, examples=2, steps=STEPS[place])
    assert machine.counts.total() >= 2 * STEPS[place]
