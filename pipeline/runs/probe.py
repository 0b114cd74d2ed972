"""The probe of a plan: a piece of the image is read, computed and written, to estimate time and size."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.images.description import Description
from pipeline.images.grid import Grid, choose_grid
from pipeline.runs.task import run_task
from pipeline.stores.local import LocalStore
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from pipeline.images.image import Image
    from pipeline.runs.task import Job

# Height and width of the piece, at most.
_SIDE = 1024


def probe(job: Job, image: Image, n_blocks: int, threads: int) -> tuple[float, int]:
    """Estimate the time and the size of a run from a piece at the center of the image.

    The piece is computed twice, since the first time also fills tables of colors.

    Parameters
    ----------
    job : Job
    image : Image
    n_blocks : int
        The number of blocks of the run.
    threads : int
        How many blocks are computed at once, in all processes.

    Returns
    -------
    seconds : float
    n_bytes : int
        The size of all shards.
    """
    height, width = image.extent
    rows, columns = (slice((n - min(n, _SIDE)) // 2, (n + min(n, _SIDE)) // 2) for n in (height, width))
    extent = (rows.stop - rows.start, columns.stop - columns.start)
    if not extent[0] * extent[1]:
        return 0.0, 0
    grid, times = choose_grid(extent), []
    with tempfile.TemporaryDirectory(prefix="mixture-pipeline-") as directory:
        stores = [LocalStore(Path(directory, name)) for name in ("first", "second")]
        stores[0].create(_make_record(job, image, grid))
        shutil.copytree(stores[0].directory, stores[1].directory)
        for store in stores:
            started = time.perf_counter()
            done = run_task(replace(job, store=store), image.part((rows, columns)), grid[0, 0])
            times.append(time.perf_counter() - started)
    share = math.prod(image.extent) / done.pixels
    return times[0] + times[1] * share / min(threads, n_blocks), round(done.n_bytes * share)


def _make_record(job: Job, image: Image, grid: Grid) -> Record:
    """Make the record of the piece, without the identity of the image, which may take long."""
    shape = (*grid.shape, image.n_channels)
    return Record(
        image=Description(shape, image.dtype, image.channels, "a piece of an image", None),
        mask=None,
        no_data=None,
        grid=grid,
        outputs=job.outputs,
        engines=dict(job.engines),
        version=current_version(),
    )
