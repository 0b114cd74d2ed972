"""Tests of bounds of rounding errors: they hold at hard points, and aren't far from the largest errors."""

from __future__ import annotations

import numpy as np
import pytest
from references import MP, _mp_logs, hard_points

from pipeline.compute.bound import UNIT, Bound
from pipeline.compute.exponent import exponents
from pipeline.compute.program import Program, join
from pipeline.compute.reduction import log_sum_exp, reduce_exponents, sum_of


@pytest.mark.parametrize("n_kernels", [2, 5, 16])
def test_logarithms_are_within_their_bound(n_kernels: int) -> None:
    """The error of a log-sum-exp in float64 is within its bound at every hard point."""
    shares = []
    for case in [case for case in hard_points() if case.one.n_kernels == n_kernels]:
        (terms,) = exponents((case.one,))
        steps = log_sum_exp(terms, "out0")
        got = np.empty((1, len(case.pixels)))
        join([Program(tuple(steps))]).run(np.ascontiguousarray(case.pixels.T), [got], serial=True)
        wanted = _mp_logs(case.one, np.ascontiguousarray(case.pixels).tobytes())
        errors = np.array([float(abs(MP.mpf(g) - w)) for g, w in zip(got[0].tolist(), wanted, strict=True)])
        slope, constant, _ = Bound.of_sum(terms, len(steps)).of_log()
        # The first order of the bound, which the tolerated error leaves a tenth for.
        shares.append(np.max(errors / (np.abs(got[0]) * slope + constant)))
    assert max(shares) < 1
    assert max(shares) > 0.01, "the bound is far from the largest error"


@pytest.mark.parametrize("n_kernels", [1, 5])
def test_sums_are_within_their_bound(n_kernels: int) -> None:
    """The relative error of a sum of exponentials is within its bound where the sum is above 1e-300."""
    for case in [case for case in hard_points() if case.one.n_kernels == n_kernels]:
        (terms,) = exponents((case.one,))
        steps = reduce_exponents(terms, "out0", "exp({})", sum_of)
        got = np.empty((1, len(case.pixels)))
        join([Program(tuple(steps))]).run(np.ascontiguousarray(case.pixels.T), [got], serial=True)
        logs = _mp_logs(case.one, np.ascontiguousarray(case.pixels).tobytes())
        slope, constant, _ = Bound.of_sum(terms, len(steps))
        for value, log in zip(got[0].tolist(), logs, strict=True):
            if abs(log) < 690:
                assert abs(value / MP.exp(log) - 1) <= (abs(log) * slope + constant) * MP.mpf(1.001)


def test_the_bound_of_classes_is_the_largest() -> None:
    """Several classes have the largest slope and constant of all, and the spread of their number."""
    case = next(case for case in hard_points() if case.one.n_kernels == 5 and case.one.n_channels == 3)
    groups = exponents((case.one, case.other))
    steps = [log_sum_exp(terms, "x") for terms in groups]
    each = [Bound.of_sum(terms, len(taken)).of_log() for terms, taken in zip(groups, steps, strict=True)]
    bound = Bound.of_logs(groups, steps)
    assert bound.slope == max(one.slope for one in each)
    assert bound.constant == max(one.constant for one in each)
    assert bound.spread == np.log(2)
    assert each[0].slope == pytest.approx((max(term.amplification for term in groups[0]) + 1) * UNIT)
