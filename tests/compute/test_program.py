"""Tests of joined programs: they have the bits of each alone, in few planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numexpr
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from references import pixels_near, random_mixture

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Posterior
from pipeline.compute.expression import compile_program
from pipeline.compute.program import Program, Step, _compile_steps, join

if TYPE_CHECKING:
    from pipeline.models.quantity import Quantity

ONE, OTHER = random_mixture(3, 3, full=True), random_mixture(40, 3, seed=1)
CLASSES = {"one": ONE, "other": OTHER}
QUANTITIES = [
    *(Density(ONE), Density(OTHER), LogDensity(ONE), LogRatio(ONE, OTHER), LogRatio(OTHER, ONE)),
    *(Posterior(CLASSES), Posterior(CLASSES, {"one": 0.9, "other": 0.1}), Posterior(CLASSES, only="other")),
    *(Posterior(OTHER), Posterior(OTHER, only="7"), Label(CLASSES), Label(OTHER)),
    *(Confidence(CLASSES), Confidence(OTHER), Entropy(CLASSES), Entropy(OTHER)),
]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(QUANTITIES), min_size=1, max_size=6), st.integers(1, 2500))
def test_joined_programs_have_the_bits_of_each_alone(quantities: list[Quantity], length: int) -> None:
    """Any quantities in any order, and repeated ones, have the same results and doubts."""
    planes = np.ascontiguousarray(pixels_near(ONE, (length,)).T)
    pairs = [
        (quantity, quantity.output_dtype("float64" if quantity.name != "label" else None))
        for quantity in quantities
    ]
    together = [np.empty((quantity.n_results, length), dtype) for quantity, dtype in pairs]
    doubts = compile_program(tuple(pairs)).run(planes, together, serial=True)
    for one, out, doubt in zip(pairs, together, doubts, strict=True):
        alone = np.empty_like(out)
        (alone_doubt,) = compile_program((one,)).run(planes, [alone], serial=True)
        np.testing.assert_array_equal(out, alone)
        assert (doubt is None) == (alone_doubt is None)
        if doubt is not None:
            np.testing.assert_array_equal(doubt, alone_doubt)


def test_a_plane_is_filled_again_when_nothing_reads_it_any_more() -> None:
    """A plane that is filled twice has two values, and equal steps that read other values differ."""
    first = Program(
        (
            Step("total", "x0 + 1.0", ("x0",)),
            Step("total", "total*2.0", ("total",)),
            Step("total", "total*2.0", ("total",)),
            Step("out0", "total + x0", ("total", "x0")),
        )
    )
    second = Program(
        (
            Step("more", "x0 + 1.0", ("x0",)),
            Step("twice", "total*2.0", ("more",), ("total",)),
            Step("out0", "more + twice", ("more", "twice")),
        )
    )
    both = join([first, second])
    assert len(both.steps) == 5
    assert both.scratch == ("plane0", "plane1", "plane2")
    assert join([first]).scratch == ("plane0",)
    outs = [np.empty((1, 3)), np.empty((1, 3))]
    assert both.run(np.array([[1.0, 2.0, 3.0]]), outs, serial=True) == [None, None]
    np.testing.assert_array_equal(outs, [[[9, 14, 19]], [[6, 9, 12]]])


def test_steps_that_differ_in_planes_alone_are_compiled_once() -> None:
    """A hundred classes need one compiled division."""
    program = compile_program(((Posterior(random_mixture(100, 1)), np.dtype("float64")),))
    divisions = [
        expression
        for step, expression in zip(program.steps, _compile_steps(program), strict=True)
        if step.target.startswith("out")
    ]
    assert len(divisions) == 100
    assert len(set(map(id, divisions))) == 1


def test_scratch_planes_are_few() -> None:
    """A density needs no further plane, others one for each class, and labels few."""
    mixture = random_mixture(100, 3)

    def n_planes(quantity: Quantity) -> int:
        dtype = quantity.output_dtype("uint8" if quantity.name == "label" else "float64")
        return len(compile_program(((quantity, dtype),)).scratch)

    assert n_planes(Density(random_mixture(4, 3))) == 0
    assert n_planes(LogDensity(mixture)) == 1
    assert n_planes(Posterior(mixture)) == 103
    assert n_planes(Label(mixture)) == 20
    assert n_planes(Confidence(mixture)) == 103
    assert n_planes(Entropy(mixture)) == 119


def test_the_memory_of_compiled_steps() -> None:
    """Numexpr repeats each number of an expression for a whole block of pixels; equal steps share theirs."""
    expression = "exp((x0 - 3.5)**2*-1e-05 + 1.7e308) + maximum(x1, 3.5)"
    step = Step("out0", expression, ("x0", "x1"))
    compiled = numexpr.NumExpr(expression, [("x0", np.float64), ("x1", np.float64)])
    assert len(compiled.constants) == 3
    # The exponent is counted too, which numexpr does without.
    assert Program((step,)).compiled_bytes == 4 * 8192
    assert Program((step, Step("plane1", expression, ("x0", "x1")))).compiled_bytes == 4 * 8192
    assert Program((step, Step("out1", "x0 + 1.0", ("x0",)))).compiled_bytes == 5 * 8192


def test_wide_models_have_large_programs() -> None:
    """A full covariance over 64 channels has two thousand factors for each kernel."""
    wide = compile_program(((Density(random_mixture(2, 64, full=True)), np.dtype("float32")),))
    assert 2 * 64 * 63 // 2 * 8192 <= wide.compiled_bytes <= 2 * 64 * 65 * 8192 * 2
