"""A term of each exponent, combined into one plane: batched until numexpr's registers are full.

numexpr's virtual machine has 256 one-byte registers for the constants, inputs and temporaries of one
expression, and takes 64 operands. A kernel too wide for one expression is summed up over several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compute.program import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.compute.exponent import Exponent, Row

    Combine = Callable[[Sequence[str]], str]

# Registers for constants and inputs; what remains of 256 is for the output and the temporaries.
_REGISTERS = 200
# Levels of a sum by halves: fewer than 2**7 texts have three constants each within the registers.
SUM_LEVELS = 7
# Input planes of one expression; numexpr takes 64 operands, of which some are the output and running sums.
_INPUTS = 56


def sum_of(texts: Sequence[str]) -> str:
    """Write a sum, by halves: a text passes as many roundings as there are levels."""
    return _balanced("({} + {})", texts)


def maximum_of(texts: Sequence[str]) -> str:
    """Write a maximum: NaN if any text is."""
    return _balanced("maximum({}, {})", texts)


def minimum_of(texts: Sequence[str]) -> str:
    """Write a minimum: NaN if any text is."""
    return _balanced("minimum({}, {})", texts)


def _balanced(pattern: str, texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    half = len(texts) // 2
    return pattern.format(_balanced(pattern, texts[:half]), _balanced(pattern, texts[half:]))


def reduce_exponents(
    exponents: Iterable[Exponent], target: str, term: str, combine: Combine, inputs: tuple[str, ...] = ()
) -> list[Step]:
    """Combine a term of each exponent into the plane `target`, batch by batch.

    Parameters
    ----------
    exponents : iterable of Exponent
    target : str
        A plane.
    term : str
        Its ``{}`` stands for the exponent.
    combine : callable
        :func:`sum_of` or another of this module.
    inputs : tuple of str
        Planes that the term reads besides.

    Returns
    -------
    list of Step
    """
    batches = list(_batches(exponents))
    # Results may be rounded to another dtype, so only the last batch is written to them.
    partial = "total" if target.startswith("out") else target
    steps: list[Step] = []
    for number, (prelude, texts, planes) in enumerate(batches, start=1):
        running = (partial,) if number > 1 else ()
        text = combine([*running, combine([term.format(text) for text in texts])])
        reached = target if number == len(batches) else partial
        steps += [*prelude, Step(reached, text, (*planes, *inputs, *running))]
    return steps


def reduce_planes(planes: Sequence[str], target: str, combine: Combine) -> list[Step]:
    """Combine planes into the plane `target`, as many at a time as an expression can read."""
    steps = []
    for start in range(0, len(planes), _INPUTS):
        running = (target,) if start else ()
        read = tuple(planes[start : start + _INPUTS])
        steps.append(Step(target, combine([*running, combine(read)]), (*read, *running)))
    return steps


def _chain(texts: Iterable[str]) -> str:
    """Write a sum that is taken from left to right."""
    return " + ".join(texts)


def _text(exponent: Exponent) -> str:
    return _chain([*(_row_text(row) for row in exponent.rows), repr(float(exponent.offset))])


def _row_text(row: Row) -> str:
    return f"({_chain(_deviations(row))})**2*{float(row.scale)!r}"


def _deviations(row: Row) -> list[str]:
    factors = dict(row.factors)
    texts = []
    for channel, center in row.centers:
        factor = f"*{float(factors[channel])!r}" if channel in factors else ""
        texts.append(f"(x{channel} - {center!r}){factor}")
    return texts


def _channels(row: Row) -> set[int]:
    return {channel for channel, _ in row.centers}


def _constants(row: Row) -> int:
    return len(row.centers) + len(row.factors) + 1


def _batches(
    exponents: Iterable[Exponent],
) -> Iterator[tuple[list[Step], list[str], tuple[str, ...]]]:
    """Group exponents so that each group's texts fit one expression.

    Yields the steps that must run before, the exponents' texts, and the planes that the texts read.
    """
    texts: list[str] = []
    channels: set[int] = set()
    registers = 0
    for exponent in exponents:
        read = set().union(*map(_channels, exponent.rows))
        needed = sum(map(_constants, exponent.rows)) + 1
        widened = channels | read
        if texts and registers + needed + len(widened) > _REGISTERS:
            yield [], texts, _plane_names(channels)
            texts, widened, registers = [], read, 0
        if needed + len(read) > _REGISTERS or len(read) > _INPUTS:
            yield list(_exponent_steps(exponent)), [f"exponent + {float(exponent.offset)!r}"], ("exponent",)
            channels = set()
            continue
        texts.append(_text(exponent))
        channels = widened
        registers += needed
    if texts:
        yield [], texts, _plane_names(channels)


def _exponent_steps(exponent: Exponent) -> Iterator[Step]:
    """Sum an exponent that is too wide for one expression into the plane ``exponent``."""
    running: tuple[str, ...] = ()
    texts: list[str] = []
    channels: set[int] = set()
    constants = 0

    def flush() -> Step:
        return Step("exponent", _chain([*running, *texts]), (*_plane_names(channels), *running))

    for row in exponent.rows:
        widened = channels | _channels(row)
        full = constants + _constants(row) + len(widened) > _REGISTERS or len(widened) > _INPUTS
        if texts and full:
            yield flush()
            texts, channels, constants, running = [], set(), 0, ("exponent",)
        if len(row.centers) > _INPUTS:
            yield from _deviation_steps(row)
            square = f"deviation**2*{float(row.scale)!r}"
            yield Step("exponent", _chain([*running, square]), ("deviation", *running))
            running = ("exponent",)
            continue
        texts.append(_row_text(row))
        channels |= _channels(row)
        constants += _constants(row)
    if texts:
        yield flush()


def _deviation_steps(row: Row) -> Iterator[Step]:
    """Sum a row that reads too many planes into the plane ``deviation``."""
    deviations = _deviations(row)
    names = [f"x{channel}" for channel, _ in row.centers]
    for start in range(0, len(names), _INPUTS):
        running = ("deviation",) if start else ()
        part = slice(start, start + _INPUTS)
        yield Step("deviation", _chain([*running, *deviations[part]]), (*names[part], *running))


def _plane_names(channels: set[int]) -> tuple[str, ...]:
    return tuple(f"x{channel}" for channel in sorted(channels))
