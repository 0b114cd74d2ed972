"""Whether a store holds what its run wrote: every shard is there, and every checksum is right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Self

from pipeline.models.table import emphasize, html_facts, html_table
from pipeline.stores.layers import arrange
from pipeline.stores.store import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.images.grid import Block
    from pipeline.stores.record import Record
    from pipeline.stores.store import Store

# Faults that are shown in a notebook, at most.
_MOST_FAULTS = 8
# Blocks that each thread is given at once.
_BATCH = 8


@dataclass(frozen=True)
class Verification:
    """The result of :func:`verify`.

    Attributes
    ----------
    store : str
        The store that was read.
    n_shards : int
        The number of shards that there should be: one for each block, level and array of the store.
    faults : tuple of Fault
        The shards that are missing or damaged.
    complete : bool
        Whether the run has finished, skipped no block, and has published its store under the address.
    """

    store: str
    n_shards: int
    faults: tuple[Fault, ...]
    complete: bool

    @classmethod
    def from_faults(cls, store: Store, record: Record, faults: Iterable[Fault]) -> Self:
        """Make the result from all faults that :func:`check_blocks` found."""
        levels = (record.grid.level(number) for number in range(record.grid.n_levels))
        n_shards = sum(grid.n_blocks for grid in levels) * len(arrange(record.outputs))
        complete = record.is_complete and not store.is_unfinished
        return cls(store.address, n_shards, tuple(faults), complete)

    @property
    def missing(self) -> tuple[Fault, ...]:
        """The shards that don't exist."""
        return tuple(fault for fault in self.faults if fault.kind == "missing")

    @property
    def damaged(self) -> tuple[Fault, ...]:
        """The shards whose bytes aren't those that were written."""
        return tuple(fault for fault in self.faults if fault.kind == "damaged")

    @property
    def intact(self) -> bool:
        """Whether the run has finished and every shard is as it was written."""
        return self.complete and not self.faults

    def __str__(self) -> str:
        found = f"{len(self.missing)} missing, {len(self.damaged)} damaged" if self.faults else "all intact"
        rest = "" if self.complete else "; the run is unfinished, or skipped blocks"
        return f"{self.n_shards} {'shard' if self.n_shards == 1 else 'shards'}, {found}{rest}"

    def _repr_html_(self) -> str:
        found = str(self) if self.intact else emphasize(str(self))
        facts = html_facts([("store", self.store), ("found", found)])
        if not self.faults:
            return facts
        rows = [
            [layer, str(level), " ".join(map(str, block)), kind] for layer, block, kind, level in self.faults
        ]
        return facts + html_table([["result", "level", "block", "fault"], *rows], _MOST_FAULTS)


def check_blocks(store: Store, record: Record, threads: int) -> Iterator[tuple[Block, list[Fault]]]:
    """Check the shards of every block, several blocks at once.

    Parameters
    ----------
    store : Store
        The directory or place that is read, see :meth:`Store.find`.
    record : Record
        The record of the store.
    threads : int
        The number of threads that check blocks.

    Yields
    ------
    block : Block
        In the order of the grid, and then those of the levels of which coarser ones are made.
    faults : list of Fault
        The shards of the block that are missing or damaged, also of the levels that were made of it. If the
        metadata of a layer are damaged, all its shards count as damaged, because they can't be read.
    """
    layers, unreadable = arrange(record.outputs), store.find_damaged(record)
    readable = [layer for layer in layers if layer not in unreadable]

    def check(levels: Iterable[int], block: Block) -> list[Fault]:
        return [
            fault
            for level in levels
            for fault in (
                *(Fault(layer.name, block.index, "damaged", level) for layer in unreadable),
                *store.check_block(readable, block.index, level=level),
            )
        ]

    with ThreadPoolExecutor(threads) as pool:
        for number, tier in record.grid.tiers():
            levels = [*([] if number else [0]), *record.grid.levels_from(number)]
            blocks = tier.blocks()
            while batch := list(islice(blocks, _BATCH * threads)):
                yield from zip(batch, pool.map(partial(check, levels), batch), strict=True)
