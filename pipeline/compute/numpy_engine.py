"""The engine ``numpy``: it computes every pixel by matrix products and NumPy's exponential."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.compute.arithmetic import Arithmetic
from pipeline.compute.arithmetic_engine import ArithmeticEngine
from pipeline.compute.bound import UNIT, Bound
from pipeline.compute.features import FeatureSum, expand
from pipeline.compute.formulas import formula_of
from pipeline.compute.program import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compute.exponent import Exponent
    from pipeline.models.output import Output

# Rounded to float32, results with this relative error are the reference's, or a number next to that.
_TOLERATED = 5e-8
# An output is refused if more than this part of the tolerated error is used up by exponents down to -100,
# near which most pixels of most images are. Quantities of several logarithms have up to four such errors.
_USED = 0.25
_USUAL = 100.0
# Squares are at most 1e300. A sum of positive and negative products must not overflow; one of negative
# products may.
_LARGEST_FULL, _LARGEST_DIAGONAL = 1e7, 1e100
# Farther from 0, the squares of deviations from a center could be more than those of pixels, 1e300.
_FARTHEST = 1e149
# Converting a pixel, a sum over kernels, an exponential, a multiplication, and one tile at the first call:
# tests/benchmarks/pixels.py
_SECONDS_PER_PIXEL = 3e-9
_SECONDS_PER_SUM = 9e-9
_SECONDS_PER_KERNEL = 0.75e-9
_SECONDS_PER_PRODUCT = 0.045e-9
_SECONDS_AT_FIRST = 2e-4
# The buffers of BLAS.
_BLAS_BYTES = 2**20


@dataclass(frozen=True)
class FeatureArithmetic(Arithmetic):
    """The arithmetic of products of coefficients and features in float64.

    Notes
    -----
    A term of an exponent is the product of a coefficient, rounded once, and a feature, which has at most
    three roundings: two differences from the center and their product. The product and the sum over F
    features have F roundings for each term, in any order, and fewer if products and sums are rounded
    together. One more covers the terms of higher order. So the error of an exponent e is at most F + 5 units
    times the sum of the absolute terms, which is at most 2 c Q + abs(offset) + r for the condition c and the
    remainder r of :class:`~pipeline.compute.features.Expansion`, and Q is at most abs(e) + max(offset, 0).

    NumPy's exponential has an error of at most 4 units in the last place, 8 roundings, and the sum of K
    exponentials has K. As :class:`~pipeline.compute.bound.Bound` says, the errors of exponents that grow with
    abs(e) count by the logarithm of the sum and its spread.

    The logarithm of the sum has an error of at most 8 roundings. If the sum is relative to the highest
    exponent, the differences are rounded, which counts by the spread, and so is the last sum.
    """

    @property
    def tolerated(self) -> float:
        """The relative error of a result from which on a pixel is computed again in double-double."""
        return _TOLERATED

    def sum_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return one reduction."""
        return [Step(target, FeatureSum(tuple(terms), is_log=False), ())]

    def log_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return one reduction."""
        return [Step(target, FeatureSum(tuple(terms), is_log=True), ())]

    def sum_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound of the exponents, of the exponentials and of the sum."""
        expansion = expand(tuple(terms))
        spread = math.log(len(terms))
        offsets = np.array([float(term.offset) for term in terms])
        units = (expansion.n_features + 5) * UNIT
        slope = 2 * units * float(expansion.conditions.max())
        others = 2 * expansion.conditions * np.maximum(offsets, 0) + np.abs(offsets) + expansion.remainders
        constant = units * float(others.max()) + slope * spread + (8 + len(terms)) * UNIT
        return Bound(slope, constant, spread)

    def log_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound of the sum, with the roundings of the logarithm."""
        slope, constant, spread = self.sum_bound(terms)
        return Bound(slope + 9 * UNIT, constant + 10 * spread * UNIT, spread)


ARITHMETIC = FeatureArithmetic()


class NumpyEngine(ArithmeticEngine):
    """The engine of matrix products, which needs NumPy alone."""

    name: ClassVar[str] = "numpy"

    def refusal(self, output: Output, dtype: np.dtype[Any]) -> str | None:
        """Return a reason for float64, and for mixtures whose exponents would be inexact or overflow."""
        if output.dtype == np.float64:
            return "results in float64 need smaller errors than those of matrix products"
        if (reason := super().refusal(output, dtype)) is not None:
            return reason
        groups = formula_of(output.quantity).summed()
        for expansion in map(expand, groups):
            if not expansion.largest < (_LARGEST_FULL if expansion.is_full else _LARGEST_DIAGONAL):
                return "a kernel has so small a variance that its exponents may exceed the range of float64"
        if max(np.abs(expansion.centers).max() for expansion in map(expand, groups)) > _FARTHEST:
            return "a mean is so far away that squares may exceed the range of float64"
        for bound in map(ARITHMETIC.log_bound, groups):
            if not bound.slope * _USUAL + bound.constant < _USED * _TOLERATED:
                return (
                    "kernels are so far apart, or channels so correlated, that a matrix product would lose "
                    "too many digits"
                )
        return None

    def seconds(self, output: Output, dtype: np.dtype[Any], n_pixels: int) -> float:
        """Estimate the time from the numbers of sums, kernels and features."""
        del dtype  # all pixels are converted to float64
        each = _SECONDS_PER_PIXEL
        for terms in formula_of(output.quantity).summed():
            n_features = expand(terms).n_features
            each += _SECONDS_PER_SUM
            each += len(terms) * (_SECONDS_PER_KERNEL + n_features * _SECONDS_PER_PRODUCT)
        return _SECONDS_AT_FIRST + n_pixels * each

    def arithmetic_of(self, output: Output) -> Arithmetic:
        """Return the only arithmetic."""
        del output
        return ARITHMETIC

    def process_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return 0: NumPy is loaded anyway."""
        del outputs, dtype
        return 0

    def thread_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory of the planes of a strip, of a tile and of BLAS."""
        groups = (terms for output in outputs for terms in formula_of(output.quantity).summed())
        tile = max(FeatureSum(terms, is_log=True).scratch_bytes for terms in groups)
        return super().thread_bytes(outputs, dtype) + tile + _BLAS_BYTES

    def prepare(self) -> None:
        """Do nothing: NumPy is imported by now."""
