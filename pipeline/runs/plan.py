"""A plan of a run, known before it starts, and the one call that plans and executes."""

from __future__ import annotations

import html
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes, format_time, parse_bytes

from pipeline.compute.engine import Request, choose_engine
from pipeline.runs.executor import current_client, n_threads
from pipeline.images.grid import LARGEST_BLOCK, Grid, choose_grid
from pipeline.images.opening import Inputs, name_quantities, open_inputs
from pipeline.runs.task import Job, do_block
from pipeline.runs.memory import available_memory, project_memory
from pipeline.models.encoding import read_quantity
from pipeline.stores.placement import check_target, find_store
from pipeline.runs.execution import Options, Receipt, execute
from pipeline.stores.local import create, read_grid, read_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Client

    from pipeline.images.opening import Source
    from pipeline.runs.progress import Listener
    from pipeline.models.quantity import Quantity

# Sides of blocks that are tried until one fits the memory.
_LENGTHS = (LARGEST_BLOCK, 2048, 1024, 512, 256)
# Side of what a probe reads, computes and writes.
_PROBE = 1024


@dataclass(frozen=True)
class Plan:
    """A run before it starts.

    Attributes
    ----------
    store : str
        Where the results will be.
    grid : Grid
        The image's blocks and chunks.
    engines : dict of str to str
        Each result's engine, and why.
    tasks : int
        One a block.
    threads : int
        Blocks that a process does at once.
    peak_memory : int
        Projected resident memory of a process that does blocks, in bytes.
    memory_limit : int
        What it may use.
    output_bytes : int or None
        Projected size of the store, from a probe; None without one.
    free_disk : int
        Where the store will be.
    seconds : float or None
        Projected duration, from a probe; None without one.
    """

    store: str
    grid: Grid
    engines: dict[str, str]
    tasks: int
    threads: int
    peak_memory: int
    memory_limit: int
    output_bytes: int | None
    free_disk: int
    seconds: float | None
    _job: Job = field(repr=False)
    _inputs: Inputs = field(repr=False)
    _options: Options = field(repr=False)

    def validate(self) -> None:
        """Raise ValueError if the run can't fit the memory or the disk; the message says what would."""
        if self.peak_memory > self.memory_limit:
            raise ValueError(
                f"the run needs {format_bytes(self.peak_memory)} with blocks of {_sides(self.grid.block)} in "
                f"{self.threads} threads, and may use {format_bytes(self.memory_limit)}. {self._remedy()}"
            )
        if self.output_bytes is not None and self.output_bytes > self.free_disk:
            raise ValueError(
                f"the store needs about {format_bytes(self.output_bytes)}, and {self.store} has "
                f"{format_bytes(self.free_disk)} free. Choose another disk, or pack the results: see Packed."
            )

    def execute(self) -> Receipt:
        """Run it, as :func:`stream` does.

        Returns
        -------
        Receipt
        """
        self.validate()
        return execute(self._job, self._inputs, Path(self.store), self._options)

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(n)}</th><td>{html.escape(v)}</td></tr>" for n, v in self._rows()
        )
        return f"<table>{rows}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        shape, pixels = _sides(self.grid.shape), self.grid.n_pixels / 1e6
        rows = [
            ("store", self.store),
            ("image", f"{shape} pixels ({pixels:.1f} megapixels)"),
            ("blocks", f"{self.tasks} of {_sides(self.grid.block)}, in chunks of {_sides(self.grid.chunk)}"),
            *((f"engine of {name}", engine) for name, engine in self.engines.items()),
            ("threads", f"{self.threads}"),
            ("peak memory", f"{format_bytes(self.peak_memory)} of {format_bytes(self.memory_limit)}"),
        ]
        size = "unknown" if self.output_bytes is None else f"about {format_bytes(self.output_bytes)}"
        rows.append(("output", f"{size}, {format_bytes(self.free_disk)} free"))
        if self.seconds is not None:
            rows.append(("time", f"about {format_time(self.seconds)}"))
        return rows

    def _remedy(self) -> str:
        # A run that has begun keeps its blocks.
        grids = [self.grid] if self._options.resume else _grids(self._inputs, None)
        for grid in grids:
            needed = self._project(grid, self.threads)
            if needed <= self.memory_limit:
                return f"Leave block out, or pass block={grid.block}: that needs {format_bytes(needed)}."
        needed = self._project(grids[-1], 1)
        least = f"It takes at least {format_bytes(needed)}"
        if self.threads == 1 or needed > self.memory_limit:
            return f"{least}: raise the limit."
        if self._options.client is not None:
            return f"{least}, on workers of one thread."
        return f"{least}, with one thread: dask.config.set(num_workers=1), or DASK_NUM_WORKERS=1 outside."

    def _project(self, grid: Grid, threads: int) -> int:
        here = self._options.client is None
        return project_memory(self._inputs, grid, self._job.requests.values(), threads, here=here)


