"""Compare one pass that computes four quantities with four passes, from Zarr to Zarr, by turns.

The quantities are a density and a log-ratio as float32, one class's posterior packed to a byte, and labels.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from images import make_source
from zarr.codecs import BloscCodec

from pipeline import Density, Label, LogRatio, Packed, Posterior, load_model, stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    import zarr

    from pipeline.quantity import Quantity

SKIN, OTHER = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
CLASSES = {"skin": SKIN, "other": OTHER}
QUANTITIES: dict[str, Quantity] = {
    "density": Density(SKIN),
    "log-ratio": LogRatio(SKIN, OTHER),
    "skin": Packed(Posterior(CLASSES, only="skin"), "uint8"),
    "label": Label(CLASSES),
}


def seconds(source: zarr.Array, quantities: Mapping[str, Quantity], output: Path) -> float:
    """Time a run; removing its output and emptying the disk's queue aren't counted."""
    os.sync()
    started = time.perf_counter()
    stream(source, quantities, output, progress="none")
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
    parser.add_argument(
        "--compressors",
        default="auto",
        help="of the source: 'auto', which is zarr's default, or 'lz4'",
    )
    options = parser.parse_args()
    if options.compressors == "lz4":
        options.compressors = BloscCodec(cname="lz4")
    ratios = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        source = make_source(Path(folder, "source.zarr"), options.megapixels, options.compressors)
        output = Path(folder, "out.zarr")
        stream(source, QUANTITIES, output, progress="none")
        print(", ".join(f"{name} {size:.1f} MB" for name, size in sizes(output).items()))
        shutil.rmtree(output)
        for _ in range(options.turns):
            apart = []
            for name, quantity in QUANTITIES.items():
                apart.append(seconds(source, {name: quantity}, output))
                shutil.rmtree(output)
            together = seconds(source, QUANTITIES, output)
            shutil.rmtree(output)
            ratios.append(together / sum(apart))
            parts = " + ".join(f"{part:.1f}" for part in apart)
            print(f"one pass {together:.1f} s, four passes {parts} = {sum(apart):.1f} s: {ratios[-1]:.2f}")
    print(f"median {statistics.median(ratios):.2f} over {options.megapixels:.0f} megapixels")


if __name__ == "__main__":
    main()
