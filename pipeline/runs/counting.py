"""A pass that counts the colors of an image, block by block, on threads or on a cluster."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from dask.utils import format_bytes

from pipeline.compute.counting import ALL, TRAINING, Counting
from pipeline.compute.histogram import (
    count_colors_of,
    counting_bytes,
    is_countable,
    merge_histograms,
    merging_bytes,
)
from pipeline.compute.places import check_seed
from pipeline.images.grid import choose_grids
from pipeline.images.opening import AUTO, open_image
from pipeline.runs.execution import failure
from pipeline.runs.executors import choose_executor
from pipeline.runs.peak import high_water, resident
from pipeline.runs.progress import reporting

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from pipeline.compute.counting import Key
    from pipeline.compute.histogram import Histogram
    from pipeline.images.grid import Block, Grid
    from pipeline.images.image import Image
    from pipeline.images.masking import MaskedPart
    from pipeline.images.opening import ImageLike, NoDataLike
    from pipeline.images.source import Part, Source
    from pipeline.runs.executor import Executor
    from pipeline.runs.progress import Listener

# With labels, a pixel takes this memory besides two copies of itself: its label and group, and masks; and its
# priority, three times, if a sample is taken.
_LABELED_BYTES, _PRIORITY_BYTES = 8 + 3 + 3, 3 * 8


class Counted(NamedTuple):
    """What a task reports about its block.

    Attributes
    ----------
    histograms : dict of (int, int) to Histogram
        By label and group.
    memory : int
        The highest resident memory of the process in bytes.
    """

    histograms: dict[Key, Histogram]
    memory: int


def count_colors(
    image: ImageLike,
    *,
    channel_axis: int | None = -1,
    mask: ImageLike | None = AUTO,
    no_data: NoDataLike = AUTO,
    seed: int = 0,
    progress: str | Listener = "auto",
    client: Client | None = None,
) -> Histogram:
    """Count the colors of an image of any size in one pass.

    Parameters
    ----------
    image : path, Image or array
        As for :func:`open_image`.
    channel_axis, mask, no_data
        As for :func:`open_image`. Pixels without data aren't counted, nor are those with a channel that isn't
        finite.
    seed : int
        Another seed gives another sample, where a sample is taken.
    progress, client
        As for :func:`stream`.

    Returns
    -------
    Histogram
        It doesn't depend on the blocks and on the workers by which it was counted.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError, OSError
        If the image can't be read, see :func:`open_image`, or the seed isn't an integer of at least 0.
    """
    opened = open_image(image, channel_axis=channel_axis, mask=mask, no_data=no_data)
    counted = count_groups(opened, None, n_held=0, seed=seed, progress=progress, client=client)
    return replace(counted[ALL, TRAINING], image=opened.name)


def count_groups(
    image: Image,
    labels: Source | None,
    *,
    n_held: int,
    seed: int,
    progress: str | Listener,
    client: Client | None,
) -> dict[Key, Histogram]:
    """Count the colors of an image by label and by group of held-out squares, in one pass.

    Parameters
    ----------
    image : Image
    labels : Source or None
        A label for each pixel, 0 where there is none. None counts all pixels under the label `ALL`.
    n_held : int
        The number of groups of squares, of 20, that are counted one by one.
    seed, progress, client
        As for :func:`count_colors`.

    Returns
    -------
    dict of (int, int) to Histogram
        By label and group, see :class:`Counting`. Those without pixels are missing, except for that of an
        image without labels.

    Raises
    ------
    OSError, ValueError, RuntimeError
        If a block can't be read, the memory is too small, or the seed isn't an integer of at least 0.
    """
    image.check_plane()
    executor = choose_executor(client)
    is_exact = is_countable(image.dtype, image.n_channels)
    counting = Counting(image.extent, image.channels, is_exact, check_seed(seed), n_held)
    grid = _choose_grid(image, labels, executor)
    calls = (
        (block, (image.part(block.region), None if labels is None else labels.part(block.region), block))
        for block in grid.blocks()
    )
    sums: dict[Key, _Sum] = {}
    with (
        reporting(progress, grid.n_blocks, grid.n_pixels) as reporter,
        executor,
        closing(executor.outcomes(count_block, executor.share(counting), calls)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.error is not None:
                raise failure(outcome.key, image.name, outcome.error) from outcome.error
            for key, histogram in outcome.result.histograms.items():
                sums.setdefault(key, _Sum()).add(histogram)
            reporter.advance(outcome.key.n_pixels, memory=outcome.result.memory)
    if labels is None and not sums:
        nothing = np.empty((0, image.n_channels), image.dtype)
        priorities = None if is_exact else np.empty(0, np.uint64)
        return {(ALL, TRAINING): count_colors_of(nothing, priorities, image.channels)}
    return {key: total.result() for key, total in sorted(sums.items())}


def count_block(
    counting: Counting, part: MaskedPart, labels: Part | None, block: Block
) -> Callable[[], Counted]:
    """Read a block and count its colors. A block without labels isn't read."""
    histograms: dict[Key, Histogram] = {}
    kinds = None if labels is None else labels.read().reshape(block.extent)
    if kinds is None or kinds.any():
        pixels, valid = part.read()
        if pixels is not None:
            histograms = counting.count(pixels, valid, kinds, block.region)
    return partial(Counted, histograms, high_water())


class _Sum:
    """A sum of histograms, which are merged when they have become as many numbers as their sum."""

    def __init__(self) -> None:
        self._merged: Histogram | None = None
        self._waiting: list[Histogram] = []

    def add(self, histogram: Histogram) -> None:
        """Add a histogram."""
        self._waiting.append(histogram)
        size = 0 if self._merged is None else self._merged.n_colors
        if sum(waiting.n_colors for waiting in self._waiting) > size:
            self._merge()

    def result(self) -> Histogram:
        """Return the sum."""
        self._merge()
        assert self._merged is not None, "nothing was added"  # noqa: S101  the callers add before they ask
        return self._merged

    def _merge(self) -> None:
        together = [*self._waiting] if self._merged is None else [self._merged, *self._waiting]
        self._merged, self._waiting = merge_histograms(together), []


def _choose_grid(image: Image, labels: Source | None, executor: Executor) -> Grid:
    """Return the grid of the largest blocks that fit the memory.

    Blocks are large, and not divided among threads, because each one goes through all counters. Workers of a
    cluster leave the merging to this process.
    """
    limit, kind = executor.available_memory, (image.dtype, image.n_channels)
    here = 0
    if executor.is_local:
        present = max(0, resident() - image.footprint((1, 1)).present)
        here = present + merging_bytes(*kind, math.prod(image.extent))
    own = 0
    if labels is not None:
        own = _LABELED_BYTES + 2 * image.source.pixel_bytes + _PRIORITY_BYTES * (not is_countable(*kind))
    for grid in choose_grids(image.extent, tile=image.tile, unit=image.unit, block=None):
        footprint, n_pixels = image.footprint(grid.largest), math.prod(grid.largest)
        held, opening = here + footprint.held, footprint.opening
        block = footprint.region + counting_bytes(*kind, n_pixels) + n_pixels * own
        if labels is not None:
            held, opening = held + labels.held_bytes, max(opening, labels.opening_bytes)
            block += labels.region_bytes(grid.largest)
        needed = held + max(opening, min(executor.threads, grid.n_blocks) * block)
        if needed <= limit:
            return grid
    raise ValueError(
        f"counting the colors needs {format_bytes(needed)} in a process, which may use "
        f"{format_bytes(limit)}. Free some memory, or use fewer threads: dask.config.set(num_workers=1)."
    )
