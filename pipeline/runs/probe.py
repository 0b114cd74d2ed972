"""The probe of a plan: a piece of the image is read, computed and written, to estimate time and size."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, NamedTuple

from pipeline.images.description import Description
from pipeline.images.grid import Grid, choose_grid
from pipeline.runs.task import compute_pixel, run_task
from pipeline.stores.local import LocalStore
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from pipeline.images.image import Image
    from pipeline.runs.executor import Executor
    from pipeline.runs.task import Done, Job

# Height and width of the piece, at most.
_SIDE = 1024


class Estimate(NamedTuple):
    """What a probe tells about a run.

    Attributes
    ----------
    seconds : float
        The time of the run.
    n_bytes : int
        The size of all shards.
    warning : str or None
        A sentence that says why the model doesn't suit the pixels of the piece, if it doesn't.
    """

    seconds: float
    n_bytes: int
    warning: str | None


def probe(job: Job, image: Image, executor: Executor, grid: Grid) -> Estimate:
    """Estimate the time and the size of a run from a piece at the center of the image.

    Each thread loads and compiles what it needs. The piece is computed once alone, which also fills tables of
    colors, and then by as many threads at once
    as the run will have, which share the memory and the disk as the run's blocks will. It is written to the
    disk of the store where that can be written to. The threads of a cluster can't be measured from here: they
    count as much as this thread does alone.

    Parameters
    ----------
    job : Job
    image : Image
    executor : Executor
    grid : Grid
        The blocks of the run.

    Returns
    -------
    Estimate
    """
    height, width = image.extent
    rows, columns = (slice((n - min(n, _SIDE)) // 2, (n + min(n, _SIDE)) // 2) for n in (height, width))
    piece = choose_grid((rows.stop - rows.start, columns.stop - columns.start))
    if not piece.n_pixels:
        return Estimate(0.0, 0, None)
    if grid.n_levels > 1:
        # The piece has coarser levels too.
        piece = replace(piece, chunk=(piece.block[0] // 4, piece.block[1] // 4))
    at_once = min(executor.total_threads, grid.n_blocks)
    here = at_once if executor.is_local else 1

    def compute(directory: Path) -> Done:
        task = replace(job, store=LocalStore(directory))
        return run_task(task, image.part((rows, columns)), piece[0, 0], piece.coarser(0, (0, 0)))()

    everyone = Barrier(here)

    def warm_up(_: int) -> None:
        # Each of the threads takes one call, since none goes on before all have begun.
        everyone.wait()
        compute_pixel(job, image, job.outputs)

    with tempfile.TemporaryDirectory(prefix="mixture-pipeline-", dir=job.store.scratch) as directory:
        places = [Path(directory, f"{number}") for number in range(1 + here)]
        LocalStore(places[0]).create(_make_record(job, image, piece))
        for place in places[1:]:
            shutil.copytree(places[0], place)
        # What a thread keeps to compute, such as compiled programs, goes with it.
        with ThreadPoolExecutor(here) as pool:
            started = time.perf_counter()
            try:
                list(pool.map(warm_up, range(here)))
            except BaseException:
                # Not all of the threads may have begun, for which the others would wait forever.
                everyone.abort()
                raise
            done = pool.submit(compute, places[0]).result()
            first = time.perf_counter() - started
            started = time.perf_counter()
            list(pool.map(compute, places[1:]))
            together = time.perf_counter() - started
    share = math.prod(image.extent) / done.pixels
    reading = 0.0
    if math.prod(image.unit) > done.pixels:
        # What is decoded for the piece is decoded once for a block, however many pixels the block has of it.
        started = time.perf_counter()
        image.part((rows, columns)).read()
        reading = time.perf_counter() - started
    seconds = first + (max(0.0, together - reading) * share + reading * grid.n_blocks) / at_once
    return Estimate(seconds, round(done.n_bytes * share), done.nearness.warning)


def _make_record(job: Job, image: Image, grid: Grid) -> Record:
    """Make the record of the piece, without the identity of the image, which may take long."""
    shape = (*grid.shape, image.n_channels)
    return Record(
        image=Description(shape, image.dtype, image.channels, "a piece of an image", None),
        masks=(),
        has_alpha=False,
        no_data=None,
        grid=grid,
        outputs=job.outputs,
        engines=dict(job.engines),
        version=current_version(),
    )
