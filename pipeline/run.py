"""A run: blocks of an image evaluated and written, a few at a time, here or on a Dask cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import psutil
import zarr
from dask.system import CPU_COUNT

from pipeline import store as zarr_store
from pipeline.engine import Choice, check_image, choose_engine, evaluate_block
from pipeline.grid import Grid, choose_grid
from pipeline.progress import progress_bar
from pipeline.quantity import Quantity
from pipeline.sources import ImageFile, open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future

    from distributed import Client
    from numpy.typing import NDArray

    Source = ImageFile | NDArray[Any] | da.Array | zarr.Array[Any]

_CHANNEL_LETTERS = {"red": "R", "green": "G", "blue": "B", "alpha": "A"}
# Blocks in flight for each thread of a cluster: one computes while the next is on its way.
_CLUSTER_QUEUE = 2


@dataclass(frozen=True)
class Receipt:
    """What a finished run did.

    Attributes
    ----------
    store : str
        Where the results are.
    pixels : int
        Pixels of the image.
    blocks : int
        Blocks written, each with one shard a result.
    seconds : float
        From the first block's submission to the last one's end.
    bytes_written : int
        Size of all shards.
    peak_memory : int
        The highest resident memory of a process that computed blocks, in bytes, sampled as each block is
        written.
    engine : str
        How blocks were computed: ``"numexpr"`` or ``"table"``.
    engine_reason : str
        Why.
    """

    store: str
    pixels: int
    blocks: int
    seconds: float
    bytes_written: int
    peak_memory: int
    engine: str
    engine_reason: str

    def __str__(self) -> str:
        rate = self.pixels / self.seconds / 1e6 if self.seconds else 0.0
        return (
            f"{self.pixels / 1e6:.1f} megapixels in {self.seconds:.1f} s ({rate:.1f} megapixels a second), "
            f"{self.blocks} blocks, {self.bytes_written / 1e6:.1f} MB written, peak memory "
            f"{self.peak_memory / 2**30:.2f} GiB, engine {self.engine} ({self.engine_reason})"
        )


def stream(
    image: str | os.PathLike[str] | Source,
    quantities: Quantity | Mapping[str, Quantity],
    store: str | os.PathLike[str],
    *,
    block: int | tuple[int, int] | None = None,
    overwrite: bool = False,
    progress: str = "auto",
    client: Client | None = None,
) -> Receipt:
    """Evaluate quantities over an image of any size and write them to a Zarr store.

    Parameters
    ----------
    image : path, ndarray, dask.array.Array or zarr.Array, shape (H, W, C)
        A path is opened with the channels in the order of the quantities' mixtures. An array's channels
        must be in that order already.
    quantities : Quantity or mapping of str to Quantity
        One, stored under its own name, or several under the mapping's names, computed in one pass.
    store : path
        A directory that doesn't exist yet. It becomes a Zarr group with one OME-Zarr image a result,
        ``store/density/0``. Until it is whole it is written beside its place, as ``store.*.partial``.
    block : int or tuple of int, optional
        Height and width of a block; by default about 4096 x 4096, in whole tiles of the image.
    overwrite : bool
        Whether to replace an existing result. It is kept if the new run fails.
    progress : str
        ``"auto"`` draws a bar in a notebook or terminal, ``"none"`` draws nothing.
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
        If the store exists and may not be overwritten.
    ValueError
        If the image can't be read, or lacks the mixtures' channels, or an option is wrong.
    OSError, ValueError, RuntimeError
        If a block fails, by what it failed of; the message names the block. What was written is removed.
    """
    named = _named(quantities)
    source = _open_source(image, named)
    for quantity in named.values():
        check_image(source, quantity)
    path = Path(store)
    zarr_store.check_target(path, overwrite=overwrite, source=_source_path(source))
    height, width, _ = source.shape
    grid = choose_grid((height, width), tile=_tile(source), block=block)
    choices = {
        name: choose_engine("auto", quantity, source.dtype, grid.n_pixels, result=quantity.output_dtype())
        for name, quantity in named.items()
    }
    with (
        zarr_store.written_aside(path, overwrite=overwrite) as aside,
        progress_bar(grid.n_pixels, progress) as bar,
    ):
        job = _Job(aside, grid, named, choices)
        zarr_store.create(aside, grid, job.dtypes, _attributes(source, job))
        started = time.perf_counter()
        n_bytes = peak = 0
        # Closed before the submitter is, so that no block is at work when an error goes on to the clean-up.
        with (
            _submitter(client, job) as (submit, window),
            closing(_windowed(submit, source, grid, window)) as finished,
        ):
            for done in finished:
                bar.update(done.pixels)
                n_bytes += done.n_bytes
                peak = max(peak, done.memory)
        receipt = Receipt(
            store=os.fspath(store),
            pixels=grid.n_pixels,
            blocks=grid.n_blocks,
            seconds=time.perf_counter() - started,
            bytes_written=n_bytes,
            peak_memory=peak,
            engine=" and ".join(sorted({choice.engine for choice in job.choices.values()})),
            engine_reason="; ".join(dict.fromkeys(choice.reason for choice in job.choices.values())),
        )
        zarr_store.finish(aside, asdict(receipt))
    return receipt


def read_receipt(store: str | os.PathLike[str]) -> Receipt | None:
    """Read the receipt that a store keeps of its run, None if the run didn't finish.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it isn't a result of this package.
    """
    recorded = zarr_store.read_attributes(Path(store)).get("receipt")
    return recorded and Receipt(**{field.name: recorded[field.name] for field in fields(Receipt)})


@dataclass(frozen=True)
class _Job:
    """What every task of a run shares; sent to each worker once."""

    path: Path
    grid: Grid
    quantities: Mapping[str, Quantity]
    choices: Mapping[str, Choice]

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        return {name: quantity.output_dtype() for name, quantity in self.quantities.items()}


class _Done(NamedTuple):
    """What a task says of its block."""

    pixels: int
    n_bytes: int
    memory: int


def _write_task(
    job: _Job, source: Source, index: tuple[int, int], region: tuple[slice, slice] | None
) -> _Done:
    """Read, compute and write one block: no pixel leaves the task."""
    piece = source if region is None else source[region]
    pixels = np.asarray(piece.compute(scheduler="synchronous") if isinstance(piece, da.Array) else piece)
    n_bytes = 0
    for name, quantity in job.quantities.items():
        values = evaluate_block(pixels, quantity, engine=job.choices[name].engine, serial=True)
        n_bytes += zarr_store.write_block(job.path, name, job.grid, index, values)
    return _Done(pixels.shape[0] * pixels.shape[1], n_bytes, psutil.Process().memory_info().rss)


def _windowed(
    submit: Callable[..., Future[_Done]],
    source: Source,
    grid: Grid,
    window: int,
) -> Generator[_Done]:
    """Keep `window` blocks in flight and yield each as it is done."""
    # An array in this process's memory, or a Dask graph, is cut here: a worker gets its own piece alone.
    cut_here = isinstance(source, np.ndarray | da.Array)
    flying: dict[Future[_Done], tuple[int, int]] = {}
    blocks = grid.blocks()
    try:
        while True:
            while len(flying) < window and (index := next(blocks, None)) is not None:
                region = grid.region(index)
                piece, where = (source[region], None) if cut_here else (source, region)
                flying[submit(piece, index, where)] = index
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                yield _result(future, flying.pop(future), grid)
    finally:
        # Nothing may write any more once the caller goes on to clean up.
        wait(flying)


def _result(future: Future[_Done], index: tuple[int, int], grid: Grid) -> _Done:
    try:
        return future.result()
    except Exception as error:
        rows, columns = grid.region(index)
        kinds = [kind for kind in (OSError, ValueError) if isinstance(error, kind)]
        raise (*kinds, RuntimeError)[0](
            f"block {index}, rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}: "
            f"{str(error) or type(error).__name__}"
        ) from error


@contextmanager
def _submitter(client: Client | None, job: _Job) -> Iterator[tuple[Callable[..., Future[_Done]], int]]:
    """Give a function that submits a block of the job, and how many blocks may be in flight."""
    client = client or _current_client()
    if client is None:
        threads = int(dask.config.get("num_workers", None) or CPU_COUNT)
        if dask.config.get("scheduler", None) in {"sync", "synchronous", "single-threaded"}:
            threads = 1
        with ThreadPoolExecutor(threads, thread_name_prefix="mixture-pipeline") as pool:
            yield (lambda *task: pool.submit(_write_task, job, *task)), threads
    else:
        shared = client.scatter(job, broadcast=True, hash=False)
        window = _CLUSTER_QUEUE * max(1, sum(client.nthreads().values()))
        with client.get_executor(pure=False) as pool:
            yield (lambda *task: pool.submit(_write_task, shared, *task)), window


def _current_client() -> Client | None:
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client  # noqa: PLC0415  costs half a second where no cluster is used

    try:
        client: Client = default_client()
    except ValueError:
        return None
    return client


def _named(quantities: Quantity | Mapping[str, Quantity]) -> dict[str, Quantity]:
    if isinstance(quantities, Quantity):
        return {quantities.name: quantities}
    if not isinstance(quantities, Mapping):
        raise TypeError(
            f"quantities are {quantities!r}; wanted one, as Density(mixture), or a mapping of names"
        )
    named = dict(quantities)
    if not named:
        raise ValueError("got no quantities; wanted at least one")
    for name in named:
        if not str(name).replace("-", "_").isidentifier():
            raise ValueError(
                f"a quantity is named {name!r}; wanted letters, digits, - and _, as in 'skin-density'"
            )
    return named


def _open_source(image: str | os.PathLike[str] | Source, named: Mapping[str, Quantity]) -> Source:
    if isinstance(image, str | os.PathLike):
        return open_file(image, channel_order=_channel_order(named))
    shape = getattr(image, "shape", None)
    if shape is None or len(shape) != 3:  # noqa: PLR2004  (H, W, C)
        raise ValueError(
            f"image is {f'an array of shape {shape}' if shape else repr(image)}; wanted a path or an array "
            "of shape (H, W, C)"
        )
    if any(np.isnan(length) for length in shape):
        raise ValueError(
            f"image has chunks of unknown size, shape {shape}. Call compute_chunk_sizes() first."
        )
    return image


def _channel_order(named: Mapping[str, Quantity]) -> str:
    """Find the order in which a colour image must be opened for these quantities."""
    orders = {quantity.channels for quantity in named.values() if quantity.channels}
    if len(orders) > 1:
        described = " and ".join(", ".join(order) for order in sorted(orders))
        raise ValueError(
            f"the quantities' mixtures have different channels: {described}. Run them one by one."
        )
    order = "".join(_CHANNEL_LETTERS.get(name, "?") for name in next(iter(orders), ()))
    return order if sorted(order) in (sorted("RGB"), sorted("RGBA")) else "RGB"


def _source_path(source: Source) -> Path | None:
    if isinstance(source, ImageFile):
        return Path(source.path)
    if isinstance(source, zarr.Array) and isinstance(source.store, zarr.storage.LocalStore):
        return Path(source.store.root)
    return None


def _tile(source: Source) -> tuple[int, int]:
    """Give the piece that a source decodes at once; (1, 1) where any piece will do."""
    if isinstance(source, ImageFile):
        tile: tuple[int, ...] = source.tile
    elif isinstance(source, zarr.Array):
        tile = source.shards or source.chunks
    elif isinstance(source, da.Array):
        tile = tuple(int(length) for length in source.chunksize)
    else:
        tile = (1, 1)
    return max(1, tile[0]), max(1, tile[1])


def _attributes(source: Source, job: _Job) -> dict[str, Any]:
    path = _source_path(source)
    return {
        "image": {"path": path and str(path), "shape": list(source.shape), "dtype": str(source.dtype)},
        "results": {name: quantity.to_dict() for name, quantity in job.quantities.items()},
    }
