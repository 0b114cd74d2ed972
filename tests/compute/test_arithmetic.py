"""Tests of arithmetics: their bounds hold at hard points, and aren't far from the largest errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import MP, _mp_logs, hard_points

from pipeline.compute.arithmetic import EXPRESSIONS
from pipeline.compute.bound import UNIT
from pipeline.compute.exponent import exponents
from pipeline.compute.numba_engine import FusedArithmetic
from pipeline.compute.numpy_engine import FeatureArithmetic
from pipeline.compute.program import Program, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.compute.program import Step

ARITHMETICS = [
    EXPRESSIONS,
    FusedArithmetic(is_precise=True),
    FusedArithmetic(is_precise=False),
    FeatureArithmetic(),
]
each_arithmetic = pytest.mark.parametrize(
    "arithmetic", ARITHMETICS, ids=["numexpr", "precise", "fast", "numpy"]
)


def run(steps: Sequence[Step], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane that steps fill at pixels (n, C)."""
    out = np.empty((1, len(pixels)))
    join([Program(tuple(steps))]).run(np.ascontiguousarray(pixels.T), [out], serial=True)
    return out[0]


@each_arithmetic
@pytest.mark.parametrize("n_kernels", [1, 2, 5, 16])
def test_logarithms_are_within_their_bound(arithmetic: Arithmetic, n_kernels: int) -> None:
    """The error of a logarithm is within its bound at every hard point."""
    shares = []
    for case in [case for case in hard_points() if case.one.n_kernels == n_kernels]:
        (terms,) = exponents((case.one,))
        got = run(arithmetic.log_steps(terms, "out0"), case.pixels)
        wanted = _mp_logs(case.one, np.ascontiguousarray(case.pixels).tobytes())
        errors = np.array([float(abs(MP.mpf(g) - w)) for g, w in zip(got.tolist(), wanted, strict=True)])
        slope, constant, _ = arithmetic.log_bound(terms)
        # The first order of the bound, which the tolerated error leaves a tenth for.
        shares.append(np.max(errors / (np.abs(got) * slope + constant)))
    assert max(shares) < 1
    assert max(shares) > 0.01, "the bound is far from the largest error"


@each_arithmetic
@pytest.mark.parametrize("n_kernels", [1, 5, 16])
def test_sums_are_within_their_bound(arithmetic: Arithmetic, n_kernels: int) -> None:
    """The relative error of a sum of exponentials is within its bound where the sum is above 1e-300."""
    for case in [case for case in hard_points() if case.one.n_kernels == n_kernels]:
        (terms,) = exponents((case.one,))
        got = run(arithmetic.sum_steps(terms, "out0"), case.pixels)
        logs = _mp_logs(case.one, np.ascontiguousarray(case.pixels).tobytes())
        slope, constant, _ = arithmetic.sum_bound(terms)
        for value, log in zip(got.tolist(), logs, strict=True):
            if abs(log) < 690:
                assert abs(value / MP.exp(log) - 1) <= (abs(log) * slope + constant) * MP.mpf(1.001)


@each_arithmetic
def test_the_bound_of_classes_is_the_largest(arithmetic: Arithmetic) -> None:
    """Several classes have the largest slope and constant of all, and the spread of their number."""
    case = next(case for case in hard_points() if case.one.n_kernels == 5 and case.one.n_channels == 3)
    groups = exponents((case.one, case.other))
    each = [arithmetic.log_bound(terms) for terms in groups]
    bound = arithmetic.class_bound(groups)
    assert bound.slope == max(one.slope for one in each)
    assert bound.constant == max(one.constant for one in each)
    assert bound.spread == np.log(2)


def test_the_slope_of_the_reference() -> None:
    """A logarithm has the amplification of its worst exponent, and one rounding more."""
    case = next(case for case in hard_points() if case.one.n_kernels == 5 and case.one.n_channels == 3)
    (terms,) = exponents((case.one,))
    slope = EXPRESSIONS.log_bound(terms).slope
    assert slope == pytest.approx((max(term.amplification for term in terms) + 1) * UNIT)
