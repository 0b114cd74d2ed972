"""Tests of the translation of expressions to instructions."""

from __future__ import annotations

import pytest

from pipeline.compute.instructions import Operation, translate
from pipeline.compute.program import Step

PLANES = {"a": 0, "b": 1, "c": 2, "out": 3}


def operations(*steps: Step, kept: tuple[str, ...] = ("out",)) -> list[str]:
    """Return the names of the instructions."""
    return [Operation(number).name for number in translate(steps, PLANES, kept).code[:, 0].tolist()]


def test_equal_values_are_computed_once() -> None:
    """A difference that occurs three times is computed once, as in a number between two limits."""
    text = "where(a - b < -1.0, -1.0, where(a - b > 1.0, 1.0, a - b))"
    found = operations(Step("out", text, ("a", "b")))
    assert found == ["LOAD", "LOAD", "SUBTRACT", "LESS", "GREATER", "WHERE", "WHERE", "STORE"]


def test_steps_read_what_earlier_steps_filled() -> None:
    """A plane is loaded once and stored at the end, whatever the steps call it and whoever fills it again."""
    steps = [
        Step("a", "x + 1.0", ("b",), ("x",)),
        Step("c", "x*x", ("a",), ("x",)),
        Step("out", "x + y", ("a", "c"), ("x", "y")),
    ]
    assert operations(*steps) == ["LOAD", "ADD", "MULTIPLY", "ADD", "STORE"]
    assert operations(*steps, kept=("out", "a"))[-2:] == ["STORE", "STORE"]


def test_registers_are_used_again() -> None:
    """A long sum needs few registers, and none is filled from itself."""
    steps = [Step("a", f"a + {float(number)!r}", ("a",)) for number in range(50)]
    code, constants, n_registers = translate(steps, PLANES, ["a"])
    assert constants.tolist() == list(range(50))
    assert n_registers <= 50 + 2
    assert all(target not in operands for operation, target, *operands in code.tolist() if operation > 1)


@pytest.mark.parametrize("text", ["a**3", "a if b else c", "a // b", "sin(a)", "a.real", "[a]"])
def test_other_expressions_are_refused(text: str) -> None:
    """Only what formulas use has an instruction."""
    with pytest.raises(ValueError, match="which no instruction computes"):
        translate([Step("out", text, ("a", "b", "c"))], PLANES, ["out"])
