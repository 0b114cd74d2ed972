"""Quantities of one mixture or of two: density, log-density, log-ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pipeline.models.mixture import Mixture
from pipeline.models.quantity import Coarsening, Quantity, check_mixture, check_same_channels

__all__ = ["Density", "LogDensity", "LogRatio"]


@dataclass(frozen=True)
class _OfOneMixture(Quantity):
    mixture: Mixture
    normalized: bool = True

    operands: ClassVar[Literal["mixture", "pair", "classes"]] = "mixture"

    def __post_init__(self) -> None:
        check_mixture(self.mixture)

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The one mixture."""
        return (self.mixture,)

    def to_dict(self) -> dict[str, Any]:
        """Return the quantity as plain lists and numbers, which JSON can hold."""
        return {"quantity": self.name, "normalized": self.normalized, "mixture": self.mixture.to_dict()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make the quantity from the content that :meth:`to_dict` returned."""
        return cls(Mixture.from_dict(content["mixture"]), normalized=bool(content["normalized"]))


class Density(_OfOneMixture):
    r"""The probability density of a mixture at the color of a pixel.

    Parameters
    ----------
    mixture : Mixture
        K kernels over C channels.
    normalized : bool
        If False, the factor :math:`(2\pi)^{-C/2}` is left out, as in some published code.

    Notes
    -----
    .. math:: p(x) = \sum_k w_k (2\pi)^{-C/2} |S_k|^{-1/2} \exp(-\tfrac12 (x-m_k)^T S_k^{-1} (x-m_k))

    The unit is one over the product of the units of the channels. Far from every kernel the value underflows
    to 0; :class:`LogDensity` and :class:`LogRatio` don't.
    """

    name: ClassVar[str] = "density"
    summary: ClassVar[str] = "The density of a mixture."
    error_is_relative: ClassVar[bool] = True


class LogDensity(_OfOneMixture):
    """The natural logarithm of the density of a mixture, finite for every finite pixel.

    Parameters
    ----------
    mixture : Mixture
        K kernels over C channels.
    normalized : bool
        If False, the term -C/2 log(2 pi) is left out.

    Notes
    -----
    The value is the log-sum-exp of the exponents of the kernels, in nats. A value below the lowest finite
    number of the result's dtype is given as that number. A channel beyond 1e150 in size counts as 1e150.
    At coarser levels a pixel has the logarithm of the mean density.
    """

    name: ClassVar[str] = "log-density"
    summary: ClassVar[str] = "The natural logarithm of the density of a mixture."
    coarsening: ClassVar[Coarsening] = "log-mean-exp"
    unit: ClassVar[str | None] = "nats"


@dataclass(frozen=True)
class LogRatio(Quantity):
    """The natural logarithm of the ratio of two densities, above 0 where the first is the higher one.

    Parameters
    ----------
    numerator, denominator : Mixture
        Two mixtures over the same channels.

    Raises
    ------
    ValueError
        If the channels of the mixtures differ.

    Notes
    -----
    The value is the difference of two log-densities, in nats, and so never 0/0. It is limited to the finite
    numbers of the result's dtype. At coarser levels a pixel has the mean of the log-ratios, which is the
    evidence of all pixels that it stands for, divided by their number. The logarithm of the mean ratio would
    be that of the one most extreme pixel.
    """

    numerator: Mixture
    denominator: Mixture

    name: ClassVar[str] = "log-ratio"
    operands: ClassVar[Literal["mixture", "pair", "classes"]] = "pair"
    summary: ClassVar[str] = "The natural logarithm of the ratio of two densities."
    unit: ClassVar[str | None] = "nats"
    neutral: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        for mixture in self.mixtures:
            check_mixture(mixture)
        check_same_channels(self.mixtures)

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The numerator and the denominator."""
        return (self.numerator, self.denominator)

    def to_dict(self) -> dict[str, Any]:
        """Return the quantity as plain lists and numbers, which JSON can hold."""
        return {
            "quantity": self.name,
            "numerator": self.numerator.to_dict(),
            "denominator": self.denominator.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make the quantity from the content that :meth:`to_dict` returned."""
        return cls(*(Mixture.from_dict(content[key]) for key in ("numerator", "denominator")))
