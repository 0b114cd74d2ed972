"""The tasks of one block: read its pixels, compute its outputs, write its shards, also of coarser levels."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from pipeline.compute.coarsening import coarsen
from pipeline.compute.counters import can_compile
from pipeline.compute.engines import evaluate_pixels
from pipeline.compute.plausibility import Nearness, count_near
from pipeline.compute.summarizing import BlockSummary, summarize_block
from pipeline.runs.peak import high_water, resident
from pipeline.stores.layers import arrange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.images.image import Image
    from pipeline.images.masking import MaskedPart
    from pipeline.images.source import Part
    from pipeline.models.output import Output
    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Store, Written

R = TypeVar("R")
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

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the store."""
        return arrange(self.outputs)


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


def run_task(
    job: Job, part: MaskedPart, block: Block, coarser: Mapping[int, Block], zones: Part | None = None
) -> Callable[[], Done]:
    """Read, compute and write one block, so that no pixel leaves the task.

    Layers whose shards are there and whole are kept, and a block that has them all isn't read. The summary
    counts the stored numbers of the kept ones too.

    Parameters
    ----------
    job : Job
    part : MaskedPart
        What the task reads of the image.
    block : Block
    coarser : mapping of int to Block
        The block of each coarser level that is made of this one, in their order.
    zones : Part, optional
        The zone of each pixel.

    Returns
    -------
    callable
        It publishes the shards in the store and returns what was done. Disks take long for that and use no
        processor, so that the next block may be computed in the meantime.
    """
    before, layers = high_water(), job.layers
    names = {fault.layer for fault in job.store.check_block(layers, block.index)}
    missing = [layer for layer in layers if layer.name in names]
    outputs = [output for layer in missing for output in layer.outputs]
    nearness = Nearness()
    stored: dict[str, NDArray[Any]] = {}
    with _Shards() as shards:
        if outputs:
            engines = [job.engines[output.name] for output in outputs]
            results, errors, nearness = compute_part(part, block.extent, outputs, engines)
            stored = {output.name: result for output, result in zip(outputs, results, strict=True)}
            lossy = dict(zip(stored, errors, strict=True))
            for layer in missing:
                planes = _planes(layer, stored)
                shards.add(job.store.write_block(layer, block, planes, error=lossy.get(layer.name)))
        for layer in layers:
            if layer not in missing:
                read = _reader(job.store, layer, block)
                stored |= {output.name: read(output) for output in layer.outputs}
            if lacking := _lacking(job.store, layer, coarser):
                _write_coarser(job.store, layer, coarser, shards, _given(stored), lacking=lacking)
        summary = _summarize(job, block, stored, None if zones is None else zones.read())
        after = high_water()
        memory = after if after > before + _GRAIN else resident()
        n_bytes, is_kept = shards.n_bytes, not shards.written
        done = Done(block.n_pixels, n_bytes, memory, is_kept=is_kept, nearness=nearness, summary=summary)
        return partial(_publish, shards.keep(), done)


def coarsen_task(job: Job, level: int, block: Block, coarser: Mapping[int, Block]) -> Callable[[], int]:
    """Make the blocks of coarser levels of a block of a level that is in the store.

    Parameters
    ----------
    job : Job
    level : int
        A level of :meth:`Grid.tiers`.
    block : Block
        A block of the level, in which all shards are there.
    coarser : mapping of int to Block
        As for :func:`run_task`.

    Returns
    -------
    callable
        It publishes the shards in the store and returns their size in bytes.
    """
    with _Shards() as shards:
        for layer in job.layers:
            if lacking := _lacking(job.store, layer, coarser):
                read = _reader(job.store, layer, block, level)
                _write_coarser(job.store, layer, coarser, shards, read, lacking=lacking)
        return partial(_publish, shards.keep(), shards.n_bytes)


class _Shards(ExitStack):
    """Shards that are written, and discarded at the end of the context unless they are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Written] = []

    @property
    def n_bytes(self) -> int:
        """The size of all shards in bytes."""
        return sum(shard.n_bytes for shard in self.written)

    def add(self, shard: Written) -> None:
        """Take a shard that was written."""
        self.written.append(self.enter_context(shard))

    def keep(self) -> tuple[list[Written], ExitStack]:
        """Return the shards, and the context that discards them."""
        return self.written, self.pop_all()


def _planes(layer: Layer, stored: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the planes of all outputs of a layer."""
    return [plane for output in layer.outputs for plane in stored[output.name]]


def _reader(store: Store, layer: Layer, block: Block, level: int = 0) -> Callable[[Output], NDArray[Any]]:
    """Return a function that gives the stored numbers of an output of a layer.

    Outputs are read one after the other, in arrays of the size that the run has used before: the allocator
    keeps that memory for the next ones, and would not make a larger array of it.
    """
    if store.holds_whole_shards:
        # A shard takes one request, and its parts would take many.
        planes = store.read_block(layer, block, level=level)
        return lambda output: planes[layer.planes_of(output)]
    return lambda output: store.read_block(layer, block, level=level, planes=layer.planes_of(output))


def _given(stored: Mapping[str, NDArray[Any]]) -> Callable[[Output], NDArray[Any]]:
    """Return a function that gives the stored numbers of an output, which are in memory."""
    return lambda output: stored[output.name]


def _lacking(store: Store, layer: Layer, coarser: Mapping[int, Block]) -> list[int]:
    """Return the coarser levels of which a layer lacks the shard."""
    return [n for n, block in coarser.items() if store.check_block([layer], block.index, level=n)]


def _write_coarser(
    store: Store,
    layer: Layer,
    coarser: Mapping[int, Block],
    shards: _Shards,
    read: Callable[[Output], NDArray[Any]],
    *,
    lacking: Sequence[int],
) -> None:
    """Write the shards of coarser levels that a layer lacks, each level made of the one below."""
    for level, block in coarser.items():
        if level <= max(lacking):
            finer = {output.name: coarsen(output, read(output)) for output in layer.outputs}
            read = _given(finer)
        if level in lacking:
            shards.add(store.write_block(layer, block, _planes(layer, finer), level=level))


def _summarize(
    job: Job, block: Block, stored: Mapping[str, NDArray[Any]], zones: NDArray[Any] | None
) -> BlockSummary:
    """Count the stored numbers of a block."""
    results = [stored[output.name] for output in job.outputs]
    numbers = None if zones is None else zones.reshape(block.extent)
    return summarize_block(job.outputs, results, numbers, compiled=job.counts_by_loop and can_compile())


def _publish(kept: tuple[Iterable[Written], ExitStack], done: R) -> R:
    """Publish the shards of a block, and discard those that are left if one can't be."""
    shards, unpublished = kept
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
