"""Resident memory of the processes of a cluster while a run goes on: samples, a table and a picture."""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from report import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

PROCESSES = ("scheduler", "largest worker", "client")
_COLORS = dict(zip(PROCESSES, ("#d1495b", "#30638e", "#8d99ae"), strict=True))
# Samples of a series that are kept: each is the largest of its neighbors.
_KEPT = 200


class Resident:
    """The resident memory in MiB of the processes of a cluster, over the number of finished blocks.

    Parameters
    ----------
    client : distributed.Client
        Its scheduler and its workers are processes of this machine.
    every : float
        Seconds from a sample to the next.

    Attributes
    ----------
    done : int
        The number of finished blocks, which the caller sets.
    """

    def __init__(self, client: Client, every: float) -> None:
        self.done = 0
        self._every = every
        self._scheduler = psutil.Process(client.run_on_scheduler(os.getpid))
        self._workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        self._client = psutil.Process()
        self._samples: list[tuple[float, ...]] = []

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Take samples meanwhile, the first at the start and the last at the end."""
        ended = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            sampling = thread.submit(self._sample, ended)
            try:
                yield
            finally:
                ended.set()
                sampling.result()

    def set_done(self, done: int) -> None:
        """Note how many blocks are finished."""
        self.done = done

    def series(self) -> dict[str, list[float]]:
        """Give blocks, seconds and the memory of each process, in a few hundred samples at most."""
        samples = np.array(self._samples)
        parts = np.array_split(samples, min(_KEPT, len(samples)))
        highest = np.round([part.max(axis=0) for part in parts], 1).T
        return {
            name: column.tolist()
            for name, column in zip(("blocks", "seconds", *PROCESSES), highest, strict=True)
        }

    def _sample(self, ended: threading.Event) -> None:
        started = time.perf_counter()
        is_last = False
        while not is_last:
            is_last = ended.wait(self._every if self._samples else 0)
            worker = max(process.memory_info().rss for process in self._workers)
            memory = (self._scheduler.memory_info().rss, worker, self._client.memory_info().rss)
            mebibytes = (number / 2**20 for number in memory)
            self._samples.append((self.done, time.perf_counter() - started, *mebibytes))


def print_growth(runs: dict[str, dict[str, list[float]]]) -> None:
    """Print how the memory of each process changes in the second half of each run."""
    rows = []
    for title, series in runs.items():
        blocks = np.array(series["blocks"])
        middle = int(np.searchsorted(blocks, blocks[-1] / 2))
        for process in PROCESSES:
            memory = series[process]
            added = (memory[-1] - memory[middle]) / max(1, blocks[-1] - blocks[middle]) * 1e5
            figures = (memory[0], memory[middle], memory[-1], max(memory))
            rows.append([title, process, *(f"{figure:.0f}" for figure in figures), f"{added:+.1f}"])
    head = ["run", "process", "MiB at the start", "halfway", "at the end", "highest"]
    print_table([*head, "added per 100,000 blocks, second half"], rows)


def draw_resident(runs: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw a panel for each run, with a line for each process."""
    if find_spec("matplotlib") is None:
        print("no picture: matplotlib is missing")
        return
    from matplotlib.figure import Figure  # noqa: PLC0415  may be missing

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    highest = max(max(series[process]) for series in runs.values() for process in PROCESSES)
    panels: Any = figure.subplots(1, len(runs), sharey=True, squeeze=False)
    for axes, (title, series) in zip(panels[0], runs.items(), strict=True):
        for process in PROCESSES:
            axes.plot(series["blocks"], series[process], color=_COLORS[process], label=process)
        axes.set_title(title)
        axes.set_xlabel("finished blocks")
        axes.set_ylim(0, 1.1 * highest)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("resident memory, MiB")
    panels[0][0].legend(frameon=False)
    figure.savefig(path, dpi=150)
