"""Tests of double-double arithmetic against mpmath."""

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
    highest_row,
    log_sums,
    logarithm,
    multiply,
    rounded_exponential,
    square,
    subtract,
    sums,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100)


def exact(a: Double) -> Any:
    """Return the number that a pair of one element stands for."""
    return MP.mpf(float(a.hi[0])) + MP.mpf(float(a.lo[0]))


def pair(hi: float, lo: float = 0.0) -> Double:
    """Make a pair whose second part is small."""
    return Double(np.array([hi]), np.array([hi * lo * 1e-17]))


def test_decimals_keep_31_digits() -> None:
    """A decimal is rounded to two floats."""
    third = from_decimals([1 / Decimal(3)])
    assert abs(exact(third) * 3 - 1) < 1e-27


@given(NUMBERS, NUMBERS)
def test_differences_are_exact(a: float, b: float) -> None:
    """A difference is exact if two floats can hold it."""
    got = exact(difference(np.array([a]), np.array([b])))
    assert abs(got - (MP.mpf(a) - MP.mpf(b))) <= MP.mpf(2) ** -104 * (abs(a) + abs(b))
    b = a * 1.0000001
    assert exact(difference(np.array([a]), np.array([b]))) == MP.mpf(a) - MP.mpf(b)


@given(NUMBERS, NUMBERS, st.floats(-1, 1), st.floats(-1, 1))
def test_sums_and_products(a: float, b: float, a_lo: float, b_lo: float) -> None:
    """Sums keep 31 digits of the larger number, and products keep 31 digits."""
    one, two = pair(a, a_lo), pair(b, b_lo)
    x, y = exact(one), exact(two)
    assert abs(exact(add(one, two)) - (x + y)) <= MP.mpf(2) ** -102 * (abs(x) + abs(y))
    assert abs(exact(subtract(one, two)) - (x - y)) <= MP.mpf(2) ** -102 * (abs(x) + abs(y))
    assert abs(exact(multiply(one, two)) - x * y) <= MP.mpf(2) ** -100 * abs(x * y)
    assert abs(exact(square(one)) - x * x) <= MP.mpf(2) ** -100 * x * x


@given(st.floats(-320, 340) | st.floats(-1e-3, 1e-3), st.floats(-1, 1))
def test_exponentials(a: float, a_lo: float) -> None:
    """An exponential keeps 29 digits, and a rounded one is exact to two units in the last place."""
    one = pair(a, a_lo)
    wanted = MP.exp(exact(one))
    assert abs(exact(exponential(one)) / wanted - 1) < 1e-29
    assert abs(MP.mpf(float(rounded_exponential(one)[0])) / wanted - 1) < 5e-16


@pytest.mark.parametrize("function", [exponential, rounded_exponential])
def test_exponentials_at_the_ends(function: Callable[[Double], Any]) -> None:
    """An exponential is 0 far below, doesn't become NaN far above, and leaves NaN as it is."""
    with np.errstate(all="ignore"):
        ends = function(Double(np.array([-1e300, -800.0, 800.0, 1e300, np.nan]), np.zeros(5)))
    values = ends.hi if isinstance(ends, Double) else ends
    assert values[:2].tolist() == [0, 0]
    assert (values[2:4] > 1e150).all()
    assert np.isnan(values[4])


@given(st.floats(0, 1e5) | st.floats(0, 1e-3) | st.floats(0, 1e-12))
def test_logarithms_keep_digits_beside_one(excess: float) -> None:
    """The logarithm of a sum a little above 1 is exact too."""
    a = add(pair(1.0), pair(excess))
    wanted = MP.log(exact(a))
    assert abs(exact(logarithm(a)) - wanted) <= 1e-30 + 1e-29 * abs(wanted)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**32))
def test_sums_of_groups(lengths: list[int], seed: int) -> None:
    """Each group of rows has its own sum and its own log-sum-exp, to 29 digits."""
    random = np.random.default_rng(seed)
    hi = random.uniform(-300, 300, (sum(lengths), 2))
    rows = Double(hi, hi * random.uniform(-1, 1, hi.shape) * 1e-17)
    starts = np.cumsum([0, *lengths[:-1]])
    logarithms = log_sums(rows[:], starts)
    totals = sums(Double(rows.hi.copy(), rows.lo.copy()), np.array(lengths))
    for group, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        for column in range(2):
            numbers = [exact(rows[[k], column]) for k in range(start, start + length)]
            got = exact(totals[[group], column])
            assert abs(got - MP.fsum(numbers)) <= 1e-28 * MP.fsum(map(abs, numbers))
            wanted = MP.log(MP.fsum(map(MP.exp, numbers)))
            assert abs(exact(logarithms[[group], column]) - wanted) <= 1e-27 + 1e-28 * abs(wanted)


def test_the_highest_row_is_found_by_both_parts() -> None:
    """The second parts decide between equal first parts, and the first of equal rows is returned."""
    hi = np.array([[1.0, 2, 3, 1], [1, 2, 4, 1], [0, 2, 3, 1]])
    lo = np.array([[0.0, 1e-20, 0, 0], [1e-20, 1e-20, 0, 0], [1e-17, 0, 0, -1e-20]])
    assert highest_row(Double(hi, lo)).tolist() == [1, 0, 1, 0]
