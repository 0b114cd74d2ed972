"""A quantity as a program of numexpr expressions, and the running of it over planes of pixels.

numexpr's virtual machine has 256 one-byte registers for the constants, inputs and temporaries of one
expression, and takes 64 operands. So a mixture becomes a sequence of steps: kernels are batched until the
registers are full, and a kernel too wide for one expression is summed up over several.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

import numexpr
import numpy as np

from pipeline.quantity import Density, LogDensity, LogRatio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.mixture import Mixture
    from pipeline.quantity import Quantity

# Registers for constants and inputs; what remains of 256 is for the output and the temporaries.
_REGISTERS = 200
# Input planes of one expression; numexpr takes 64 operands, of which some are the output and running sums.
_INPUTS = 56
# numexpr's own block: a call over fewer than two of them runs in the calling thread, whatever numexpr's
# thread count is, and one over exactly one of them runs in its loop of fixed size, which is the faster.
_SERIAL_PIECE = 1024
# Squares overflow beyond 1e154: an exponent that would be minus infinity is this instead, so that differences
# of two stay finite.
_FLOOR = -1.7e308
# More digits than any float64 sum or quotient needs, so that each parameter is rounded once, at the end.
_DIGITS = 60
_TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021164194988918")


@dataclass(frozen=True)
class Step:
    """One expression, the planes that it reads, and the plane that it fills."""

    target: str
    expression: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """Steps that turn the channel planes ``x0, x1, ...`` into the plane ``out``."""

    steps: tuple[Step, ...]

    def run(self, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool) -> None:
        """Run the steps over every pixel.

        Parameters
        ----------
        planes : ndarray of float64, shape (C, n)
            One contiguous plane a channel.
        out : ndarray, shape (n,)
            Filled with the results, computed in float64 and rounded once.
        serial : bool
            True computes in the calling thread alone, so that many threads can run programs at once.
            False lets numexpr use its thread count.

        Notes
        -----
        No setting of numexpr's is changed. With numexpr's thread count above 1, a serial run goes in
        pieces of 1024 pixels, which costs about 3% at sixteen kernels over three channels.
        """
        length = planes.shape[1]
        piece = _SERIAL_PIECE if serial and numexpr.get_num_threads() > 1 else length
        compiled = _compiled_steps(self)
        scratch = {step.target: np.empty(piece) for step in self.steps if step.target != "out"}
        for start in range(0, length, piece):
            stop = min(start + piece, length)
            known = {f"x{c}": plane[start:stop] for c, plane in enumerate(planes)}
            known |= {name: plane[: stop - start] for name, plane in scratch.items()}
            known["out"] = out[start:stop]
            for step, expression in zip(self.steps, compiled, strict=True):
                expression(
                    *(known[name] for name in step.inputs),
                    out=known[step.target],
                    order="K",
                    casting="same_kind",
                    ex_uses_vml=False,
                )


@dataclass(frozen=True)
class _Row:
    """One squared term of a kernel's exponent, ``(x_i - m_i + sum of factors_j (x_j - m_j))**2 * scale``."""

    centers: tuple[tuple[int, float], ...]
    factors: tuple[tuple[int, float], ...]
    scale: float

    def deviations(self) -> Iterator[str]:
        factors = dict(self.factors)
        for channel, center in self.centers:
            factor = f"*{factors[channel]!r}" if channel in factors else ""
            yield f"(x{channel} - {center!r}){factor}"

    def text(self) -> str:
        return f"({' + '.join(self.deviations())})**2*{self.scale!r}"

    @property
    def channels(self) -> set[int]:
        return {channel for channel, _ in self.centers}

    @property
    def constants(self) -> int:
        return len(self.centers) + len(self.factors) + 1


@dataclass(frozen=True)
class _Exponent:
    """The logarithm of one weighted Gaussian: ``offset`` and a sum of negative squared terms."""

    rows: tuple[_Row, ...]
    offset: float

    def text(self) -> str:
        return " + ".join([*(row.text() for row in self.rows), repr(self.offset)])

    @property
    def channels(self) -> set[int]:
        return set().union(*(row.channels for row in self.rows))

    @property
    def registers(self) -> int:
        return sum(row.constants for row in self.rows) + 1


