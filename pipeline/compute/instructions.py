"""Steps as instructions: what the expressions of a program do to registers, for compiled loops over tiles.

A formula states its results as texts, which numexpr evaluates. This module translates the same texts for the
engine ``numba``.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.compute.program import Step


# The pixels of a tile. The sums and the planes of a tile stay in the first cache of a core.
TILE = 512


class Operation(IntEnum):
    """What an instruction does with the numbers of a tile. Comparisons give 1 and 0."""

    LOAD = 0
    STORE = 1
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    DIVIDE = 5
    LESS = 6
    GREATER = 7
    EQUAL = 8
    MINIMUM = 9
    MAXIMUM = 10
    ABS = 11
    EXP = 12
    EXPM1 = 13
    LOG = 14
    LOG1P = 15
    WHERE = 16


_OPERATORS: dict[type[ast.AST], Operation] = {
    ast.Add: Operation.ADD,
    ast.Sub: Operation.SUBTRACT,
    ast.Mult: Operation.MULTIPLY,
    ast.Div: Operation.DIVIDE,
    ast.BitAnd: Operation.MULTIPLY,
    ast.Lt: Operation.LESS,
    ast.Gt: Operation.GREATER,
    ast.Eq: Operation.EQUAL,
}


class Instructions(NamedTuple):
    """Instructions for the numbers of a tile.

    Attributes
    ----------
    code : ndarray of int64, shape (n, 5)
        For each instruction its operation, its target and three operands. The target and the operands are
        registers, except that ``LOAD`` has the number of a plane as its operand, and ``STORE`` as its target.
    constants : ndarray of float64
        What the first registers hold all the time.
    n_registers : int
    """

    code: NDArray[np.int64]
    constants: NDArray[np.float64]
    n_registers: int


def translate(steps: Sequence[Step], planes: Mapping[str, int], kept: Iterable[str]) -> Instructions:
    """Translate steps that have expressions.

    Parameters
    ----------
    steps : sequence of Step
    planes : mapping of str to int
        The number of each plane that the steps read or keep.
    kept : iterable of str
        The planes that are stored, because something reads them afterwards.

    Returns
    -------
    Instructions

    Raises
    ------
    ValueError
        If an expression has something else than formulas use.
    """
    translation = _Translation(planes)
    for step in steps:
        translation.add(step)
    return translation.finish(kept)


@dataclass
class _Translation:
    """Values are numbered in the order in which they are computed; equal ones are computed once."""

    planes: Mapping[str, int]
    values: dict[tuple[Operation, int, tuple[int, ...]], int] = field(default_factory=dict)
    constants: dict[float, int] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """Compute the value of a step, which is what its plane holds from then on."""
        if not isinstance(step.expression, str):
            raise TypeError(f"got a step of {type(step.expression).__name__}; wanted one with an expression")
        names = dict(zip(step.names or step.inputs, step.inputs, strict=True))
        self.current[step.target] = self._value(ast.parse(step.expression, mode="eval").body, names)

    def finish(self, kept: Iterable[str]) -> Instructions:
        """Store the planes that are kept, and give the values registers, which are used again."""
        stored = [(self.current[name], self.planes[name]) for name in kept]
        last = {operand: place for place, (_, _, operands) in enumerate(self.values) for operand in operands}
        last |= {value: len(self.values) for value, _ in stored}
        registers = {number: place for place, number in enumerate(self.constants.values())}
        n_registers = len(registers)
        free: list[int] = []
        code: list[list[int]] = []
        for place, ((operation, plane, operands), number) in enumerate(self.values.items()):
            # A register is free only after the instruction, since loops whose target is an operand are slow.
            if not free:
                free.append(n_registers)
                n_registers += 1
            registers[number] = free.pop()
            read = [plane] if operation is Operation.LOAD else [registers[n] for n in operands]
            code.append([operation, registers[number], *read, *[0] * (3 - len(read))])
            ended = {n for n in (*operands, number) if last.get(n, place) == place}
            free += [registers[n] for n in ended if n not in self.constants.values()]
        code += [[Operation.STORE, plane, registers[value], 0, 0] for value, plane in stored]
        numbers = np.array(list(self.constants), np.float64)
        return Instructions(np.array(code, np.int64).reshape(-1, 5), numbers, n_registers)

    def _value(self, node: ast.AST, names: Mapping[str, str]) -> int:
        """Return the number of the value of an expression."""
        match node:
            case ast.Constant(value=int() | float() as number):
                return self.constants.setdefault(float(number), self._next())
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self.constants.setdefault(-float(number), self._next())
            case ast.Name(id=name):
                plane = names[name]
                if plane not in self.current:
                    self.current[plane] = self._computed(Operation.LOAD, (), self.planes[plane])
                return self.current[plane]
            case ast.BinOp(op=ast.Pow(), left=left, right=ast.Constant(value=2)):
                base = self._value(left, names)
                return self._computed(Operation.MULTIPLY, (base, base))
            case (
                ast.BinOp(op=operator, left=left, right=right)
                | ast.Compare(left=left, ops=[operator], comparators=[right])
            ) if type(operator) in _OPERATORS:
                operands = (self._value(left, names), self._value(right, names))
                return self._computed(_OPERATORS[type(operator)], operands)
            case ast.Call(func=ast.Name(id=name), args=arguments) if name.upper() in Operation.__members__:
                return self._computed(
                    Operation[name.upper()], tuple(self._value(argument, names) for argument in arguments)
                )
        raise ValueError(f"an expression has {ast.unparse(node)!r}, which no instruction computes")

    def _computed(self, operation: Operation, operands: tuple[int, ...], plane: int = -1) -> int:
        return self.values.setdefault((operation, plane, operands), self._next())

    def _next(self) -> int:
        return len(self.values) + len(self.constants)
