"""Whether a store holds what its run wrote: every shard there, every checksum right."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dask.system import CPU_COUNT

from pipeline.models.encoding import read_quantity
from pipeline.stores.placement import find_store
from pipeline.runs.progress import reporting
from pipeline.stores.local import Fault, check_block, grid_of, has_metadata, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.images.grid import Grid
    from pipeline.runs.progress import Listener


# Blocks that each thread is given at once.
_BATCH = 8


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found.

    Attributes
    ----------
    store : str
        The directory that was read.
    n_shards : int
        Shards that there should be: one a block and result.
    faults : tuple of Fault
        The missing and the damaged ones.
    complete : bool
        Whether the run has finished, and skipped no block.
    """

    store: str
    n_shards: int
    faults: tuple[Fault, ...]
    complete: bool

    @property
    def missing(self) -> tuple[Fault, ...]:
        """Shards that don't exist."""
        return tuple(fault for fault in self.faults if fault.kind == "missing")

    @property
    def damaged(self) -> tuple[Fault, ...]:
        """Shards whose bytes aren't those that were written."""
        return tuple(fault for fault in self.faults if fault.kind == "damaged")

    @property
    def intact(self) -> bool:
        """Whether the run has finished and every shard is as it was written."""
        return self.complete and not self.faults

    def __str__(self) -> str:
        found = f"{len(self.missing)} missing, {len(self.damaged)} damaged" if self.faults else "all intact"
        rest = "" if self.complete else "; the run is unfinished, or skipped blocks"
        return f"{self.n_shards} {'shard' if self.n_shards == 1 else 'shards'}, {found}{rest}"


def verify(store: str | os.PathLike[str], *, progress: str | Listener = "auto") -> Verification:
    """Check every shard of a store: whether it exists, and whether its bytes are those that were written.

    Parameters
    ----------
    store : path
        Of a run, finished or not.
    progress : str or callable
        As of :func:`stream`.

    Returns
    -------
    Verification
        Its faults are what ``stream(..., resume=True)`` or ``mixture-pipeline resume`` mends.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it isn't a result of this package.
    """
    directory = find_store(Path(store))
    record = read_record(directory)
    grid = grid_of(record)
    quantities = {name: read_quantity(recorded) for name, recorded in record["results"].items()}
    # Without its metadata nothing of a result can be read.
    names = [name for name in quantities if has_metadata(directory, grid, name, quantities[name])]
    unread = [name for name in quantities if name not in names]
    faults = [Fault(name, index, "damaged") for name in unread for index in grid.blocks()]
    with reporting(progress, grid.n_blocks, grid.n_pixels) as reporter:
        for index, found in check_blocks(directory, grid, names, CPU_COUNT):
            faults += found
            reporter.advance(grid.pixels(index))
    return Verification(
        store=os.fspath(store),
        n_shards=grid.n_blocks * len(quantities),
        faults=tuple(faults),
        complete="receipt" in record and not record["receipt"].get("skipped"),
    )


def check_blocks(
    directory: Path, grid: Grid, names: Sequence[str], threads: int
) -> Iterator[tuple[tuple[int, int], list[Fault]]]:
    """Check the shards of every block, several at once, in the blocks' order."""
    check = partial(check_block, directory, names=names)
    blocks = grid.blocks()
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(blocks, _BATCH * threads)):
            yield from zip(batch, pool.map(check, batch), strict=True)