@lru_cache(maxsize=32)
def compile_program(quantity: Quantity, dtype: np.dtype[Any]) -> Program:
    """Write the program that computes `quantity`.

    Parameters
    ----------
    quantity : Quantity
    dtype : dtype
        Of the results, whose finite numbers limit logarithms.

    Returns
    -------
    Program
        Text alone, which pickles; each thread that runs it compiles it once.
    """
    largest = float(np.finfo(dtype).max)
    if isinstance(quantity, LogDensity):
        steps = _log_steps(_exponents(quantity.mixture, normalized=quantity.normalized), "logarithm")
        steps.append(Step("out", f"maximum(logarithm, {-largest!r})", ("logarithm",)))
    elif isinstance(quantity, Density):
        exponents = _exponents(quantity.mixture, normalized=quantity.normalized)
        steps = _reduction(exponents, "out", "exp({})", _sum)
    elif isinstance(quantity, LogRatio):
        steps = [
            *_log_steps(_exponents(quantity.numerator, normalized=True), "numerator"),
            *_log_steps(_exponents(quantity.denominator, normalized=True), "denominator"),
            Step(
                "out",
                f"minimum(maximum(numerator - denominator, {-largest!r}), {largest!r})",
                ("numerator", "denominator"),
            ),
        ]
    else:
        raise TypeError(f"{quantity!r} isn't a quantity of this package")
    return Program(tuple(steps))


def _log_steps(exponents: Sequence[_Exponent], target: str) -> list[Step]:
    """Take the log-sum-exp of exponents: relative to the highest, no exponential over- or underflows."""
    term = f"maximum({{}}, {_FLOOR!r})"
    if len(exponents) == 1:
        return _reduction(exponents, target, term, _maximum)
    return [
        *_reduction(exponents, "peak", term, _maximum),
        *_reduction(exponents, "total", f"exp({term} - peak)", _sum, ("peak",)),
        Step(target, "log(total) + peak", ("total", "peak")),
    ]


def _reduction(
    exponents: Iterable[_Exponent],
    target: str,
    term: str,
    combine: Callable[[list[str]], str],
    inputs: tuple[str, ...] = (),
) -> list[Step]:
    """Combine a term of each exponent into the plane `target`, batch by batch."""
    batches = list(_batches(exponents))
    # Results may be rounded to another dtype, so only the last batch is written to them.
    partial = "total" if target == "out" else target
    steps: list[Step] = []
    for number, (prelude, texts, planes) in enumerate(batches, start=1):
        running = (partial,) if number > 1 else ()
        text = combine([*running, *(term.format(text) for text in texts)])
        reached = target if number == len(batches) else partial
        steps += [*prelude, Step(reached, text, (*planes, *inputs, *running))]
    return steps


def _sum(texts: list[str]) -> str:
    return " + ".join(texts)


def _maximum(texts: list[str]) -> str:
    return reduce("maximum({}, {})".format, texts)


def _batches(
    exponents: Iterable[_Exponent],
) -> Iterator[tuple[list[Step], list[str], tuple[str, ...]]]:
    """Group exponents so that each group's texts fit one expression.

    Yields the steps that must run before, the exponents' texts, and the planes that the texts read.
    """
    texts: list[str] = []
    channels: set[int] = set()
    registers = 0
    for exponent in exponents:
        widened = channels | exponent.channels
        if texts and (registers + exponent.registers + len(widened) > _REGISTERS):
            yield [], texts, _plane_names(channels)
            texts, widened, registers = [], exponent.channels, 0
        if exponent.registers + len(exponent.channels) > _REGISTERS or len(exponent.channels) > _INPUTS:
            yield list(_exponent_steps(exponent)), [f"exponent + {exponent.offset!r}"], ("exponent",)
            channels = set()
            continue
        texts.append(exponent.text())
        channels = widened
        registers += exponent.registers
    if texts:
        yield [], texts, _plane_names(channels)


def _exponent_steps(exponent: _Exponent) -> Iterator[Step]:
    """Sum an exponent that is too wide for one expression into the plane ``exponent``."""
    running: tuple[str, ...] = ()
    texts: list[str] = []
    channels: set[int] = set()
    constants = 0

    def flush() -> Step:
        return Step("exponent", " + ".join([*running, *texts]), (*_plane_names(channels), *running))

    for row in exponent.rows:
        widened = channels | row.channels
        full = constants + row.constants + len(widened) > _REGISTERS or len(widened) > _INPUTS
        if texts and full:
            yield flush()
            texts, channels, constants, running = [], set(), 0, ("exponent",)
        if len(row.channels) > _INPUTS:
            yield from _deviation_steps(row)
            square = f"deviation**2*{row.scale!r}"
            yield Step("exponent", " + ".join([*running, square]), ("deviation", *running))
            running = ("exponent",)
            continue
        texts.append(row.text())
        channels |= row.channels
        constants += row.constants
    if texts:
        yield flush()


