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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask.system import CPU_COUNT
from images import SHARD, make_source, photo
from references import random_mixture
from writers import COPIERS, by_hand, copy_bytes, copy_finished, copy_floats, grid_of, is_same

from pipeline import Density, compute_densities, load_model, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import zarr
    from numpy.typing import NDArray
    from writers import Copier, Values

    Write = Callable[[Path], object]

CHANNEL, FINISHED = "one channel copied as float32", "image read, finished densities written"
_KERNELS = (16, 256)
# Bytes of an output whose writing to the disk doesn't disturb the next run.
_SMALL = 2**24


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


def copiers(source: zarr.Array[Any], densities: NDArray[np.float32]) -> dict[str, Write]:
    """Give the copies through other people's writers, of one channel and of finished densities."""
    copies: dict[str, Write] = {}
    for title, values in ((CHANNEL, None), (FINISHED, densities)):
        for name, copier in COPIERS.items():
            if not copier.missing:
                copies[f"{title}, {name}"] = partial(_copy, copier, source, values)
    return copies


def _copy(copier: Copier, source: zarr.Array[Any], values: Values, output: Path) -> None:
    copier.copy(source, output, values)


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
        CHANNEL: lambda output: copy_floats(source, output),
        "one channel copied as uint8": lambda output: copy_bytes(source, output),
        FINISHED: lambda output: copy_finished(source, output, densities),
        "ours, against itself": skin,
        f"ours, random mixture, K = {_KERNELS[0]}": few,
        f"ours, random mixture, K = {_KERNELS[1]}": many,
    }
    copies = copiers(source, densities)
    rivals |= copies
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
    same = {name: is_same(copier, small, directory) for name, copier in COPIERS.items() if not copier.missing}
    results = {"side": source.shape[0], "threads": CPU_COUNT, "ways": ways, "many_kernels": kernels}
    left_out = {name: copier.missing for name, copier in COPIERS.items() if copier.missing}
    # Those that do the same as the first of ours.
    channels = [CHANNEL, *(label for label in copies if label.startswith(CHANNEL))]
    return {**results, "copies": channels, "same": same, "left_out": left_out}


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
                "blocks": grid_of(source).n_blocks,
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
