"""Power cuts at every point of every kind of run, and what must hold after each of them.

At each change that a run makes on the disk, the directories are rebuilt that a power cut could leave, or a
kill. Each of them is read, verified and gone on with. `tests/runs/failures/test_power_cuts.py` tries those of
a few models; with more random mixtures of what survives, in the folder `tests`:

    python -m runs.power_cuts --mixtures 20
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from runs.disturbed import assert_same
from runs.kinds import KINDS, OLD, REPLACING, go_on, run, start_again
from runs.recorder import Mixed, Recorder, everything, halves, names, nothing, write_tree

from pipeline import open_result, verify
from pipeline.stores import disk, layout
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from runs.recorder import Node

MODELS: tuple[Callable[[Node], Any], ...] = (everything, nothing, names, halves)


def cut_power(folder: Path, kind: str, wanted: Path, old: Path, *, mixtures: int, step: int) -> Recorder:
    """Try the power cuts of a kind of run.

    Parameters
    ----------
    folder : Path
        A directory that doesn't exist yet.
    kind : str
    wanted, old : Path
        The new store and the old one, as undisturbed runs wrote them.
    mixtures : int
        The number of random mixtures of what survives, beside the other models.
    step : int
        1 if all that is left is both resumed and overwritten; 2 if one is done by turns.
    """
    prepare, options = KINDS[kind]
    folder.mkdir()
    prepare(folder / "out.zarr")
    with Recorder(folder, *MODELS, *map(Mixed, range(mixtures))) as recorder:
        run(folder / "out.zarr", **options)
    assert recorder.missed == []
    # The last first: where a flush was forgotten, these are the wrong ones.
    for number, tree in reversed(list(enumerate(recorder.trees))):
        for way in (go_on, start_again)[number % step :: step]:
            store = folder.with_name(f"{folder.name} {number} {way.__name__}") / "out.zarr"
            store.parent.mkdir()
            write_tree(store.parent, tree)
            look(store, kind, wanted, old)
            way(store)
            assert_same(store, wanted)
            shutil.rmtree(store.parent)
    return recorder


def look(store: Path, kind: str, wanted: Path, old: Path) -> None:
    """Check what is read of a store, if anything is: what is said to be whole is right."""
    try:
        found = LocalStore(store).find()
    except FileNotFoundError:
        assert kind in {"fresh", "resume"}
        return
    if kind in REPLACING:
        assert not found.is_unfinished
    assert found.is_created, "the record was lost, or can't be read"
    recorded = found.read_record()
    undisturbed = old if recorded.outputs[0].name == "old" else wanted
    verification = verify(store, progress="none")
    faulty = {(fault.layer, fault.block, fault.level) for fault in verification.faults}
    assert verification.complete or found.is_unfinished
    assert not faulty or found.is_unfinished or kind == "mend"
    for layer in arrange(recorded.outputs):
        for level in range(recorded.grid.n_levels):
            for block in recorded.grid.level(level).blocks():
                if (layer.name, block.index, level) not in faulty:
                    shard = layout.shard_path(layer, block.index, level)
                    assert (found.directory / shard).read_bytes() == (undisturbed / shard).read_bytes()
    if not found.is_unfinished and not faulty:
        values = open_result(store)
        for name, right in open_result(undisturbed).items():
            np.testing.assert_array_equal(values[name], right)


def main() -> None:
    """Try many, and print how many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=20)
    options = parser.parse_args()
    os.fsync = lambda _: None
    exchange = disk.exchange
    with tempfile.TemporaryDirectory() as name:
        wanted, old = Path(name, "wanted", "out.zarr"), Path(name, "old", "out.zarr")
        run(wanted)
        run(old, OLD)
        for way, kinds in (("exchange", set(KINDS)), ("two renames", REPLACING)):
            disk.exchange = exchange if way == "exchange" else lambda *_: False
            for kind in sorted(kinds):
                folder = Path(name, f"{kind} {way}")
                tried = cut_power(folder, kind, wanted, old, mixtures=options.mixtures, step=1)
                print(f"{kind}, {way}: {tried.points} points, {len(tried.trees)} directories, all right")


if __name__ == "__main__":
    main()
