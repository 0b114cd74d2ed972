"""Verification of a store, with progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dask.system import CPU_COUNT

from pipeline.runs.progress import reporting
from pipeline.stores.store_kinds import open_store
from pipeline.stores.verification import Verification, check_blocks

if TYPE_CHECKING:
    import os

    from pipeline.runs.progress import Listener


def verify(store: str | os.PathLike[str], *, progress: str | Listener = "auto") -> Verification:
    """Check every shard of a store: whether it exists, and whether its bytes are those that were written.

    Parameters
    ----------
    store : path
        The store of a run, finished or not.
    progress : str or callable
        As for :func:`stream`.

    Returns
    -------
    Verification
        Its faults are what ``stream(..., resume=True)`` or ``mixture-pipeline resume`` mends.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If this isn't a result of this package, or its record is damaged.
    """
    found = open_store(store).find()
    record = found.read_record()
    faults = []
    tiers = [grid for _, grid in record.grid.tiers()]
    n_blocks, n_pixels = sum(grid.n_blocks for grid in tiers), sum(grid.n_pixels for grid in tiers)
    with reporting(progress, n_blocks, n_pixels) as reporter:
        for block, in_block in check_blocks(found, record, CPU_COUNT):
            faults += in_block
            reporter.advance(block.n_pixels, kept=True)
    return Verification.from_faults(found, record, faults)
