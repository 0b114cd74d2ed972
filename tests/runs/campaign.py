"""The campaign: runs, faults and damage in any order, on every kind of store and of executor.

Whatever happens, what opens under the name of an output is complete and right, or says that it isn't; and an
operation that is refused changes nothing. `tests/runs/failures/test_campaign.py` tries a few short sequences.
Many long ones are tried in the folder `tests` by

    python -m runs.campaign --minutes 60
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forked import Server
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from object_server import ObjectServer
from runs.object_place import served
from runs.places import PLACES
from runs.scenery import Scenery
from runs.steps import Campaign
from runs.workers import WORKERS

if TYPE_CHECKING:
    from runs.workers import Workers


def make_machine(kind_of_place: str, workers: Workers, server: Server, folder: Path) -> type[Campaign]:
    """Make the campaign of a kind of store and of executor, in an empty folder."""
    (folder / "expected").mkdir(parents=True)
    attributes: dict[str, Any] = {
        "kind_of_place": kind_of_place,
        "workers": workers,
        "server": server,
        "folder": folder,
        "scenery": Scenery(folder / "expected"),
        "counts": Counter(),
        "ends": Counter(),
    }
    return type("Campaign", (Campaign,), attributes)


def try_sequences(machine: type[Campaign], number: int | None, *, examples: int, steps: int) -> None:
    """Try sequences of steps: random ones of a seed, or the same ones every time if the seed is None."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    tried = machine if number is None else seed(number)(machine)
    run_state_machine_as_test(tried, settings=chosen)


def main() -> int:
    """Try all kinds by turns with new seeds until time is over, and return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--seed", type=int, help="of the first sequences; the next ones have the numbers after it"
    )
    parser.add_argument("--executor", choices=list(WORKERS), action="append", help="by default all of them")
    parser.add_argument("--place", choices=list(PLACES), action="append", help="by default all of them")
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    # The power isn't cut here, and flushing takes most of the time.
    os.fsync = lambda _: None
    number = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    end = time.monotonic() + 60 * options.minutes
    total: Counter[str] = Counter()
    kinds = [(place, name) for place in options.place or PLACES for name in options.executor or WORKERS]
    with (
        tempfile.TemporaryDirectory() as name,
        ObjectServer(Path(name)) as objects,
        served(objects),
        Server(Path(name), "runs.killed:main") as server,
    ):
        while time.monotonic() < end:
            for place, executor in kinds:
                folder = Path(name, str(number))
                with WORKERS[executor]() as workers:
                    machine = make_machine(place, workers, server, folder)
                    print(f"seed {number}: {place}, {executor}", flush=True)
                    try:
                        try_sequences(machine, number, examples=options.examples, steps=options.steps)
                    except Exception:  # noqa: BLE001  whatever is found ends the campaign
                        traceback.print_exc()
                        again = f"--seed {number} --place '{place}' --executor '{executor}'"
                        size = f"--examples {options.examples} --steps {options.steps}"
                        print(f"Failed. Once more: python -m runs.campaign {again} {size}")
                        return 1
                    counts, ends = machine.counts, machine.ends
                    print(
                        f"    {counts.total()} steps: {dict(counts.most_common())}; runs: {dict(ends)}",
                        flush=True,
                    )
                    total += counts
                shutil.rmtree(folder)
                number += 1
                if time.monotonic() > end:
                    break
    print(f"{total.total()} steps, and nothing was wrong: {dict(total.most_common())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
