"""Other people's ways to the density of a mixture, each written once: for pixels of any kind, in one thread.

Each starts from an array (H, W, C) in memory and ends with a NumPy array: casting, splitting into planes and
allocating the result are counted. Those that compute in float32 say so in their label.

PyTorch is too large for the extra `bench`. Where it is installed it is measured:
`pip install torch --index-url https://download.pytorch.org/whl/cpu`.
"""

from __future__ import annotations

import ctypes
import math
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numexpr
import numpy as np
from terms import kernels_of, names_of, terms_of
from way import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from way import Image, Run

    from pipeline import Mixture

# Pixels that plain numexpr casts and computes at once, as its users must to stay in a core's cache.
STRIP = 42 * 1024
# Squares of one of its expressions.
CONSTANTS = 48
# Kernels whose sum JAX compiles in less than a gigabyte: 256 diagonal ones took more than 16 GiB, 64 full
# ones of three channels and 16 of eight more than 8.
MOST_DIAGONAL, MOST_FULL = 64, 16
MOST_FULL_CHANNELS = 4
FLOOR = Path(__file__).with_name("floor.c")
_C_TYPES = {"uint8": "uint8_t", "uint16": "uint16_t", "int16": "int16_t", "float32": "float"}


def _numexpr(image: Image, mixture: Mixture) -> Run:
    names, kernels = names_of(mixture.n_channels), kernels_of(mixture)
    # An expression can't have more than 255 constants and temporaries.
    many = max(1, CONSTANTS // sum(map(len, terms_of(mixture).rows(0))))
    texts = [" + ".join(kernels[start : start + many]) for start in range(0, len(kernels), many)]
    pixels = image.reshape(-1, mixture.n_channels)

    def run() -> NDArray[Any]:
        out = np.empty(len(pixels), np.float32)
        for start in range(0, len(pixels), STRIP):
            planes = np.ascontiguousarray(pixels[start : start + STRIP].T, dtype=np.float64)
            operands = dict(zip(names, planes, strict=True))
            total = numexpr.evaluate(texts[0], local_dict=operands, global_dict={})
            for text in texts[1:]:
                numexpr.evaluate(
                    f"total + {text}", local_dict={**operands, "total": total}, global_dict={}, out=total
                )
            out[start : start + STRIP] = total
        return out

    return run


def _scikit_learn(image: Image, mixture: Mixture) -> Run:
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415  may be missing

    covariances = mixture.covariances
    model = GaussianMixture(mixture.n_kernels, covariance_type="diag" if mixture.is_diagonal else "full")
    total = mixture.weights.sum()
    model.weights_ = mixture.weights / total
    model.means_ = mixture.means
    model.covariances_ = covariances
    if mixture.is_diagonal:
        model.precisions_cholesky_ = 1 / np.sqrt(covariances)
    else:
        model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(covariances)).mT
    # Cast first: it squares in the dtype that it gets, and uint8 overflows.
    pixels = image.reshape(-1, mixture.n_channels)
    return lambda: total * np.exp(model.score_samples(pixels.astype(np.float64)))


def _blosc2(image: Image, make: Callable[[list[Any]], Any]) -> Run:
    """Make a lazy array of planes once, and fill the planes and compute it in each run.

    Nothing is compressed, which costs more than it saves.
    """
    import blosc2  # noqa: PLC0415  may be missing

    blosc2.set_nthreads(1)
    plain = {"clevel": 0}
    planes = [blosc2.empty(image.shape[:2], np.float32, cparams=plain) for _ in range(image.shape[2])]
    lazy = make(planes)

    def run() -> NDArray[Any]:
        for channel, plane in enumerate(planes):
            plane[...] = image[..., channel].astype(np.float32)
        return np.asarray(lazy.compute(cparams=plain)[...])

    return run


def _blosc2_lazy(image: Image, mixture: Mixture) -> Run:
    import blosc2  # noqa: PLC0415  may be missing

    text, names = " + ".join(kernels_of(mixture)), names_of(mixture.n_channels)
    return _blosc2(image, lambda planes: blosc2.lazyexpr(text, dict(zip(names, planes, strict=True))))


