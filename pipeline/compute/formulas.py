"""The formulas of all quantities: the one place where a quantity meets its formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.compute import class_formulas, mixture_formulas

if TYPE_CHECKING:
    from pipeline.compute.formula import Formula
    from pipeline.models.quantity import Quantity

FORMULAS: dict[type[Quantity], type[Formula[Any]]] = {
    **mixture_formulas.FORMULAS,
    **class_formulas.FORMULAS,
}


def formula_of(quantity: Quantity) -> Formula[Any]:
    """Return the formula of a quantity.

    Raises
    ------
    TypeError
        If the argument isn't a quantity that has a formula.
    """
    formula = FORMULAS.get(type(quantity))
    if formula is None:
        kinds = ", ".join(kind.__name__ for kind in FORMULAS)
        raise TypeError(f"{quantity!r:.80} has no formula; wanted a quantity of one of the kinds {kinds}")
    return formula(quantity)
