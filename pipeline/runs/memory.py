"""The memory that a run will need in each process that computes blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import psutil

from pipeline.compute.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.images.grid import Grid
    from pipeline.images.image import Image
    from pipeline.models.output import Output

# An interpreter that has imported everything that a run uses.
_INTERPRETER = 200 * 2**20
# Writing a result takes so many times its size, for the pieces that zarr gathers: chunks as they were,
# encoded chunks, and the shard that they become.
_WRITING = 2.0
# What a thread keeps besides its block: strips of planes, decoded tiles.
_THREAD = 16 * 2**20


def project_memory(
    image: Image,
    grid: Grid,
    outputs: Sequence[Output],
    engines: Mapping[str, str],
    threads: int,
    *,
    is_local: bool,
) -> int:
    """Project the peak resident memory of a process that computes blocks.

    Parameters
    ----------
    image : Image
    grid : Grid
    outputs : sequence of Output
    engines : mapping of str to str
        The name of the engine that computes each output.
    threads : int
        How many blocks the process computes at once.
    is_local : bool
        Whether it is this process, which already holds some memory, or a worker.

    Returns
    -------
    int
        The memory in bytes. Measured peaks are within a quarter of it
        (``python tests/benchmarks/memory.py``).
    """
    n_pixels = math.prod(min(b, s) for b, s in zip(grid.block, grid.shape, strict=True))
    results = [n_pixels * output.n_results * output.dtype.itemsize for output in outputs]
    block = sum(results) + _WRITING * max(results) + image.region_bytes(n_pixels)
    held = image.held_bytes
    tables = sum(
        engine.process_bytes([o for o in outputs if engines[o.name] == name], image.dtype)
        for name, engine in ENGINES.items()
        if name in engines.values()
    )
    # This process already holds what the image holds, because photos are decoded when they are opened.
    present = psutil.Process().memory_info().rss - held if is_local else 0
    blocks = min(threads, grid.n_blocks)
    return int(max(_INTERPRETER, present) + held + tables + threads * _THREAD + blocks * block)
