"""The ways from Zarr to Zarr that compute nothing, or compute by hand; zarr_to_zarr.py times them.

All copies have the same chunks, shards and codecs. What is flushed differs: our writer flushes every file,
and tensorstore does by default; zarr-python doesn't, with its own codec pipeline or with that of zarrs.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.array as da
import numpy as np
import zarr
from dask.system import CPU_COUNT
from images import CHUNK
from references import broadcast
from zarr.codecs import BloscCodec, Crc32cCodec

from pipeline import Density, load_model, open_image
from pipeline.images.description import Description
from pipeline.images.grid import Block, Grid, choose_grid
from pipeline.models.output import make_outputs
from pipeline.runs.executors import choose_executor
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client
    from numpy.typing import NDArray

    Make = Callable[[NDArray[Any]], NDArray[Any]]
    Values = NDArray[np.float32] | None

# Rows of a block that the NumPy answer takes at once: its temporaries are 16 times the float64 pixels.
_ROWS = 16
OUTPUTS = make_outputs(Density(load_model("jones-rehg-skin")))
(LAYER,) = arrange(OUTPUTS)


def copy_floats(source: zarr.Array[Any], output: Path, client: Client | None = None) -> None:
    """Write one channel as float32: ours without the computation, but values that compress better."""
    _write_floats(source, output, _first_as_float, client)


def copy_finished(source: zarr.Array[Any], output: Path, densities: NDArray[np.float32]) -> None:
    """Read the image, and write densities that are known already: ours without the computation alone."""
    _write_floats(source, output, lambda pixels: densities[: pixels.shape[0], : pixels.shape[1]])


def copy_bytes(source: zarr.Array[Any], output: Path) -> None:
    """Write one channel as it is: a quarter of the bytes that any density has."""
    grid = grid_of(source)
    _create(output, grid, np.uint8)
    _copy(source, output, grid, lambda pixels: pixels[..., 0])


def _first_as_float(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels[..., 0].astype(np.float32)


def _create(output: Path, grid: Grid, dtype: type[np.number[Any]]) -> zarr.Array[Any]:
    return zarr.create_group(output).create_array(
        LAYER.array_path(),
        shape=(1, *grid.shape),
        shards=(1, *grid.block),
        chunks=(1, *grid.chunk),
        dtype=dtype,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
    )


def _copy_zarr(pipeline: str, source: zarr.Array[Any], output: Path, values: Values) -> None:
    """Copy with zarr-python, through one of its codec pipelines."""
    grid = grid_of(source)
    with zarr.config.set({"codec_pipeline.path": pipeline, "threading.max_workers": CPU_COUNT}):
        # An array keeps the pipeline that it was opened with.
        image = zarr.open_array(source.store, path=source.path, mode="r")
        target = _create(output, grid, np.float32)

        def task(block: Block) -> None:
            # Reading one channel alone takes zarrs many times as long.
            pixels = np.asarray(image[block.region])
            if values is None:
                target[(0, *block.region)] = pixels[..., 0].astype(np.float32)
            else:
                target[(0, *block.region)] = values[: pixels.shape[0], : pixels.shape[1]]

        with ThreadPoolExecutor(CPU_COUNT) as pool:
            list(pool.map(task, grid.blocks()))


def _copy_tensorstore(flushes: bool, source: zarr.Array[Any], output: Path, values: Values) -> None:
    """Copy with tensorstore, which reads and writes."""
    import tensorstore  # noqa: PLC0415  may be missing

    grid = grid_of(source)
    _create(output, grid, np.float32)
    limit = {"limit": CPU_COUNT}
    context = tensorstore.Context(
        {"data_copy_concurrency": limit, "file_io_concurrency": limit, "file_io_sync": flushes}
    )

    def opened(path: Path) -> Any:
        kept = {"driver": "file", "path": str(path)}
        return tensorstore.open({"driver": "zarr3", "kvstore": kept}, context=context).result()

    image, target = opened(Path(source.store.root)), opened(output / LAYER.array_path())  # type: ignore[attr-defined]

    def task(block: Block) -> None:
        if values is None:
            made = image[(*block.region, 0)].read().result().astype(np.float32)
        else:
            pixels = image[block.region].read().result()
            made = values[: pixels.shape[0], : pixels.shape[1]]
        target[(0, *block.region)].write(made, can_reference_source_data_indefinitely=True).result()

    with ThreadPoolExecutor(CPU_COUNT) as pool:
        list(pool.map(task, grid.blocks()))


class Copier(NamedTuple):
    """Another writer: what it needs, and how it copies one channel as float32, or writes given values."""

    packages: tuple[str, ...]
    copy: Callable[[zarr.Array[Any], Path, Values], None]

    @property
    def missing(self) -> list[str]:
        """The packages that aren't installed."""
        return [name for name in self.packages if find_spec(name) is None]


