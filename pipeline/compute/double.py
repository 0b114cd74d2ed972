"""Double-double arithmetic: a number as the sum of two float64, to about 31 digits, on whole arrays.

Dekker's and Knuth's error-free sums and products, without a fused multiply-add. Numbers beyond 1e292
overflow to NaN. Sums of numbers of different signs are exact to 31 digits of the larger one.
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

# Splits 53 digits into 26 and 27.
_SPLITTER = 2.0**27 + 1
_DIGITS = 40
# Exponentials are tabled at whole numbers and at 4096ths. exp(-746) is 0, and exp(355) squared overflows.
_LEAST, _MOST = -746, 355
_FINE = 4096


@dataclass(frozen=True, eq=False)
class Double:
    """The sum of two arrays, of which the second is at most half a last digit of the first."""

    hi: Array
    lo: Array

    def __getitem__(self, index: Any) -> Double:  # noqa: ANN401  whatever NumPy takes
        return Double(self.hi[index], self.lo[index])

    def __setitem__(self, index: Any, value: Double) -> None:  # noqa: ANN401  the same
        self.hi[index], self.lo[index] = value.hi, value.lo


def from_decimals(numbers: Iterable[Decimal]) -> Double:
    """Round decimals to double-double."""
    with localcontext() as context:
        context.prec = _DIGITS
        wanted = list(numbers)
        hi = [float(number) for number in wanted]
        lo = [float(number - Decimal(high)) for number, high in zip(wanted, hi, strict=True)]
    return Double(np.array(hi), np.array(lo))


_SIXTH = from_decimals([1 / Decimal(6)])


def difference(a: Array, b: Array) -> Double:
    """Subtract float64, exactly."""
    s = a - b
    back = s - a
    return Double(s, (a - (s - back)) - (b + back))


def add(a: Double, b: Double) -> Double:
    """Add."""
    s = a.hi + b.hi
    back = s - a.hi
    error = (a.hi - (s - back)) + (b.hi - back)
    return _renormalized(s, error + (a.lo + b.lo))


def subtract(a: Double, b: Double) -> Double:
    """Subtract."""
    return add(a, Double(-b.hi, -b.lo))


def multiply(a: Double, b: Double) -> Double:
    """Multiply."""
    p = a.hi * b.hi
    a_hi, a_lo = _split(a.hi)
    b_hi, b_lo = _split(b.hi)
    error = ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo
    return _renormalized(p, error + (a.hi * b.lo + a.lo * b.hi))


def square(a: Double) -> Double:
    """Square."""
    p = a.hi * a.hi
    a_hi, a_lo = _split(a.hi)
    error = ((a_hi * a_hi - p) + 2 * a_hi * a_lo) + a_lo * a_lo
    return _renormalized(p, error + 2 * a.hi * a.lo)


def exponential(a: Double) -> Double:
    """Take e to the power of a: 0 below -746, and no more than e^355."""
    within = np.clip(a.hi, _LEAST, _MOST)
    whole = np.rint(within)
    rest = within - whole
    fine = np.rint(rest * _FINE)
    rest -= fine / _FINE
    r = difference(rest, np.where(within == a.hi, -a.lo, 0))
    # exp(r) for abs(r) < 1.3e-4, of which terms from the fourth on need no more than float64.
    r2 = square(r)
    tail = r2.hi * r2.hi * (1 / 24 + r.hi * (1 / 120 + r.hi / 720))
    sixth = multiply(multiply(r2, r), _SIXTH)
    small = add(r, add(Double(r2.hi / 2, r2.lo / 2), _renormalized(sixth.hi, sixth.lo + tail)))
    result = add(Double(np.ones_like(r.hi), np.zeros_like(r.hi)), small)
    for table, index in zip(_tables(), (whole - _LEAST, fine + _FINE // 2), strict=True):
        places = index.astype(np.intp)
        # NaN has no place, but stays NaN by what it is multiplied with.
        factor = Double(table.hi.take(places, mode="clip"), table.lo.take(places, mode="clip"))
        result = multiply(result, factor)
    return result


def rounded_exponential(a: Double) -> Array:
    """Take e to the power of a over the whole range of float64, to about two units of the last digit."""
    root = exponential(Double(a.hi / 2, a.lo / 2))
    return np.asarray(root.hi * root.hi + 2 * root.hi * root.lo)


def logarithm(a: Double) -> Double:
    """Take the natural logarithm of numbers from 1 on, by one Newton step from float64's."""
    first = np.log(a.hi)
    zero = np.zeros_like(first)
    ratio = multiply(a, exponential(Double(-first, zero)))
    excess = add(ratio, Double(zero - 1, zero))
    return add(Double(first, zero), Double(excess.hi, excess.lo - excess.hi * excess.hi / 2))


def _renormalized(a: Array, b: Array) -> Double:
    s = a + b
    return Double(s, b - (s - a))


def _split(a: Array) -> tuple[Array, Array]:
    scaled = _SPLITTER * a
    hi = scaled - (scaled - a)
    return hi, a - hi


@lru_cache(maxsize=1)
def _tables() -> tuple[Double, Double]:
    """Tabulate e to the powers of whole numbers, and of 4096ths from -1/2 to 1/2."""
    with localcontext() as context:
        context.prec = _DIGITS
        whole = [Decimal(number).exp() for number in range(_LEAST, _MOST + 1)]
        fine = [(Decimal(number) / _FINE).exp() for number in range(-_FINE // 2, _FINE // 2 + 1)]
    return from_decimals(whole), from_decimals(fine)
