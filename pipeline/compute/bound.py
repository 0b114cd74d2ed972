"""Bounds of rounding errors: how far a sum of exponentials, or its logarithm, can be from the exact value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pipeline.compute.reduction import SUM_LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compute.exponent import Exponent

# Half a unit in the last place of float64, relative to the number: the error of one rounding.
UNIT = 2.0**-53
# Densities, posteriors, confidences and entropies below this value may be less exact.
LOWEST = 1e-300


class Bound(NamedTuple):
    """A sum of exponentials has a relative error of at most ``slope * abs(its logarithm) + constant``.

    Notes
    -----
    The errors of the exponents e_k count by the shares p_k of their exponentials in the sum. The sum over k
    of p_k abs(e_k) is at most abs(log sum) plus the entropy of the shares, which is at most `spread`, log n.
    The same holds with the highest exponent in the place of the logarithm. Besides, each exponential has two
    roundings, and the sum has one for each level and for each step.
    """

    slope: float
    constant: float
    spread: float

    @classmethod
    def of_sum(cls, terms: Sequence[Exponent], n_steps: int) -> Bound:
        """Return the bound of a sum of the exponentials of some exponents, computed in so many steps."""
        amplification = max(term.amplification for term in terms)
        spread = math.log(len(terms))
        offset = max(term.offset_error for term in terms)
        roundings = amplification * spread + offset + 2 + SUM_LEVELS + n_steps
        return cls(amplification * UNIT, roundings * UNIT, spread)

    def of_log(self) -> Bound:
        """Return the bound of the absolute error of the log-sum-exp.

        Three more roundings count: the differences from the highest exponent, the logarithm, and its sum with
        the highest exponent.
        """
        return Bound(self.slope + UNIT, self.constant + 3 * self.spread * UNIT, self.spread)

    @classmethod
    def of_classes(cls, bounds: Sequence[Bound]) -> Bound:
        """Return one bound for the logarithms of several classes. `spread` counts the classes."""
        slope, constant = (max(bound[part] for bound in bounds) for part in (0, 1))
        return cls(slope, constant, math.log(len(bounds)))