def _blosc2_kernel(image: Image, mixture: Mixture) -> Run:
    import blosc2  # noqa: PLC0415  may be missing
    from blosc2.dsl_kernel import kernel_from_source  # noqa: PLC0415  may be missing

    lines = [f"    total = total + {kernel}" for kernel in kernels_of(mixture)]
    head = f"def density({', '.join(names_of(mixture.n_channels))}):"
    kernel = kernel_from_source("\n".join([head, "    total = 0.0*x0", *lines, "    return total", ""]))
    return _blosc2(image, lambda planes: blosc2.lazyudf(kernel, planes, dtype=np.float32))


def jax_density(mixture: Mixture) -> Callable[..., Any]:
    """Make a function of the planes, in float32."""
    import jax.numpy as jnp  # noqa: PLC0415  may be missing

    terms = terms_of(mixture)

    def density(*planes: Any) -> Any:
        values = [plane.astype(jnp.float32) for plane in planes]
        total = jnp.zeros(values[0].shape, jnp.float32)
        for k, log in enumerate(terms.logs.tolist()):
            sums = [sum((values[c] - mean) * factor for c, mean, factor in row) for row in terms.rows(k)]
            total += jnp.exp(log - sum(part * part for part in sums))
        return total

    return density


def _jax_loop(mixture: Mixture) -> Callable[..., Any]:
    """Make the same function with a loop, for mixtures whose sum takes too much memory to compile."""
    import jax  # noqa: PLC0415  may be missing
    import jax.numpy as jnp  # noqa: PLC0415  may be missing

    logs, means, factors = (jnp.asarray(part, jnp.float32) for part in terms_of(mixture))
    # The channels of each square are the same for all kernels.
    rows = [[c for c, _, _ in row] for row in terms_of(mixture).rows(0)]

    def density(*planes: Any) -> Any:
        values = [plane.astype(jnp.float32) for plane in planes]

        def add(k: Any, total: Any) -> Any:
            sums = [
                sum((values[c] - means[k, c]) * factors[k, number, c] for c in row)
                for number, row in enumerate(rows)
            ]
            return total + jnp.exp(logs[k] - sum(part * part for part in sums))

        return jax.lax.fori_loop(0, mixture.n_kernels, add, jnp.zeros(values[0].shape, jnp.float32))

    return density


def _jax(image: Image, mixture: Mixture) -> Run:
    import jax  # noqa: PLC0415  may be missing

    if mixture.is_diagonal:
        is_small = mixture.n_kernels <= MOST_DIAGONAL
    else:
        is_small = mixture.n_kernels <= MOST_FULL and mixture.n_channels <= MOST_FULL_CHANNELS
    density = jax_density(mixture) if is_small else _jax_loop(mixture)
    compiled = jax.jit(lambda pixels: density(*(pixels[..., c] for c in range(mixture.n_channels))))
    return lambda: np.asarray(compiled(image))


def _torch(image: Image, mixture: Mixture) -> Run:
    import torch  # noqa: PLC0415  may be missing

    torch.set_num_threads(1)
    # Otherwise it takes other sizes for changing ones, and gives up compiling after a few mixtures.
    torch._dynamo.reset()
    logs, means, factors = (torch.from_numpy(part.astype(np.float32)) for part in terms_of(mixture))
    diagonal, is_diagonal = torch.diagonal(factors, dim1=1, dim2=2), mixture.is_diagonal

    def density(pixels: Any) -> Any:
        sums = pixels[..., None, :] - means
        sums = sums * diagonal if is_diagonal else (sums[..., None, :] * factors).sum(-1)
        return torch.exp(logs - (sums * sums).sum(-1)).sum(-1)

    compiled = torch.compile(density, dynamic=False)

    def run() -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(compiled(torch.from_numpy(image.astype(np.float32, copy=False))).numpy())

    return run


