"""Tests of the loops that carry out instructions: they compute what numexpr computes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mpmath
import numexpr
import numpy as np
import pytest

from pipeline.compute.fused_steps import carry_out
from pipeline.compute.instructions import translate
from pipeline.compute.program import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

MP = mpmath.MPContext()
MP.prec = 150
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 5e-324, math.inf, -math.inf, math.nan]
EXACT = [
    *("a + b", "a - b", "a*b", "a/b", "a**2", "abs(a)", "minimum(a, b)", "maximum(a, b)", "0.5*a"),
    *("where(a < b, a, b)", "where(a > b, 1.0, -2.5)", "where(a == b, 3.0, b)"),
    "where((a > 0.0) & (b < 1.0), 1.0, 0.0)",
]


def computed(text: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the value of an expression of two planes."""
    planes = np.stack([a, b, np.zeros_like(a)])
    names = tuple(name for name in "ab" if name in text.replace("abs", ""))
    carry_out(*translate([Step("out", text, names)], {"a": 0, "b": 1, "out": 2}, ["out"]), planes)
    return planes[2]


@pytest.mark.parametrize("text", EXACT)
def test_arithmetic_has_the_bits_of_numexpr(text: str) -> None:
    """Infinities and NaN too, over several tiles of which the last one isn't full."""
    a, b = (plane.reshape(-1) for plane in np.meshgrid(SPECIAL, SPECIAL))
    a, b = np.tile(a, 13), np.tile(b, 13)
    wanted = numexpr.evaluate(text, {"a": a, "b": b})
    np.testing.assert_array_equal(computed(text, a, b), wanted)


@pytest.mark.parametrize(
    ("name", "low", "high", "error"),
    [
        ("exp", -707, 700, 3e-15),
        ("expm1", -40, 1, 1e-15),
        ("log", 1e-300, 1e300, 1e-15),
        ("log", 0.99, 1.01, 1e-15),
        ("log1p", 0, 1e3, 1e-15),
    ],
)
def test_functions_are_exact(name: str, low: float, high: float, error: float) -> None:
    """Exponentials and logarithms have a relative error of a few units in the last place."""
    random = np.random.default_rng(0)
    a = random.uniform(low, high, 1000)
    if high == 1e300:
        a = 10.0 ** random.uniform(-300, 300, 1000)
    for x, y in zip(a.tolist(), computed(f"{name}(a)", a, a).tolist(), strict=True):
        wanted = getattr(MP, name)(MP.mpf(x))
        assert abs(y - wanted) <= error * abs(wanted), x


def test_exponentials_end_at_0_and_keep_nan() -> None:
    """Far below all numbers an exponential is 0, and that of NaN is NaN."""
    a = np.array([0.0, -708.5, -1e4, -1e300, -np.inf, np.nan])
    np.testing.assert_array_equal(computed("exp(a)", a, a), [1, 0, 0, 0, 0, np.nan])
    assert np.isnan(computed("log(a)", a, a)[-1])