COPIERS = {
    "zarr-python": Copier((), partial(_copy_zarr, "zarr.core.codec_pipeline.BatchedCodecPipeline")),
    "zarrs": Copier(("zarrs",), partial(_copy_zarr, "zarrs.ZarrsCodecPipeline")),
    "tensorstore": Copier(("tensorstore",), partial(_copy_tensorstore, True)),
    "tensorstore, not flushed": Copier(("tensorstore",), partial(_copy_tensorstore, False)),
}


def _write_floats(source: zarr.Array[Any], output: Path, make: Make, client: Client | None = None) -> None:
    grid = grid_of(source)
    store = LocalStore(output)
    image = Description((*grid.shape, 3), source.dtype, None, "", None)
    store.create(Record(image, (), False, None, grid, OUTPUTS, {"density": "none"}, current_version()))
    _copy(source, output, grid, make, client)
    store.finish({"pixels": grid.n_pixels, "blocks": grid.n_blocks, "skipped": []})


def grid_of(source: zarr.Array[Any]) -> Grid:
    """Divide the source as a run does."""
    tile = source.shards or source.chunks
    return choose_grid(source.shape[:2], tile=tile[:2])


def _copy(
    source: zarr.Array[Any], output: Path, grid: Grid, make: Make, client: Client | None = None
) -> None:
    """Copy block by block as a run does: with its reader and writer, and its threads or workers."""
    image = open_image(source)
    calls = ((block, (image.part(block.region), block)) for block in grid.blocks())
    with choose_executor(client) as executor:
        shared = executor.share((LocalStore(output), make))
        for outcome in executor.outcomes(_copy_block, shared, calls):
            if outcome.error is not None:
                raise outcome.error


def _copy_block(shared: tuple[LocalStore, Make], part: Any, block: Block) -> Callable[[], None]:
    store, make = shared
    pixels, _valid = part.read()
    return store.write_block(LAYER, block, [make(pixels)]).publish


def is_same(copier: Copier, source: zarr.Array[Any], directory: Path) -> bool:
    """Say whether a copier writes the numbers that ours does, in the same chunks and with the same codecs."""
    mine, other, given = (directory / name for name in ("mine.zarr", "other.zarr", "given.zarr"))
    copy_floats(source, mine)
    copier.copy(source, other, None)
    values = np.random.default_rng(0).random(source.shape[:2], dtype=np.float32)
    copier.copy(source, given, values)
    ours, theirs, written = (
        zarr.open_array(path / LAYER.array_path(), mode="r") for path in (mine, other, given)
    )
    same = (
        np.array_equal(theirs[...], ours[...])
        and np.array_equal(written[0], values)
        and (theirs.shards, theirs.chunks, theirs.dtype) == (ours.shards, ours.chunks, ours.dtype)
        and theirs.metadata.codecs == ours.metadata.codecs  # type: ignore[union-attr]
    )
    for path in (mine, other, given):
        shutil.rmtree(path)
    return same


def by_hand(source: zarr.Array[Any], output: Path) -> None:
    """Run the NumPy answer through Dask, its temporaries kept small by strips."""
    mixture = load_model("jones-rehg-skin")

    def block_density(block: NDArray[np.uint8]) -> NDArray[np.float32]:
        out = np.empty(block.shape[:2], np.float32)
        for top in range(0, len(block), _ROWS):
            out[top : top + _ROWS] = broadcast(block[top : top + _ROWS], mixture)
        return out

    # One block a chunk of the output, so that no two tasks write the same file.
    chunk = min(CHUNK, source.shape[0])
    pieces = da.from_zarr(source, chunks=(chunk, chunk, 3))
    densities = da.map_blocks(
        block_density, pieces, drop_axis=2, dtype=np.float32, meta=np.empty((0, 0), "f4")
    )
    target = zarr.create_array(
        output,
        shape=source.shape[:2],
        chunks=(chunk, chunk),
        dtype=np.float32,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
    )
    densities.to_zarr(target)
