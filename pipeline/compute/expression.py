"""A quantity as a program of numexpr expressions.

Sums of exponentials are taken relative to the highest exponent: so none over- or underflows. Log-ratios,
posteriors and labels are made of the mixtures' log-densities, which they share. Rounding is bounded beside
them, for each pixel: the plane ``doubt`` is above 0 where the bound exceeds what is tolerated.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.compute.exponent import exponents
from pipeline.compute.program import DOUBT, Program, Step, join
from pipeline.models.quantity import Density, Label, LogDensity, LogRatio, Posterior, no_data_value
from pipeline.compute.reduction import SUM_LEVELS, maximum_of, minimum_of, reduce_exponents, reduce_planes, sum_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compute.exponent import Exponent
    from pipeline.models.quantity import Quantity, Wanted

# Classes that are compared in one expression: the second highest of so many takes some 90 temporaries.
_COMPARED = 16
# Squares overflow beyond 1e154: an exponent that would be minus infinity is this instead, so that differences
# of two stay finite.
_FLOOR = -1.7e308
_TERM = f"maximum({{}}, {_FLOOR!r})"
_RELATIVE = f"exp({_TERM} - peak)"
_UNIT = 2.0**-53
# Of 1e-12, the relative error that is promised; what remains is for the last rounding of what is doubtful.
_TOLERATED = 9e-13
# Densities and posteriors below this may be less exact.
_LOWEST = 1e-300


class _Bound(NamedTuple):
    """A sum of exponentials is off by at most ``slope * abs(its logarithm) + constant``, relative to it.

    Errors of exponents e_k count by their shares p_k of the sum, and sum_k p_k abs(e_k) is at most
    abs(log sum) and the shares' entropy, which is at most `spread`, log n. It is so with the peak for the
    logarithm, too. Each exponential is off by two roundings, and the sum by one a level and one a step.
    """

    slope: float
    constant: float
    spread: float

    @classmethod
    def of(cls, terms: Sequence[Exponent], n_steps: int) -> _Bound:
        amplification = max(term.amplification for term in terms)
        spread = math.log(len(terms))
        offset = max(term.offset_error for term in terms)
        roundings = amplification * spread + offset + 2 + SUM_LEVELS + n_steps
        return cls(amplification * _UNIT, roundings * _UNIT, spread)

    def of_log(self) -> _Bound:
        """Bound the log-sum-exp: differences, the logarithm and its sum with the peak count too."""
        return _Bound(self.slope + _UNIT, self.constant + 3 * self.spread * _UNIT, self.spread)

    @classmethod
    def of_logs(cls, classes: Sequence[Sequence[Exponent]], steps: Sequence[Sequence[Step]]) -> _Bound:
        """Bound the logarithms of some classes, and the sum of the classes as one of exponentials."""
        bounds = [cls.of(terms, len(taken)).of_log() for terms, taken in zip(classes, steps, strict=True)]
        slope, constant = (max(bound[part] for bound in bounds) for part in (0, 1))
        return cls(slope, constant, math.log(len(classes)))


@lru_cache(maxsize=32)
def compile_program(wanted: tuple[Wanted, ...]) -> Program:
    """Write the program that computes quantities, and what they have in common once.

    Parameters
    ----------
    wanted : tuple of (Quantity, dtype)
        The dtypes are the results', whose finite numbers limit them.

    Returns
    -------
    Program
        Text alone, which pickles; each thread that runs it compiles it once.

    Raises
    ------
    TypeError
        If a quantity is none of this package, or a packed one.
    """
    return join([Program(tuple(_steps(*one))) for one in wanted])


def _steps(quantity: Quantity, dtype: np.dtype[Any]) -> list[Step]:
    if isinstance(quantity, Density | LogDensity):
        (terms,) = exponents(quantity.mixtures, normalized=quantity.normalized)
        write = _density_steps if isinstance(quantity, Density) else _log_density_steps
        return write(terms, dtype)
    if isinstance(quantity, LogRatio):
        numerator, denominator = exponents(quantity.mixtures)
        return _log_ratio_steps(numerator, denominator, dtype)
    if isinstance(quantity, Posterior | Label):
        # Equal priors make no difference, and without them other quantities have the same logarithms.
        equal = len(set(quantity.priors)) == 1
        classes = exponents(quantity.members, priors=None if equal else quantity.priors)
        if isinstance(quantity, Label):
            return _label_steps(classes, no_data_value(dtype))
        if quantity.only is None:
            return _posterior_steps(classes, range(len(classes)))
        number = quantity.names.index(quantity.only)
        if len(classes) > 1 and all(len(terms) == 1 for terms in classes):
            # Kernels as classes may be a thousand, of which all others are one sum.
            classes = (classes[number], tuple(chain(*classes[:number], *classes[number + 1 :])))
            number = 0
        return _posterior_steps(classes, [number])
    raise TypeError(f"{quantity!r:.80} isn't a quantity of this package that has a program")


def _density_steps(terms: Sequence[Exponent], dtype: np.dtype[Any]) -> list[Step]:
    steps = reduce_exponents(terms, "out0", "exp({})", sum_of)
    bound = _Bound.of(terms, len(steps))
    # Where no rounding exceeds what is tolerated: abs(log density) up to this.
    reach = (_TOLERATED - bound.constant) / bound.slope
    highest = max(float(term.offset) for term in terms) + bound.spread
    largest = float(np.finfo(dtype).max)
    is_limited = highest > math.log(largest)
    doubts = reach < max(-math.log(_LOWEST), highest)
    if not (is_limited or doubts):
        return steps
    steps = reduce_exponents(terms, "total", "exp({})", sum_of)
    steps.append(Step("out0", f"minimum(total, {largest!r})", ("total",)))
    if doubts:
        # Rounding also counts high densities' logarithms: then all are doubtful.
        below = math.exp(-reach) if reach > max(highest, 0) else sys.float_info.max
        text = f"where((total > {_LOWEST / 2!r}) & (total < {below!r}), 1.0, 0.0)"
        steps.append(Step(DOUBT, text, ("total",)))
    return steps


def _log_density_steps(terms: Sequence[Exponent], dtype: np.dtype[Any]) -> list[Step]:
    steps = _log_steps(terms, "logarithm")
    slope, constant, _ = _Bound.of(terms, len(steps)).of_log()
    doubt = f"abs(logarithm)*{slope - _TOLERATED!r} + {constant!r}"
    return [
        *steps,
        Step("out0", _limited("logarithm", dtype), ("logarithm",)),
        Step(DOUBT, doubt, ("logarithm",)),
    ]


def _log_ratio_steps(
    numerator: Sequence[Exponent], denominator: Sequence[Exponent], dtype: np.dtype[Any]
) -> list[Step]:
    planes = ("numerator", "denominator")
    steps = [_log_steps(terms, plane) for terms, plane in zip((numerator, denominator), planes, strict=True)]
    above = _Bound.of(numerator, len(steps[0])).of_log()
    below = _Bound.of(denominator, len(steps[1])).of_log()
    doubt = (
        f"abs(numerator)*{above.slope!r} + abs(denominator)*{below.slope!r} "
        f"+ {above.constant + below.constant!r} - abs(numerator - denominator)*{_TOLERATED!r}"
    )
    return [
        *chain(*steps),
        Step("out0", _limited("numerator - denominator", dtype), planes),
        Step(DOUBT, doubt, planes),
    ]


def _posterior_steps(classes: Sequence[Sequence[Exponent]], only: Sequence[int]) -> list[Step]:
    """Take a softmax of the classes' logarithms."""
    logs = [f"class{number}" for number in range(len(classes))]
    taken = list(map(_log_steps, classes, logs))
    steps = list(chain(*taken))
    parts = [f"part{number}" for number in range(len(classes))]
    steps += reduce_planes(logs, "peak", maximum_of)
    steps += [
        Step(part, "exp(logarithm - peak)", (log, "peak"), ("logarithm", "peak"))
        for part, log in zip(parts, logs, strict=True)
    ]
    total = reduce_planes(parts, "total", sum_of)
    steps += total
    steps += [
        Step(f"out{number}", "part/total", (parts[one], "total"), ("part", "total"))
        for number, one in enumerate(only)
    ]
    if len(classes) == 1:
        return steps
    # A logarithm lies below the peak by -log(part), and on average by log n at most: the first counts for the
    # part, the second for the total. Besides, both are off by an exponential's roundings and the total by its
    # sum's; the peak itself cancels.
    slope, constant, spread = _Bound.of_logs(classes, taken)
    rest = 2 * constant + (5 + SUM_LEVELS + len(total)) * _UNIT + spread * (slope + _UNIT) - _TOLERATED
    text = f"abs(peak)*{2 * slope!r} - log(maximum(lowest, {_LOWEST!r}))*{slope + _UNIT!r} + {rest!r}"
    return [
        *steps,
        *reduce_planes([parts[one] for one in only], "lowest", minimum_of),
        Step(DOUBT, text, ("peak", "lowest")),
    ]


