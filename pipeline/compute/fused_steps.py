"""The loops that carry out instructions, tile by tile, compiled by Numba."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compute.compiled import compiled, inlined
from pipeline.compute.fused import LN_2, LOG2_E, ROUNDER, coefficients, logarithm_of_2, raised
from pipeline.compute.instructions import TILE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# The exponential of 0 is 1 and no number next to it, as formulas expect.
_POLYNOMIAL = (*coefficients(11)[:-1], 1.0)
# The first 42 bits of log(2), whose products with exponents of float64 are exact, and the rest.
_LN_2_HIGH = 0x2C5C85FDF47 * 2.0**-42
_LN_2_LOW = 5.497923018708371e-14
# Below the first number an exponential is 0, and above the second one it would overflow.
_LOWEST, _HIGHEST = -708.0, 709.0


@inlined
def _exponential(number: float) -> float:
    """Return e**number, or 0 for the lowest numbers, with a relative error below 3e-15."""
    limited = max(_LOWEST, number)
    limited = min(_HIGHEST, limited)
    shifted = limited * LOG2_E + ROUNDER
    power = shifted - ROUNDER
    fraction = ((limited - power * _LN_2_HIGH) - power * _LN_2_LOW) * LOG2_E
    value = raised(fraction, shifted, _POLYNOMIAL)
    value = 0.0 if number <= _LOWEST else value
    return value if number == number else number  # noqa: PLR0124  NaN


@compiled
def _combine(  # noqa: C901, PLR0912  a branch for each operation
    operation: int, one: Array, other: Array, out: Array
) -> None:
    """Carry out an instruction with two operands."""
    if operation == Operation.ADD:
        for i in range(TILE):
            out[i] = one[i] + other[i]
    elif operation == Operation.SUBTRACT:
        for i in range(TILE):
            out[i] = one[i] - other[i]
    elif operation == Operation.MULTIPLY:
        for i in range(TILE):
            out[i] = one[i] * other[i]
    elif operation == Operation.DIVIDE:
        for i in range(TILE):
            out[i] = one[i] / other[i]
    elif operation == Operation.LESS:
        for i in range(TILE):
            out[i] = 1.0 if one[i] < other[i] else 0.0
    elif operation == Operation.GREATER:
        for i in range(TILE):
            out[i] = 1.0 if one[i] > other[i] else 0.0
    elif operation == Operation.EQUAL:
        for i in range(TILE):
            out[i] = 1.0 if one[i] == other[i] else 0.0
    elif operation == Operation.MINIMUM:
        for i in range(TILE):
            lower = min(other[i], one[i])
            out[i] = lower if one[i] == one[i] else one[i]
    elif operation == Operation.MAXIMUM:
        for i in range(TILE):
            higher = max(other[i], one[i])
            out[i] = higher if one[i] == one[i] else one[i]


@compiled
def _apply(operation: int, one: Array, out: Array) -> None:  # noqa: C901  a branch for each operation
    """Carry out an instruction with one operand. A logarithm is that of a normal number above 0, or NaN."""
    if operation == Operation.ABS:
        for i in range(TILE):
            out[i] = abs(one[i])
    elif operation == Operation.EXP:
        for i in range(TILE):
            out[i] = _exponential(one[i])
    elif operation == Operation.LOG:
        for i in range(TILE):
            logarithm = logarithm_of_2(one[i]) * LN_2
            out[i] = logarithm if one[i] == one[i] else one[i]
    elif operation == Operation.EXPM1:
        for i in range(TILE):
            out[i] = math.expm1(one[i])
    elif operation == Operation.LOG1P:
        for i in range(TILE):
            out[i] = math.log1p(one[i])


@compiled
def _choose(condition: Array, one: Array, other: Array, out: Array) -> None:
    """Fill an array with the numbers of one array where the condition isn't 0, else with those of another."""
    for i in range(TILE):
        # Both are read whatever the condition is, so that there is no branch.
        chosen, rest = one[i], other[i]
        out[i] = chosen if condition[i] != 0.0 else rest


@compiled
def _copy(source: Array, out: Array) -> None:
    """Copy as many numbers as the shorter array has."""
    for i in range(min(len(source), len(out))):
        out[i] = source[i]


@compiled
def carry_out(code: NDArray[np.int64], constants: Array, n_registers: int, planes: Array) -> None:
    """Carry out instructions at every pixel.

    Parameters
    ----------
    code, constants, n_registers
        As :class:`~pipeline.compute.instructions.Instructions` has them.
    planes : ndarray of float64, shape (n_planes, n)
        Some of them are read and some are filled.
    """
    registers = np.zeros((n_registers, TILE))
    for number in range(len(constants)):
        for i in range(TILE):
            registers[number, i] = constants[number]
    for start in range(0, planes.shape[1], TILE):
        stop = min(start + TILE, planes.shape[1])
        for place in range(len(code)):
            operation, target, one, other, third = code[place]
            if operation == Operation.LOAD:
                _copy(planes[one, start:stop], registers[target])
            elif operation == Operation.STORE:
                _copy(registers[one], planes[target, start:stop])
            elif operation == Operation.WHERE:
                _choose(registers[one], registers[other], registers[third], registers[target])
            elif operation < Operation.ABS:
                _combine(operation, registers[one], registers[other], registers[target])
            else:
                _apply(operation, registers[one], registers[target])
