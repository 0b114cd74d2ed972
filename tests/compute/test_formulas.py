"""Tests of the table of formulas: every quantity of the package has one, and nothing else has."""

from __future__ import annotations

from typing import Any

import pytest
from references import random_mixture

from pipeline import Density, Packed
from pipeline.compute.formulas import FORMULAS, formula_of
from pipeline.models.quantity import quantity_kinds


def test_every_kind_of_quantity_has_a_formula() -> None:
    """A quantity that can be recorded can be computed."""
    assert set(FORMULAS) >= {kind for kind in quantity_kinds() if kind.__module__.startswith("pipeline.")}


def test_a_formula_knows_its_quantity() -> None:
    """The formula is that of the kind, for the quantity itself."""
    density = Density(random_mixture(2, 3))
    assert type(formula_of(density)) is FORMULAS[Density]
    assert formula_of(density).quantity is density


@pytest.mark.parametrize(
    "wrong", [None, 3, random_mixture(1, 1), Packed(Density(random_mixture(1, 1)), "float16")]
)
def test_other_things_have_no_formula(wrong: Any) -> None:
    """Anything else gets an error that lists the kinds of quantity."""
    with pytest.raises(TypeError, match="has no formula; wanted a quantity of one of the kinds Density, L"):
        formula_of(wrong)
