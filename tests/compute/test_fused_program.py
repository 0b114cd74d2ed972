"""Tests of programs without numexpr: they compute what the same steps compute with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from references import random_mixture

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Mixture, Posterior
from pipeline.compute.expression import compile_program
from pipeline.compute.fused_program import FusedProgram
from pipeline.compute.numba_engine import FusedArithmetic
from pipeline.compute.program import Program

if TYPE_CHECKING:
    from pipeline.models.quantity import Quantity


def every_quantity(n_classes: int) -> list[Quantity]:
    """Return quantities of several classes."""
    classes = {f"class{seed}": random_mixture(3, 3, seed=seed) for seed in range(n_classes)}
    one, other, *_ = classes.values()
    narrow = Mixture([1.0], np.zeros((1, 3)), np.full((1, 3), 1e-200))
    return [
        *(Density(one), Density(narrow), LogDensity(one), LogRatio(one, other), Posterior(classes)),
        *(Posterior(classes, only="class1"), Label(classes), Confidence(classes), Entropy(classes)),
    ]


@pytest.mark.parametrize("n_classes", [2, 3, 25])
def test_results_and_doubts_are_those_of_numexpr(n_classes: int) -> None:
    """All quantities together: exponentials and logarithms differ by a few units in the last place."""
    pairs: list[tuple[Quantity, np.dtype[Any]]] = [
        (quantity, quantity.output_dtype("uint8" if quantity.name == "label" else "float64"))
        for quantity in every_quantity(n_classes)
    ]
    program = compile_program(tuple(pairs), FusedArithmetic(is_precise=True))
    assert isinstance(program, FusedProgram)
    planes = np.random.default_rng(0).uniform(0, 255, (3, 1300))
    planes[:, 7] = np.nan
    planes[:, 8] = 1e150
    both = []
    for runner in (program, Program(program.steps)):
        outs = [np.empty((quantity.n_results, 1300), dtype) for quantity, dtype in pairs]
        doubts = runner.run(planes, outs, serial=True)
        both.append((outs, [None if doubt is None else doubt > 0 for doubt in doubts]))
    (outs, doubts), (wanted, wanted_doubts) = both
    for one, other in zip(outs, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    for has, had in zip(doubts, wanted_doubts, strict=True):
        assert (has is None) is (had is None)
        if has is not None and had is not None:
            assert (has != had).mean() < 0.01


def test_the_memory_of_a_run_is_counted() -> None:
    """Results are computed in float64, and registers hold a tile each."""
    pair = (LogRatio(random_mixture(3, 3), random_mixture(4, 3)), np.dtype("float32"))
    program = compile_program((pair,), FusedArithmetic(is_precise=False))
    assert program.n_planes == 3
    assert 4096 < program.compiled_bytes < 2**17
