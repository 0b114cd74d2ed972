"""What is asked of each pixel, as small frozen objects that travel between processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from pipeline.mixture import Mixture


class Quantity(ABC):
    """What all quantities have: a name, mixtures over the same channels, and a dtype of results."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures that it is made of."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Give the quantity as plain lists and numbers, for a store's attributes."""

    @property
    def n_channels(self) -> int:
        """C, the number of channels of a pixel."""
        return self.mixtures[0].n_channels

    @property
    def channels(self) -> tuple[str, ...] | None:
        """The channels' names, or None where no mixture has any."""
        return next((mixture.channels for mixture in self.mixtures if mixture.channels), None)

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Give the dtype of the results: the one asked for, float32 by default.

        Raises
        ------
        ValueError
            If results can't be given in this dtype.
        """
        wanted = np.dtype("float32" if dtype is None else dtype)
        if wanted not in (np.dtype("float32"), np.dtype("float64")):
            raise ValueError(f"dtype {wanted} can't hold a {self.name}; wanted float32 or float64")
        return wanted


@dataclass(frozen=True)
class _OfOneMixture(Quantity):
    mixture: Mixture
    normalized: bool = True

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The one mixture."""
        return (self.mixture,)

    def to_dict(self) -> dict[str, Any]:
        """Give the quantity as plain lists and numbers, for a store's attributes."""
        return {"quantity": self.name, "normalized": self.normalized, "mixture": self.mixture.to_dict()}


class Density(_OfOneMixture):
    r"""The probability density of a mixture at a pixel's colour.

    Parameters
    ----------
    mixture : Mixture
        K kernels over C channels.
    normalized : bool
        False leaves out the factor :math:`(2\pi)^{-C/2}`, as the densities of some published code do.

    Notes
    -----
    .. math:: p(x) = \sum_k w_k (2\pi)^{-C/2} |S_k|^{-1/2} \exp(-\tfrac12 (x-m_k)^T S_k^{-1} (x-m_k))

    The unit is one over the product of the channels' units. Far from every kernel the value underflows
    to 0; :class:`LogDensity` and :class:`LogRatio` don't.
    """

    name: ClassVar[str] = "density"


class LogDensity(_OfOneMixture):
    """The natural logarithm of a mixture's density: finite for every finite pixel.

    Parameters
    ----------
    mixture : Mixture
        K kernels over C channels.
    normalized : bool
        False leaves out the term -C/2 log(2 pi).

    Notes
    -----
    By the log-sum-exp of the kernels' exponents, in nats. A value below the lowest finite number of the
    result's dtype is given as that number. Channels beyond 1e150 in size count as 1e150.
    """

    name: ClassVar[str] = "log-density"


@dataclass(frozen=True)
class LogRatio(Quantity):
    """The natural logarithm of the ratio of two mixtures' densities: above 0 where the first is the denser.

    Parameters
    ----------
    numerator, denominator : Mixture
        Over the same channels.

    Raises
    ------
    ValueError
        If the mixtures' channels differ.

    Notes
    -----
    The difference of two log-densities, in nats: never 0/0. Limited to the finite numbers of the result's
    dtype.
    """

    numerator: Mixture
    denominator: Mixture

    name: ClassVar[str] = "log-ratio"

    def __post_init__(self) -> None:
        one, other = self.mixtures
        named = one.channels and other.channels
        if one.n_channels != other.n_channels or (named and one.channels != other.channels):
            raise ValueError(
                f"the mixtures {one} and {other} have different channels; wanted the same for both"
            )

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The numerator and the denominator."""
        return (self.numerator, self.denominator)

    def to_dict(self) -> dict[str, Any]:
        """Give the quantity as plain lists and numbers, for a store's attributes."""
        return {
            "quantity": self.name,
            "numerator": self.numerator.to_dict(),
            "denominator": self.denominator.to_dict(),
        }
