"""Formulas of the quantities of several classes: posterior, label, confidence, entropy.

All of them are made from the logarithms of the classes, log(prior * density), and so share their computation.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.compute.arithmetic import EXPRESSIONS
from pipeline.compute.bound import LOWEST, UNIT
from pipeline.compute.double import (
    Double,
    exponential,
    highest_row,
    log_sums,
    multiply,
    rounded_exponential,
    subtract,
    sums,
)
from pipeline.compute.exponent import exponents
from pipeline.compute.formula import Formula
from pipeline.compute.program import DOUBT, Step
from pipeline.compute.reduction import (
    SUM_LEVELS,
    maximum_of,
    minimum_of,
    reduce_planes,
    second_highest_of,
    sum_of,
)
from pipeline.models.class_quantities import ClassQuantity, Confidence, Entropy, Label, Posterior
from pipeline.models.quantity import no_data_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.compute.formula import Groups
    from pipeline.models.quantity import Quantity

    Array = NDArray[np.float64]

AnyClasses = TypeVar("AnyClasses", bound=ClassQuantity)

# The number of classes that one expression compares. The second highest of so many needs some 90 temporaries.
_COMPARED = 16


class _ClassFormula(Formula[AnyClasses]):
    def groups(self) -> Groups:
        """Return the exponents of each class, with its prior."""
        return exponents(self.quantity.class_mixtures, priors=self.quantity.priors)

    def summed(self) -> Groups:
        """Return the exponents of each class, without priors that are equal.

        Equal priors make no difference, and without them other quantities have the same logarithms.
        """
        is_equal = len(set(self.quantity.priors)) == 1
        return exponents(self.quantity.class_mixtures, priors=None if is_equal else self.quantity.priors)


class PosteriorFormula(_ClassFormula[Posterior]):
    """A softmax of the logarithms of the classes."""

    def summed(self) -> Groups:
        """Return the exponents of each class, or of the requested one and of all others."""
        return self._merged()[0]

    def _merged(self) -> tuple[Groups, range]:
        """Return these exponents, and the numbers of those that are results."""
        classes = super().summed()
        if self.quantity.only is None:
            return classes, range(len(classes))
        number = self.quantity.names.index(self.quantity.only)
        if len(classes) > 1 and all(len(terms) == 1 for terms in classes):
            # There may be a thousand kernels as classes. All but the requested one are one sum.
            others = chain(*classes[:number], *classes[number + 1 :])
            return (classes[number], tuple(others)), range(1)
        return classes, range(number, number + 1)

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps of the softmax, doubtful where logarithms are large, far from all classes."""
        del dtype  # every dtype can hold a probability
        classes, only = self._merged()
        logs, taken = _logarithms(classes, arithmetic)
        steps, parts, n_steps = _softmax_steps(logs)
        steps += [
            Step(f"out{number}", "part/total", (parts[one], "total"), ("part", "total"))
            for number, one in enumerate(only)
        ]
        if len(classes) == 1:
            return [*chain(*taken), *steps]
        # A logarithm lies below the peak by a distance, and on average by at most log n. The first counts for
        # the part, the second for the total. Besides, both have the roundings of an exponential, and the
        # total has those of its sum. The error of the peak itself cancels.
        slope, constant, spread = arithmetic.class_bound(classes)
        roundings = (5 + SUM_LEVELS + n_steps) * UNIT + spread * (slope + UNIT)
        rest, farthest = 2 * constant + roundings - arithmetic.tolerated, -math.log(LOWEST)
        distance = f"where(peak - lowest < {farthest!r}, peak - lowest, {farthest!r})"
        text = f"abs(peak)*{2 * slope!r} + {distance}*{slope + UNIT!r} + {rest!r}"
        return [
            *chain(*taken),
            *reduce_planes([logs[one] for one in only], "lowest", minimum_of),
            *steps,
            Step(DOUBT, text, ("peak", "lowest")),
        ]

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> Array:
        """Return the exponential of each logarithm minus the logarithm of their sum."""
        del dtype
        evidence = log_sums(logarithms, np.zeros(1, np.intp))
        if self.quantity.only is not None:
            logarithms = logarithms[[self.quantity.names.index(self.quantity.only)]]
        return np.minimum(rounded_exponential(subtract(logarithms, evidence)), 1)


