"""Memory: what a run will need in a process, and what there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import psutil

from pipeline.compute.color_table import color_bits, share_tables, table_bytes
from pipeline.images.tiff import ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client

    from pipeline.compute.engine import Request
    from pipeline.images.grid import Grid
    from pipeline.images.opening import Inputs, Source

# An interpreter with everything imported that a run uses.
_INTERPRETER = 200 * 2**20
# Of the results' size that is written, in the pieces that zarr gathers: chunks as they were, encoded, and the
# shard that they become.
_WRITING = 2.0
# What a thread keeps besides its block: strips of planes, decoded tiles.
_THREAD = 16 * 2**20


def project_memory(
    inputs: Inputs, grid: Grid, requests: Iterable[Request], threads: int, *, here: bool
) -> int:
    """Project the peak resident memory of a process that does blocks.

    Parameters
    ----------
    inputs : Inputs
    grid : Grid
    requests : iterable of Request
    threads : int
        Blocks that the process does at once.
    here : bool
        Whether that is this process, which has what it has by now, or a worker.

    Returns
    -------
    int
        Bytes. Measured peaks are within a quarter of it: ``python tests/benchmarks/memory.py``.
    """
    wanted = list(requests)
    n_pixels = math.prod(min(b, s) for b, s in zip(grid.block, grid.shape, strict=True))
    results = [n_pixels * r.quantity.n_planes * r.dtype.itemsize for r in wanted]
    block = sum(results) + _WRITING * max(results) + _reading(inputs.image, n_pixels)
    if inputs.mask is not None or inputs.has_alpha or inputs.no_data is not None:
        block += _reading(inputs.mask, n_pixels) + 2 * n_pixels
    blocks = min(threads, grid.n_blocks)
    files = [source for source in (inputs.image, inputs.mask) if isinstance(source, ImageFile)]
    photos = sum(file.whole_bytes for file in files)
    bits = color_bits(inputs.image.dtype, inputs.n_channels)
    columns = [(r.quantity, r.dtype) for r in wanted if r.engine == "table"]
    tables = sum(table_bytes([columns[n] for n in shared], bits or 0) for shared in share_tables(columns))
    # Photos are decoded as they are opened: this process has them by now.
    present = psutil.Process().memory_info().rss - photos if here else 0
    return int(max(_INTERPRETER, present) + photos + tables + threads * _THREAD + blocks * block)


def _reading(source: Source | None, n_pixels: int) -> int:
    """Count what reading a block takes: its pixels, and for Dask the chunks that they come from."""
    if source is None:
        return 0
    size = n_pixels * math.prod(source.shape[2:]) * source.dtype.itemsize
    return 2 * size if isinstance(source, da.Array) else size


def available_memory(client: Client | None) -> int:
    """Give the memory that a process which does blocks may use, in bytes.

    Parameters
    ----------
    client : distributed.Client or None
        Its smallest worker's limit counts, up to where Dask pauses the worker; without one, what this machine
        or its control group allows, and at most what is free now.

    Returns
    -------
    int
    """
    if client is not None:
        workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
        limits = [worker["memory_limit"] for worker in workers.values() if worker["memory_limit"]]
        if limits:
            return int(min(limits) * (dask.config.get("distributed.worker.memory.pause", 0.8) or 1))
    from distributed.system import MEMORY_LIMIT  # noqa: PLC0415  costs half a second, which evaluation needn't

    return int(min(MEMORY_LIMIT, psutil.virtual_memory().available + psutil.Process().memory_info().rss))
