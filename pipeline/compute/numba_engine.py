"""The engine ``numba``: it computes every pixel by compiled loops instead of numexpr's expressions."""

from __future__ import annotations

import importlib
import importlib.util
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from pipeline.compute.arithmetic import EXPRESSIONS, Arithmetic
from pipeline.compute.arithmetic_engine import ArithmeticEngine
from pipeline.compute.bound import UNIT, Bound
from pipeline.compute.fused_program import FusedProgram
from pipeline.compute.planes import count_constants
from pipeline.compute.program import Program, Reduction, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent
    from pipeline.models.output import Output

# As for numexpr: the time for one constant of the program and one pixel.
_SECONDS_PER_CONSTANT = 0.055e-9
# Converting a pixel, and the steps that make results of sums.
_SECONDS_PER_PIXEL = 2e-9
# Importing Numba and loading the compiled functions; compiling them takes longer, but only once.
_SECONDS_AT_FIRST = 0.4
# Numba takes 60 MiB, and compiling the loops of sums and logarithms takes 130 MiB, which the process keeps.
_PROCESS_BYTES = 192 * 2**20
# What a formula doesn't count: its exponentials and logarithms are less exact than those of numexpr.
_STEPS = 2e-14


@dataclass(frozen=True)
class FusedArithmetic(Arithmetic):
    """The arithmetic of compiled loops in float64.

    Parameters
    ----------
    is_precise : bool
        If True, results have a relative error of at most 1e-12, as those of the reference. If False, they
        have one of at most 5e-8: rounded to float32 they are the reference's, or a number next to that.

    Notes
    -----
    The square root of each scale is part of the factors of its row, so that a factor has two roundings more
    than :class:`~pipeline.compute.exponent.Exponent` counts, and a row of a diagonal kernel one product more.
    The error of a square grows by four times the condition of the kernel. Squares are subtracted from the
    offset one by one, so that it counts for each of them. The sum of K exponentials has K roundings.
    """

    program: ClassVar[type[Program]] = FusedProgram
    is_precise: bool

    @property
    def tolerated(self) -> float:
        """The relative error of a result from which on a pixel is computed again in double-double."""
        return EXPRESSIONS.tolerated - _STEPS if self.is_precise else 5e-8

    def sum_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return one reduction."""
        return [Step(target, FusedSum(tuple(terms), is_log=False, degree=self._degree(is_log=False)), ())]

    def log_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return one reduction."""
        return [Step(target, FusedSum(tuple(terms), is_log=True, degree=self._degree(is_log=True)), ())]

    def sum_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound of the exponents, of the polynomial and of the sum."""
        return self._bound(terms, is_log=False)

    def log_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound of the sum, with the roundings of the logarithm and of its conversion."""
        slope, constant, spread = self._bound(terms, is_log=True)
        return Bound(slope + 4 * UNIT, constant + (3 * spread + 8) * UNIT, spread)

    def _bound(self, terms: Sequence[Exponent], *, is_log: bool) -> Bound:
        n_channels = len(terms[0].rows)
        largest = max(term.amplification for term in terms)
        condition = (largest - n_channels - 3) / (2 * (n_channels + 2))
        amplification = largest + 4 * condition + 3
        offsets = [float(term.offset) for term in terms]
        offset = max(amplification * max(one, 0.0) + (n_channels + 2) * abs(one) for one in offsets)
        spread = math.log(len(terms))
        roundings = amplification * spread + offset + 8 + len(terms)
        error = _polynomial_error(self._degree(is_log=is_log))
        return Bound(amplification * UNIT, roundings * UNIT + error, spread)

    def _degree(self, *, is_log: bool) -> int:
        """Return the degree of the polynomial. Logarithms near 0 need a more exact one than sums."""
        if self.is_precise:
            return 11
        return 8 if is_log else 6


def _polynomial_error(degree: int) -> float:
    """Return a bound of the relative error of :func:`pipeline.compute.fused.coefficients`."""
    return {6: 4e-9, 8: 1.2e-12, 11: 3e-15}[degree]


@dataclass(frozen=True)
class FusedSum(Reduction):
    """The sum of the exponentials of some exponents, or its logarithm, with a polynomial of a degree."""

    terms: tuple[Exponent, ...]
    is_log: bool
    degree: int

    def fill(self, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool) -> None:
        """Fill a plane of float64, shape (n,), from the channel planes, in the calling thread."""
        del serial
        self._reduce(planes, *self._parameters, out)

    @cached_property
    def _reduce(self) -> Callable[..., None]:
        from pipeline.compute.fused import compile_reduction  # noqa: PLC0415  Numba is an extra

        n_channels = len(self.terms[0].rows)
        return compile_reduction(n_channels, is_full=self._is_full, is_log=self.is_log, degree=self.degree)

    @cached_property
    def _parameters(self) -> _Parameters:
        return _parameters(self.terms, is_full=self._is_full)

    @property
    def _is_full(self) -> bool:
        return any(row.factors for term in self.terms for row in term.rows)


class _Parameters(NamedTuple):
    """The kernels as exponents of 2: an offset minus the squares of rows of factors times deviations."""

    means: NDArray[np.float64]
    factors: NDArray[np.float64]
    offsets: NDArray[np.float64]


def _parameters(terms: Sequence[Exponent], *, is_full: bool) -> _Parameters:
    n_channels = len(terms[0].rows)
    log2_e = 1 / math.log(2)
    means = np.array([[row.centers[-1][1] for row in term.rows] for term in terms])
    factors = np.zeros((len(terms), n_channels, n_channels))
    for kernel, term in enumerate(terms):
        for row, square in enumerate(term.rows):
            root = float((-square.scale).sqrt()) * log2_e**0.5
            factors[kernel, row, row] = root
            for column, factor in square.factors:
                factors[kernel, row, column] = float(factor) * root
    if not is_full:
        factors = np.ascontiguousarray(factors.diagonal(axis1=1, axis2=2))
    offsets = np.array([float(term.offset) for term in terms]) * log2_e
    return _Parameters(means, factors.reshape(len(terms), -1), offsets)


class NumbaEngine(ArithmeticEngine):
    """The engine of compiled loops, which needs the extra ``fast``."""

    name: ClassVar[str] = "numba"
    compiles: ClassVar[bool] = True

    @property
    def missing(self) -> str | None:
        """Return a clause if Numba isn't installed."""
        return None if _is_installed() else "Numba isn't installed (pip install 'mixture-pipeline[fast]')"

    def seconds(self, output: Output, dtype: np.dtype[Any], n_pixels: int) -> float:
        """Estimate the time from the number of constants of the kernels, and that of loading Numba."""
        del dtype  # all pixels are converted to float64
        each = count_constants(output.quantity) * _SECONDS_PER_CONSTANT + _SECONDS_PER_PIXEL
        return _SECONDS_AT_FIRST + n_pixels * each

    def arithmetic_of(self, output: Output) -> Arithmetic:
        """Return the arithmetic that is as exact as the dtype needs."""
        return FusedArithmetic(bool(output.dtype == np.float64))

    def process_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory of Numba and of the compiler, which all threads share."""
        del outputs, dtype
        return _PROCESS_BYTES

    def prepare(self) -> None:
        """Import Numba."""
        importlib.import_module("pipeline.compute.fused")


@lru_cache(maxsize=1)
def _is_installed() -> bool:
    return importlib.util.find_spec("numba") is not None
