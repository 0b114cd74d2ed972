"""The task of one block: read its pixels, compute its outputs, write its shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil

from pipeline.compute.engines import evaluate_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.images.grid import Grid
    from pipeline.images.masking import MaskedPart
    from pipeline.models.output import Output
    from pipeline.stores.store import Index, Store


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share; it is sent to each worker once.

    Attributes
    ----------
    store : Store
        Where the shards are written.
    grid : Grid
        The blocks of the image.
    outputs : tuple of Output
        The results of the run.
    engines : mapping of str to str
        The name of the engine that computes each output.
    """

    store: Store
    grid: Grid
    outputs: tuple[Output, ...]
    engines: Mapping[str, str]


class Done(NamedTuple):
    """What a task reports about its block: pixels, bytes of its shards, resident memory of the process."""

    pixels: int
    n_bytes: int
    memory: int


def run_task(job: Job, part: MaskedPart, index: Index, names: tuple[str, ...]) -> Done:
    """Read, compute and write one block, so that no pixel leaves the task.

    Parameters
    ----------
    job : Job
    part : MaskedPart
        What the task reads of the image.
    index : tuple of int
        The row and the column of the block.
    names : tuple of str
        The outputs to write, which may be fewer than all.

    Returns
    -------
    Done
    """
    outputs = [output for output in job.outputs if output.name in names]
    rows, columns = job.grid.region(index)
    extent = (rows.stop - rows.start, columns.stop - columns.start)
    results, errors = compute_part(part, extent, outputs, [job.engines[output.name] for output in outputs])
    n_bytes = 0
    for output, result, error in zip(outputs, results, errors, strict=True):
        lossy_error = error if output.encoding.is_lossy else None
        n_bytes += job.store.write_block(output, job.grid, index, result, lossy_error)
    return Done(job.grid.pixels(index), n_bytes, psutil.Process().memory_info().rss)


def compute_part(
    part: MaskedPart, extent: tuple[int, int], outputs: Sequence[Output], engines: Sequence[str]
) -> tuple[list[NDArray[Any]], list[float]]:
    """Read a part of an image and compute its outputs in the calling thread.

    Parameters
    ----------
    part : MaskedPart
    extent : tuple of int
        Height and width of the part.
    outputs : sequence of Output
    engines : sequence of str
        The name of the engine that computes each output.

    Returns
    -------
    results : list of ndarray, shape (n_results, h, w)
        Pixels without data have the value that marks them.
    errors : list of float
        The largest error of each output whose encoding is lossy, and 0 for the others.
    """
    pixels, valid = part.read()
    if pixels is None:
        empty = [np.full((output.n_results, *extent), output.no_data, output.dtype) for output in outputs]
        return empty, [0.0] * len(outputs)
    results, errors = evaluate_pixels(pixels, outputs, engines, serial=True)
    if valid is not None:
        for output, result in zip(outputs, results, strict=True):
            result[:, ~valid] = output.no_data
    return results, errors
