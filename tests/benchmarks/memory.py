"""Compare the memory and the time that plans project with what runs take, and print a table.

Each run is a process of its own, whose highest resident memory the system tells when it ends; so are its plan
and making its image, since the highest memory of a process counts what its parent had when it started it.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import numpy as np
import psutil
import tifffile
import zarr
from images import photo
from one_pass import CLASSES, OTHER, QUANTITIES, SKIN

from pipeline import Density, LogDensity, LogRatio, Mixture, Posterior, open_image, plan, stream

if TYPE_CHECKING:
    from collections.abc import Callable

# What measured peaks are of projected ones, at least and at most.
LEAST, MOST = 0.6, 1.0
_LIMITED = 1536 * 2**20


def lit(side: int) -> Any:
    """Tile a photo under many lights, so that it doesn't shrink to its first tile when it is compressed."""
    return photo(side, lights=997)


def tiff(folder: Path, side: int, **options: Any) -> Any:
    """Write a BigTIFF of 8 bits."""
    path = folder / f"{'-'.join(map(str, options.values()))}.tif"
    if not path.exists():
        tifffile.imwrite(path, lit(side), bigtiff=True, photometric="rgb", **options)
    return path


def decoded_whole(folder: Path, side: int, suffix: str) -> Any:
    """Write a photo, which has to be decoded whole."""
    path = folder / f"image{suffix}"
    if not path.exists():
        cv2.imwrite(os.fspath(path), lit(side))
    return path


def stored(folder: Path, side: int, dtype: str = "uint8", **options: Any) -> Any:
    """Write a Zarr array."""
    path = folder / f"{dtype}-{'-'.join(map(str, options.values()))}.zarr"
    if not path.exists():
        options = {"chunks": (1024, 1024, 3), **options}
        array = zarr.create_array(path, shape=(side, side, 3), dtype=dtype, **options)
        array[:] = lit(side).astype(dtype)
    return zarr.open_array(path, mode="r")


