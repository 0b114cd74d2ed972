"""Compare the memory that plans project with what runs take, measured from outside, and print a table.

Each run is a process of its own, whose highest resident memory the system tells when it ends; so is making
an image, since the highest memory of a process counts what its parent had when it started it.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import tifffile
import zarr
from images import photo
from one_pass import CLASSES, OTHER, QUANTITIES, SKIN

from pipeline import Density, LogRatio, Posterior, plan

if TYPE_CHECKING:
    from collections.abc import Callable


def tiff(folder: Path, side: int) -> Any:
    """Write a tiled BigTIFF of 8 bits."""
    path = folder / "image.tif"
    if not path.exists():
        options = {"bigtiff": True, "photometric": "rgb", "tile": (512, 512), "compression": "zlib"}
        tifffile.imwrite(path, photo(side), **options)
    return path


def png(folder: Path, side: int) -> Any:
    """Write a PNG, which has to be decoded whole."""
    path = folder / "image.png"
    if not path.exists():
        cv2.imwrite(os.fspath(path), photo(side))
    return path


def stored(folder: Path, side: int, dtype: str) -> Any:
    """Write a Zarr array in shards."""
    path = folder / f"{dtype}.zarr"
    if not path.exists():
        data = da.from_array(photo(side), chunks=(1024, 1024, 3)).astype(dtype)
        array = zarr.create_array(path, shape=data.shape, chunks=(1024, 1024, 3), dtype=dtype)
        da.store(data, array, lock=False)
    return zarr.open_array(path, mode="r")


CONFIGURATIONS: dict[str, tuple[Callable[[Path, int], Any], Any, dict[str, Any]]] = {
    "TIFF, uint8, density": (tiff, Density(SKIN), {}),
    "the same in blocks of 2048": (tiff, Density(SKIN), {"block": 2048}),
    "Zarr, uint8, four quantities": (lambda f, s: stored(f, s, "uint8"), QUANTITIES, {}),
    "Zarr, uint16, posterior of two": (
        lambda f, s: stored(f, s, "uint16"),
        Posterior(CLASSES),
        {"block": 2048},
    ),
    "Dask on Zarr, float32, log-ratio": (
        lambda f, s: da.from_zarr(stored(f, s, "float32")),
        LogRatio(SKIN, OTHER),
        {"block": 2048},
    ),
    "PNG, uint8, density and mask": (png, Density(SKIN), {"no_data": 0}),
    "NumPy, uint8, density": (lambda _, s: photo(s), Density(SKIN), {}),
}


def run(name: str, folder: Path, side: int, *, only_make: bool) -> None:
    """Plan and execute one configuration; the projection goes to standard output."""
    make, quantities, options = CONFIGURATIONS[name]
    image = make(folder, side)
    if only_make:
        print(0)
        return
    output = folder / "out.zarr"
    planned = plan(image, quantities, output, overwrite=True, progress="none", **options)
    print(planned.peak_memory)
    planned.execute()


def main() -> None:
    """Run every configuration and print projected and measured peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=12_288, help="of the square image, in pixels")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--only-make", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run[0], Path(options.run[1]), options.side, only_make=options.only_make)
        return
    print(f"{'configuration':36}{'projected':>12}{'measured':>12}{'ratio':>8}   MiB; {options.side} squared")
    with tempfile.TemporaryDirectory() as folder:
        for name in CONFIGURATIONS:
            measure(name, folder, options.side, "--only-make")
            projected, measured = measure(name, folder, options.side)
            print(f"{name:36}{projected:12.0f}{measured:12.0f}{measured / projected:8.2f}")


def measure(name: str, folder: str, side: int, *extra: str) -> tuple[float, float]:
    """Run a configuration in a process, and give both peaks in MiB."""
    reading, writing = os.pipe()
    arguments = [sys.executable, __file__, "--side", str(side), "--run", name, folder, *extra]
    child = os.posix_spawn(
        sys.executable, arguments, dict(os.environ), file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
    )
    os.close(writing)
    with os.fdopen(reading) as output:
        projected = int(output.read())
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{name} failed")
    return projected / 2**20, usage.ru_maxrss * (1 if sys.platform == "darwin" else 2**10) / 2**20


if __name__ == "__main__":
    main()