def _deviation_steps(row: _Row) -> Iterator[Step]:
    """Sum a row that reads too many planes into the plane ``deviation``."""
    deviations = list(row.deviations())
    names = [f"x{channel}" for channel, _ in row.centers]
    for start in range(0, len(names), _INPUTS):
        running = ("deviation",) if start else ()
        part = slice(start, start + _INPUTS)
        yield Step("deviation", " + ".join([*running, *deviations[part]]), (*names[part], *running))


def _plane_names(channels: set[int]) -> tuple[str, ...]:
    return tuple(f"x{channel}" for channel in sorted(channels))


def _exponents(mixture: Mixture, *, normalized: bool) -> list[_Exponent]:
    """Rewrite each kernel as an exponent: S = L D L' with unit L, so the rows are those of L^-1 (x - m)."""
    with localcontext() as context:
        context.prec = _DIGITS
        constant = -mixture.n_channels * _TWO_PI.ln() / 2 if normalized else Decimal(0)
        return [
            _exponent(mean.tolist(), covariance, constant + Decimal(weight).ln())
            for weight, mean, covariance in zip(
                mixture.weights.tolist(), mixture.means, mixture.covariances, strict=True
            )
        ]


def _exponent(mean: list[float], covariance: NDArray[np.float64], log_scale: Decimal) -> _Exponent:
    if covariance.ndim == 1:
        pivots = [Decimal(variance) for variance in covariance.tolist()]
        inverse: list[list[Decimal]] = [[] for _ in pivots]
    else:
        pivots, inverse = _inverse_ldl([[Decimal(s) for s in row] for row in covariance.tolist()])
    rows = []
    for i, (pivot, below) in enumerate(zip(pivots, inverse, strict=True)):
        factors = tuple((j, float(factor)) for j, factor in enumerate(below) if factor)
        columns = [*(j for j, _ in factors), i]
        rows.append(_Row(tuple((j, mean[j]) for j in columns), factors, float(-1 / (2 * pivot))))
    log_determinant = sum((pivot.ln() for pivot in pivots), Decimal(0))
    return _Exponent(tuple(rows), float(log_scale - log_determinant / 2))


def _inverse_ldl(matrix: list[list[Decimal]]) -> tuple[list[Decimal], list[list[Decimal]]]:
    """Factor a positive definite matrix as L D L' and invert L.

    Returns
    -------
    pivots : list of Decimal
        The diagonal of D.
    inverse : list of list of Decimal
        The rows of L^-1 below its unit diagonal: row i holds i numbers.
    """
    size = len(matrix)
    pivots: list[Decimal] = []
    lower: list[list[Decimal]] = []
    for i in range(size):
        row: list[Decimal] = []
        for j in range(i):
            partial = sum((row[k] * lower[j][k] * pivots[k] for k in range(j)), Decimal(0))
            row.append((matrix[i][j] - partial) / pivots[j])
        lower.append(row)
        pivots.append(matrix[i][i] - sum((row[k] ** 2 * pivots[k] for k in range(i)), Decimal(0)))
    inverse: list[list[Decimal]] = []
    for i in range(size):
        inverse.append(
            [
                -lower[i][j] - sum((lower[i][k] * inverse[k][j] for k in range(j + 1, i)), Decimal(0))
                for j in range(i)
            ]
        )
    return pivots, inverse


class _PerThread(threading.local):
    """A cache for each thread: a compiled expression holds the scratch memory of one run."""

    def __init__(self) -> None:
        self.compiled = lru_cache(maxsize=32)(_compile_steps)


def _compile_steps(program: Program) -> list[Any]:
    return [
        numexpr.NumExpr(step.expression, [(name, np.float64) for name in step.inputs])
        for step in program.steps
    ]


_per_thread = _PerThread()


def _compiled_steps(program: Program) -> list[Any]:
    return _per_thread.compiled(program)
