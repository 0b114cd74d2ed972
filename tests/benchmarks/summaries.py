"""Time runs from Zarr to Zarr with their summaries, and with summaries left out, by turns.

python tests/benchmarks/summaries.py
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import zarr
from images import make_source

from pipeline import Density, Label, LogRatio, Posterior, load_model, stream
from pipeline.compute.summarizing import BlockSummary

if TYPE_CHECKING:
    from pipeline.models.quantity import Quantity

SKIN, OTHER = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
CLASSES = {"skin": SKIN, "other": OTHER}
RUNS: dict[str, dict[str, Quantity]] = {
    "density": {"density": Density(SKIN)},
    "log-ratio": {"log-ratio": LogRatio(SKIN, OTHER)},
    "label": {"label": Label(CLASSES)},
    "label and posterior": {"label": Label(CLASSES), "skin": Posterior(CLASSES, only="skin")},
}


def no_summary(*_: Any, **__: Any) -> BlockSummary:
    """Count nothing."""
    return BlockSummary({}, {})


def seconds(source: zarr.Array[Any], quantities: dict[str, Quantity], output: Path) -> float:
    """Time a run."""
    shutil.rmtree(output, ignore_errors=True)
    started = time.perf_counter()
    stream(source, quantities, output, progress="none")
    return time.perf_counter() - started


def main() -> None:
    """Print the times of each kind of run and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=600)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "source.zarr"), Path(folder, "out.zarr")
        image = make_source(source, options.megapixels)
        floats = zarr.create_array(
            Path(folder, "floats.zarr"),
            shape=(image.shape[0] // 4, *image.shape[1:]),
            shards=image.shards,
            chunks=image.chunks,
            dtype="float32",
        )
        for top in range(0, floats.shape[0], 4096):
            floats[top : top + 4096] = image[top : top + 4096].astype("float32") + 0.25
        for kind, pixels in (("uint8", image), ("float32", floats)):
            for name, quantities in RUNS.items():
                seconds(pixels, quantities, output)
                pairs = []
                for _ in range(options.turns):
                    whole = seconds(pixels, quantities, output)
                    with patch("pipeline.runs.task.summarize_block", no_summary):
                        pairs.append((whole, seconds(pixels, quantities, output)))
                ratio = statistics.median(one / other for one, other in pairs)
                whole, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
                n_pixels = pixels.shape[0] * pixels.shape[1]
                print(
                    f"{kind}, {name}: {whole / n_pixels * 1e9:.2f} ns a pixel, {bare / n_pixels * 1e9:.2f} "
                    f"without a summary, ratio {ratio:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
