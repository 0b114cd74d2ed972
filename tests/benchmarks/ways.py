"""The ways to the density of a mixture at every pixel of an 8-bit image in memory.

Each starts from the same (H, W, 3) array of uint8 and ends with a NumPy array: casting, splitting into planes
and allocating the result are counted, unless the label says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from competitors import COMPETITORS, jax_density
from references import REFERENCES
from way import Way

from pipeline import Density, Mixture, evaluate
from pipeline.compute.color_table import _tables, find_table
from pipeline.models.output import make_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from way import Image, Run

# These leave out the power of 2 pi, as the question does.
UNNORMALIZED = {"pixel-loop", "kernel-loop"}
# The photo has 113,382 colors, and 1,006,158 under so many lights.
LIGHTS = 36


def _reference(name: str) -> Callable[[Image, Mixture], Run]:
    normalized = name not in UNNORMALIZED
    return lambda image, mixture: lambda: REFERENCES[name](image, Density(mixture, normalized=normalized))


def _jax_planes(image: Image, mixture: Mixture) -> Run:
    import jax  # noqa: PLC0415  may be missing

    density = jax.jit(jax_density(mixture))
    planes = [jax.device_put(plane) for plane in cv2.split(image)]
    return lambda: np.asarray(density(*planes))


def _gather(image: Image, mixture: Mixture) -> Run:
    """Look up in a table that is in order of red + 256 * green + 65,536 * blue, and computed before."""
    import numba  # noqa: PLC0415  may be missing

    @numba.njit
    def gather(pixels: Any, table: Any, out: Any) -> None:
        for i in range(len(out)):
            red, green, blue = pixels[i, 0], pixels[i, 1], pixels[i, 2]
            out[i] = table[red | green << 8 | blue << 16]

    quantity = Density(mixture)
    evaluate(image, quantity, engine="table")
    table = find_table(make_outputs(quantity), 24).rows["0"][:, 0]

    def run() -> NDArray[Any]:
        out = np.empty(image.shape[:2], np.float32)
        gather(image.reshape(-1, 3), table, out.reshape(-1))
        return out

    return run


def _cold_table(image: Image, mixture: Mixture) -> Run:
    def run() -> NDArray[Any]:
        _tables.clear()
        return np.asarray(evaluate(image, Density(mixture), engine="table"))

    return run


def _ours(engine: str) -> Callable[[Image, Mixture], Run]:
    return lambda image, mixture: lambda: np.asarray(evaluate(image, Density(mixture), engine=engine))


OURS = "table"
COPY = "copy"
WAYS = {
    "pixel-loop": Way("the question's loop over pixels", _reference("pixel-loop"), crop=32),
    "kernel-loop": Way("loop over kernels, NumPy", _reference("kernel-loop"), crop=1024),
    "broadcast": Way("all kernels broadcast, NumPy", _reference("broadcast"), crop=1024),
    **COMPETITORS,
    "jax-planes": Way("JAX, float32, planes given", _jax_planes, ("jax",)),
    "ours-numexpr": Way("ours, engine numexpr", _ours("numexpr")),
    "ours-numba": Way("ours, engine numba", _ours("numba"), ("numba",)),
    "table-cold": Way("ours, engine table, first call", _cold_table),
    OURS: Way("ours, engine table", _ours("table")),
    "table-million": Way("ours, engine table, a million colors", _ours("table"), lights=LIGHTS),
    "gather": Way("plain fused gather, Numba", _gather, ("numba",)),
    "gather-million": Way("plain fused gather, a million colors", _gather, ("numba",), lights=LIGHTS),
    COPY: Way("copying the image", lambda image, _: image.copy),
}
# This gives no densities.
UNCHECKED = {COPY}
