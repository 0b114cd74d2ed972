"""Measure runs on a local cluster: what a second worker gains, what a block costs, and how memory grows.

PYTHONPATH=tests python tests/benchmarks/cluster.py scaling
PYTHONPATH=tests python tests/benchmarks/cluster.py overhead
PYTHONPATH=tests python tests/benchmarks/cluster.py memory

`scaling` times runs on a cluster of one worker process of one thread, and of two such workers, beside copies
of one channel as float32 on the same clusters: through the same executor, in the same blocks, with the same
reader and writer. What the machine gains is told by runs of one thread that know nothing of each other, one
in each worker. All take turns; figures are medians of the rounds, and of their ratios. A run starts with the
creation of its store and ends with its coarser levels, which copies don't have. The nanny of a worker sets
OMP_NUM_THREADS=1.

`overhead` times tasks that do nothing, and runs of blocks of 16 x 16 pixels, on a cluster and on threads.
The processes of the cluster are two workers and this one, in which the scheduler lives.

`memory` samples the resident memory of scheduler, workers and client, which are separate processes, while a
million tasks that do nothing run, and during a real run of 20,000 blocks. It writes cluster_memory.json and
draws cluster_memory.png; with `--record` they take the place of the recorded ones. There is no dashboard.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import psutil
import zarr
from clusters import local_client, run_alone, run_nothing, separate_client
from compare import machine
from images import TILE, make_source, photo, side_of
from report import print_machine, print_table
from resident import Resident, draw_resident, print_growth
from writers import copy_floats, grid_of
from zarr_to_zarr import seconds

from pipeline import Density, load_model, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

SKIN = Density(load_model("jones-rehg-skin"))
RUN, COPY = "density of 16 kernels", "one channel copied as float32"
ALONE = "a density in each worker by itself"
_DTYPES = ("uint8", "float32")
_IN_MEMORY = Path("/dev/shm")  # noqa: S108  a file system in memory
# Bytes of a density and of its coarser levels, at most.
_OUTPUT_BYTES = 6
# Two runs that know nothing of each other write one each.
_OUTPUTS = 2
_SMALL_BLOCK, _TINY_BLOCK = 64, 16


def measure_scaling(options: argparse.Namespace) -> None:
    """Print the throughput of runs and copies on one worker and on two."""
    side = side_of(options.megapixels)
    print(f"\nimages of {side} x {side} pixels, {options.rounds} rounds\n")
    rows = []
    with ExitStack() as stack:
        clients = [stack.enter_context(local_client(n)) for n in (1, 2)]
        for dtype in options.dtype or _DTYPES:
            parent = choose_directory(options.directory, side * side, dtype)
            with tempfile.TemporaryDirectory(prefix="cluster-", dir=parent) as name:
                times = time_by_turns(Path(name), options.megapixels, dtype, clients, options.rounds)
            rows += scaling_rows(dtype, side * side, times)
    head = ["pixels", "what", "one worker, Mpx/s", "two workers, Mpx/s", "gain of the second"]
    print_table(head, rows)


def choose_directory(given: Path | None, n_pixels: int, dtype: str) -> Path:
    """Give the directory of the image and the output: in memory by default, if both fit there."""
    if given is not None:
        return given
    needed = n_pixels * (3 * np.dtype(dtype).itemsize + _OUTPUTS * _OUTPUT_BYTES)
    free = 0
    if _IN_MEMORY.is_dir():
        free = min(shutil.disk_usage(_IN_MEMORY).free, psutil.virtual_memory().available)
    if needed > free:
        sys.exit(f"{dtype} needs {needed:,} bytes, and {_IN_MEMORY} has {free:,}. Pass --directory.")
    return _IN_MEMORY


def time_by_turns(
    folder: Path, megapixels: float, dtype: str, clients: list[Client], rounds: int
) -> dict[str, list[list[float]]]:
    """Give the seconds of runs and copies on each cluster in each round; one more round isn't counted."""
    source, output = make_source(folder / "source.zarr", megapixels, dtype=dtype), folder / "output.zarr"
    block = grid_of(source).block
    ways: dict[str, Callable[[Path, Client], object]] = {
        RUN: lambda path, client: stream(source, SKIN, path, block=block, progress="none", client=client),
        COPY: lambda path, client: copy_floats(source, path, client),
        ALONE: lambda path, client: run_alone(source, SKIN, path, block, client),
    }
    times: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        print(f"  {dtype}, round {number} of {rounds}", file=sys.stderr, flush=True)
        for name, write in ways.items():
            found = [seconds(lambda path, w=write, c=client: w(path, c), output)[0] for client in clients]
            if name == ALONE:
                found = [each / n_runs for n_runs, each in enumerate(found, 1)]
            times[name] += [found] if number else []
    return times


def scaling_rows(dtype: str, n_pixels: int, times: dict[str, list[list[float]]]) -> list[list[str]]:
    """Make the rows of the table for one kind of pixels."""
    rows = []
    for name, rounds in times.items():
        speeds = [n_pixels / 1e6 / statistics.median(column) for column in zip(*rounds, strict=True)]
        gain = statistics.median(one / two for one, two in rounds)
        rows.append([dtype, name, *(f"{speed:.0f}" for speed in speeds), f"{gain:.2f}"])
    pairs = [zip(run, copy, strict=True) for run, copy in zip(times[RUN], times[COPY], strict=True)]
    ratios = zip(*([run / copy for run, copy in pair] for pair in pairs), strict=True)
    return [
        *rows,
        [dtype, "time of the run / time of the copy", *(f"{statistics.median(r):.2f}" for r in ratios), ""],
    ]


