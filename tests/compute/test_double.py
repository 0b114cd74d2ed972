"""Double-double arithmetic against mpmath."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import MP

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

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100)


def exact(a: Double) -> Any:
    """Give the number that a pair of one element stands for."""
    return MP.mpf(float(a.hi[0])) + MP.mpf(float(a.lo[0]))


def pair(hi: float, lo: float = 0.0) -> Double:
    """Make a pair of which the second part is small."""
    return Double(np.array([hi]), np.array([hi * lo * 1e-17]))


def test_decimals_keep_31_digits() -> None:
    """A decimal is rounded to two floats."""
    third = from_decimals([1 / Decimal(3)])
    assert abs(exact(third) * 3 - 1) < 1e-27


@given(NUMBERS, NUMBERS)
def test_differences_are_exact(a: float, b: float) -> None:
    """Nothing is lost of a difference whose parts are within the range of two floats."""
    got = exact(difference(np.array([a]), np.array([b])))
    assert abs(got - (MP.mpf(a) - MP.mpf(b))) <= MP.mpf(2) ** -104 * (abs(a) + abs(b))
    b = a * 1.0000001
    assert exact(difference(np.array([a]), np.array([b]))) == MP.mpf(a) - MP.mpf(b)


@given(NUMBERS, NUMBERS, st.floats(-1, 1), st.floats(-1, 1))
def test_sums_and_products(a: float, b: float, a_lo: float, b_lo: float) -> None:
    """Sums keep 31 digits of the larger number, products 31 digits."""
    one, two = pair(a, a_lo), pair(b, b_lo)
    x, y = exact(one), exact(two)
    assert abs(exact(add(one, two)) - (x + y)) <= MP.mpf(2) ** -102 * (abs(x) + abs(y))
    assert abs(exact(subtract(one, two)) - (x - y)) <= MP.mpf(2) ** -102 * (abs(x) + abs(y))
    assert abs(exact(multiply(one, two)) - x * y) <= MP.mpf(2) ** -100 * abs(x * y)
    assert abs(exact(square(one)) - x * x) <= MP.mpf(2) ** -100 * x * x


@given(st.floats(-320, 340) | st.floats(-1e-3, 1e-3), st.floats(-1, 1))
def test_exponentials(a: float, a_lo: float) -> None:
    """An exponential keeps 29 digits, and a rounded one two units of float64's last."""
    one = pair(a, a_lo)
    wanted = MP.exp(exact(one))
    assert abs(exact(exponential(one)) / wanted - 1) < 1e-29
    assert abs(MP.mpf(float(rounded_exponential(one)[0])) / wanted - 1) < 5e-16


@pytest.mark.parametrize("function", [exponential, rounded_exponential])
def test_exponentials_at_the_ends(function: Callable[[Double], Any]) -> None:
    """Far below it is 0, far above it doesn't become NaN, and NaN stays."""
    with np.errstate(all="ignore"):
        ends = function(Double(np.array([-1e300, -800.0, 800.0, 1e300, np.nan]), np.zeros(5)))
    values = ends.hi if isinstance(ends, Double) else ends
    assert values[:2].tolist() == [0, 0]
    assert (values[2:4] > 1e150).all()
    assert np.isnan(values[4])


@given(st.floats(0, 1e5) | st.floats(0, 1e-3) | st.floats(0, 1e-12))
def test_logarithms_keep_digits_beside_one(excess: float) -> None:
    """The logarithm of a sum a little above 1 is exact, too."""
    a = add(pair(1.0), pair(excess))
    wanted = MP.log(exact(a))
    assert abs(exact(logarithm(a)) - wanted) <= 1e-30 + 1e-29 * abs(wanted)
