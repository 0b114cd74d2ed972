"""Steps of numexpr expressions, and the running of them over planes of pixels."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numexpr
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# numexpr's own block: a call over fewer than two of them runs in the calling thread, whatever numexpr's
# thread count is, and one over exactly one of them runs in its loop of fixed size, which is the faster.
_SERIAL_PIECE = 1024
DOUBT = "doubt"


@dataclass(frozen=True)
class Step:
    """One expression, the planes that it reads, and the plane that it fills.

    `names` are what the expression calls its inputs, where that isn't the planes' names: steps that differ in
    their planes alone are compiled once.
    """

    target: str
    expression: str
    inputs: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """Steps that turn the channel planes ``x0, x1, ...`` into the results ``out0, out1, ...``.

    A plane ``doubt``, if there is one, is above 0 where a result may be less exact than is wanted.
    """

    steps: tuple[Step, ...]

    @cached_property
    def scratch(self) -> tuple[str, ...]:
        """The planes besides channels, results and doubt."""
        targets = dict.fromkeys(step.target for step in self.steps)
        return tuple(name for name in targets if not name.startswith("out") and name != DOUBT)

    @cached_property
    def has_doubt(self) -> bool:
        """Whether there is a plane of doubt."""
        return any(step.target == DOUBT for step in self.steps)

    def run(
        self, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool
    ) -> NDArray[np.float64] | None:
        """Run the steps over every pixel.

        Parameters
        ----------
        planes : ndarray of float64, shape (C, n)
            One contiguous plane a channel.
        out : ndarray, shape (n_results, n)
            Filled with the results, computed in float64 and rounded once.
        serial : bool
            True computes in the calling thread alone, so that many threads can run programs at once.
            False lets numexpr use its thread count.

        Returns
        -------
        ndarray of float64 or None
            The plane of doubt, shape (n,), if the program has one.

        Notes
        -----
        No setting of numexpr's is changed. With numexpr's thread count above 1, a serial run goes in
        pieces of 1024 pixels, which costs about 3% at sixteen kernels over three channels.
        """
        length = planes.shape[1]
        piece = _SERIAL_PIECE if serial and numexpr.get_num_threads() > 1 else length
        compiled = _per_thread.compiled(self)
        scratch = {name: np.empty(piece) for name in self.scratch}
        whole = {f"x{channel}": plane for channel, plane in enumerate(planes)}
        whole |= {f"out{number}": plane for number, plane in enumerate(out)}
        doubt = np.empty(length) if self.has_doubt else None
        if doubt is not None:
            whole[DOUBT] = doubt
        for start in range(0, length, piece):
            stop = min(start + piece, length)
            known = {name: plane[start:stop] for name, plane in whole.items()}
            known |= {name: plane[: stop - start] for name, plane in scratch.items()}
            for step, expression in zip(self.steps, compiled, strict=True):
                expression(
                    *(known[name] for name in step.inputs),
                    out=known[step.target],
                    order="K",
                    casting="unsafe",
                    ex_uses_vml=False,
                )
        return doubt


class _PerThread(threading.local):
    """A cache for each thread: a compiled expression holds the scratch memory of one run."""

    def __init__(self) -> None:
        self.compiled = lru_cache(maxsize=32)(_compile_steps)


def _compile_steps(program: Program) -> list[Any]:
    compiled: dict[tuple[str, tuple[str, ...]], Any] = {}
    for step in program.steps:
        if _key(step) not in compiled:
            signature = [(name, np.float64) for name in _key(step)[1]]
            compiled[_key(step)] = numexpr.NumExpr(step.expression, signature)
    return [compiled[_key(step)] for step in program.steps]


def _key(step: Step) -> tuple[str, tuple[str, ...]]:
    return step.expression, step.names or step.inputs


_per_thread = _PerThread()
