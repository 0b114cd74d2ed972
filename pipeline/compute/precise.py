"""Quantities at few pixels in double-double arithmetic, for where float64 loses digits.

A thousand standard deviations away a logarithm is near -5e5, and its last digit near 1e-10: too coarse for
the posteriors and ratios that are made of it. A covariance of condition 1e8 loses as much by cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.double import (
    Double,
    add,
    difference,
    exponential,
    from_decimals,
    logarithm,
    multiply,
    rounded_exponential,
    square,
    subtract,
)
from pipeline.compute.exponent import exponents
from pipeline.models.quantity import Density, Label, LogDensity, LogRatio, Posterior

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent
    from pipeline.models.quantity import Quantity

    Array = NDArray[np.float64]

# Kernels times pixels that are computed at once: a temporary array of 128 KiB.
_VALUES = 2**14
# For the sake of NumPy's inner loops.
_FEWEST_PIXELS = 32


def compute_precisely(quantity: Quantity, planes: Array, dtype: np.dtype[Any]) -> Array:
    """Compute a quantity in double-double arithmetic.

    Parameters
    ----------
    quantity : Quantity
        Not a packed one.
    planes : ndarray of float64, shape (C, n)
        One plane a channel.
    dtype : dtype
        Of the results, whose finite numbers limit them.

    Returns
    -------
    ndarray of float64, shape (n_results, n)
        Off by some units of float64's last digit; labels as floats. NaN where the arithmetic overflows, as it
        does for pixels beyond some 1e140.

    Raises
    ------
    TypeError
        If the quantity is none of this package, or a packed one.
    """
    kernels = _kernels(quantity)
    length = planes.shape[1]
    step = max(_FEWEST_PIXELS, _VALUES // len(kernels.means))
    with np.errstate(all="ignore"):
        parts = [
            _results(quantity, kernels.logarithms(planes[:, start : start + step]), dtype)
            for start in range(0, length, step)
        ]
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class _Kernels:
    """Kernels of one or several classes, as columns of shape (K, 1).

    `starts` are the classes' first kernels. `factors[i]` are the other channels in a kernel's row i.
    """

    starts: NDArray[np.intp]
    means: Array
    factors: tuple[tuple[tuple[int, Double], ...], ...]
    scales: tuple[Double, ...]
    offsets: Double

    @classmethod
    def of(cls, classes: Sequence[Sequence[Exponent]]) -> _Kernels:
        everything = list(chain(*classes))
        channels = range(len(everything[0].rows))
        factors = []
        for i in channels:
            rows = [dict(term.rows[i].factors) for term in everything]
            used = sorted(set().union(*rows))
            factors.append(tuple((j, _column(row.get(j, Decimal(0)) for row in rows)) for j in used))
        return cls(
            np.cumsum([0, *(len(terms) for terms in classes[:-1])]),
            np.array([[row.centers[-1][1] for row in term.rows] for term in everything]),
            tuple(factors),
            tuple(_column(term.rows[i].scale for term in everything) for i in channels),
            _column(term.offset for term in everything),
        )

    def logarithms(self, planes: Array) -> Double:
        """Take the logarithm of each class's weighted density: (J, n) of (C, n) planes."""
        deviations = [
            difference(plane, mean[:, np.newaxis]) for plane, mean in zip(planes, self.means.T, strict=True)
        ]
        exponent = self.offsets
        for deviation, factors, scale in zip(deviations, self.factors, self.scales, strict=True):
            for channel, factor in factors:
                deviation = add(deviation, multiply(deviations[channel], factor))  # noqa: PLW2901  a running sum
            exponent = add(multiply(square(deviation), scale), exponent)
        return _log_sums(exponent, self.starts)


def _column(numbers: Iterable[Decimal]) -> Double:
    return from_decimals(numbers)[:, np.newaxis]


@lru_cache(maxsize=32)
def _kernels(quantity: Quantity) -> _Kernels:
    if isinstance(quantity, Density | LogDensity):
        return _Kernels.of(exponents(quantity.mixtures, normalized=quantity.normalized))
    if isinstance(quantity, LogRatio):
        return _Kernels.of(exponents(quantity.mixtures))
    if isinstance(quantity, Posterior | Label):
        return _Kernels.of(exponents(quantity.members, priors=quantity.priors))
    raise TypeError(f"{quantity!r:.80} isn't a quantity of this package that can be computed precisely")


def _log_sums(exponent: Double, starts: NDArray[np.intp]) -> Double:
    """Take the log-sum-exp of each class's rows, relative to its highest."""
    lengths = np.diff(starts, append=len(exponent.hi))
    if lengths.max() == 1:
        return exponent
    peaks = np.maximum.reduceat(exponent.hi, starts, axis=0)
    peak = Double(peaks, np.zeros_like(peaks))
    terms = exponential(subtract(exponent, peak[np.repeat(np.arange(len(starts)), lengths)]))
    return add(peak, logarithm(_sums(terms, lengths)))


def _sums(terms: Double, lengths: NDArray[np.intp]) -> Double:
    """Sum each class's rows: its second half is added to its first until one is left."""
    while lengths.max() > 1:
        halves = (lengths + 1) // 2
        places = np.concatenate([np.arange(length) for length in lengths])
        half = np.repeat(halves, lengths)
        firsts = np.flatnonzero(places + half < np.repeat(lengths, lengths))
        terms[firsts] = add(terms[firsts], terms[firsts + half[firsts]])
        terms, lengths = terms[places < half], halves
    return terms


def _results(quantity: Quantity, logs: Double, dtype: np.dtype[Any]) -> Array:
    """Turn the classes' logarithms, shape (J, n), into the results."""
    if isinstance(quantity, Label):
        return _first_highest(logs)
    if isinstance(quantity, Posterior):
        evidence = _log_sums(logs, np.zeros(1, np.intp))
        if quantity.only is not None:
            logs = logs[[quantity.names.index(quantity.only)]]
        return np.minimum(rounded_exponential(subtract(logs, evidence)), 1)
    largest = float(np.finfo(dtype).max)
    if isinstance(quantity, Density):
        return np.minimum(rounded_exponential(logs), largest)
    if isinstance(quantity, LogRatio):
        logs = subtract(logs[:1], logs[1:])
    return np.clip(logs.hi, -largest, largest)


def _first_highest(logs: Double) -> Array:
    highest = logs.hi.max(axis=0)
    rest = np.where(logs.hi == highest, logs.lo, -np.inf)
    return np.where(np.isnan(highest), np.nan, rest.argmax(axis=0))[np.newaxis]
