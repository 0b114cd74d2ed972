"""The memory that a run will need in each process that computes blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from dask.utils import parse_bytes

from pipeline.compute.engines import ENGINES
from pipeline.compute.numba_engine import NumbaEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from pipeline.images.footprint import Footprint
    from pipeline.images.grid import Grid
    from pipeline.images.image import Image
    from pipeline.images.labels import Labels
    from pipeline.models.output import Output
    from pipeline.runs.executor import Executor
    from pipeline.runs.task import Job

# An interpreter that has imported all that a run uses: 130 MiB with the decoders of TIFF and with Dask.
_INTERPRETER = 140 * 2**20
# What a thread keeps besides its block, and what is kept of decoding a whole image: memory that the allocator
# doesn't give back.
_THREAD, _DECODED = 32 * 2**20, 64 * 2**20


class Need(NamedTuple):
    """The memory that a process needs for a run, and the memory that it may use.

    Attributes
    ----------
    memory : int
        The projected resident memory in bytes.
    limit : int
        The memory that the process may use, in bytes.
    threads : int
        The number of blocks that the process computes at once.
    """

    memory: int
    limit: int
    threads: int

    @property
    def fits(self) -> bool:
        """Whether the process may use as much as it needs."""
        return self.memory <= self.limit


def project_need(
    job: Job,
    image: Image,
    zones: Labels | None,
    grid: Grid,
    executor: Executor,
    *,
    limit: int | None,
    threads: int | None = None,
) -> Need:
    """Project the memory that a run needs in the process that has the least room for it.

    Parameters
    ----------
    job : Job
    image : Image
    zones : Labels or None
    grid : Grid
    executor : Executor
    limit : int or None
        The memory that each process may use, in bytes; None for what each has.
    threads : int, optional
        The number of blocks that a process computes at once, if it isn't as the executor says.

    Returns
    -------
    Need
    """
    footprint = image.footprint(grid.largest)
    if zones is not None:
        footprint = footprint.followed_by(zones.footprint(grid.largest))

    def need(n_threads: int, memory: int) -> Need:
        needed = project_memory(
            footprint,
            image.dtype,
            grid,
            job.outputs,
            engines=job.engines,
            threads=n_threads,
            is_local=executor.is_local,
            counts_by_loop=job.counts_by_loop,
            holds_shards=job.store.holds_whole_shards,
        )
        return Need(needed, memory if limit is None else limit, n_threads)

    kinds = {(threads or capacity.threads, capacity.memory) for capacity in executor.capacities}
    return max((need(*kind) for kind in kinds), key=lambda one: one.memory / max(1, one.limit))


def parse_limit(limit: int | str | None) -> int | None:
    """Return a limit of memory in bytes, or None if there is none.

    Raises
    ------
    ValueError
        If it isn't a size.
    """
    if limit is None:
        return None
    try:
        size = int(parse_bytes(limit or 0))
    except (TypeError, ValueError, AttributeError, OverflowError):  # parse_bytes raises any of them
        size = 0
    if size <= 0:
        raise ValueError(f"memory_limit is {limit!r}; wanted bytes, or a size like '2 GiB'")
    return size


def project_memory(
    footprint: Footprint,
    dtype: np.dtype[Any],
    grid: Grid,
    outputs: Sequence[Output],
    *,
    engines: Mapping[str, str],
    threads: int,
    is_local: bool,
    counts_by_loop: bool = False,
    holds_shards: bool = False,
) -> int:
    """Project the peak resident memory of a process that computes blocks.

    Parameters
    ----------
    footprint : Footprint
        The memory that reading blocks takes.
    dtype : dtype
        The dtype of the pixels.
    grid : Grid
    outputs : sequence of Output
    engines : mapping of str to str
        The name of the engine that computes each output.
    threads : int
        How many blocks the process computes at once.
    is_local : bool
        Whether it is this process, which already holds some memory, or a worker.
    counts_by_loop : bool
        Whether Numba is loaded to count the results, even if no engine needs it.
    holds_shards : bool
        Whether the shards of a block are in memory until they are sent.

    Returns
    -------
    int
        The memory in bytes, which a run doesn't exceed. Making the levels beyond the first two takes no more
        than a block does. Measured peaks are at least 0.6 of it, but 0.59 where an image is a single chunk
        (``python tests/benchmarks/memory.py``).
    """
    n_pixels = math.prod(grid.largest)
    results = [n_pixels * output.n_results * output.dtype.itemsize for output in outputs]
    # A block is read, then computed, then written; its pixels are free before it is written. Two coarser
    # levels of each output are made while it is written, which have a quarter of its pixels, and a 16th.
    writing = max(_writing_bytes(grid, output) for output in outputs) + sum(results) * 5 // 16
    # Those of the block before may still be on their way.
    shards = 2 * (sum(results) * 21 // 16) if holds_shards else 0
    block = sum(results) + max(footprint.region, writing) + shards
    blocks = min(threads, grid.n_blocks)
    shared = own = 0
    for name, engine in ENGINES.items():
        if chosen := [output for output in outputs if engines[output.name] == name]:
            shared += engine.process_bytes(chosen, dtype)
            own += engine.thread_bytes(chosen, dtype)
        elif counts_by_loop and name == NumbaEngine.name:
            shared += engine.process_bytes([], dtype)
    present = psutil.Process().memory_info().rss - footprint.present if is_local else 0
    # Images are decoded before anything is computed.
    kept = min(footprint.opening, _DECODED)
    work = max(footprint.opening, kept + shared + blocks * (block + own + _THREAD))
    return int(max(_INTERPRETER, present) + footprint.held + work)


def _writing_bytes(grid: Grid, output: Output) -> int:
    """Return the memory that writing a block of an output takes, if nothing is compressed.

    A chunk is copied and encoded, and the one before it may still be held.
    """
    counts = [-(-side // chunk) for side, chunk in zip(grid.largest, grid.chunk, strict=True)]
    n_chunks, chunk = math.prod(counts) * output.n_results, math.prod(grid.chunk) * output.dtype.itemsize
    return chunk * min(3, n_chunks + 1)
