"""Several quantities as one program of numexpr expressions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.compute.arithmetic import EXPRESSIONS
from pipeline.compute.formulas import formula_of
from pipeline.compute.program import Program, join

if TYPE_CHECKING:
    import numpy as np

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.models.quantity import Quantity


@lru_cache(maxsize=32)
def compile_program(
    pairs: tuple[tuple[Quantity, np.dtype[Any]], ...], arithmetic: Arithmetic = EXPRESSIONS
) -> Program:
    """Return the program that computes quantities. A value that several of them share is computed once.

    Parameters
    ----------
    pairs : tuple of (Quantity, dtype)
        The quantities, and the dtypes of their results. The finite numbers of a dtype limit its results.
    arithmetic : Arithmetic
        How sums of exponentials are computed, by default as the reference does.

    Returns
    -------
    Program
        The program is text only, which pickles. Each thread that runs it compiles it once.

    Raises
    ------
    TypeError
        If a quantity has no formula.
    """
    programs = [Program(tuple(formula_of(quantity).steps(dtype, arithmetic))) for quantity, dtype in pairs]
    return arithmetic.program(join(programs).steps)
