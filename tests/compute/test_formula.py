"""The contract of formulas, which the formula of every quantity passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import hard_points, mpmath_reference

from pipeline import Label
from pipeline.compute.double import Double
from pipeline.compute.formula import Formula
from pipeline.compute.formulas import formula_of
from pipeline.compute.program import Program, join

if TYPE_CHECKING:
    from pipeline.models.quantity import Quantity

CASE = next(case for case in hard_points() if case.one.n_kernels == 5 and case.one.n_channels == 3)
DTYPES = [np.dtype(name) for name in ("float16", "float32", "float64")]


def dtypes_of(quantity: Quantity) -> list[np.dtype[np.floating]]:
    """Return the dtypes that can hold a quantity."""
    return [quantity.output_dtype()] if isinstance(quantity, Label) else DTYPES


@pytest.mark.parametrize("name", CASE.quantities)
def test_steps_fill_all_results(name: str) -> None:
    """The steps fill one plane for each result, and nothing that they read is missing."""
    quantity = CASE.quantities[name]
    formula = formula_of(quantity)
    assert isinstance(formula, Formula)
    for dtype in dtypes_of(quantity):
        steps = formula.steps(dtype)
        targets = {step.target for step in steps}
        wanted = {f"out{number}" for number in range(quantity.n_results)}
        assert {target for target in targets if target.startswith("out")} == wanted
        filled = {f"x{channel}" for channel in range(quantity.n_channels)}
        for step in steps:
            assert filled.issuperset(step.inputs)
            filled.add(step.target)


@pytest.mark.parametrize("name", CASE.quantities)
def test_both_ways_agree(name: str) -> None:
    """The steps in float64 and the finish of exact logarithms have almost the same results."""
    quantity = CASE.quantities[name]
    formula = formula_of(quantity)
    dtype = dtypes_of(quantity)[-1]
    pixels = CASE.pixels[:3]
    wanted = mpmath_reference(pixels, quantity).reshape(3, -1).T
    got = np.empty((quantity.n_results, 3), dtype)
    program = join([Program(tuple(formula.steps(dtype)))])
    program.run(np.ascontiguousarray(pixels.T), [got], serial=True)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-300)
    logs = np.random.default_rng(0).uniform(-5, 0, (len(formula.groups()), 4))
    finished = formula.finish(Double(logs, np.zeros_like(logs)), dtype)
    assert finished.shape == (quantity.n_results, 4)
    assert np.isfinite(finished).all()


@pytest.mark.parametrize("name", CASE.quantities)
def test_nan_is_kept(name: str) -> None:
    """A NaN among the logarithms makes all results of that pixel NaN, and no others."""
    quantity = CASE.quantities[name]
    formula = formula_of(quantity)
    n_groups = len(formula.groups())
    for group in range(n_groups):
        logs = np.random.default_rng(0).uniform(-5, 0, (n_groups, 4))
        logs[group, 2] = np.nan
        with np.errstate(all="ignore"):
            finished = formula.finish(Double(logs, np.zeros_like(logs)), dtypes_of(quantity)[-1])
        only = getattr(quantity, "only", None)
        assert only is not None or np.isnan(finished[:, 2]).all()
        assert np.isfinite(finished[:, [0, 1, 3]]).all()
