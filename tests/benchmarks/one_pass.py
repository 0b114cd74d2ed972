"""Compare one pass that computes four quantities with four passes, from Zarr to Zarr, by turns.

The quantities are a density and a log-ratio as float32, one class's posterior packed to a byte, and labels.

Each pass runs in a new process, so that it pays for its own table of colours; the start of Python and imports
aren't counted. Both sides begin without any output and keep what they write until all of it is written. They
begin after a pause, since a virtual machine may give memory that was freed back to its host within seconds,
and then pays for getting it again: that must not depend on what ran before.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import zarr
from images import make_source
from zarr.codecs import BloscCodec

from pipeline import Density, Label, LogRatio, Packed, Posterior, load_model, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.models.quantity import Quantity

SKIN, OTHER = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
CLASSES = {"skin": SKIN, "other": OTHER}
QUANTITIES: dict[str, Quantity] = {
    "density": Density(SKIN),
    "log-ratio": LogRatio(SKIN, OTHER),
    "skin": Packed(Posterior(CLASSES, only="skin"), "uint8"),
    "label": Label(CLASSES),
}
# Seconds.
_PAUSE = 5


def passes(source: Path, output: Path, runs: Sequence[Sequence[str]]) -> list[float]:
    """Time runs of some quantities each, which write beside each other."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    os.sync()
    time.sleep(_PAUSE)
    return [_in_new_process(source, output / "+".join(names), names) for names in runs]


def _in_new_process(source: Path, output: Path, names: Sequence[str]) -> float:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(seconds, source, output, names).result()


def seconds(source: Path, output: Path, names: Sequence[str]) -> float:
    """Time a run."""
    for module in ("cv2", "distributed"):
        # What a run imports when it needs it.
        import_module(module)
    image = zarr.open_array(source, mode="r")
    started = time.perf_counter()
    stream(image, {name: QUANTITIES[name] for name in names}, output, progress="none")
    return time.perf_counter() - started


def sizes(output: Path) -> dict[str, float]:
    """Give what each result takes on the disk, in MB."""
    return {
        name: sum(path.stat().st_size for path in (output / name).rglob("*") if path.is_file()) / 1e6
        for name in QUANTITIES
    }


def main() -> None:
    """Print the times of each turn, the median of their ratios, and the results' sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=400)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--lights", type=int, default=64, help="that the photo is tiled under")
    parser.add_argument(
        "--compressors",
        default="auto",
        help="of the source: 'auto', which is zarr's default, or 'lz4'",
    )
    options = parser.parse_args()
    compressors = BloscCodec(cname="lz4") if options.compressors == "lz4" else options.compressors
    ratios = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        source, output = Path(folder, "source.zarr"), Path(folder, "out")
        make_source(source, options.megapixels, compressors, options.lights)
        for _ in range(options.turns):
            apart = passes(source, output, [[name] for name in QUANTITIES])
            (together,) = passes(source, output, [list(QUANTITIES)])
            ratios.append(together / sum(apart))
            parts = " + ".join(f"{part:.1f}" for part in apart)
            print(f"one pass {together:.1f} s, four passes {parts} = {sum(apart):.1f} s: {ratios[-1]:.2f}")
        print(
            ", ".join(f"{name} {size:.0f} MB" for name, size in sizes(output / "+".join(QUANTITIES)).items())
        )
    print(f"median {statistics.median(ratios):.2f} over {options.megapixels:.0f} megapixels")


if __name__ == "__main__":
    main()
