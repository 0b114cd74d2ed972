"""The ways to the density of a mixture at every pixel of an 8-bit image in memory.

Each starts from the same (H, W, 3) array of uint8 and ends with a NumPy array: casting, splitting into planes
and allocating the result are counted, unless the label says otherwise.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numexpr
import numpy as np
from images import photo
from references import REFERENCES

from pipeline import Density, Mixture, evaluate
from pipeline.compute.color_table import _tables, find_table
from pipeline.models.output import make_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Run = Callable[[], NDArray[Any]]

# Pixels that plain numexpr casts and computes at once, as its users must to stay in a core's cache.
STRIP = 42 * 1024
# These leave out the power of 2 pi, as the question does.
UNNORMALIZED = {"pixel-loop", "kernel-loop"}
# Copies of the photo in so many lights have several times its colours: harder for a table.
LIGHTS = 6


class Way(NamedTuple):
    """A way, the packages that it needs, and the side of the crop that it runs on (0: the whole image)."""

    label: str
    prepare: Callable[[Image, Mixture], Run]
    packages: tuple[str, ...] = ()
    crop: int = 0

    @property
    def missing(self) -> list[str]:
        """The packages that aren't installed."""
        return [name for name in self.packages if find_spec(name) is None]

    def load(self) -> None:
        """Import the packages, so that neither time nor memory of that is counted."""
        for name in self.packages:
            importlib.import_module(name)


def _reference(name: str) -> Callable[[Image, Mixture], Run]:
    normalized = name not in UNNORMALIZED
    return lambda image, mixture: lambda: REFERENCES[name](image, Density(mixture, normalized=normalized))


def formula(mixture: Mixture) -> str:
    """Write the density as one expression of r, g and b with literal constants."""
    scales = mixture.weights / np.sqrt((2 * np.pi) ** 3 * np.prod(mixture.covariances, axis=-1))
    terms = []
    for scale, mean, variances in zip(scales, mixture.means, mixture.covariances, strict=True):
        squares = [
            f"(({name} - {float(m)!r})**2*{float(-0.5 / v)!r})"
            for name, m, v in zip("rgb", mean, variances, strict=True)
        ]
        terms.append(f"{float(scale)!r}*exp({' + '.join(squares)})")
    return " + ".join(terms)


def _numexpr(image: Image, mixture: Mixture) -> Run:
    text = formula(mixture)
    pixels = image.reshape(-1, 3)

    def run() -> NDArray[Any]:
        out = np.empty(len(pixels), np.float32)
        for start in range(0, len(pixels), STRIP):
            planes = np.ascontiguousarray(pixels[start : start + STRIP].T, dtype=np.float64)
            operands = dict(zip("rgb", planes, strict=True))
            numexpr.evaluate(
                text,
                local_dict=operands,
                global_dict={},
                out=out[start : start + STRIP],
                casting="same_kind",
            )
        return out

    return run


def _scikit_learn(image: Image, mixture: Mixture) -> Run:
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415  may be missing

    model = GaussianMixture(mixture.n_kernels, covariance_type="diag")
    total = mixture.weights.sum()
    model.weights_ = mixture.weights / total
    model.means_ = mixture.means
    model.covariances_ = mixture.covariances
    model.precisions_cholesky_ = 1 / np.sqrt(mixture.covariances)
    # Cast first: it squares in the dtype that it gets, and uint8 overflows.
    return lambda: total * np.exp(model.score_samples(image.reshape(-1, 3).astype(np.float64)))


def _blosc2(image: Image, mixture: Mixture) -> Run:
    import blosc2  # noqa: PLC0415  may be missing

    blosc2.set_nthreads(1)
    text = formula(mixture)

    def run() -> NDArray[Any]:
        planes = {
            name: blosc2.asarray(image[..., channel].astype(np.float64)) for channel, name in enumerate("rgb")
        }
        return np.asarray(blosc2.lazyexpr(text, planes)[:])

    return run


def _jax_density(mixture: Mixture) -> Callable[..., Any]:
    import jax  # noqa: PLC0415  may be missing
    import jax.numpy as jnp  # noqa: PLC0415  may be missing

    scales = mixture.weights / np.sqrt((2 * np.pi) ** 3 * np.prod(mixture.covariances, axis=-1))
    halves = -0.5 / mixture.covariances

    def density(*planes: Any) -> Any:
        values = [plane.astype(jnp.float32) for plane in planes]
        total = jnp.zeros(values[0].shape, jnp.float32)
        for scale, mean, half in zip(scales, mixture.means, halves, strict=True):
            exponent = sum(
                (value - float(m)) ** 2 * float(h) for value, m, h in zip(values, mean, half, strict=True)
            )
            total += float(scale) * jnp.exp(exponent)
        return total

    return jax.jit(density)


def _jax(image: Image, mixture: Mixture) -> Run:
    density = _jax_density(mixture)
    return lambda: np.asarray(density(*cv2.split(image)))


def _jax_planes(image: Image, mixture: Mixture) -> Run:
    import jax  # noqa: PLC0415  may be missing

    density = _jax_density(mixture)
    planes = [jax.device_put(plane) for plane in cv2.split(image)]
    return lambda: np.asarray(density(*planes))


def _numba(image: Image, mixture: Mixture) -> Run:
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


def _many_colors(image: Image, mixture: Mixture) -> Run:
    lit = photo(len(image), LIGHTS)
    return lambda: np.asarray(evaluate(lit, Density(mixture), engine="table"))


OURS = "table"
COPY = "copy"
WAYS = {
    "pixel-loop": Way("the question's loop over pixels", _reference("pixel-loop"), crop=32),
    "kernel-loop": Way("loop over kernels, NumPy", _reference("kernel-loop"), crop=1024),
    "broadcast": Way("all kernels broadcast, NumPy", _reference("broadcast"), crop=1024),
    "sklearn": Way("scikit-learn score_samples", _scikit_learn, ("sklearn",)),
    "blosc2": Way("python-blosc2 lazy expression", _blosc2, ("blosc2",)),
    "numexpr": Way("plain numexpr, in strips", _numexpr),
    "ours-numexpr": Way("ours, engine numexpr", _ours("numexpr")),
    "jax": Way("JAX, float32, split into planes", _jax, ("jax",)),
    "jax-planes": Way("JAX, float32, planes given", _jax_planes, ("jax",)),
    "table-cold": Way("ours, engine table, first call", _cold_table),
    OURS: Way("ours, engine table", _ours("table")),
    "table-lights": Way("ours, engine table, six lights", _many_colors),
    "numba": Way("fused gather, full table, Numba", _numba, ("numba",)),
    COPY: Way("copying the image", lambda image, _: image.copy),
}
# These give no densities of the image that the others start from.
UNCHECKED = {COPY, "table-lights"}
