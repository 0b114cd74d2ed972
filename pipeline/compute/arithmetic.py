"""The arithmetic of an engine: how it computes sums of exponentials in float64, and how exact they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pipeline.compute.bound import Bound
from pipeline.compute.log_sum import LogSum, log_sum_exp
from pipeline.compute.program import Program, Step
from pipeline.compute.reduction import reduce_exponents, sum_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compute.exponent import Exponent


class Arithmetic(ABC):
    """The steps of the sums from which formulas make their results, and the bounds of their errors.

    It is hashable, so that programs can be kept.

    Attributes
    ----------
    program : type
        The class of programs that carries the steps out.
    """

    program: ClassVar[type[Program]] = Program

    @property
    @abstractmethod
    def tolerated(self) -> float:
        """The relative error of a result from which on a pixel is computed again in double-double."""

    @abstractmethod
    def sum_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return steps that fill a plane with the sum of the exponentials of some exponents.

        If the target is the plane of a result, its dtype may be another one than float64.
        """

    @abstractmethod
    def log_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return steps that fill a plane with the logarithm of that sum, which is finite for all pixels."""

    @abstractmethod
    def sum_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound of the relative error of what :meth:`sum_steps` computes."""

    @abstractmethod
    def log_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound of the absolute error of what :meth:`log_steps` computes."""

    def class_bound(self, classes: Sequence[Sequence[Exponent]]) -> Bound:
        """Return one bound for the logarithms of all classes. Its `spread` counts the classes."""
        return Bound.of_classes([self.log_bound(terms) for terms in classes])


class Expressions(Arithmetic):
    """The arithmetic of the reference: numexpr expressions, and a relative error of at most 1e-12.

    The remainder up to 1e-12 is for the rounding of the bounds themselves.
    """

    tolerated: ClassVar[float] = 9e-13

    def sum_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return expressions that sum the exponentials, batch by batch."""
        return reduce_exponents(terms, target, "exp({})", sum_of)

    def log_steps(self, terms: Sequence[Exponent], target: str) -> list[Step]:
        """Return one reduction, or the expression of a single exponent."""
        if len(terms) == 1:
            return log_sum_exp(terms, target)
        return [Step(target, LogSum(tuple(terms)), ())]

    def sum_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound for the number of steps that there are."""
        return Bound.of_sum(terms, len(self.sum_steps(terms, "sum")))

    def log_bound(self, terms: Sequence[Exponent]) -> Bound:
        """Return the bound for the number of steps relative to the highest exponent.

        The logarithm of a sum that is taken as it stands has fewer roundings.
        """
        return Bound.of_sum(terms, len(log_sum_exp(terms, "logarithm"))).of_log()


EXPRESSIONS = Expressions()
