"""Whether a store holds what its run wrote: every shard is there, and every checksum is right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Self

from pipeline.stores.store import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.images.grid import Block
    from pipeline.stores.record import Record
    from pipeline.stores.store import Store

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
        The number of shards that there should be: one for each block and output.
    faults : tuple of Fault
        The shards that are missing or damaged.
    complete : bool
        Whether the run has finished, and skipped no block.
    """

    store: str
    n_shards: int
    faults: tuple[Fault, ...]
    complete: bool

    @classmethod
    def from_faults(cls, store: Store, record: Record, faults: Iterable[Fault]) -> Self:
        """Make the result from all faults that :func:`check_blocks` found."""
        n_shards = record.grid.n_blocks * len(record.outputs)
        return cls(store.address, n_shards, tuple(faults), record.is_complete)

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
        In the order of the grid.
    faults : list of Fault
        The shards of the block that are missing or damaged. If the metadata of an output are damaged, all its
        shards count as damaged, because they can't be read.
    """
    readable = [output for output in record.outputs if store.has_metadata(record, output)]
    unreadable = [output.name for output in record.outputs if output not in readable]

    def check(block: Block) -> list[Fault]:
        lost = [Fault(name, block.index, "damaged") for name in unreadable]
        return lost + store.check_block(readable, block.index)

    blocks = record.grid.blocks()
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(blocks, _BATCH * threads)):
            yield from zip(batch, pool.map(check, batch), strict=True)
