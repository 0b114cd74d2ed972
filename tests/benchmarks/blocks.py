"""Measure what a block costs a run, and how memory grows: blocks that do nothing, on threads or a cluster.

The image is a grid alone: no pixel is read, computed or written. On the cluster, whose one worker is another
process, the memory is that of the client's process, in which the scheduler lives too.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil
from distributed import Client

from pipeline.images.grid import Grid
from pipeline.runs.executors import choose_executor

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS_OF_TABLE = 10


def do_nothing(shared: None, index: tuple[int, int]) -> Callable[[], None]:
    """Stand in for a block."""
    del shared, index
    return lambda: None


def measure(n_blocks: int, client: Client | None) -> None:
    """Run so many tasks, and print time and memory on the way."""
    grid = Grid((n_blocks, 1), (1, 1), (1, 1))
    process = psutil.Process()
    print(f"{'blocks':>10}{'seconds':>10}{'us a block':>12}{'resident MiB':>14}")
    started = time.perf_counter()
    with choose_executor(client) as executor:
        calls = ((block, (block,)) for block in grid.blocks())
        for done, _ in enumerate(executor.outcomes(do_nothing, executor.share(None), calls), start=1):
            if done % (n_blocks // ROWS_OF_TABLE) == 0:
                seconds = time.perf_counter() - started
                memory = process.memory_info().rss / 2**20
                print(f"{done:10}{seconds:10.1f}{seconds / done * 1e6:12.0f}{memory:14.0f}")


def main() -> None:
    """Measure on threads, or on a cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--cluster", action="store_true", help="a local one: a worker process of two threads")
    options = parser.parse_args()
    with ExitStack() as stack:
        client = None
        if options.cluster:
            local: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
            client = stack.enter_context(Client(n_workers=1, threads_per_worker=2, **local))
        measure(options.blocks, client)


if __name__ == "__main__":
    main()
