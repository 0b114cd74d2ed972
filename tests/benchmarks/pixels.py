"""Time the engines that compute every pixel: kinds of pixels, sizes of mixtures, and every quantity.

python tests/benchmarks/pixels.py

One thread, on Linux pinned to one core. The ways of a row run by turns; times are medians in nanoseconds per
pixel. Every way starts from an image (H, W, C) in memory and ends with an array of float32. JAX computes in
float32, with pixels as they lie in the image.
"""

# ruff: noqa: T201 - printing is what a benchmark is for

from __future__ import annotations

import argparse
import os
import statistics
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from compare import ONE_THREAD, pinned

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Posterior,
    evaluate,
    load_model,
)
from pipeline.compute.environment import numexpr
from pipeline.demo import load_photo
from pipeline.testing.engines import make_mixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

    Image = NDArray[Any]

# The compiler of JAX takes more than 16 GiB for the sum of 256 kernels.
MOST_KERNELS_OF_JAX = 64
# The number of kernels, the number of channels, and whether covariances are full.
SIZES = [
    *((16, 3, False), (4, 3, False), (64, 3, False), (256, 3, False)),
    *((16, 1, False), (16, 4, False), (16, 8, False), (16, 64, False), (16, 3, True), (8, 4, True)),
]


def image_of(side: int, dtype: str, n_channels: int = 3) -> Image:
    """Tile a photo, its channels repeated or left out, with values of 8 bits in another dtype."""
    photo = np.tile(load_photo(), (-(-side // 512), -(-side // 512), 1))[:side, :side]
    return np.ascontiguousarray(photo[..., np.arange(n_channels) % 3], dtype)


def jax_density(image: Image, mixture: Mixture) -> Callable[[], Any]:
    """Return a run of the density in JAX, for diagonal covariances."""
    import jax  # noqa: PLC0415  may be missing
    import jax.numpy as jnp  # noqa: PLC0415  may be missing

    halves = -0.5 / mixture.covariances
    logs = np.log(mixture.weights) - 0.5 * np.log(2 * np.pi * mixture.covariances).sum(axis=1)

    @jax.jit
    def density(pixels: Any) -> Any:
        values = [pixels[..., channel].astype(jnp.float32) for channel in range(mixture.n_channels)]
        total = 0.0
        for log, mean, half in zip(logs.tolist(), mixture.means.tolist(), halves.tolist(), strict=True):
            squares = [(value - m) ** 2 * h for value, m, h in zip(values, mean, half, strict=True)]
            total += jnp.exp(sum(squares) + log)
        return total

    pixels = jax.device_put(image)
    return lambda: density(pixels).block_until_ready()


def ours(image: Image, quantity: Quantity, engine: str, dtype: str | None = None) -> Callable[[], Any]:
    """Return a run of one of our engines."""
    return lambda: evaluate(image, quantity, engine=engine, dtype=dtype)


def measure(ways: dict[str, Callable[[], Any]], n_pixels: dict[str, int], turns: int) -> dict[str, float]:
    """Run all ways by turns, once before that, and return the medians in nanoseconds per pixel."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + turns):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append((time.perf_counter() - start) / n_pixels[name] * 1e9)
    return {name: statistics.median(taken) for name, taken in times.items()}


def compare(title: str, image: Image, quantity: Quantity, turns: int) -> None:
    """Print a row: numexpr on an eighth of the image, numba, and JAX where it can."""
    eighth = image[: len(image) // 8]
    ways = {"numexpr": ours(eighth, quantity, "numexpr"), "numba": ours(image, quantity, "numba")}
    (mixture, *others) = quantity.mixtures
    is_simple = isinstance(quantity, Density) and not others and mixture.is_diagonal
    if find_spec("jax") and is_simple and mixture.n_kernels <= MOST_KERNELS_OF_JAX:
        ways["jax"] = jax_density(image, mixture)
    n_pixels = {name: (eighth if name == "numexpr" else image)[..., 0].size for name in ways}
    found = measure(ways, n_pixels, turns)
    row = [found["numexpr"], found["numba"], found["numexpr"] / found["numba"]]
    if "jax" in found:
        row += [found["jax"], found["numba"] / found["jax"]]
    print("|", " | ".join([title, *(f"{number:.2f}" for number in row), *["-"] * (5 - len(row))]), "|")


def main() -> None:
    """Read the arguments, and measure in one thread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048, help="pixels of a side of the image")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    os.environ |= ONE_THREAD
    numexpr.set_num_threads(1)
    with pinned():
        print_tables(arguments.side, arguments.turns)


def print_tables(side: int, turns: int) -> None:
    """Measure and print the tables."""
    skin, other = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
    head = "| numexpr | numba | numexpr / numba | JAX | numba / JAX |\n| --- | --- | --- | --- | --- | --- |"
    print(f"| density, 16 kernels, 3 channels {head}")
    for dtype in ("uint8", "uint16", "int16", "float16", "float32", "float64"):
        compare(dtype, image_of(side, dtype), Density(skin), turns)
    print(f"\n| density, float32 {head}")
    for n_kernels, n_channels, full in SIZES:
        mixture = make_mixture(n_kernels, n_channels, full=full)
        # Large mixtures get as much time as small ones.
        shorter = max(512, int(side / max(1, n_kernels * n_channels / 48) ** 0.5) // 8 * 8)
        image = image_of(min(shorter, side), "float32", n_channels)
        title = f"{n_kernels} kernels, {n_channels} channels, {'full' if full else 'diagonal'}"
        compare(title, image, Density(mixture), turns)
    print(f"\n| float32, 16 kernels a mixture, 3 channels {head}")
    classes = {"skin": skin, "other": other}
    image = image_of(side, "float32")
    quantities = [Density(skin), LogDensity(skin), LogRatio(skin, other), Posterior(classes)]
    for quantity in [*quantities, Label(classes), Confidence(classes), Entropy(classes)]:
        compare(type(quantity).__name__, image, quantity, turns)


if __name__ == "__main__":
    main()
