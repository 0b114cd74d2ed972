"""Sums of exponentials in one pass over pixels, compiled by Numba: exponents, exponentials and sums together.

The ``exp`` that Numba compiles isn't vectorized. Here a power of 2 is split into an integer, which becomes
the exponent of a float64, and a fraction between -1/2 and 1/2, for which a polynomial is evaluated. The loops
over the pixels of a tile have no branches, so that LLVM compiles them to vector instructions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple
from numpy.polynomial import Polynomial

from pipeline.compute.compiled import compiled, inlined
from pipeline.compute.instructions import TILE
from pipeline.compute.log_sum import FLOOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Numbers = tuple[float, ...]

# The loops over the parameters of a kernel are unrolled up to this number of parameters.
_MOST_UNROLLED = 12
# Adding this number rounds a float64 to an integer, which is then in the lowest bits.
ROUNDER = 1.5 * 2.0**52
# Smaller powers of 2 are 0.
_LOWEST_POWER = -1023.0
# Smaller sums may have lost digits. Their logarithms are computed relative to the highest exponent.
_SMALL = 2.0**-900
LOG2_E = math.log2(math.e)
LN_2 = math.log(2)
# The series of 2 atanh(z) / z in powers of z**2, the highest first. Since abs(z) is at most 0.172, the first
# power that is left out is below 1e-18.
_ATANH = tuple(2.0 / n for n in range(21, 0, -2))
# The bits of sqrt(1/2) and of 1 as float64.
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
_ONE_BITS = 0x3FF0000000000000

# Its first parameter is typed as if a caller had to pass it.
_to_tuple: Any = to_fixed_tuple


def coefficients(degree: int) -> Numbers:
    """Return the coefficients of a polynomial for 2**f, where f is between -1/2 and 1/2.

    Parameters
    ----------
    degree : int

    Returns
    -------
    tuple of float
        The highest power comes first. The polynomial interpolates at Chebyshev nodes, so that its relative
        error is about ``2 * (log(2) / 4)**(degree + 1) / factorial(degree + 1)``, or 2e-15 if that is less,
        because the coefficients are rounded.
    """
    nodes = 0.5 * np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    fitted = Polynomial.fit(nodes, 2.0**nodes, degree, domain=[-0.5, 0.5], window=[-0.5, 0.5])
    return tuple(fitted.coef[::-1].tolist())


@inlined
def power_of_2(number: float, polynomial: Numbers) -> float:
    """Return 2**number, or 0 for the smallest numbers."""
    number = number if number > _LOWEST_POWER else _LOWEST_POWER
    shifted = number + ROUNDER
    return raised(number - (shifted - ROUNDER), shifted, polynomial)


@inlined
def raised(fraction: float, shifted: float, polynomial: Numbers) -> float:
    """Return 2 to the power of a fraction and of the integer in the lowest bits of a shifted number."""
    value = polynomial[0]
    for power in range(1, len(polynomial)):
        value = value * fraction + polynomial[power]
    bits = (np.float64(shifted).view(np.int64) << 52) + np.int64(_ONE_BITS)
    return value * np.int64(bits).view(np.float64)


@inlined
def logarithm_of_2(number: float) -> float:
    """Return the binary logarithm of a normal number above 0."""
    bits = np.float64(number).view(np.int64)
    power = (bits - np.int64(_ROOT_HALF_BITS)) >> 52
    # The mantissa is between sqrt(1/2) and sqrt(2).
    mantissa = np.int64(bits - (power << 52)).view(np.float64)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio
    value = _ATANH[0]
    for term in range(1, len(_ATANH)):
        value = value * square + _ATANH[term]
    return np.float64(power) + ratio * value * LOG2_E


@inlined
def _exponent(tile: Array, i: int, means: Numbers, factors: Numbers, offset: float, is_full: bool) -> float:
    """Return the exponent of a kernel at pixel `i` of a tile. Loops over tuples are unrolled."""
    value = offset
    for row in range(len(means)):
        if is_full:
            root = 0.0
            for column in range(row + 1):
                root += (tile[column, i] - means[column]) * factors[row * len(means) + column]
        else:
            root = (tile[row, i] - means[row]) * factors[row]
        value -= root * root
    return value


@compiled
def _fill_exponents(
    tile: Array, means: Array, factors: Array, offset: float, is_full: bool, roots: Array, exponents: Array
) -> None:
    """Fill an array with the exponents of a kernel at the pixels of a tile, for any number of channels."""
    for i in range(TILE):
        exponents[i] = offset
    for row in range(len(means)):
        for i in range(TILE):
            roots[i] = 0.0
        for column in range(0 if is_full else row, row + 1):
            factor = factors[row * len(means) + column] if is_full else factors[row]
            mean, plane = means[column], tile[column]
            for i in range(TILE):
                roots[i] += (plane[i] - mean) * factor
        for i in range(TILE):
            exponents[i] -= roots[i] * roots[i]


@compiled
def _take_logarithms(
    tile: Array, sums: Array, means: Array, factors: Array, offsets: Array, is_full: bool, polynomial: Numbers
) -> None:
    """Replace the sums of a tile by their natural logarithms."""
    lowest = sums[0]
    for i in range(TILE):
        lowest = sums[i] if sums[i] < lowest else lowest
    if lowest >= _SMALL:
        for i in range(TILE):
            sums[i] = logarithm_of_2(sums[i]) * LN_2
        return
    roots, exponents, peaks, totals = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for i in range(TILE):
        peaks[i], totals[i] = FLOOR, 0.0
    for kernel in range(len(offsets)):
        _fill_exponents(tile, means[kernel], factors[kernel], offsets[kernel], is_full, roots, exponents)
        for i in range(TILE):
            peaks[i] = exponents[i] if exponents[i] > peaks[i] else peaks[i]
    for kernel in range(len(offsets)):
        _fill_exponents(tile, means[kernel], factors[kernel], offsets[kernel], is_full, roots, exponents)
        for i in range(TILE):
            exponent = exponents[i] if exponents[i] > FLOOR else FLOOR
            totals[i] += power_of_2(exponent - peaks[i], polynomial)
    for i in range(TILE):
        # A pixel has the same bits whatever pixels are beside it.
        is_small = sums[i] < _SMALL
        logarithm = logarithm_of_2(totals[i] if is_small else sums[i])
        sums[i] = (logarithm + (peaks[i] if is_small else 0.0)) * LN_2


@inlined
def _fill_tile(tile: Array, planes: Array, start: int, n_pixels: int) -> None:
    """Copy pixels into a tile. If it is longer, its last pixels stay as they are."""
    for channel in range(len(tile)):
        for i in range(n_pixels):
            tile[channel, i] = planes[channel, start + i]


@inlined
def _restore_nan(tile: Array, sums: Array) -> None:
    """Make NaN of the sums of pixels that have a NaN in any channel."""
    for channel in range(len(tile)):
        for i in range(TILE):
            sums[i] += tile[channel, i] * 0.0


@lru_cache(maxsize=64)
def compile_reduction(n_channels: int, *, is_full: bool, is_log: bool, degree: int) -> Callable[..., None]:
    """Return a function that sums the exponentials of kernels at every pixel.

    Parameters
    ----------
    n_channels : int
    is_full : bool
        Whether a square depends on several channels.
    is_log : bool
        Whether the natural logarithms of the sums are wanted, which neither overflow nor underflow.
    degree : int
        As for :func:`coefficients`.

    Returns
    -------
    callable
        It takes channel planes of shape (C, n), `means` (K, C), `factors` (K, C) or (K, C * C) and `offsets`
        (K,), and fills `out` (n,). All are contiguous arrays of float64. An exponent is a power of 2: the
        offset minus the squares of the rows, which are products of factors with deviations from the mean.
        The function is compiled at its first call, which takes a second or two, and is then kept on the disk.
    """
    polynomial = coefficients(degree)
    n_factors = n_channels**2 if is_full else n_channels

    @compiled
    def reduce_unrolled(planes: Array, means: Array, factors: Array, offsets: Array, out: Array) -> None:
        tile, sums = np.zeros((n_channels, TILE)), np.empty(TILE)
        for start in range(0, len(out), TILE):
            n_pixels = min(TILE, len(out) - start)
            _fill_tile(tile, planes, start, n_pixels)
            for i in range(TILE):
                sums[i] = 0.0
            for kernel in range(len(offsets)):
                offset = offsets[kernel]
                mean = _to_tuple(means[kernel], n_channels)
                factor = _to_tuple(factors[kernel], n_factors)
                for i in range(TILE):
                    sums[i] += power_of_2(_exponent(tile, i, mean, factor, offset, is_full), polynomial)
            if is_log:
                _take_logarithms(tile, sums, means, factors, offsets, is_full, polynomial)
            _restore_nan(tile, sums)
            for i in range(n_pixels):
                out[start + i] = sums[i]

    @compiled
    def reduce_by_channels(planes: Array, means: Array, factors: Array, offsets: Array, out: Array) -> None:
        tile, sums = np.zeros((n_channels, TILE)), np.empty(TILE)
        roots, exponents = np.empty(TILE), np.empty(TILE)
        for start in range(0, len(out), TILE):
            n_pixels = min(TILE, len(out) - start)
            _fill_tile(tile, planes, start, n_pixels)
            for i in range(TILE):
                sums[i] = 0.0
            for kernel in range(len(offsets)):
                mean, factor = means[kernel], factors[kernel]
                _fill_exponents(tile, mean, factor, offsets[kernel], is_full, roots, exponents)
                for i in range(TILE):
                    sums[i] += power_of_2(exponents[i], polynomial)
            if is_log:
                _take_logarithms(tile, sums, means, factors, offsets, is_full, polynomial)
            _restore_nan(tile, sums)
            for i in range(n_pixels):
                out[start + i] = sums[i]

    chosen: Callable[..., None]
    chosen = reduce_unrolled if n_factors + n_channels <= _MOST_UNROLLED else reduce_by_channels
    return chosen