def _label_steps(classes: Sequence[Sequence[Exponent]], no_data: float) -> list[Step]:
    """Keep the highest logarithm, the second highest, and the highest one's number, a group at a time."""
    if len(classes) == 1:
        return [*_log_steps(classes[0], "best"), Step("out0", _labelled("0.0", no_data), ("best",))]
    planes = [f"class{number % _COMPARED}" for number in range(len(classes))]
    taken = list(map(_log_steps, classes, planes))
    steps = []
    for start in range(0, len(classes), _COMPARED):
        group = slice(start, start + _COMPARED)
        steps += [*chain(*taken[group]), *_compare(tuple(planes[group]), start)]
    steps.append(Step("out0", _labelled("label", no_data), ("best", "label")))
    slope, constant, _ = _Bound.of_logs(classes, taken)
    # Two logarithms may err, and by a little more the further the second is.
    doubt = f"2.01*(abs(best)*{slope!r} + {constant!r}) - (best - second)"
    return [*steps, Step(DOUBT, doubt, ("best", "second"))]


def _labelled(text: str, no_data: float) -> str:
    return f"where(best == best, {text}, {float(no_data)!r})"


def _compare(planes: tuple[str, ...], start: int) -> list[Step]:
    """Take a group of scores, whose first class has the number `start`, into the running comparison."""
    numbers = [f"{float(start + i)!r}" for i in range(len(planes))]
    choice = numbers[-1]
    for plane, number in zip(planes[-2::-1], numbers[-2::-1], strict=True):
        choice = f"where({plane} == high, {number}, {choice})"
    steps = [Step("high", maximum_of(planes), planes)]
    seconds = _second(planes)
    if start == 0:
        return [
            *steps,
            Step("best", "high", ("high",)),
            Step("label", choice, (*planes[:-1], "high")),
            Step("second", maximum_of(seconds), planes),
        ]
    running = ("high", "best")
    steps.append(Step("label", f"where(high > best, {choice}, label)", (*planes[:-1], *running, "label")))
    text = maximum_of(("second", "minimum(best, high)", *seconds))
    steps.append(Step("second", text, (*(planes if seconds else ()), *running, "second")))
    steps.append(Step("best", "maximum(best, high)", running))
    return steps


def _second(names: Sequence[str]) -> tuple[str, ...]:
    """Write terms whose maximum is the second highest of the named: none for a single name."""
    if len(names) == 1:
        return ()
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    highest = ", ".join(maximum_of(half) for half in halves)
    return (f"minimum({highest})", *_second(halves[0]), *_second(halves[1]))


def _limited(text: str, dtype: np.dtype[Any]) -> str:
    largest = float(np.finfo(dtype).max)
    return f"minimum(maximum({text}, {-largest!r}), {largest!r})"


def _log_steps(terms: Sequence[Exponent], target: str) -> list[Step]:
    """Take the log-sum-exp of exponents."""
    if len(terms) == 1:
        return reduce_exponents(terms, target, _TERM, maximum_of)
    return [
        *reduce_exponents(terms, "peak", _TERM, maximum_of),
        *reduce_exponents(terms, "total", _RELATIVE, sum_of, ("peak",)),
        Step(target, "log(total) + peak", ("total", "peak")),
    ]
