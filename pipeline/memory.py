"""Memory: what a run will need in a process, and what there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import psutil

from pipeline.color_table import color_bits, table_bytes
from pipeline.sources import ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client

    from pipeline.engine import Request
    from pipeline.grid import Grid
    from pipeline.job import Inputs, Source

# An interpreter with everything imported that a run uses.
_INTERPRETER = 200 * 2**20
# Of the results' size that is written, in the pieces that zarr gathers: chunks as they were, encoded, and the
# shard that they become.
_WRITING = 2.0
# What a thread keeps besides its block: strips of planes, decoded tiles.
_THREAD = 32 * 2**20


def project_memory(inputs: Inputs, grid: Grid, requests: Iterable[Request], threads: int) -> int:
    """Project the peak resident memory of a process that does blocks.

    Parameters
    ----------
    inputs : Inputs
    grid : Grid
    requests : iterable of Request
    threads : int
        Blocks that the process does at once.

    Returns
    -------
    int
        Bytes. Measured peaks are within a quarter of it: ``python tests/benchmarks/memory.py``.
    """
    wanted = list(requests)
    n_pixels = math.prod(min(b, s) for b, s in zip(grid.block, grid.shape, strict=True))
    results = [n_pixels * len(r.quantity.planes or " ") * r.dtype.itemsize for r in wanted]
    block = sum(results) + _WRITING * max(results) + _reading(inputs.image, n_pixels)
    if inputs.mask is not None or inputs.has_alpha or inputs.no_data is not None:
        block += _reading(inputs.mask, n_pixels) + 2 * n_pixels
    blocks = min(threads, grid.n_blocks)
    held = sum(_held(source) for source in (inputs.image, inputs.mask))
    bits = color_bits(inputs.image.dtype, inputs.n_channels)
    tables = sum(table_bytes(r.quantity, bits, r.dtype) for r in wanted if r.engine == "table" and bits)
    return int(_INTERPRETER + held + tables + threads * _THREAD + blocks * block)


def _reading(source: Source | None, n_pixels: int) -> int:
    """Count what reading a block takes: its pixels, and for Dask the chunks that they come from."""
    if source is None:
        return 0
    size = n_pixels * math.prod(source.shape[2:]) * source.dtype.itemsize
    return 2 * size if isinstance(source, da.Array) else size


def _held(source: Source | None) -> int:
    """Count what a process holds all along: an array, or a photo that was decoded whole."""
    if isinstance(source, ImageFile):
        return source.whole_bytes
    return source.nbytes if isinstance(source, np.ndarray) else 0


def available_memory(client: Client | None) -> int:
    """Give the memory that a process which does blocks may use, in bytes.

    Parameters
    ----------
    client : distributed.Client or None
        Its smallest worker's limit counts; without one, what this machine or its control group allows, and at
        most what is free now.

    Returns
    -------
    int
    """
    if client is not None:
        workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
        limits = [worker["memory_limit"] for worker in workers.values() if worker["memory_limit"]]
        if limits:
            return int(min(limits))
    from distributed.system import MEMORY_LIMIT  # noqa: PLC0415  costs half a second, which evaluation needn't

    return int(min(MEMORY_LIMIT, psutil.virtual_memory().available + psutil.Process().memory_info().rss))
