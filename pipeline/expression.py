"""A quantity as a program of numexpr expressions.

Sums of exponentials are taken relative to the highest exponent, of all classes together: so none over- or
underflows. Rounding is bounded beside them, for each pixel: the plane ``doubt`` is above 0 where the bound
exceeds what is tolerated.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.exponent import exponents
from pipeline.program import DOUBT, Program, Step
from pipeline.quantity import Density, Label, LogDensity, LogRatio, Posterior, no_data_value
from pipeline.reduction import SUM_LEVELS, maximum_of, minimum_of, reduce_exponents, reduce_planes, sum_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.exponent import Exponent
    from pipeline.quantity import Quantity

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


@lru_cache(maxsize=32)
def compile_program(quantity: Quantity, dtype: np.dtype[Any]) -> Program:
    """Write the program that computes `quantity`.

    Parameters
    ----------
    quantity : Quantity
    dtype : dtype
        Of the results, whose finite numbers limit them.

    Returns
    -------
    Program
        Text alone, which pickles; each thread that runs it compiles it once.

    Raises
    ------
    TypeError
        If the quantity is none of this package, or a packed one.
    """
    if isinstance(quantity, Density | LogDensity):
        (terms,) = exponents(quantity.mixtures, normalized=quantity.normalized)
        write = _density_steps if isinstance(quantity, Density) else _log_density_steps
        steps = write(terms, dtype)
    elif isinstance(quantity, LogRatio):
        numerator, denominator = exponents(quantity.mixtures)
        steps = _log_ratio_steps(numerator, denominator, dtype)
    elif isinstance(quantity, Posterior | Label):
        classes = exponents(quantity.members, priors=quantity.priors)
        if isinstance(quantity, Label):
            steps = _label_steps(classes, no_data_value(dtype))
        elif quantity.only is None:
            steps = _posterior_steps(classes)
        else:
            steps = _one_posterior_steps(classes, quantity.names.index(quantity.only))
    else:
        raise TypeError(f"{quantity!r:.80} isn't a quantity of this package that has a program")
    return Program(tuple(steps))


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


def _posterior_steps(classes: Sequence[Sequence[Exponent]]) -> list[Step]:
    planes = [f"class{number}" for number in range(len(classes))]
    everything = list(chain(*classes))
    parts = [
        reduce_exponents(terms, plane, _RELATIVE, sum_of, ("peak",))
        for plane, terms in zip(planes, classes, strict=True)
    ]
    total = reduce_planes(planes, "total", sum_of)
    steps = [*reduce_exponents(everything, "peak", _TERM, maximum_of), *chain(*parts), *total]
    for number, plane in enumerate(planes):
        steps.append(Step(f"out{number}", "part/total", (plane, "total"), ("part", "total")))
    if len(classes) > 1:
        n_steps = max(map(len, parts)) + len(total)
        steps += [
            *reduce_planes(planes, "lowest", minimum_of),
            _posterior_doubt(everything, "lowest", n_steps),
        ]
    return steps


def _one_posterior_steps(classes: Sequence[Sequence[Exponent]], wanted: int) -> list[Step]:
    if len(classes) == 1:
        return _posterior_steps(classes)
    everything = list(chain(*classes))
    rest = list(chain(*classes[:wanted], *classes[wanted + 1 :]))
    part = reduce_exponents(classes[wanted], "part", _RELATIVE, sum_of, ("peak",))
    others = reduce_exponents(rest, "others", _RELATIVE, sum_of, ("peak",))
    return [
        *reduce_exponents(everything, "peak", _TERM, maximum_of),
        *(*part, *others),
        Step("out0", "part/(part + others)", ("part", "others")),
        _posterior_doubt(everything, "part", len(part) + len(others)),
    ]


def _posterior_doubt(everything: Sequence[Exponent], lowest: str, n_steps: int) -> Step:
    """Bound the errors of a class's part and of the total, both relative to the peak.

    The part's exponents lie below the peak by -log(part) + log n on average. The total is a sum of sums.
    """
    slope, constant, spread = _Bound.of(everything, n_steps)
    rest = 2 * constant + (2 * spread + SUM_LEVELS + 1) * _UNIT - _TOLERATED
    text = f"abs(peak)*{2 * slope!r} - log(maximum({lowest}, {_LOWEST!r}))*{slope + _UNIT!r} + {rest!r}"
    return Step(DOUBT, text, ("peak", lowest))


def _label_steps(classes: Sequence[Sequence[Exponent]], no_data: float) -> list[Step]:
    """Keep the highest score, the second highest, and the highest one's number, a group of classes at a time.

    Scores are exponents where each class has one alone, otherwise sums relative to the peak of all.
    """
    everything = list(chain(*classes))
    highest = partial(reduce_exponents, term=_TERM, combine=maximum_of)
    if len(classes) == 1:
        return [*highest(everything, "best"), Step("out0", _labelled("0.0", no_data), ("best",))]
    is_summed = len(everything) > len(classes)
    steps = highest(everything, "peak") if is_summed else []
    summed = partial(reduce_exponents, term=_RELATIVE, combine=sum_of, inputs=("peak",))
    scores = [
        (summed if is_summed else highest)(terms, f"class{number % _COMPARED}")
        for number, terms in enumerate(classes)
    ]
    for start in range(0, len(classes), _COMPARED):
        group = scores[start : start + _COMPARED]
        steps += [*chain(*group), *_compare(tuple(score[-1].target for score in group), start)]
    steps.append(Step("out0", _labelled("label", no_data), ("best", "label")))
    slope, constant, spread = _Bound.of(everything, max(map(len, scores)))
    doubt, read = f"abs(best)*{slope!r} + {constant!r}", ["best", "second"]
    if is_summed:
        rest = constant + spread * (slope + 2 * _UNIT)
        doubt, read = f"(abs(peak)*{slope!r} + {rest!r})*best", ["best", "second", "peak"]
    # Two scores may err, and by a little more the further the second is.
    return [*steps, Step(DOUBT, f"2.01*({doubt}) - (best - second)", tuple(read))]


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