class LabelFormula(_ClassFormula[Label]):
    """The number of the class with the highest logarithm."""

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps that compare the classes, a group at a time. Almost equal classes are doubtful.

        The highest logarithm, the second highest, and the number of the highest are kept between the groups.
        """
        no_data = no_data_value(dtype)
        classes = self.summed()
        if len(classes) == 1:
            return [
                *arithmetic.log_steps(classes[0], "best"),
                Step("out0", _labelled("0.0", no_data), ("best",)),
            ]
        planes = [f"class{number % _COMPARED}" for number in range(len(classes))]
        taken = list(map(arithmetic.log_steps, classes, planes))
        steps = []
        for start in range(0, len(classes), _COMPARED):
            group = slice(start, start + _COMPARED)
            steps += [*chain(*taken[group]), *_comparison_steps(tuple(planes[group]), start)]
        steps.append(Step("out0", _labelled("label", no_data), ("best", "label")))
        slope, constant, _ = arithmetic.class_bound(classes)
        # Both logarithms may have an error, and that of the second grows with its distance from the best.
        doubt = f"2.01*(abs(best)*{slope!r} + {constant!r}) - (best - second)"
        return [*steps, Step(DOUBT, doubt, ("best", "second"))]

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> Array:
        """Return the number of the highest logarithm, the first one if several are equal."""
        del dtype
        return np.where(np.isnan(logarithms.hi.max(axis=0)), np.nan, highest_row(logarithms))[np.newaxis]


class ConfidenceFormula(_ClassFormula[Confidence]):
    """The difference of the two highest posteriors.

    It is (1 - exp(second - peak)) / sum of exp(logarithm - peak), for the two highest logarithms.
    """

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps of the softmax and of the difference. Almost equal classes are doubtful."""
        del dtype  # every dtype can hold a number between 0 and 1
        classes = self.summed()
        if len(classes) == 1:
            # The sum is 1 for every pixel that isn't NaN.
            return [*arithmetic.log_steps(classes[0], "peak"), Step("out0", "peak - peak + 1.0", ("peak",))]
        logs, taken = _logarithms(classes, arithmetic)
        steps, _, n_steps = _softmax_steps(logs)
        steps = [*chain(*taken), *_second_steps(logs), *steps]
        steps.append(Step("gap", "0.0 - expm1(second - peak)", ("second", "peak")))
        steps.append(Step("out0", "gap/total", ("gap", "total")))
        # With the error E of a logarithm near the peak and the difference d of the two highest, the relative
        # error of the gap is at most 2 E / expm1(d), and that of the total at most 2 E: together 2 E / gap.
        # The second logarithm is lower than the peak by d, and on average the others are by at most log n,
        # which counts by the slope and by the rounding of the differences.
        slope, constant, spread = arithmetic.class_bound(classes)
        rest = (spread + 1) * (slope + UNIT) + (7 + SUM_LEVELS + n_steps) * UNIT - arithmetic.tolerated
        text = f"(abs(peak)*{2 * slope!r} + {2 * constant!r})/gap + {rest!r}"
        return [*steps, Step(DOUBT, text, ("peak", "gap"))]

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> Array:
        """Return the share of the highest, times one minus the ratio of the second highest to it."""
        del dtype
        if len(logarithms.hi) == 1:
            return logarithms.hi - logarithms.hi + 1
        peaks = logarithms.hi.max(axis=0)
        number, columns = highest_row(logarithms), np.arange(len(peaks))
        best = logarithms[number, columns]
        others = Double(logarithms.hi.copy(), logarithms.lo)
        others.hi[number, columns] = -np.inf
        second = others[highest_row(others), columns]
        share = exponential(subtract(best, log_sums(logarithms, np.zeros(1, np.intp))[0]))
        values = np.minimum(-np.expm1(subtract(second, best).hi) * share.hi, 1)
        return np.where(np.isnan(peaks), np.nan, values)[np.newaxis]


