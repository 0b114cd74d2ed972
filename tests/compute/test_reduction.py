"""Tests of reductions: exact texts, and batches that numexpr can compile whatever the width of a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numexpr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import pixels_near, random_mixture, scipy_log_density

from pipeline.compute.exponent import exponents
from pipeline.compute.program import Program, Step, join
from pipeline.compute.reduction import (
    SUM_LEVELS,
    limited,
    maximum_of,
    minimum_of,
    reduce_exponents,
    reduce_planes,
    second_highest_of,
    sum_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


def run(steps: list[Step], planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane ``out0`` that steps fill."""
    out = np.empty((1, planes.shape[1]))
    join([Program(tuple(steps))]).run(planes, [out], serial=True)
    return out[0]


@given(NUMBERS)
def test_texts_are_sums_maxima_and_minima(numbers: list[int]) -> None:
    """The texts evaluate to the sum, the maximum, the minimum and the second highest of the numbers."""
    values = {f"v{number}": np.array([float(value)]) for number, value in enumerate(numbers)}
    for combine, function in ((sum_of, sum), (maximum_of, max), (minimum_of, min)):
        assert numexpr.evaluate(combine(list(values)), values)[0] == function(numbers)
    seconds = second_highest_of(list(values))
    if len(numbers) == 1:
        assert seconds == ()
    else:
        assert numexpr.evaluate(maximum_of(seconds), values)[0] == sorted(numbers)[-2]


def test_a_sum_has_few_levels() -> None:
    """A summand of a sum that fits one expression has at most as many roundings as there are levels."""
    text = sum_of(["x"] * 127)
    depth, deepest = 0, 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    assert deepest == SUM_LEVELS


def test_nan_is_kept() -> None:
    """A maximum and a minimum are NaN if any number is NaN."""
    values = {"a": np.array([np.nan]), "b": np.array([1.0]), "c": np.array([2.0])}
    for names in (["a", "b", "c"], ["b", "c", "a"], ["b", "a", "c"]):
        for combine in (maximum_of, minimum_of):
            assert np.isnan(numexpr.evaluate(combine(names), values)[0])


@pytest.mark.parametrize("n_planes", [1, 2, 56, 57, 200])
def test_any_number_of_planes_is_reduced(n_planes: int) -> None:
    """Planes are combined over several expressions if one can't read them all."""
    planes = np.random.default_rng(0).integers(-9, 9, (n_planes, 5)).astype(np.float64)
    names = [f"x{number}" for number in range(n_planes)]
    for combine, wanted in ((sum_of, planes.sum(axis=0)), (maximum_of, planes.max(axis=0))):
        steps = [*reduce_planes(names, "all", combine), Step("out0", "total", ("all",), ("total",))]
        np.testing.assert_array_equal(run(steps, planes), wanted)
        assert all(len(step.inputs) <= 57 for step in steps)


@pytest.mark.parametrize(
    ("n_kernels", "n_channels", "full"), [(1, 1, False), (300, 2, False), (4, 20, True), (2, 70, True)]
)
def test_exponents_of_any_number_and_width(n_kernels: int, n_channels: int, full: bool) -> None:
    """The sum of exponentials equals SciPy, over as many expressions as it needs."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = pixels_near(mixture, (20,))
    (terms,) = exponents((mixture,))
    wanted = scipy_log_density(pixels, mixture)
    planes = np.ascontiguousarray(pixels.T)
    total = run(reduce_exponents(terms, "out0", "exp({})", sum_of), planes)
    np.testing.assert_allclose(np.log(total), wanted, rtol=1e-11)


def test_a_limited_number_is_that_of_numpy() -> None:
    """The text gives NumPy's clip, also for infinities and NaN."""
    values = np.array([-np.inf, -3.0, -2.0, 0.0, 2.0, 3.0, np.inf, np.nan])
    found = numexpr.evaluate(limited("x + x", -4.0, 4.0), {"x": values})
    np.testing.assert_array_equal(found, np.clip(values + values, -4, 4))
