"""The task of one block: read its pixels, compute its outputs, write its shards."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.compute.counters import can_compile
from pipeline.compute.engines import evaluate_pixels
from pipeline.compute.plausibility import Nearness, count_near
from pipeline.compute.summarizing import BlockSummary, summarize_block
from pipeline.runs.peak import high_water, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.images.image import Image
    from pipeline.images.masking import MaskedPart
    from pipeline.images.source import Part
    from pipeline.models.output import Output
    from pipeline.stores.store import Store, Written


# The system counts resident memory in steps, so that its mark may seem to rise by less than this.
_GRAIN = 2**20


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share; it is sent to each worker once.

    Attributes
    ----------
    store : Store
        Where the shards are written.
    outputs : tuple of Output
        The results of the run.
    engines : mapping of str to str
        The name of the engine that computes each output.
    counts_by_loop : bool
        Whether results are counted by a compiled loop, where Numba is installed.
    """

    store: Store
    outputs: tuple[Output, ...]
    engines: Mapping[str, str]
    counts_by_loop: bool = False


class Done(NamedTuple):
    """What a task reports about its block.

    Attributes
    ----------
    pixels : int
        The number of pixels of the block.
    n_bytes : int
        The size of the shards that were written.
    memory : int
        The highest resident memory of the process in bytes since it started, if it has risen during the task;
        else the resident memory at the end of the task.
    is_kept : bool
        Whether an earlier run had written the whole block, so that nothing was left to do.
    nearness : Nearness
        How many of its pixels, among a few, lie near a kernel.
    summary : BlockSummary
        Counts of its stored numbers.
    """

    pixels: int
    n_bytes: int
    memory: int
    is_kept: bool
    nearness: Nearness
    summary: BlockSummary


def run_task(job: Job, part: MaskedPart, block: Block, zones: Part | None = None) -> Callable[[], Done]:
    """Read, compute and write one block, so that no pixel leaves the task.

    Outputs whose shards are there and whole are kept, and a block that has them all isn't read. The summary
    counts the stored numbers of the kept ones too.

    Parameters
    ----------
    job : Job
    part : MaskedPart
        What the task reads of the image.
    block : Block
    zones : Part, optional
        The zone of each pixel.

    Returns
    -------
    callable
        It publishes the shards in the store and returns what was done. Disks take long for that and use no
        processor, so that the next block may be computed in the meantime.
    """
    before = high_water()
    names = {fault.output for fault in job.store.check_block(job.outputs, block.index)}
    outputs = [output for output in job.outputs if output.name in names]
    shards: list[Written] = []
    nearness = Nearness()
    stored: dict[str, NDArray[Any]] = {}
    with ExitStack() as unpublished:
        if outputs:
            engines = [job.engines[output.name] for output in outputs]
            results, errors, nearness = compute_part(part, block.extent, outputs, engines)
            for output, result, error in zip(outputs, results, errors, strict=True):
                stored[output.name] = result
                lossy_error = error if output.encoding.is_lossy else None
                shard = job.store.write_block(output, block, result, lossy_error)
                shards.append(unpublished.enter_context(shard))
        summary = _summarize(job, block, stored, None if zones is None else zones.read())
        after = high_water()
        memory = after if after > before + _GRAIN else resident()
        n_bytes = sum(shard.n_bytes for shard in shards)
        done = Done(block.n_pixels, n_bytes, memory, is_kept=not outputs, nearness=nearness, summary=summary)
        return partial(_publish, shards, unpublished.pop_all(), done)


def _summarize(
    job: Job, block: Block, stored: dict[str, NDArray[Any]], zones: NDArray[Any] | None
) -> BlockSummary:
    """Count the stored numbers of a block; those that it doesn't have in memory are read from the store."""
    results = [
        stored[output.name] if output.name in stored else job.store.read_block(output, block)
        for output in job.outputs
    ]
    numbers = None if zones is None else zones.reshape(block.extent)
    return summarize_block(job.outputs, results, numbers, compiled=job.counts_by_loop and can_compile())


def _publish(shards: Iterable[Written], unpublished: ExitStack, done: Done) -> Done:
    """Publish the shards of a block, and discard those that are left if one can't be."""
    with unpublished:
        for shard in shards:
            shard.publish()
    return done


def compute_pixel(job: Job, image: Image, outputs: Sequence[Output]) -> None:
    """Compute outputs at one black pixel, which loads and compiles all that blocks need in this thread."""
    pixel = np.zeros((1, 1, image.n_channels), image.dtype)
    evaluate_pixels(pixel, outputs, [job.engines[output.name] for output in outputs], serial=True)


def compute_part(
    part: MaskedPart, extent: tuple[int, int], outputs: Sequence[Output], engines: Sequence[str]
) -> tuple[list[NDArray[Any]], list[float], Nearness]:
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
    nearness : Nearness
        How many pixels, among a few with data, lie near a kernel.
    """
    pixels, valid = part.read()
    if pixels is None:
        empty = [np.full((output.n_results, *extent), output.no_data, output.dtype) for output in outputs]
        return empty, [0.0] * len(outputs), Nearness()
    results, errors = evaluate_pixels(pixels, outputs, engines, serial=True)
    nearness = count_near(
        pixels, (mixture for output in outputs for mixture in output.quantity.mixtures), valid
    )
    if valid is not None:
        for output, result in zip(outputs, results, strict=True):
            result[:, ~valid] = output.no_data
    return results, errors, nearness
