"""Formulas of the quantities of one mixture or of two: density, log-density, log-ratio.

Sums of exponentials are taken relative to the highest exponent, so that none overflows or underflows.
"""

from __future__ import annotations

import math
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.arithmetic import EXPRESSIONS
from pipeline.compute.bound import LOWEST
from pipeline.compute.double import rounded_exponential, subtract
from pipeline.compute.exponent import exponents
from pipeline.compute.formula import Formula
from pipeline.compute.program import DOUBT, Step
from pipeline.compute.reduction import limited
from pipeline.models.mixture_quantities import Density, LogDensity, LogRatio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.compute.double import Double
    from pipeline.compute.formula import Groups
    from pipeline.models.quantity import Quantity


class DensityFormula(Formula[Density]):
    """The sum of the exponentials. Few mixtures have a pixel that is doubtful."""

    def groups(self) -> Groups:
        """Return the exponents of the mixture."""
        return exponents(self.quantity.mixtures, normalized=self.quantity.normalized)

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps that sum the exponentials, with a limit or a doubt only where one is needed."""
        (terms,) = self.groups()
        bound = arithmetic.sum_bound(terms)
        # No rounding exceeds the tolerated error where abs(log density) is at most this.
        reach = (arithmetic.tolerated - bound.constant) / bound.slope
        highest = max(float(term.offset) for term in terms) + bound.spread
        largest = float(np.finfo(dtype).max)
        is_limited = highest > math.log(largest)
        doubts = reach < max(-math.log(LOWEST), highest)
        if not (is_limited or doubts):
            return arithmetic.sum_steps(terms, "out0")
        steps = arithmetic.sum_steps(terms, "total")
        steps.append(Step("out0", f"minimum(total, {largest!r})", ("total",)))
        if doubts:
            # The logarithm of a high density counts too. If it can exceed the reach, all pixels are doubtful.
            below = math.exp(-reach) if reach > max(highest, 0) else sys.float_info.max
            text = f"where((total > {LOWEST / 2!r}) & (total < {below!r}), 1.0, 0.0)"
            steps.append(Step(DOUBT, text, ("total",)))
        return steps

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> NDArray[np.float64]:
        """Return the exponential of the logarithm."""
        return np.minimum(rounded_exponential(logarithms), float(np.finfo(dtype).max))


class LogDensityFormula(Formula[LogDensity]):
    """The log-sum-exp of the exponents, limited to the finite numbers of the dtype."""

    def groups(self) -> Groups:
        """Return the exponents of the mixture."""
        return exponents(self.quantity.mixtures, normalized=self.quantity.normalized)

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps of the log-sum-exp. The logarithm of a density near 1 is doubtful."""
        (terms,) = self.groups()
        slope, constant, _ = arithmetic.log_bound(terms)
        doubt = f"abs(logarithm)*{slope - arithmetic.tolerated!r} + {constant!r}"
        return [
            *arithmetic.log_steps(terms, "logarithm"),
            Step("out0", _limited("logarithm", dtype), ("logarithm",)),
            Step(DOUBT, doubt, ("logarithm",)),
        ]

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> NDArray[np.float64]:
        """Return the logarithm."""
        return _clipped(logarithms, dtype)


class LogRatioFormula(Formula[LogRatio]):
    """The difference of two log-densities, limited to the finite numbers of the dtype."""

    def groups(self) -> Groups:
        """Return the exponents of the numerator and those of the denominator."""
        return exponents(self.quantity.mixtures)

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps of both log-densities. A difference far smaller than these is doubtful."""
        planes = ("numerator", "denominator")
        groups = self.groups()
        steps = map(arithmetic.log_steps, groups, planes)
        above, below = map(arithmetic.log_bound, groups)
        doubt = (
            f"abs(numerator)*{above.slope!r} + abs(denominator)*{below.slope!r} "
            f"+ {above.constant + below.constant!r} - abs(numerator - denominator)*{arithmetic.tolerated!r}"
        )
        return [
            *chain(*steps),
            Step("out0", _limited("numerator - denominator", dtype), planes),
            Step(DOUBT, doubt, planes),
        ]

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> NDArray[np.float64]:
        """Return the difference of the logarithms."""
        return _clipped(subtract(logarithms[:1], logarithms[1:]), dtype)


def _limited(text: str, dtype: np.dtype[Any]) -> str:
    largest = float(np.finfo(dtype).max)
    return limited(text, -largest, largest)


def _clipped(values: Double, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    largest = float(np.finfo(dtype).max)
    return np.clip(values.hi, -largest, largest)


FORMULAS: dict[type[Quantity], type[Formula[Any]]] = {
    Density: DensityFormula,
    LogDensity: LogDensityFormula,
    LogRatio: LogRatioFormula,
}