def _numba(dtype: type[np.floating[Any]], *, fast: bool) -> Callable[[Image, Mixture], Run]:
    def prepare(image: Image, mixture: Mixture) -> Run:
        import numba  # noqa: PLC0415  may be missing

        logs, means, factors = (part.astype(dtype) for part in terms_of(mixture))
        n_kernels, n_channels, is_diagonal = *mixture.means.shape, mixture.is_diagonal

        @numba.njit(fastmath=fast)
        def density(pixels: Any, out: Any) -> None:
            for i in range(len(out)):
                total = dtype(0)
                for k in range(n_kernels):
                    exponent = logs[k]
                    for row in range(n_channels):
                        if is_diagonal:
                            part = (dtype(pixels[i, row]) - means[k, row]) * factors[k, row, row]
                        else:
                            part = dtype(0)
                            for c in range(row + 1):
                                part += (dtype(pixels[i, c]) - means[k, c]) * factors[k, row, c]
                        exponent -= part * part
                    total += math.exp(exponent)
                out[i] = total

        def run() -> NDArray[Any]:
            out = np.empty(image.shape[:2], np.float32)
            # It has no float16.
            pixels = image.astype(np.float32) if image.dtype == np.float16 else image
            density(pixels.reshape(-1, n_channels), out.reshape(-1))
            return out

        return run

    return prepare


def _floor(image: Image, mixture: Mixture) -> Run:
    terms = terms_of(mixture)
    to_binary = np.log2(np.e)
    constants = [
        np.ascontiguousarray(part, np.float32)
        for part in (terms.logs * to_binary, terms.means, terms.factors * np.sqrt(to_binary))
    ]
    dtype = image.dtype if image.dtype.name in _C_TYPES else np.dtype(np.float32)
    function = _compile(
        PIXEL=_C_TYPES[dtype.name],
        KERNELS=mixture.n_kernels,
        CHANNELS=mixture.n_channels,
        FULL=int(not mixture.is_diagonal),
    )

    def run() -> NDArray[Any]:
        pixels = np.ascontiguousarray(image, dtype)
        out = np.empty(image.shape[:2], np.float32)
        function(pixels.ctypes.data, out.size, *(part.ctypes.data for part in constants), out.ctypes.data)
        return out

    return run


def _compile(**macros: object) -> Callable[..., None]:
    with tempfile.TemporaryDirectory(prefix="floor-", ignore_cleanup_errors=True) as directory:
        library = str(Path(directory) / "floor.so")
        flags = [f"-D{name}={value}" for name, value in macros.items()]
        options = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
        subprocess.run(["cc", *options, *flags, str(FLOOR), "-o", library, "-lm"], check=True)  # noqa: S607
        function: Any = ctypes.CDLL(library).density
    pointer = ctypes.c_void_p
    function.argtypes = [pointer, ctypes.c_ssize_t, pointer, pointer, pointer, pointer]
    function.restype = None
    return function  # type: ignore[no-any-return]


COMPETITORS = {
    "sklearn": Way("scikit-learn score_samples", _scikit_learn, ("sklearn",), share=32),
    "numexpr": Way("plain numexpr, in strips", _numexpr, share=8, most_channels=8),
    "blosc2": Way(
        "blosc2 lazy expression, float32", _blosc2_lazy, ("blosc2",), most_kernels=64, most_channels=8
    ),
    "blosc2-kernel": Way("blosc2 DSL kernel, float32", _blosc2_kernel, ("blosc2",), most_channels=8),
    "numba-float64": Way("Numba by hand, float64", _numba(np.float64, fast=False), ("numba",), share=4),
    "numba-float32": Way(
        "Numba by hand, float32, fastmath", _numba(np.float32, fast=True), ("numba",), share=4
    ),
    "torch": Way("torch.compile, float32", _torch, ("torch",), ("c++",)),
    "jax": Way("JAX, float32", _jax, ("jax",)),
    "floor": Way("C by hand, float32", _floor, (), ("cc",)),
}
