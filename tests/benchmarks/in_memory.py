"""Time the ways in memory, or one's peak memory; compare.py runs this, pinned to one core."""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import cv2
import numexpr
import numpy as np
from images import photo, side_of
from references import scipy_density
from ways import LIGHTS, OURS, UNCHECKED, UNNORMALIZED, WAYS

from pipeline import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from way import Image, Way

    from pipeline import Mixture

# Pixels that are compared with SciPy's densities.
_SAMPLE = 4096
# A way that takes longer than so many seconds gets no more than so many pairs.
_LONG, _FEWEST = 30, 3
# The least normal float32: below it most ways have no digits to compare.
_TINY = np.finfo(np.float32).tiny


def seconds(run: Callable[[], object]) -> float:
    """Time one call, the release of its result included."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def crop(way: Way, image: Image) -> Image:
    """Give the way's piece of the image."""
    side = min(way.crop or len(image), len(image))
    return np.ascontiguousarray(image[:side, :side])


def largest_error(got: NDArray[Any], image: Image, mixture: Mixture, *, normalized: bool) -> float:
    """Compare a sample with SciPy's float64, where the density is a normal float32."""
    step = max(1, got.size // _SAMPLE)
    wanted = scipy_density(image.reshape(-1, 3)[::step], mixture)
    if not normalized:
        wanted *= (2 * np.pi) ** 1.5
    normal = wanted >= _TINY
    return float(np.max(np.abs(got.reshape(-1)[::step][normal] / wanted[normal] - 1)))


def measure(name: str, image: Image, mixture: Mixture, repeats: int) -> dict[str, Any]:
    """Check a way, then run it and ours by turns."""
    way = WAYS[name]
    way.load()
    piece = crop(way, photo(len(image), way.lights) if way.lights > 1 else image)
    started = time.perf_counter()
    run = way.prepare(piece, mixture)
    got = run()
    first = time.perf_counter() - started
    ours = WAYS[OURS].prepare(image, mixture)
    error = None
    if name not in UNCHECKED:
        error = largest_error(got, piece, mixture, normalized=name not in UNNORMALIZED)
    del got
    ours()
    pixels, all_pixels = (array.shape[0] * array.shape[1] for array in (piece, image))
    pairs: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(pairs) < repeats:
        pairs.append((seconds(run) / pixels, seconds(ours) / all_pixels))
        if len(pairs) >= _FEWEST and time.perf_counter() - started > _LONG:
            break
    return {
        "way": name,
        "label": way.label,
        "pixels": pixels,
        "extrapolated": pixels != all_pixels,
        "ns_per_pixel": 1e9 * statistics.median(time for time, _ in pairs),
        "ratio_to_ours": statistics.median(time / own for time, own in pairs),
        "largest_relative_error": error,
        "first_seconds": first,
        "pairs_ns": [[1e9 * time, 1e9 * own] for time, own in pairs],
    }


def count_colors(image: Image) -> int:
    """Count the different colors."""
    packed = image[..., 0] | image[..., 1].astype(np.uint32) << 8 | image[..., 2].astype(np.uint32) << 16
    return int(np.count_nonzero(np.bincount(packed.ravel(), minlength=2**24)))


def time_all(image: Image, repeats: int) -> dict[str, Any]:
    """Measure every way whose packages are there."""
    mixture = load_model("jones-rehg-skin")
    results, left_out = [], {}
    for name, way in WAYS.items():
        if way.missing:
            left_out[name] = way.missing
            continue
        print(f"  {way.label}", file=sys.stderr, flush=True)
        results.append(measure(name, image, mixture, repeats))
    colors, many = count_colors(image), count_colors(photo(len(image), LIGHTS))
    return {"side": len(image), "colors": colors, "many": many, "ways": results, "left_out": left_out}


def peak(name: str, image: Image) -> dict[str, float]:
    """Give what one way adds to this process: compiling, table, temporaries and result."""
    if find_spec("resource") is None:  # Windows
        return {}
    import resource  # noqa: PLC0415  may be missing

    way = WAYS[name]
    way.load()
    piece = crop(way, photo(len(image), way.lights) if way.lights > 1 else image)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    way.prepare(piece, load_model("jones-rehg-skin"))()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_mib": (after - before) * unit / 2**20}


def main() -> None:
    """Print results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--one", choices=WAYS, help="measure the peak memory of this way alone")
    options = parser.parse_args()
    numexpr.set_num_threads(1)
    cv2.setNumThreads(1)
    image = photo(side_of(options.megapixels))
    results = peak(options.one, image) if options.one else time_all(image, options.repeats)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