def corner(folder: Path, side: int) -> Any:
    """Open a sixteenth of a Zarr array."""
    stored(folder, side)
    return open_image(folder / "uint8-.zarr")[: side // 4, : side // 4]


def channels(folder: Path, side: int, n_channels: int) -> Any:
    """Write a small Zarr array of many channels."""
    path = folder / f"{n_channels}.zarr"
    if not path.exists():
        shape = (side // 10, side // 10, n_channels)
        array = zarr.create_array(path, shape=shape, chunks=(256, 256, n_channels), dtype="uint8")
        random = np.random.default_rng(0)
        array[:] = random.integers(0, 256, shape, np.uint8)
    return zarr.open_array(path, mode="r")


def mixture(n_kernels: int, n_channels: int, *, full: bool = False, seed: int = 0) -> Mixture:
    """Make a mixture of wide kernels, so that no class is certain anywhere."""
    random = np.random.default_rng(seed)
    covariances = random.uniform(4000, 9000, (n_kernels, n_channels))
    if full:
        factors = random.normal(size=(n_kernels, n_channels, n_channels))
        covariances = factors @ factors.transpose(0, 2, 1) + 5000 * np.eye(n_channels)
    return Mixture(
        np.full(n_kernels, 1 / n_kernels), random.uniform(0, 255, (n_kernels, n_channels)), covariances
    )


def limited(folder: Path, side: int) -> Any:
    """Open a tiled TIFF in a process whose address space is limited."""
    path = tiff(folder, side, tile=(512, 512), compression="zlib")
    limit = psutil.Process().memory_info().vms + _LIMITED
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return path


ROWS: dict[str, tuple[Callable[[Path, int], Any], Callable[[], Any], dict[str, Any]]] = {
    "TIFF, uint8, density": (
        lambda f, s: tiff(f, s, tile=(512, 512), compression="zlib"),
        lambda: Density(SKIN),
        {},
    ),
    "the same in blocks of 2048": (
        lambda f, s: tiff(f, s, tile=(512, 512), compression="zlib"),
        lambda: Density(SKIN),
        {"block": 2048},
    ),
    "the same with limited address space": (limited, lambda: Density(SKIN), {}),
    "TIFF in one LZW strip": (
        lambda f, s: tiff(f, s, rowsperstrip=s, compression="lzw"),
        lambda: Density(SKIN),
        {},
    ),
    "uncompressed TIFF": (lambda f, s: tiff(f, s, tile=None), lambda: Density(SKIN), {}),
    "PNG, density and mask": (
        lambda f, s: decoded_whole(f, s, ".png"),
        lambda: Density(SKIN),
        {"no_data": 0},
    ),
    "JPEG, density": (lambda f, s: decoded_whole(f, s, ".jpg"), lambda: Density(SKIN), {}),
    "NumPy, uint8, density": (lambda _, s: photo(s), lambda: Density(SKIN), {}),
    "Zarr, uint8, four quantities": (stored, lambda: QUANTITIES, {}),
    "Zarr, uint8, twenty log-densities": (
        stored,
        lambda: {f"q{seed}": LogDensity(mixture(2, 3, seed=seed)) for seed in range(20)},
        {"block": 2048},
    ),
    "Zarr, uint8, posterior of 60": (corner, lambda: Posterior(mixture(60, 3)), {"block": 1024}),
    "Zarr, uint16, posterior of two": (
        lambda f, s: stored(f, s, "uint16"),
        lambda: Posterior(CLASSES),
        {"block": 2048},
    ),
    "Zarr in shards, uint8, density": (
        lambda f, s: stored(f, s, shards=(4096, 4096, 3)),
        lambda: Density(SKIN),
        {},
    ),
    "Zarr in one chunk, uint8, density": (
        lambda f, s: stored(f, s, chunks=(s, s, 3)),
        lambda: Density(SKIN),
        {},
    ),
    "Zarr, 64 channels, full covariances": (
        lambda f, s: channels(f, s, 64),
        lambda: Density(mixture(4, 64, full=True)),
        {"block": 256},
    ),
    "Dask on Zarr, float32, log-ratio": (
        lambda f, s: da.from_zarr(stored(f, s, "float32")),
        lambda: LogRatio(SKIN, OTHER),
        {"block": 2048},
    ),
    "Dask in one chunk, uint8, density": (
        lambda f, s: da.from_zarr(stored(f, s, chunks=(s, s, 3))),
        lambda: Density(SKIN),
        {"block": 4096},
    ),
}


def run(name: str, folder: Path, side: int, step: str) -> None:
    """Make the image of a row, plan its run or execute it; bytes and seconds go to standard output."""
    make, quantities, options = ROWS[name]
    image = make(folder, side)
    output = folder / "out.zarr"
    if step == "plan":
        planned = plan(image, quantities(), output, overwrite=True, progress="none", **options)
        print(planned.peak_memory, planned.seconds)
    elif step == "stream":
        started = time.perf_counter()
        stream(image, quantities(), output, overwrite=True, progress="none", **options)
        print(0, time.perf_counter() - started)


def main() -> None:
    """Run every row and print what was projected and measured; end with status 1 if memory is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_240, help="of the square image, in pixels")
    parser.add_argument("--only", help="a part of the names of the rows to measure")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run[0], Path(options.run[1]), options.side, options.run[2])
        return
    wrong = []
    print("| run | projected MiB | measured MiB | ratio | planned s | taken s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in ROWS:
            if options.only and options.only not in name:
                continue
            measure(name, folder, options.side, "make")
            _, projected, planned = measure(name, folder, options.side, "plan")
            measured, _, taken = measure(name, folder, options.side, "stream")
            ratio = measured / projected
            print(
                f"| {name} | {projected:.0f} | {measured:.0f} | {ratio:.2f} | {planned:.1f} | {taken:.1f} | "
                f"{taken / planned:.2f} |",
                flush=True,
            )
            wrong += [] if LEAST <= ratio <= MOST else [name]
    if wrong:
        sys.exit(f"the projection is wrong: {', '.join(wrong)}")


def measure(name: str, folder: str, side: int, step: str) -> tuple[float, float, float]:
    """Do a step of a row in a process of its own; give its peak and what it printed, in MiB and seconds."""
    reading, writing = os.pipe()
    arguments = [sys.executable, __file__, "--side", str(side), "--run", name, folder, step]
    child = os.posix_spawn(
        sys.executable, arguments, dict(os.environ), file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
    )
    os.close(writing)
    with os.fdopen(reading) as output:
        n_bytes, seconds = map(float, output.read().split() or (0, 0))
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{name} failed")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 2**10)
    return peak / 2**20, n_bytes / 2**20, seconds


if __name__ == "__main__":
    main()
