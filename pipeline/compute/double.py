"""Double-double arithmetic on arrays: a number is the sum of two float64 and has about 31 digits.

The sums and products are the error-free ones of Dekker and Knuth, without a fused multiply-add. Numbers
beyond 1e292 overflow to NaN. The sum of numbers of different signs is exact to 31 digits of the larger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# This factor splits the 53 binary digits of a float64 into 26 and 27.
_SPLITTER = 2.0**27 + 1
_DIGITS = 40
# Exponentials are tabulated at whole numbers and at 4096ths. exp(-746) is 0, and exp(355)**2 overflows.
_LEAST, _MOST = -746, 355
_FINE = 4096


@dataclass(frozen=True, eq=False)
class Double:
    """The sum of two arrays. The second is at most half a unit in the last place of the first."""

    hi: Array
    lo: Array

    def __getitem__(self, index: Any) -> Double:  # noqa: ANN401  any index of NumPy
        return Double(self.hi[index], self.lo[index])

    def __setitem__(self, index: Any, value: Double) -> None:  # noqa: ANN401  the same
        self.hi[index], self.lo[index] = value.hi, value.lo


def from_decimals(numbers: Iterable[Decimal]) -> Double:
    """Return decimals rounded to double-double."""
    with localcontext() as context:
        context.prec = _DIGITS
        wanted = list(numbers)
        hi = [float(number) for number in wanted]
        lo = [float(number - Decimal(high)) for number, high in zip(wanted, hi, strict=True)]
    return Double(np.array(hi), np.array(lo))


_SIXTH = from_decimals([1 / Decimal(6)])


def difference(a: Array, b: Array) -> Double:
    """Return the exact difference of two arrays of float64."""
    s = a - b
    back = s - a
    return Double(s, (a - (s - back)) - (b + back))


def add(a: Double, b: Double) -> Double:
    """Return the sum of two numbers."""
    s = a.hi + b.hi
    back = s - a.hi
    error = (a.hi - (s - back)) + (b.hi - back)
    return _renormalized(s, error + (a.lo + b.lo))


def subtract(a: Double, b: Double) -> Double:
    """Return the difference of two numbers."""
    return add(a, Double(-b.hi, -b.lo))


def multiply(a: Double, b: Double) -> Double:
    """Return the product of two numbers."""
    p = a.hi * b.hi
    a_hi, a_lo = _split(a.hi)
    b_hi, b_lo = _split(b.hi)
    error = ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo
    return _renormalized(p, error + (a.hi * b.lo + a.lo * b.hi))


def square(a: Double) -> Double:
    """Return the square of a number."""
    p = a.hi * a.hi
    a_hi, a_lo = _split(a.hi)
    error = ((a_hi * a_hi - p) + 2 * a_hi * a_lo) + a_lo * a_lo
    return _renormalized(p, error + 2 * a.hi * a.lo)


def exponential(a: Double) -> Double:
    """Return e to the power of a, which is 0 below -746 and at most e^355."""
    within = np.clip(a.hi, _LEAST, _MOST)
    whole = np.rint(within)
    rest = within - whole
    fine = np.rint(rest * _FINE)
    rest -= fine / _FINE
    r = difference(rest, np.where(within == a.hi, -a.lo, 0))
    # The series of exp(r) for abs(r) < 1.3e-4. Its terms from the fourth on need only float64.
    r2 = square(r)
    tail = r2.hi * r2.hi * (1 / 24 + r.hi * (1 / 120 + r.hi / 720))
    sixth = multiply(multiply(r2, r), _SIXTH)
    small = add(r, add(Double(r2.hi / 2, r2.lo / 2), _renormalized(sixth.hi, sixth.lo + tail)))
    result = add(Double(np.ones_like(r.hi), np.zeros_like(r.hi)), small)
    for table, index in zip(_tables(), (whole - _LEAST, fine + _FINE // 2), strict=True):
        places = index.astype(np.intp)
        # NaN has no place in the table, but the product with it is NaN.
        factor = Double(table.hi.take(places, mode="clip"), table.lo.take(places, mode="clip"))
        result = multiply(result, factor)
    return result


def rounded_exponential(a: Double) -> Array:
    """Return e to the power of a over the whole range of float64, to about two units in the last place."""
    root = exponential(Double(a.hi / 2, a.lo / 2))
    return np.asarray(root.hi * root.hi + 2 * root.hi * root.lo)


def logarithm(a: Double) -> Double:
    """Return the natural logarithm of numbers from 1 on, by one Newton step from that of float64."""
    first = np.log(a.hi)
    zero = np.zeros_like(first)
    ratio = multiply(a, exponential(Double(-first, zero)))
    excess = add(ratio, Double(zero - 1, zero))
    return add(Double(first, zero), Double(excess.hi, excess.lo - excess.hi * excess.hi / 2))


def log_sums(exponent: Double, starts: NDArray[np.intp]) -> Double:
    """Return the log-sum-exp of each group of rows.

    Parameters
    ----------
    exponent : Double, shape (K, n)
        The rows.
    starts : ndarray of intp, shape (J,)
        The first row of each group.

    Returns
    -------
    Double, shape (J, n)
        The sums are taken relative to the highest row of each group.
    """
    lengths = np.diff(starts, append=len(exponent.hi))
    if lengths.max() == 1:
        return exponent
    groups = np.repeat(np.arange(len(starts)), lengths)
    peaks = np.maximum.reduceat(exponent.hi, starts, axis=0)
    # Both parts count: the second one of a logarithm beyond 1e18 is above 355.
    rests = np.where(exponent.hi == peaks[groups], exponent.lo, -np.inf)
    peak = Double(peaks, np.maximum.reduceat(rests, starts, axis=0))
    terms = exponential(subtract(exponent, peak[groups]))
    return add(peak, logarithm(sums(terms, lengths)))


def sums(terms: Double, lengths: NDArray[np.intp]) -> Double:
    """Return the sum of each group of rows; the terms are overwritten.

    The second half of each group is added to its first half until one row is left.
    """
    while lengths.max() > 1:
        halves = (lengths + 1) // 2
        places = np.concatenate([np.arange(length) for length in lengths])
        half = np.repeat(halves, lengths)
        firsts = np.flatnonzero(places + half < np.repeat(lengths, lengths))
        terms[firsts] = add(terms[firsts], terms[firsts + half[firsts]])
        terms, lengths = terms[places < half], halves
    return terms


def highest_row(a: Double) -> NDArray[np.intp]:
    """Return for each column the index of its highest number, the first one if several are equal."""
    rest = np.where(a.hi == a.hi.max(axis=0), a.lo, -np.inf)
    return np.asarray(rest.argmax(axis=0))


def _renormalized(a: Array, b: Array) -> Double:
    s = a + b
    return Double(s, b - (s - a))


def _split(a: Array) -> tuple[Array, Array]:
    scaled = _SPLITTER * a
    hi = scaled - (scaled - a)
    return hi, a - hi


@lru_cache(maxsize=1)
def _tables() -> tuple[Double, Double]:
    """Return tables of e to the power of whole numbers, and of 4096ths from -1/2 to 1/2."""
    with localcontext() as context:
        context.prec = _DIGITS
        whole = [Decimal(number).exp() for number in range(_LEAST, _MOST + 1)]
        fine = [(Decimal(number) / _FINE).exp() for number in range(-_FINE // 2, _FINE // 2 + 1)]
    return from_decimals(whole), from_decimals(fine)
