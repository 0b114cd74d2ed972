"""Tests of bounds of rounding errors; that they hold is tested in test_arithmetic.py."""

from __future__ import annotations

import math

import pytest
from references import random_mixture

from pipeline.compute.bound import UNIT, Bound
from pipeline.compute.exponent import exponents


def test_a_bound_grows_with_kernels_and_steps() -> None:
    """The spread is the logarithm of the number of kernels, and each step is a rounding more."""
    (terms,) = exponents((random_mixture(5, 3),))
    one, two = (Bound.of_sum(terms, n_steps) for n_steps in (1, 2))
    assert one.spread == math.log(5)
    assert two.constant - one.constant == pytest.approx(UNIT)
    assert one.slope == two.slope == max(term.amplification for term in terms) * UNIT


def test_a_logarithm_has_three_roundings_more() -> None:
    """The differences from the peak, the logarithm and its sum with the peak are counted."""
    logarithm = Bound(1e-15, 2e-15, 2.0).of_log()
    assert logarithm == pytest.approx((1e-15 + UNIT, 2e-15 + 6 * UNIT, 2.0))


def test_classes_have_the_largest_bound() -> None:
    """The largest slope and constant count, and the spread is that of the number of classes."""
    assert Bound.of_classes([Bound(1.0, 5.0, 0), Bound(2.0, 3.0, 0)]) == (2.0, 5.0, math.log(2))