def plan(
    image: str | os.PathLike[str] | Source,
    quantities: Quantity | Mapping[str, Quantity],
    store: str | os.PathLike[str],
    **options: Any,  # noqa: ANN401  Options has their types
) -> Plan:
    """Plan a run: blocks, engines, memory, bytes and time, with nothing written at its place.

    Parameters
    ----------
    image, quantities, store, **options
        As of :func:`stream`.

    Returns
    -------
    Plan
        Its time and bytes are scaled up from a piece at the image's centre, of at most 1024 x 1024 pixels,
        that is read, computed and written to a temporary directory.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As :func:`stream` does before it starts, but for what doesn't fit: see :meth:`Plan.validate`.
    """
    return _plan(image, quantities, store, Options(**options), probe=True)


def stream(
    image: str | os.PathLike[str] | Source,
    quantities: Quantity | Mapping[str, Quantity],
    store: str | os.PathLike[str],
    *,
    block: int | tuple[int, int] | None = None,
    memory_limit: int | str | None = None,
    mask: str | os.PathLike[str] | Source | None = None,
    no_data: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_error: str = "raise",
    progress: str | Listener = "auto",
    client: Client | None = None,
) -> Receipt:
    """Evaluate quantities over an image of any size and write them to a Zarr store.

    Parameters
    ----------
    image : path, ndarray, dask.array.Array or zarr.Array, shape (H, W, C)
        A file is opened with the channels in the order of the quantities' mixtures. An array's channels
        must be in that order already, and so must those of a path to a Zarr array.
    quantities : Quantity or mapping of str to Quantity
        One, stored under its own name, or several under the mapping's names, computed in one pass.
    store : path
        A directory that doesn't exist yet. It becomes a Zarr group with one OME-Zarr image a result,
        ``store/density/0``. Until it is whole it is written beside its place, as ``store.partial``.
    block : int or tuple of int, optional
        Height and width of a block; by default about 4096 x 4096, or less where memory is short, in whole
        tiles of the image.
    memory_limit : int or str, optional
        Resident memory that a process which does blocks may use, in bytes or as ``"2 GiB"``; by default what
        the machine, its control group or the cluster's workers allow.
    mask : path, array of shape (H, W) or "alpha", optional
        Pixels where it is 0 have no data; a block of such pixels alone isn't read. ``"alpha"`` is the image's
        own alpha channel, the last one.
    no_data : float, optional
        Pixels all of whose channels have this value have no data.
    resume : bool
        Whether to go on with what an interrupted run left, or to mend a damaged store: blocks that are whole
        are kept, and not read again. Where there is nothing, the run starts.
    overwrite : bool
        Whether to replace an existing result, which stays until the new one is whole, and to discard what an
        interrupted run left.
    on_error : str
        ``"raise"`` ends the run with the first block that fails; ``"skip"`` goes on, and the receipt lists
        what was skipped, which has no data in the store.
    progress : str or callable
        ``"auto"`` draws a bar in a notebook or terminal, and otherwise logs lines at level INFO to the logger
        ``pipeline.progress``; ``"bar"``, ``"log"`` and ``"none"`` do what they say. A function is called with
        a :class:`Progress` for each block.
    client : distributed.Client, optional
        A cluster to run on; by default the current client if there is one, else threads in this process
        (as many as Dask's ``num_workers`` setting says, by default one a core). Its workers must see
        `image` and `store` under the same paths.

    Returns
    -------
    Receipt

    Raises
    ------
    FileNotFoundError
        If there is no such image.
    FileExistsError
        If there is a store or what an interrupted run left, and it may be neither overwritten nor resumed.
    BlockingIOError
        If another run is writing there.
    TypeError, ValueError
        If the image can't be read, or lacks the mixtures' channels, or an option is wrong; if the run can't
        fit the memory; if what is to be resumed was begun with another image, mask, model or grid.
    OSError, ValueError, RuntimeError
        If a block fails, by what it failed of; the message names the block. What was written is kept for
        ``resume=True``.
    """
    options = Options(
        block=block,
        memory_limit=memory_limit,
        mask=mask,
        no_data=no_data,
        resume=resume,
        overwrite=overwrite,
        on_error=on_error,
        progress=progress,
        client=client,
    )
    return _plan(image, quantities, store, options, probe=False).execute()


def resume(
    store: str | os.PathLike[str], *, on_error: str = "raise", memory_limit: int | str | None = None
) -> Receipt:
    """Go on with an interrupted run, or mend a damaged store, by what the store records of its run.

    Parameters
    ----------
    store : path
    on_error, memory_limit
        As of :func:`stream`.

    Returns
    -------
    Receipt

    Raises
    ------
    FileNotFoundError
        If there is neither a store nor what an interrupted run left.
    ValueError
        If the run's image or mask wasn't a file, or is another now.
    """
    recorded = read_record(find_store(Path(store), to_resume=True))
    quantities = {name: read_quantity(record) for name, record in recorded["results"].items()}
    image, mask = (_recorded_path(recorded[what], what) for what in ("image", "mask"))
    return stream(
        image,
        quantities,
        store,
        memory_limit=memory_limit,
        mask=mask,
        no_data=recorded["no_data"],
        resume=True,
        on_error=on_error,
    )