def measure_overhead(options: argparse.Namespace) -> None:
    """Print what a block costs on threads and on a local cluster."""
    print(f"\n{options.blocks} blocks, {options.workers} threads or workers of one thread\n")
    with (
        local_client(options.workers) as client,
        dask.config.set(num_workers=options.workers),
        tempfile.TemporaryDirectory(prefix="cluster-") as name,
    ):
        source = make_blocks(Path(name) / "source.zarr", options.blocks, _TINY_BLOCK)
        output = Path(name) / "output.zarr"

        def run(client: Client | None) -> int:
            shutil.rmtree(output, ignore_errors=True)
            return stream(source, SKIN, output, block=_TINY_BLOCK, progress="none", client=client).blocks

        def nothing(client: Client | None) -> int:
            run_nothing(options.blocks, client)
            return options.blocks

        rows = []
        for label, way in {"nothing": nothing, f"{_TINY_BLOCK} x {_TINY_BLOCK} pixels": run}.items():
            pairs = [[cost(way, each) for each in (None, client)] for _ in range(options.rounds + 1)][1:]
            threads, cluster = (statistics.median(column) for column in zip(*pairs, strict=True))
            rows.append([label, *(f"{number:.3f}" for number in (threads, cluster, cluster - threads))])
    print_table(["a block", "threads, ms", "local cluster, ms", "more, ms"], rows)


def cost(way: Callable[[Client | None], int], client: Client | None) -> float:
    """Give the milliseconds of a block."""
    started = time.perf_counter()
    n_blocks = way(client)
    return (time.perf_counter() - started) * 1e3 / n_blocks


def make_blocks(path: Path, n_blocks: int, block: int) -> zarr.Array[Any]:
    """Write a square 8-bit photo of about as many blocks, and at least as many, each of which is a chunk."""
    side = math.ceil(math.sqrt(n_blocks)) * block
    array = zarr.create_array(path, shape=(side, side, 3), chunks=(block, block, 3), dtype="uint8")
    tile = photo(TILE)
    for top in range(0, side, TILE):
        for left in range(0, side, TILE):
            height, width = min(TILE, side - top), min(TILE, side - left)
            array[top : top + height, left : left + width] = tile[:height, :width]
    return array


def measure_memory(options: argparse.Namespace) -> None:
    """Print, write and draw the memory of the processes of a cluster while many blocks are done."""
    runs: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        folder = Path(name)
        with separate_client(options.workers, folder / "nothing") as client:
            resident = Resident(client, options.every)
            with resident.sampled():
                run_nothing(options.blocks, client, resident.set_done)
            runs[f"{options.blocks:,} tasks that do nothing"] = resident.series()
        source = make_blocks(folder / "source.zarr", options.real_blocks, _SMALL_BLOCK)
        with separate_client(options.workers, folder / "real") as client:
            resident = Resident(client, options.every)
            with resident.sampled():
                receipt = stream(
                    source,
                    SKIN,
                    folder / "output.zarr",
                    block=_SMALL_BLOCK,
                    progress=lambda progress: resident.set_done(progress.blocks),
                    client=client,
                )
            title = f"a run of {receipt.blocks:,} blocks of {_SMALL_BLOCK} x {_SMALL_BLOCK} pixels"
            runs[title] = resident.series()
    print()
    print_growth(runs)
    options.output.mkdir(parents=True, exist_ok=True)
    written, picture = options.output / "cluster_memory.json", options.output / "cluster_memory.png"
    written.write_text(json.dumps({"machine": machine(), "runs": runs}) + "\n", encoding="utf-8")
    draw_resident(runs, picture)
    if options.record:
        here = Path(__file__).parent
        shutil.copyfile(written, here / written.name)
        shutil.copyfile(picture, here.parents[1] / "notebooks" / picture.name)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    scaling = commands.add_parser("scaling")
    scaling.set_defaults(measure=measure_scaling)
    scaling.add_argument("--megapixels", type=float, default=1024, help="of an image (2**20 pixels each)")
    scaling.add_argument("--dtype", choices=_DTYPES, action="append", help="of the pixels; by default both")
    scaling.add_argument("--rounds", type=int, default=5, help="one more isn't counted")
    scaling.add_argument("--directory", type=Path, help=f"of image and output; by default {_IN_MEMORY}")
    overhead = commands.add_parser("overhead")
    overhead.set_defaults(measure=measure_overhead)
    overhead.add_argument("--blocks", type=int, default=10_000)
    overhead.add_argument("--rounds", type=int, default=3, help="one more isn't counted")
    memory = commands.add_parser("memory")
    memory.set_defaults(measure=measure_memory)
    memory.add_argument("--blocks", type=int, default=1_000_000, help="that do nothing")
    memory.add_argument("--real-blocks", type=int, default=20_000, help="of the run")
    memory.add_argument("--every", type=float, default=1.0, help="seconds from a sample to the next")
    memory.add_argument("--output", type=Path, default=Path("benchmarks"), help="directory of the results")
    memory.add_argument("--record", action="store_true", help="renew the recorded series and the picture")
    for command in (overhead, memory):
        command.add_argument("--workers", type=int, default=2, help="worker processes of one thread each")
    return parser.parse_args()


def main() -> None:
    """Measure, and print Markdown."""
    options = parse()
    print_machine(machine())
    options.measure(options)


if __name__ == "__main__":
    main()
