"""Time runs from Zarr to Zarr on all cores, beside runs that only copy; compare.py runs this.

Creating the output and finishing it are counted for every way. Between runs the disk's queue is emptied and
the output removed, which isn't counted; the source is in the system's cache where that is large enough.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr
from dask.system import CPU_COUNT
from images import CHUNK, SHARD, make_source, photo
from references import broadcast, random_mixture
from zarr.codecs import BloscCodec, Crc32cCodec

from pipeline import Density, compute_densities, load_model, stream
from pipeline.images.description import Description
from pipeline.images.grid import Block, Grid, choose_grid
from pipeline.models.output import make_outputs
from pipeline.stores.local import LocalStore
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Write = Callable[[Path], object]

# Rows of a block that the NumPy answer takes at once: its temporaries are 16 times the float64 pixels.
_ROWS = 16
OUTPUTS = make_outputs(Density(load_model("jones-rehg-skin")))
_KERNELS = (16, 256)
# Bytes of an output whose writing to the disk doesn't disturb the next run.
_SMALL = 2**24


def copy_floats(source: zarr.Array[Any], output: Path) -> None:
    """Write one channel as float32: ours without the computation, but values that compress better."""
    _write_floats(source, output, lambda pixels: pixels[..., 0].astype(np.float32))


def copy_finished(source: zarr.Array[Any], output: Path, densities: NDArray[np.float32]) -> None:
    """Read the image, and write densities that are known already: ours without the computation alone."""
    _write_floats(source, output, lambda pixels: densities[: pixels.shape[0], : pixels.shape[1]])


def copy_bytes(source: zarr.Array[Any], output: Path) -> None:
    """Write one channel as it is: a quarter of the bytes that any density has."""
    grid = _grid(source)
    image = zarr.create_group(output).create_group("density")
    image.create_array(
        "0",
        shape=grid.shape,
        shards=grid.block,
        chunks=grid.chunk,
        dtype=np.uint8,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
    )
    _copy(source, output, grid, lambda pixels: pixels[..., 0])


def _write_floats(source: zarr.Array[Any], output: Path, make: Callable[..., NDArray[Any]]) -> None:
    grid = _grid(source)
    store = LocalStore(output)
    image = Description((*grid.shape, 3), np.dtype("uint8"), None, "", None)
    store.create(Record(image, None, None, grid, OUTPUTS, {"density": "none"}, current_version()))
    _copy(source, output, grid, make)
    store.finish({"pixels": grid.n_pixels, "blocks": grid.n_blocks, "skipped": []})


def _grid(source: zarr.Array[Any]) -> Grid:
    tile = source.shards or source.chunks
    return choose_grid(source.shape[:2], tile=tile[:2])


def _copy(source: zarr.Array[Any], output: Path, grid: Grid, make: Callable[..., NDArray[Any]]) -> None:
    store = LocalStore(output)

    def task(block: Block) -> None:
        pixels = np.asarray(source[block.region])
        store.write_block(OUTPUTS[0], block, make(pixels)[np.newaxis]).publish()

    with ThreadPoolExecutor(CPU_COUNT) as pool:
        list(pool.map(task, grid.blocks()))


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


def seconds(write: Write, output: Path) -> tuple[float, int]:
    """Time one run, and give the size of what it wrote."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    write(output)
    elapsed = time.perf_counter() - start
    n_bytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    if n_bytes > _SMALL and hasattr(os, "sync"):
        os.sync()
    return elapsed, n_bytes


def compare(
    label: str, ways: tuple[Write, Write], pixels: tuple[int, int], output: Path, repeats: int
) -> Any:
    """Run two ways by turns, once each before that."""
    print(f"  {label}", file=sys.stderr, flush=True)
    for write in ways:
        seconds(write, output)
    pairs, n_bytes = [], [0, 0]
    for _ in range(repeats):
        pair = []
        for i, (write, count) in enumerate(zip(ways, pixels, strict=True)):
            elapsed, n_bytes[i] = seconds(write, output)
            pair.append(1e9 * elapsed / count)
        pairs.append(pair)
    return {
        "label": label,
        "pixels": pixels[0],
        "extrapolated": pixels[0] != pixels[1],
        "ns_per_pixel": statistics.median(first for first, _ in pairs),
        "ratio_to_ours": statistics.median(first / second for first, second in pairs),
        "other_ns_per_pixel": statistics.median(second for _, second in pairs),
        "bytes_per_pixel": n_bytes[0] / pixels[0],
        "pairs_ns": pairs,
    }


def ours(source: zarr.Array[Any], quantity: Density) -> Write:
    """Give the run of a quantity over the source."""
    return lambda output: stream(source, quantity, output, progress="none")


def time_all(directory: Path, megapixels: float, by_hand_megapixels: float, repeats: int) -> dict[str, Any]:
    """Compare ours with the copies, with Dask by hand, and with more kernels."""
    output = directory / "output.zarr"
    source = make_source(directory / "source.zarr", megapixels)
    small = make_source(directory / "small.zarr", by_hand_megapixels)
    n, n_small = (array.shape[0] * array.shape[1] for array in (source, small))
    mixture = load_model("jones-rehg-skin")
    skin = ours(source, Density(mixture))
    densities = compute_densities(photo(min(SHARD, source.shape[0])), mixture)
    few, many = (ours(source, Density(random_mixture(k, 3))) for k in _KERNELS)
    rivals: dict[str, Write] = {
        "one channel copied as float32": lambda output: copy_floats(source, output),
        "one channel copied as uint8": lambda output: copy_bytes(source, output),
        "image read, finished densities written": lambda output: copy_finished(source, output, densities),
        "ours, against itself": skin,
        f"ours, random mixture, K = {_KERNELS[0]}": few,
        f"ours, random mixture, K = {_KERNELS[1]}": many,
    }
    ways = [
        compare(
            "NumPy answer through Dask by hand",
            (lambda output: by_hand(small, output), skin),
            (n_small, n),
            output,
            repeats,
        )
    ]
    ways += [compare(label, (write, skin), (n, n), output, repeats) for label, write in rivals.items()]
    label = f"K = {_KERNELS[1]} beside K = {_KERNELS[0]}"
    kernels = compare(label, (many, few), (n, n), output, repeats)
    return {"side": source.shape[0], "threads": CPU_COUNT, "ways": ways, "many_kernels": kernels}


def scale(directory: Path, sizes: list[float], repeats: int) -> list[dict[str, Any]]:
    """Time ours at several sizes."""
    results = []
    for megapixels in sizes:
        print(f"  {megapixels:g} megapixels", file=sys.stderr, flush=True)
        source = make_source(directory / "scaled.zarr", megapixels)
        run = ours(source, Density(load_model("jones-rehg-skin")))
        n = source.shape[0] * source.shape[1]
        times = [1e9 * seconds(run, directory / "output.zarr")[0] / n for _ in range(repeats + 1)]
        results.append(
            {
                "megapixels": n / 2**20,
                "blocks": _grid(source).n_blocks,
                "first_ns_per_pixel": times[0],
                "ns_per_pixel": statistics.median(times[1:]),
            }
        )
        shutil.rmtree(directory / "scaled.zarr")
    return results


def main() -> None:
    """Print results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, required=True)
    parser.add_argument("--by-hand-megapixels", type=float, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--sizes", type=float, nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        directory = Path(name)
        results = time_all(directory, options.megapixels, options.by_hand_megapixels, options.repeats)
        results["scaling"] = scale(directory, options.sizes, options.repeats)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