class EntropyFormula(_ClassFormula[Entropy]):
    r"""The entropy of the softmax, without subtractions of numbers that are almost equal.

    With t the exponentials of the logarithms minus the peak, and r the sum of all t but that of the highest
    class, which is 1, the entropy is log(1 + r) + sum of t (peak - logarithm) / (1 + r).
    """

    def steps(self, dtype: np.dtype[Any], arithmetic: Arithmetic = EXPRESSIONS) -> list[Step]:
        """Return the steps of the two sums, a group of classes at a time."""
        del dtype  # every dtype can hold the logarithm of a number of classes
        classes = self.summed()
        if len(classes) == 1:
            return [*arithmetic.log_steps(classes[0], "peak"), Step("out0", "peak - peak", ("peak",))]
        logs, taken = _logarithms(classes, arithmetic)
        steps = [*chain(*taken), *reduce_planes(logs, "peak", maximum_of)]
        starts = range(0, len(classes), _COMPARED)
        for start in starts:
            steps += _entropy_steps(logs[start : start + _COMPARED], is_first=start == 0)
        steps.append(Step("rest", "below + (ties - 1.0)", ("below", "ties")))
        text = f"minimum(log1p(rest) + weighted/(rest + 1.0), {math.log(len(classes))!r})"
        steps.append(Step("out0", text, ("rest", "weighted")))
        return [*steps, Step(DOUBT, _entropy_doubt(arithmetic, classes, len(starts)), ("peak", "rest"))]

    def finish(self, logarithms: Double, dtype: np.dtype[Any]) -> Array:
        """Return the entropy from the same sums."""
        del dtype
        peaks = logarithms.hi.max(axis=0)
        number, columns = highest_row(logarithms), np.arange(len(peaks))
        distances = subtract(logarithms, logarithms[number, columns])
        parts = exponential(distances)
        lengths = np.array([len(parts.hi)])
        weighted = sums(multiply(parts, distances), lengths).hi[0]
        parts.hi[number, columns] = parts.lo[number, columns] = 0
        rest = sums(parts, lengths).hi[0]
        values = np.minimum(np.log1p(rest) - weighted / (rest + 1), math.log(lengths[0]))
        return np.where(np.isnan(peaks), np.nan, values)[np.newaxis]


def _logarithms(classes: Groups, arithmetic: Arithmetic) -> tuple[list[str], list[list[Step]]]:
    """Return the planes of the logarithms of the classes, and the steps that fill each of them."""
    logs = [f"class{number}" for number in range(len(classes))]
    return logs, list(map(arithmetic.log_steps, classes, logs))


def _softmax_steps(logs: Sequence[str]) -> tuple[list[Step], list[str], int]:
    """Return steps of ``peak``, the parts and ``total``, the parts, and the number of steps of ``total``."""
    parts = [f"part{number}" for number in range(len(logs))]
    total = reduce_planes(parts, "total", sum_of)
    steps = [*reduce_planes(logs, "peak", maximum_of), *map(_part_step, parts, logs), *total]
    return steps, parts, len(total)


def _part_step(part: str, log: str) -> Step:
    return Step(part, "exp(logarithm - peak)", (log, "peak"), ("logarithm", "peak"))


def _labelled(text: str, no_data: float) -> str:
    return f"where(best == best, {text}, {float(no_data)!r})"


def _comparison_steps(planes: tuple[str, ...], start: int) -> list[Step]:
    """Return steps that compare a group of classes with the best; its first class has the number `start`."""
    numbers = [f"{float(start + i)!r}" for i in range(len(planes))]
    choice = numbers[-1]
    for plane, number in zip(planes[-2::-1], numbers[-2::-1], strict=True):
        choice = f"where({plane} == high, {number}, {choice})"
    steps = [Step("high", maximum_of(planes), planes)]
    if start == 0:
        label = Step("label", choice, (*planes[:-1], "high"))
        return [*steps, Step("best", "high", ("high",)), label, _second_step(planes, is_first=True)]
    running = ("high", "best")
    steps.append(Step("label", f"where(high > best, {choice}, label)", (*planes[:-1], *running, "label")))
    steps.append(_second_step(planes, is_first=False))
    steps.append(Step("best", "maximum(best, high)", running))
    return steps