def _recorded_path(record: Any, what: str) -> Any:  # noqa: ANN401  a path or an array
    if record is None or isinstance(record, str):
        return record
    path = record["path"]
    if path is None:
        raise ValueError(
            f"the run's {what} was an array in memory: resume with stream(..., resume=True) and that array"
        )
    return path


def _plan(
    image: str | os.PathLike[str] | Source,
    quantities: Quantity | Mapping[str, Quantity],
    store: str | os.PathLike[str],
    options: Options,
    *,
    probe: bool,
) -> Plan:
    options.check()
    path, named, client = Path(store), name_quantities(quantities), options.client or current_client()
    inputs = open_inputs(image, named, mask=options.mask, no_data=options.no_data)
    check_target(path, sources=inputs.paths, overwrite=options.overwrite, resume=options.resume)
    if client is not None and inputs.is_persisted:
        raise ValueError(
            "the image or mask is persisted on the cluster, where a task can't take pieces of it. Pass it as "
            "it was before persist(), or store it: image.to_zarr(...)"
        )
    threads = n_threads() if client is None else max(client.nthreads().values(), default=1)
    limit = _memory_limit(options.memory_limit, client)
    begun = _begun(path) if options.resume and options.block is None else None
    for grid in [begun] if begun else _grids(inputs, options.block):
        requests = _choose_engines(named, inputs, grid)
        needed = project_memory(inputs, grid, requests.values(), threads, here=client is None)
        if needed <= limit:
            break
    job = Job(path, grid, requests)
    workers = 1 if client is None else max(1, len(client.nthreads()))
    seconds, size = _probe(job, inputs, threads * workers) if probe else (None, None)
    return Plan(
        store=os.fspath(store),
        grid=grid,
        engines={name: f"{request.engine} ({request.reason})" for name, request in requests.items()},
        tasks=grid.n_blocks,
        threads=threads,
        peak_memory=needed,
        memory_limit=limit,
        output_bytes=size,
        free_disk=_free_disk(path),
        seconds=seconds,
        _job=job,
        _inputs=inputs,
        _options=replace(options, client=client),
    )


def _memory_limit(limit: int | str | None, client: Client | None) -> int:
    if limit is None:
        return available_memory(client)
    try:
        size = int(parse_bytes(limit or 0))
    except (TypeError, ValueError, AttributeError, OverflowError):  # parse_bytes raises any of them
        size = 0
    if size <= 0:
        raise ValueError(f"memory_limit is {limit!r}; wanted bytes, or a size like '2 GiB'")
    return size


def _grids(inputs: Inputs, block: int | tuple[int, int] | None) -> list[Grid]:
    """Give the grids to try, those of the largest blocks first."""
    lengths = _LENGTHS if block is None else _LENGTHS[:1]
    grids = [choose_grid(inputs.extent, tile=inputs.tile, block=block, length=length) for length in lengths]
    return list(dict.fromkeys(grids))


def _begun(path: Path) -> Grid | None:
    try:
        return read_grid(find_store(path, to_resume=True))
    except (FileNotFoundError, ValueError):
        return None


def _choose_engines(named: Mapping[str, Quantity], inputs: Inputs, grid: Grid) -> dict[str, Request]:
    requests = {}
    for name, quantity in named.items():
        dtype = quantity.output_dtype()
        choice = choose_engine("auto", quantity, inputs.image.dtype, grid.n_pixels, result=dtype)
        requests[name] = Request(quantity, dtype, choice.engine, choice.reason)
    return requests


def _probe(job: Job, inputs: Inputs, threads: int) -> tuple[float, int]:
    """Measure a piece at the centre, twice, since the first also fills tables, and scale it up."""
    height, width = inputs.extent
    rows, columns = (slice((n - min(n, _PROBE)) // 2, (n + min(n, _PROBE)) // 2) for n in (height, width))
    extent = (rows.stop - rows.start, columns.stop - columns.start)
    if not extent[0] * extent[1]:
        return 0.0, 0
    with tempfile.TemporaryDirectory(prefix="mixture-pipeline-") as directory:
        small = Job(Path(directory), choose_grid(extent), job.requests)
        create(small.directory, small.grid, small.quantities, {})
        names = tuple(job.requests)
        times = []
        for _ in range(2):
            started = time.perf_counter()
            done = do_block(small, inputs.cut((rows, columns)), (0, 0), names)
            times.append(time.perf_counter() - started)
    share = job.grid.n_pixels / done.pixels
    return times[0] + times[1] * share / min(threads, job.grid.n_blocks), round(done.n_bytes * share)


def _free_disk(path: Path) -> int:
    place = next(parent for parent in path.resolve().parents if parent.exists())
    return shutil.disk_usage(place).free


def _sides(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
