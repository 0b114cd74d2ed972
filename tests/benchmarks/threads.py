"""Measure what a second thread gains each engine: two blocks one after the other, and side by side.

python tests/benchmarks/threads.py
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numexpr
import numpy as np

from pipeline import Density, load_model
from pipeline.compute.engines import ENGINES, evaluate_pixels
from pipeline.demo import load_photo
from pipeline.models.output import make_outputs

REPEATS = 7
OUTPUTS = make_outputs(Density(load_model("jones-rehg-skin")))


def seconds(pool: ThreadPoolExecutor, blocks: list[np.ndarray], engine: str) -> float:
    """Time the evaluation of all blocks by a pool."""
    start = time.perf_counter()
    list(pool.map(lambda block: evaluate_pixels(block, OUTPUTS, [engine], serial=True), blocks))
    return time.perf_counter() - start


def main() -> None:
    """Alternate one thread and two, and print the medians."""
    photo = np.tile(load_photo(), (4, 4, 1))
    blocks = [photo, photo[:, ::-1].copy()]
    pixels = sum(block.shape[0] * block.shape[1] for block in blocks)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:
        for count in (1, numexpr.detect_number_of_cores()):
            numexpr.set_num_threads(count)
            for engine in ENGINES:
                seconds(two, blocks, engine)
                pairs = [(seconds(one, blocks, engine), seconds(two, blocks, engine)) for _ in range(REPEATS)]
                alone, together = (statistics.median(times) for times in zip(*pairs, strict=True))
                print(  # noqa: T201  a benchmark's output
                    f"{engine}, numexpr threads {count}: one thread {alone / pixels * 1e9:.1f} ns per pixel, "
                    f"two threads {together / pixels * 1e9:.1f}, gain {alone / together:.2f}"
                )


if __name__ == "__main__":
    main()