def _second_steps(logs: Sequence[str]) -> list[Step]:
    """Return steps that fill ``second`` with the second highest of all logarithms, a group at a time."""
    if len(logs) <= _COMPARED:
        return [_second_step(tuple(logs), is_first=True)]
    steps = []
    for start in range(0, len(logs), _COMPARED):
        group = tuple(logs[start : start + _COMPARED])
        steps.append(Step("high", maximum_of(group), group))
        steps.append(_second_step(group, is_first=start == 0))
        best = ("maximum(best, high)", ("high", "best")) if start else ("high", ("high",))
        steps.append(Step("best", *best))
    return steps


def _second_step(planes: tuple[str, ...], *, is_first: bool) -> Step:
    """Return the step that fills ``second``, given ``high`` of the group and ``best`` of earlier groups."""
    seconds = second_highest_of(planes)
    if is_first:
        return Step("second", maximum_of(seconds), planes)
    text = maximum_of(("second", "minimum(best, high)", *seconds))
    return Step("second", text, (*(planes if seconds else ()), "high", "best", "second"))


def _entropy_steps(logs: Sequence[str], *, is_first: bool) -> list[Step]:
    """Return steps that add a group of classes to the sums of the entropy.

    ``below`` is the sum of the parts that are less than 1, ``ties`` is the number of the others, and
    ``weighted`` is the sum of the parts times their distances from the peak. Every group has the same names
    of planes in its expressions, so that these are compiled once.
    """
    parts = [f"part{number}" for number in range(len(logs))]
    names = [f"logarithm{number}" for number in range(len(logs))]
    texts = {
        "below": [f"where({part} < 1.0, {part}, 0.0)" for part in parts],
        "ties": [f"where({part} < 1.0, 0.0, 1.0)" for part in parts],
        "weighted": [f"{part}*(peak - {name})" for part, name in zip(parts, names, strict=True)],
    }
    steps = list(map(_part_step, parts, logs))
    for target, summands in texts.items():
        running = () if is_first else (target,)
        read, called = ((*logs, "peak"), (*names, "peak")) if target == "weighted" else ((), ())
        text = sum_of([*running, sum_of(summands)])
        steps.append(Step(target, text, (*parts, *read, *running), (*parts, *called, *running)))
    return steps


def _entropy_doubt(arithmetic: Arithmetic, classes: Groups, n_steps: int) -> str:
    """Return the expression of the doubt of an entropy H.

    An error e_c of each logarithm changes H by at most the sum over c of p_c (abs(log p_c) + H) abs(e_c). As
    abs(e_c) is at most E at the peak, and grows with the distance from it by the slope, the relative error is
    at most 2 E, and the slope times log n and times the mean of abs(log p_c), weighted by p_c abs(log p_c).
    Let r be the share of all classes but the highest one. The mean is at most log n for the highest class;
    for the others it is at most -log r + log n and the variance of -log p_c over their mean, which is at
    least log 2. That variance is at most log(n)**2 / 4 + 1 for any n probabilities.
    """
    slope, constant, spread = arithmetic.class_bound(classes)
    others = spread + (spread**2 / 4 + 1) / math.log(2)
    roundings = 2 * (3 + SUM_LEVELS + n_steps) + 5
    # log(1 + rest), by which -log r and -log(rest) differ, is at most log n.
    rest = 2 * constant + (slope + UNIT) * (2 * spread + others) + roundings * UNIT - arithmetic.tolerated
    # An entropy above LOWEST has a rest that is at most 1000 times lower.
    return f"abs(peak)*{2 * slope!r} - log(maximum(rest, {LOWEST / 1000!r}))*{slope + UNIT!r} + {rest!r}"


FORMULAS: dict[type[Quantity], type[Formula[Any]]] = {
    Posterior: PosteriorFormula,
    Label: LabelFormula,
    Confidence: ConfidenceFormula,
    Entropy: EntropyFormula,
}
