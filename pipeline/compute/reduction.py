"""Steps that combine many exponents or planes into one plane, in batches that fit one numexpr expression.

The virtual machine of numexpr has 256 registers for the constants, inputs and temporaries of one expression,
and takes 64 operands. A kernel that is too wide for one expression is summed over several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compute.program import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.compute.exponent import Exponent, Row

    Combine = Callable[[Sequence[str]], str]

# The number of registers for constants and inputs. The rest of the 256 is for the output and temporaries.
_REGISTERS = 200
# The number of levels of a sum by halves: fewer than 2**7 texts of three constants each fit the registers.
SUM_LEVELS = 7
# The number of planes that one expression reads. Some of the 64 operands are the output and running sums.
_INPUTS = 56


def sum_of(texts: Sequence[str]) -> str:
    """Return the text of a sum by halves, in which a summand has as many roundings as there are levels."""
    return _balanced("({} + {})", texts)


def maximum_of(texts: Sequence[str]) -> str:
    """Return the text of a maximum, which is NaN if any of the numbers is NaN."""
    return _balanced("maximum({}, {})", texts)


def minimum_of(texts: Sequence[str]) -> str:
    """Return the text of a minimum, which is NaN if any of the numbers is NaN."""
    return _balanced("minimum({}, {})", texts)


def second_highest_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return texts whose maximum is the second highest of the named numbers: none for a single name."""
    if len(names) == 1:
        return ()
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    highest = ", ".join(maximum_of(half) for half in halves)
    return (f"minimum({highest})", *second_highest_of(halves[0]), *second_highest_of(halves[1]))


def _balanced(pattern: str, texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    half = len(texts) // 2
    return pattern.format(_balanced(pattern, texts[:half]), _balanced(pattern, texts[half:]))


def limited(text: str, lowest: float, highest: float) -> str:
    """Return the text of a number between two limits, or of NaN: faster than a minimum of a maximum."""
    return f"where({text} < {lowest!r}, {lowest!r}, where({text} > {highest!r}, {highest!r}, {text}))"


def reduce_exponents(
    exponents: Iterable[Exponent],
    target: str,
    term: str,
    combine: Combine,
    inputs: tuple[str, ...] = (),
    *,
    first: str | None = None,
) -> list[Step]:
    """Return steps that combine a term of each exponent into one plane, batch by batch.

    Parameters
    ----------
    exponents : iterable of Exponent
    target : str
        The name of the plane.
    term : str
        The text of a term, in which ``{}`` stands for the exponent.
    combine : callable
        :func:`sum_of`, :func:`maximum_of` or :func:`minimum_of`.
    inputs : tuple of str
        The names of further planes that the term reads.
    first : str, optional
        The text of the term of the first exponent, if that differs.

    Returns
    -------
    list of Step
    """
    batches = list(_batches(exponents))
    # The plane of the results may have another dtype, so only the last batch is written to it.
    partial = "total" if target.startswith("out") else target
    steps: list[Step] = []
    for number, (prelude, texts, planes) in enumerate(batches, start=1):
        running = (partial,) if number > 1 else ()
        patterns = [term if first is None or number > 1 else first, *(term for _ in texts[1:])]
        parts = [pattern.format(text) for pattern, text in zip(patterns, texts, strict=True)]
        text = combine([*running, combine(parts)])
        reached = target if number == len(batches) else partial
        steps += [*prelude, Step(reached, text, (*planes, *inputs, *running))]
    return steps


def reduce_planes(planes: Sequence[str], target: str, combine: Combine) -> list[Step]:
    """Return steps that combine planes into one plane, as many at a time as an expression can read."""
    steps = []
    for start in range(0, len(planes), _INPUTS):
        running = (target,) if start else ()
        read = tuple(planes[start : start + _INPUTS])
        steps.append(Step(target, combine([*running, combine(read)]), (*read, *running)))
    return steps


def _chain(texts: Iterable[str]) -> str:
    """Return the text of a sum from left to right."""
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
    """Group exponents so that the texts of each group fit one expression.

    Yield the steps that must run first, the texts of the exponents, and the planes that the texts read.
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
    """Yield steps that sum an exponent that is too wide for one expression into the plane ``exponent``."""
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
    """Yield steps that sum a row that reads too many planes into the plane ``deviation``."""
    deviations = _deviations(row)
    names = [f"x{channel}" for channel, _ in row.centers]
    for start in range(0, len(names), _INPUTS):
        running = ("deviation",) if start else ()
        part = slice(start, start + _INPUTS)
        yield Step("deviation", _chain([*running, *deviations[part]]), (*names[part], *running))


def _plane_names(channels: set[int]) -> tuple[str, ...]:
    return tuple(f"x{channel}" for channel in sorted(channels))
