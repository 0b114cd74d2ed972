"""Time the engines that compute every pixel: kinds of pixels, sizes of mixtures, and every quantity.

python tests/benchmarks/pixels.py

One thread, on Linux pinned to one core. The ways to one result run by turns; times are medians. Every way
starts from an image (H, W, C) in memory and ends with an array. Compiling is a part of the first call alone,
which has a table of its own. Errors are the largest ones relative to our float64, where that is at least
1e-30. Slow ways get a part of the image.

`competitors.py` says how to install PyTorch, which is left out otherwise.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from compare import ONE_THREAD, pinned
from competitors import COMPETITORS
from report import print_pixels
from way import Way

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Posterior,
    evaluate,
    load_model,
)
from pipeline.compute.environment import numexpr
from pipeline.demo import load_photo
from pipeline.testing.engines import make_mixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from way import Image

    from pipeline.models.quantity import Quantity

DTYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64")
# The number of kernels, the number of channels, and whether covariances are full.
SIZES = [
    *((4, 3, False), (16, 3, False), (64, 3, False), (256, 3, False)),
    *((16, 1, False), (16, 4, False), (16, 8, False), (16, 64, False)),
    *((4, 3, True), (16, 3, True), (64, 3, True), (8, 4, True), (16, 8, True)),
]
OURS = "ours-numba"
# The engine numexpr runs on such a part of the image.
SHARE = 8
# The largest number of pixels whose errors are taken, about.
SAMPLE = 2**16
# Below it what float32 flushes to zero is a part of the result.
_LEAST = 1e-30


class Case(NamedTuple):
    """What is computed: a column of a table."""

    table: str
    title: str
    image: Image
    quantity: Quantity
    # Other people's ways are for densities, and not repeated where another table has them.
    compares: bool = True


def image_of(side: int, dtype: str, n_channels: int = 3) -> Image:
    """Tile a photo, its channels repeated or left out, with values of 8 bits in another dtype."""
    photo = np.tile(load_photo(), (-(-side // 512), -(-side // 512), 1))[:side, :side]
    return np.ascontiguousarray(photo[..., np.arange(n_channels) % 3], dtype)


def cases(side: int, *, smoke: bool) -> Iterator[Case]:
    """Make the columns of the tables one after the other."""
    skin, other = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
    for dtype in ("uint16",) if smoke else DTYPES:
        yield Case("density, 16 kernels, 3 channels", dtype, image_of(side, dtype), Density(skin))
    for n_kernels, n_channels, full in [(4, 3, True)] if smoke else SIZES:
        mixture = make_mixture(n_kernels, n_channels, full=full)
        # Large mixtures get as much time as small ones.
        shorter = max(512, int(side / max(1, n_kernels * n_channels / 48) ** 0.5) // 8 * 8)
        image = image_of(min(shorter, side), "float32", n_channels)
        title = f"K = {n_kernels}, C = {n_channels}{', full' if full else ''}"
        yield Case("density, float32", title, image, Density(mixture))
    classes, image = {"skin": skin, "other": other}, image_of(side, "float32")
    quantities = [LogDensity(skin), LogRatio(skin, other), Posterior(classes), Label(classes)]
    for quantity in [*quantities, Confidence(classes), Entropy(classes)]:
        table = "float32, 16 kernels a mixture, 3 channels"
        yield Case(table, type(quantity).__name__, image, quantity, compares=False)


def reference(case: Case) -> tuple[int, NDArray[Any] | None]:
    """Compute every so many rows in float64, if the result is one that has relative errors."""
    step = max(1, case.image[..., 0].size // SAMPLE)
    if isinstance(case.quantity, Label):
        return step, None
    return step, np.asarray(evaluate(case.image[::step], case.quantity, dtype="float64", engine="numexpr"))


def largest_error(got: NDArray[Any], step: int, wanted: NDArray[Any] | None) -> float | None:
    """Compare with the reference, where it isn't tiny."""
    if wanted is None:
        return None
    found = got[::step]
    wanted = wanted[: len(found)]
    normal = np.abs(wanted) >= _LEAST
    return float(np.max(np.abs(found[normal] / wanted[normal] - 1))) if normal.any() else None


def _ours(case: Case, engine: str, piece: Image) -> Callable[[], Any]:
    return lambda: evaluate(piece, case.quantity, engine=engine)


def measure(case: Case, turns: int) -> list[dict[str, Any]]:
    """Run all ways to a result by turns, once before that."""
    ways: dict[str, Way] = {
        "ours-numexpr": Way(
            "ours, engine numexpr", lambda piece, _: _ours(case, "numexpr", piece), share=SHARE
        ),
        "ours-numpy": Way("ours, engine numpy", lambda piece, _: _ours(case, "numpy", piece)),
        OURS: Way("ours, engine numba", lambda piece, _: _ours(case, "numba", piece), ("numba",)),
    }
    mixture = case.quantity.mixtures[0]
    if case.compares:
        ways |= {name: way for name, way in COMPETITORS.items() if way.suits(mixture)}
    step, wanted = reference(case)
    rows, runs = [], []
    for name, way in ways.items():
        if way.missing:
            continue
        way.load()
        piece = case.image[: len(case.image) // way.share]
        start = time.perf_counter()
        run = way.prepare(piece, mixture)
        got = np.asarray(run())
        first = time.perf_counter() - start
        got = got if got.ndim > 1 else got.reshape(piece.shape[:2])
        error = largest_error(got, step, wanted)
        runs.append((run, piece[..., 0].size))
        row = {"table": case.table, "case": case.title, "way": name, "label": way.label}
        rows.append({**row, "largest_relative_error": error, "first_seconds": first})
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(turns):
        for (run, n_pixels), taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            taken.append((time.perf_counter() - start) / n_pixels * 1e9)
    own = next((taken for row, taken in zip(rows, times, strict=True) if row["way"] == OURS), times[0])
    for row, taken in zip(rows, times, strict=True):
        row["ns_per_pixel"] = statistics.median(taken)
        row["ratio_to_ours"] = statistics.median(one / two for one, two in zip(taken, own, strict=True))
    return rows


def measure_all(side: int, turns: int, *, smoke: bool) -> dict[str, Any]:
    """Measure all columns, and name the ways that are left out."""
    rows = []
    for case in cases(side, smoke=smoke):
        print(f"  {case.table}: {case.title}", file=sys.stderr, flush=True)
        rows += measure(case, turns)
    left_out = {name: way.missing for name, way in COMPETITORS.items() if way.missing}
    return {"side": side, "rows": rows, "left_out": left_out}


def main() -> None:
    """Read the arguments, and measure in one thread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=2048, help="pixels of a side of the image")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="few columns, to see that all of it runs")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    arguments = parser.parse_args()
    os.environ |= ONE_THREAD
    numexpr.set_num_threads(1)
    # A smoke run may have company.
    with nullcontext() if arguments.smoke else pinned():
        results = measure_all(arguments.side, arguments.turns, smoke=arguments.smoke)
    if arguments.json:
        print(json.dumps(results))
    else:
        print_pixels(results)


if __name__ == "__main__":
    main()
