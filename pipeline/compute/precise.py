"""Quantities at few pixels in double-double arithmetic, for the pixels at which float64 loses digits.

At a thousand standard deviations from a mean, a logarithm is near -5e5, and its last digit near 1e-10. That
is too coarse for posteriors and ratios, which are differences of such logarithms. A covariance of condition
1e8 loses as many digits by cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.double import Double, add, difference, from_decimals, log_sums, multiply, square
from pipeline.compute.formulas import formula_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent
    from pipeline.models.quantity import Quantity

    Array = NDArray[np.float64]

# The number of kernels times pixels that are computed at once, for temporary arrays of 128 KiB.
_VALUES = 2**14
# With fewer pixels the inner loops of NumPy are slow.
_FEWEST_PIXELS = 32


def compute_precisely(quantity: Quantity, planes: Array, dtype: np.dtype[Any]) -> Array:
    """Compute a quantity in double-double arithmetic.

    Parameters
    ----------
    quantity : Quantity
    planes : ndarray of float64, shape (C, n)
        One plane for each channel.
    dtype : dtype
        The dtype of the results. Its finite numbers limit them.

    Returns
    -------
    ndarray of float64, shape (n_results, n)
        The results, labels too, with errors of a few units in the last place. They are NaN where the
        arithmetic overflows, as it does for pixels beyond about 1e140.

    Raises
    ------
    TypeError
        If the quantity has no formula.
    """
    formula, kernels = formula_of(quantity), _kernels(quantity)
    length = planes.shape[1]
    step = max(_FEWEST_PIXELS, _VALUES // len(kernels.means))
    with np.errstate(all="ignore"):
        parts = [
            formula.finish(kernels.logarithms(planes[:, start : start + step]), dtype)
            for start in range(0, length, step)
        ]
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class _Kernels:
    """The kernels of one or several groups, as columns of shape (K, 1).

    `starts` are the first kernels of the groups. `factors[i]` are the other channels in row i of each kernel.
    """

    starts: NDArray[np.intp]
    means: Array
    factors: tuple[tuple[tuple[int, Double], ...], ...]
    scales: tuple[Double, ...]
    offsets: Double

    @classmethod
    def of(cls, groups: Sequence[Sequence[Exponent]]) -> _Kernels:
        everything = list(chain(*groups))
        channels = range(len(everything[0].rows))
        factors = []
        for i in channels:
            rows = [dict(term.rows[i].factors) for term in everything]
            used = sorted(set().union(*rows))
            factors.append(tuple((j, _column(row.get(j, Decimal(0)) for row in rows)) for j in used))
        return cls(
            np.cumsum([0, *(len(terms) for terms in groups[:-1])]),
            np.array([[row.centers[-1][1] for row in term.rows] for term in everything]),
            tuple(factors),
            tuple(_column(term.rows[i].scale for term in everything) for i in channels),
            _column(term.offset for term in everything),
        )

    def logarithms(self, planes: Array) -> Double:
        """Return the logarithm of the sum of each group, of shape (J, n), from planes of shape (C, n)."""
        deviations = [
            difference(plane, mean[:, np.newaxis]) for plane, mean in zip(planes, self.means.T, strict=True)
        ]
        exponent = self.offsets
        for deviation, factors, scale in zip(deviations, self.factors, self.scales, strict=True):
            for channel, factor in factors:
                deviation = add(deviation, multiply(deviations[channel], factor))  # noqa: PLW2901  a running sum
            exponent = add(multiply(square(deviation), scale), exponent)
        return log_sums(exponent, self.starts)


def _column(numbers: Iterable[Decimal]) -> Double:
    return from_decimals(numbers)[:, np.newaxis]


@lru_cache(maxsize=32)
def _kernels(quantity: Quantity) -> _Kernels:
    return _Kernels.of(formula_of(quantity).groups())
