"""Programs: steps, most of them numexpr expressions, which run over planes of pixels."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.environment import numexpr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# The size of the blocks of numexpr. A call over fewer than two blocks runs in the calling thread, whatever
# the thread count of numexpr is. A call over exactly one block runs in the faster loop, which has a fixed
# size.
_SERIAL_PIECE = 1024
# A number in an expression: neither a part of a name, nor an exponent. numexpr holds each one as often as its
# blocks have pixels.
_CONSTANT = re.compile(r"(?<![\w.])\d+\.?\d*(?:e[+-]?\d+)?")
_CONSTANT_BYTES = 8 * _SERIAL_PIECE
DOUBT = "doubt"


class Reduction(ABC):
    """What a step computes from all channels by other means than one expression. It is hashable.

    Attributes
    ----------
    n_planes : int
        The number of planes that it takes beside the channels and the plane that it fills.
    compiled_bytes : int
        The memory in bytes that each thread keeps for it.
    """

    n_planes: int = 0
    compiled_bytes: int = 0

    @abstractmethod
    def fill(self, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool) -> None:
        """Fill a plane of shape (n,) from the channel planes, of shape (C, n) and each of them contiguous.

        With `serial`, everything happens in the calling thread.
        """


@dataclass(frozen=True)
class Step:
    """One expression or reduction, the planes that it reads, and the plane that it fills.

    A reduction reads the channels, which aren't among the `inputs`. `names` are the names of the inputs in
    the expression, if these differ from the names of the planes. Steps that differ only in their planes are
    compiled once.
    """

    target: str
    expression: str | Reduction
    inputs: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """Steps that compute the results of one or several quantities from the channel planes ``x0, x1, ...``.

    The steps of one quantity fill ``out0, out1, ...``, and may fill a plane ``doubt``, which is above 0 where
    the error of a result may exceed the tolerated one. :func:`join` numbers these planes by quantity.
    """

    steps: tuple[Step, ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.steps)

    @cached_property
    def scratch(self) -> tuple[str, ...]:
        """The names of all planes except the channels, the results and the doubts."""
        targets = dict.fromkeys(step.target for step in self.steps)
        return tuple(name for name in targets if not is_given(name))

    @cached_property
    def n_planes(self) -> int:
        """The number of planes that a run takes beside the channels, the results and the doubts."""
        return len(self.scratch) + max((reduction.n_planes for reduction in self._reductions), default=0)

    @cached_property
    def compiled_bytes(self) -> int:
        """The memory in bytes of the compiled steps, which each thread has."""
        texts = {step.expression for step in self.steps if isinstance(step.expression, str)}
        n_constants = sum(len(set(_CONSTANT.findall(text))) for text in texts)
        return n_constants * _CONSTANT_BYTES + sum(reduction.compiled_bytes for reduction in self._reductions)

    def run(
        self, planes: NDArray[np.float64], outputs: Sequence[NDArray[Any]], *, serial: bool
    ) -> list[NDArray[np.float64] | None]:
        """Run the steps of joined programs over every pixel.

        Parameters
        ----------
        planes : ndarray of float64, shape (C, n)
            One contiguous plane for each channel.
        outputs : sequence of ndarray, shape (n_results, n)
            One array for each quantity. It is filled with the results, which are computed in float64 and
            rounded once.
        serial : bool
            If True, everything is computed in the calling thread, so that many threads can run programs at
            the same time. If False, numexpr uses as many threads as its settings say.

        Returns
        -------
        list of ndarray of float64 or None
            The plane ``doubt`` of each quantity, of shape (n,), or None if the quantity has no such plane.

        Notes
        -----
        No setting of numexpr is changed. If the thread count of numexpr is above 1, a serial run takes 1024
        pixels at a time, which costs about 3% of the time for sixteen kernels over three channels. Only the
        steps that are expressions need that, so that a program with reductions takes all pixels at a time.
        """
        length = planes.shape[1]
        piece = _SERIAL_PIECE if serial and numexpr.get_num_threads() > 1 else max(1, length)
        at_once = max(1, length) if self._reductions else piece
        compiled = _per_thread.compiled(self)
        scratch = {name: np.empty(at_once) for name in self.scratch}
        whole = {f"x{channel}": plane for channel, plane in enumerate(planes)}
        targets = {step.target for step in self.steps}
        doubts: list[NDArray[np.float64] | None] = []
        for quantity, out in enumerate(outputs):
            whole |= {_of(f"out{number}", quantity): plane for number, plane in enumerate(out)}
            name = _of(DOUBT, quantity)
            doubts.append(np.empty(length) if name in targets else None)
            if (doubt := doubts[-1]) is not None:
                whole[name] = doubt
        for start in range(0, length, at_once):
            stop = min(start + at_once, length)
            known = {name: plane[start:stop] for name, plane in whole.items()}
            known |= {name: plane[: stop - start] for name, plane in scratch.items()}
            for step, expression in zip(self.steps, compiled, strict=True):
                target = known[step.target]
                if isinstance(expression, Reduction):
                    expression.fill(planes[:, start:stop], target, serial=serial)
                    continue
                inputs = [known[name] for name in step.inputs]
                for first in range(0, stop - start, piece):
                    part = slice(first, first + piece)
                    expression(
                        *(plane[part] for plane in inputs),
                        out=target[part],
                        order="K",
                        casting="unsafe",
                        ex_uses_vml=False,
                    )
        return doubts

    @cached_property
    def _reductions(self) -> set[Reduction]:
        return {step.expression for step in self.steps if isinstance(step.expression, Reduction)}


def join(programs: Sequence[Program]) -> Program:
    """Join the programs of quantities into one. A value that several programs compute is computed once.

    Parameters
    ----------
    programs : sequence of Program
        The program of each quantity.

    Returns
    -------
    Program
        The results have the same bits as those of each program alone, because the expressions are the same.
    """
    values: dict[tuple[str | Reduction, tuple[str, ...], tuple[str, ...]], str] = {}
    steps: list[Step] = []
    for quantity, program in enumerate(programs):
        # A plane may be filled several times. Each content of a plane is a value, which has one name.
        current: dict[str, str] = {}
        for step in program.steps:
            inputs = tuple(current.get(name, name) for name in step.inputs)
            names = step.names or step.inputs
            if is_given(step.target):
                steps.append(Step(_of(step.target, quantity), step.expression, inputs, names))
                continue
            value = f"value{len(values)}"
            current[step.target] = values.setdefault((step.expression, names, inputs), value)
            if current[step.target] == value:
                steps.append(Step(value, step.expression, inputs, names))
    return Program(tuple(_in_few_planes(steps)))


def _in_few_planes(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps with planes for the values. A plane is used again after the last step that reads it."""
    last_read = {name: number for number, step in enumerate(steps) for name in step.inputs}
    planes: dict[str, str] = {}
    free: list[str] = []
    n_planes = 0
    for number, step in enumerate(steps):
        inputs = tuple(planes.get(name, name) for name in step.inputs)
        free += [
            planes[name]
            for name in dict.fromkeys(step.inputs)
            if name in planes and last_read[name] == number
        ]
        if not is_given(step.target):
            if not free:
                free.append(f"plane{n_planes}")
                n_planes += 1
            planes[step.target] = free.pop()
        yield Step(planes.get(step.target, step.target), step.expression, inputs, step.names)


def _of(name: str, quantity: int) -> str:
    return f"{name} of {quantity}"


def is_given(name: str) -> bool:
    """Return whether a plane holds results or doubt."""
    return name.startswith(("out", DOUBT))


class _PerThread(threading.local):
    """A cache for each thread, because a compiled expression owns the scratch memory of one run."""

    def __init__(self) -> None:
        self.compiled = lru_cache(maxsize=32)(_compile_steps)


def _compile_steps(program: Program) -> list[Any]:
    compiled: dict[tuple[str | Reduction, tuple[str, ...]], Any] = {}
    for step in program.steps:
        if isinstance(step.expression, Reduction):
            compiled[_key(step)] = step.expression
        elif _key(step) not in compiled:
            signature = [(name, np.float64) for name in _key(step)[1]]
            compiled[_key(step)] = numexpr.NumExpr(step.expression, signature)
    return [compiled[_key(step)] for step in program.steps]


def _key(step: Step) -> tuple[str | Reduction, tuple[str, ...]]:
    return step.expression, step.names or step.inputs


_per_thread = _PerThread()
