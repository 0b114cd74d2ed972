"""Tests of compiled loops: powers and logarithms are exact, and the machine code is vectorized."""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import numpy as np
import pytest
from numba import njit
from references import MP

from pipeline.compute.fused import coefficients, compile_reduction

# One channel and one kernel with the mean 0 and the factor 1, so that the exponent is the offset minus x**2.
ONE = np.zeros((1, 1)), np.ones((1, 1))


def reduce(x: list[float], offset: float, *, is_log: bool, degree: int = 11) -> list[float]:
    """Return 2**(offset - x**2), or its natural logarithm."""
    out = np.empty(len(x))
    compiled = compile_reduction(1, is_full=False, is_log=is_log, degree=degree)
    compiled(np.array([x]), *ONE, np.array([offset]), out)
    return out.tolist()


@pytest.mark.parametrize(("degree", "error"), [(6, 4e-9), (8, 1.2e-12), (11, 3e-15)])
def test_the_error_of_a_polynomial(degree: int, error: float) -> None:
    """Over its interval the polynomial is as exact as the bounds of the engine say."""
    worst = 0
    for x in map(MP.mpf, np.linspace(-0.5, 0.5, 1001).tolist()):
        value = functools.reduce(
            lambda sum_, coefficient: sum_ * x + coefficient, coefficients(degree), MP.mpf(0)
        )
        worst = max(worst, abs(value / MP.mpf(2) ** x - 1))
    assert error / 5 < worst < error


def test_powers_of_2() -> None:
    """Powers have an error of a few units in the last place, down to the smallest normal numbers."""
    roots = np.sqrt(np.random.default_rng(0).uniform(0, 1020, 2000))
    for root, power in zip(roots.tolist(), reduce(roots.tolist(), 0.0, is_log=False), strict=True):
        assert abs(power / MP.mpf(2) ** -(MP.mpf(root) ** 2) - 1) < 2e-15 + 2.0**-53 * root**2


def test_far_powers_are_0() -> None:
    """Below the normal numbers a power is 0, however far the pixel is."""
    assert reduce([32.1, 50.0, 1e10, 1e150, -1e150], 0.0, is_log=False) == [0.0] * 5


def test_logarithms() -> None:
    """Logarithms are exact near 0, and far below the smallest float64."""
    x = [0.0, 1e-9, 0.1, 1.0, 29.0, 30.5, 32.0, 50.0, 1e10, 1e140]
    for offset in (0.0, 0.3, -7.5):
        for root, logarithm in zip(x, reduce(x, offset, is_log=True), strict=True):
            wanted = (offset - root**2) * math.log(2)
            assert logarithm == pytest.approx(wanted, rel=1e-15, abs=1e-15)


@pytest.mark.parametrize("is_log", [False, True])
def test_a_nan_is_kept(is_log: bool) -> None:
    """A NaN gives NaN, and leaves its neighbors, near and far, as they are."""
    x = [1.0, math.nan, 40.0, 2.0]
    got = reduce(x, 0.0, is_log=is_log)
    assert [math.isnan(value) for value in got] == [False, True, False, False]
    del x[1], got[1]
    assert got == reduce(x, 0.0, is_log=is_log)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("is_full", [False, True])
def test_unrolled_loops_and_loops_by_channels_agree(
    monkeypatch: pytest.MonkeyPatch, is_full: bool, is_log: bool
) -> None:
    """Both versions of the loop sum the same exponents, up to rounding."""
    random = np.random.default_rng(0)
    planes, means = random.uniform(0, 9, (3, 1100)), random.uniform(0, 9, (4, 3))
    factors, offsets = random.uniform(0.1, 1, (4, 9 if is_full else 3)), random.uniform(-9, 0, 4)
    both = []
    for most in (100, 0):
        monkeypatch.setattr("pipeline.compute.fused._MOST_UNROLLED", most)
        compile_reduction.cache_clear()
        out = np.empty(1100)
        compiled = compile_reduction(3, is_full=is_full, is_log=is_log, degree=11)
        compiled(planes, means, factors, offsets, out)
        both.append(out)
    compile_reduction.cache_clear()
    np.testing.assert_allclose(*both, rtol=1e-13)
    assert np.isfinite(both[0]).all()


def test_loops_are_vectorized() -> None:
    """The polynomial is evaluated with vector instructions, on processors that have them."""
    loop: Any = compile_reduction(3, is_full=False, is_log=False, degree=6)
    assert loop.__name__ == "reduce_unrolled"
    # Code that is loaded from the disk can't be inspected.
    fresh = njit(error_model="numpy", fastmath={"contract"})(loop.py_func)
    fresh(np.zeros((3, 10)), np.zeros((1, 3)), np.ones((1, 3)), np.zeros(1), np.empty(10))
    (code,) = fresh.inspect_asm().values()
    vector, scalar = (len(re.findall(rf"\bv?f?n?m(?:ul|add|sub)\d*{kind}\b", code)) for kind in ("pd", "sd"))
    if not (vector or scalar):
        pytest.skip("the processor has other instructions than those that this test knows")
    assert vector > scalar
