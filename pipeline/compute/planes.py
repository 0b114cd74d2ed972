"""Outputs over planes of pixels: the program in float64, the doubtful pixels precisely, the encoding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.arithmetic import EXPRESSIONS
from pipeline.compute.expression import compile_program
from pipeline.compute.precise import compute_precisely
from pipeline.compute.strips import flat_strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.models.output import Output
    from pipeline.models.quantity import Quantity

# The count of numbers of a strip that the program holds. They take about a megabyte and stay in the cache of
# a core. numexpr computes in blocks of 1024 pixels. With fewer than two blocks, its calls would take as much
# time as the computation.
_STRIP_VALUES = 3 * 42 * 1024
_BLOCK = 1024
# Beyond this size squares overflow, and a full covariance would subtract infinities.
_LARGEST = 1e150


def count_constants(quantity: Quantity) -> int:
    """Return the number of constants in the exponents of a quantity, to which its time is proportional."""
    n = quantity.n_channels
    return sum(
        mixture.n_kernels * (2 * n + 1 + (0 if mixture.is_diagonal else n * (n - 1) // 2))
        for mixture in quantity.mixtures
    )


def strip_length(outputs: Sequence[Output], arithmetic: Arithmetic = EXPRESSIONS) -> int:
    """Return the number of pixels that are best computed at once.

    Parameters
    ----------
    outputs : sequence of Output
    arithmetic : Arithmetic

    Returns
    -------
    int
        A multiple of 1024. It is smaller for more channels or classes.
    """
    program = compile_program(_computed(outputs), arithmetic)
    numbers = max(outputs[0].quantity.n_channels, len(program.scratch))
    return max(2 * _BLOCK, _STRIP_VALUES // numbers // _BLOCK * _BLOCK)


def program_bytes(outputs: Sequence[Output], arithmetic: Arithmetic = EXPRESSIONS) -> int:
    """Return the memory in bytes that a thread takes to compute outputs at a strip of pixels.

    Parameters
    ----------
    outputs : sequence of Output
    arithmetic : Arithmetic

    Returns
    -------
    int
        The compiled program, and the planes of the channels, of what is computed from them, and of doubts.
    """
    program = compile_program(_computed(outputs), arithmetic)
    # A lossy output is computed in float64, and its error is too.
    results = sum(2 * output.n_results for output in outputs if output.encoding.is_lossy)
    planes = outputs[0].quantity.n_channels + program.n_planes + results + len(outputs)
    return program.compiled_bytes + planes * strip_length(outputs, arithmetic) * np.dtype(np.float64).itemsize


def compute_pixels(
    outputs: Sequence[Output],
    pixels: NDArray[Any],
    results: Sequence[NDArray[Any]],
    strips: Iterable[tuple[slice, slice]],
    *,
    serial: bool,
    arithmetic: Arithmetic = EXPRESSIONS,
) -> list[float]:
    """Compute outputs at strips of pixels, with the same memory for the planes of all strips.

    Parameters
    ----------
    outputs : sequence of Output
    pixels : ndarray, shape (n, width, C)
    results : sequence of ndarray, shape (n_results, n, width)
        As for :meth:`Engine.evaluate`.
    strips : iterable of (slice, slice)
        Strips of at most :func:`strip_length` pixels, as :func:`cut_strips` yields them.
    serial, arithmetic
        As for :func:`compute_planes`.

    Returns
    -------
    list of float
        The largest error of each output whose encoding is lossy, and 0 for the others.
    """
    length = min(strip_length(outputs, arithmetic), math.prod(pixels.shape[:2]))
    memory = np.empty(pixels.shape[-1] * length)
    largest = [0.0] * len(outputs)
    for strip in strips:
        flat = [flat_strip(result, strip) for result in results]
        planes = _planes_of(pixels[strip], memory)
        errors = compute_planes(outputs, planes, flat, serial=serial, arithmetic=arithmetic)
        for number, error in enumerate(errors):
            if error is not None:
                largest[number] = max(largest[number], float(error.max()))
    return largest


def compute_planes(
    outputs: Sequence[Output],
    planes: NDArray[np.float64],
    results: Sequence[NDArray[Any]],
    *,
    serial: bool,
    arithmetic: Arithmetic = EXPRESSIONS,
) -> list[NDArray[np.float64] | None]:
    """Compute outputs at every pixel.

    Parameters
    ----------
    outputs : sequence of Output
    planes : ndarray of float64, shape (C, n)
        One contiguous plane for each channel.
    results : sequence of ndarray, shape (n_results, n)
        One array for each output, of its dtype. They are filled with the results, which are computed in
        float64 and rounded or encoded once. A pixel with a NaN channel gets the ``no_data`` value of the
        output.
    serial : bool
        If True, everything is computed in the calling thread. If False, numexpr uses as many threads as its
        settings say.
    arithmetic : Arithmetic
        How sums of exponentials are computed, by default as the reference does.

    Returns
    -------
    list of ndarray of float64, shape (n,), or None
        For each output with a lossy encoding the largest error of each pixel, and None for the others.

    Notes
    -----
    In the arithmetic of the reference the relative error is below 1e-12 for log-densities and log-ratios, and
    for densities, posteriors, confidences and entropies above 1e-300, at pixels up to about 1e140, while
    logarithms that almost cancel are below 1e18. A pixel
    has the same bits wherever it stands and whatever else is computed.
    """
    computed = _computed(outputs)
    values = [
        np.empty(result.shape, dtype) if output.encoding.is_lossy else result
        for output, (_, dtype), result in zip(outputs, computed, results, strict=True)
    ]
    doubts = compile_program(computed, arithmetic).run(planes, values, serial=serial)
    for (quantity, dtype), array, doubt in zip(computed, values, doubts, strict=True):
        doubtful = np.flatnonzero(doubt > 0) if doubt is not None else ()
        if len(doubtful):
            exact = compute_precisely(quantity, planes[:, doubtful], dtype)
            array[:, doubtful] = np.where(np.isnan(exact), array[:, doubtful], exact)
    return [
        output.encoding.encode(array, result).max(axis=0) if output.encoding.is_lossy else None
        for output, array, result in zip(outputs, values, results, strict=True)
    ]


def _planes_of(pixels: NDArray[Any], memory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels of shape (h, w, C) as contiguous planes of shape (C, h * w), which lie in the memory."""
    height, width, n_channels = pixels.shape
    planes = memory[: pixels.size].reshape(n_channels, height, width)
    np.copyto(planes, np.moveaxis(pixels, -1, 0))
    # Floats of every size can be infinite.
    if pixels.dtype.kind == "f":
        np.clip(planes, -_LARGEST, _LARGEST, out=planes)
    return planes.reshape(n_channels, -1)


def _computed(outputs: Sequence[Output]) -> tuple[tuple[Quantity, np.dtype[Any]], ...]:
    """Return the quantities, and the dtypes in which they are computed before they are encoded."""
    return tuple((output.quantity, output.encoding.computed_dtype) for output in outputs)
