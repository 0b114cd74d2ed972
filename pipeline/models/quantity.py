"""What is asked of each pixel, as small frozen objects that travel between processes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.models.mixture import Mixture

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

_FLOATS = tuple(np.dtype(name) for name in ("float16", "float32", "float64"))
# Labels of so many classes fit a byte, whose highest value marks pixels without data.
_MOST_IN_A_BYTE = 254
_MOST_CLASSES = 65534


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

    @property
    def planes(self) -> tuple[str, ...] | None:
        """The names along the results' extra axis, or None where a pixel has one result."""
        return None

    @property
    def n_planes(self) -> int:
        """Results that a pixel has."""
        return 1 if self.planes is None else len(self.planes)

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Give the dtype of the results: the one asked for, float32 by default.

        Raises
        ------
        ValueError
            If results can't be given in this dtype.
        """
        wanted = np.dtype("float32" if dtype is None else dtype)
        if wanted not in _FLOATS:
            raise ValueError(
                f"dtype {wanted} can't hold a {self.name}; wanted float16, float32 or float64. Integers hold "
                "what is packed: see Packed."
            )
        return wanted


# What is wanted of a pixel: a quantity, and the dtype of its results.
Wanted = tuple[Quantity, np.dtype[Any]]


def no_data_value(dtype: np.dtype[Any]) -> float:
    """Give what marks a pixel without data: NaN, or the highest integer of the dtype."""
    return math.nan if dtype.kind == "f" else int(np.iinfo(dtype).max)


@dataclass(frozen=True)
class _OfOneMixture(Quantity):
    mixture: Mixture
    normalized: bool = True

    def __post_init__(self) -> None:
        _check_mixture(self.mixture)

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
        for mixture in self.mixtures:
            _check_mixture(mixture)
        _check_same_channels(self.mixtures)

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


@dataclass(frozen=True, init=False)
class _OfClasses(Quantity):
    names: tuple[str, ...]
    members: tuple[Mixture, ...]
    priors: tuple[float, ...]

    def __init__(
        self,
        classes: Mixture | Mapping[str, Mixture],
        priors: Mapping[str, float] | Sequence[float] | None = None,
    ) -> None:
        if isinstance(classes, Mixture):
            parts = zip(classes.means, classes.covariances, strict=True)
            members = tuple(Mixture([1.0], [m], [s], classes.channels) for m, s in parts)
            names = tuple(str(number) for number in range(len(members)))
            default = tuple(classes.weights.tolist())
        else:
            names, members = _check_classes(classes)
            default = (1 / len(members),) * len(members)
        _check_same_channels(members)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "priors", default if priors is None else _check_priors(priors, names))

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The classes' mixtures."""
        return self.members

    def to_dict(self) -> dict[str, Any]:
        """Give the quantity as plain lists and numbers, for a store's attributes."""
        return {
            "quantity": self.name,
            # A list, since the order is what labels mean.
            "classes": [
                {"name": name, "mixture": mixture.to_dict()}
                for name, mixture in zip(self.names, self.members, strict=True)
            ],
            "priors": list(self.priors),
        }


@dataclass(frozen=True, init=False)
class Posterior(_OfClasses):
    r"""The probability of each class, given a pixel's colour.

    Parameters
    ----------
    classes : Mixture or mapping of str to Mixture
        One mixture: its kernels are the classes, named by their numbers. Or the classes' names and
        mixtures, over the same channels.
    priors : mapping of str to float or sequence of float, optional
        Positive, one a class; they need not sum to 1. By default the one mixture's weights, or equal ones.
    only : str, optional
        The one class that is wanted: the results have no axis of classes then.

    Raises
    ------
    TypeError
        If the classes are neither.
    ValueError
        If there are no classes, their channels differ, a prior isn't positive, or there is no class `only`.

    Notes
    -----
    .. math:: P(c \mid x) = \pi_c p_c(x) / \sum_d \pi_d p_d(x)

    A softmax of logarithms: it sums to 1 and is never NaN for a finite pixel, however far from every kernel.
    The classes' axis stands where the image's channels stand; in a store it comes first.
    """

    only: str | None

    name: ClassVar[str] = "posterior"

    def __init__(
        self,
        classes: Mixture | Mapping[str, Mixture],
        priors: Mapping[str, float] | Sequence[float] | None = None,
        only: str | None = None,
    ) -> None:
        super().__init__(classes, priors)
        if only is not None and only not in self.names:
            raise ValueError(f"only is {only!r}; wanted one of the classes {', '.join(self.names)}")
        object.__setattr__(self, "only", only)

    @property
    def planes(self) -> tuple[str, ...] | None:
        """The classes, unless only one is wanted."""
        return self.names if self.only is None else None

    def to_dict(self) -> dict[str, Any]:
        """Give the quantity as plain lists and numbers, for a store's attributes."""
        return {**super().to_dict(), "only": self.only}


class Label(_OfClasses):
    """The number of the most probable class, given a pixel's colour: the argmax of :class:`Posterior`.

    Parameters
    ----------
    classes : Mixture or mapping of str to Mixture
        As of :class:`Posterior`, which see; they are numbered from 0 in their order.
    priors : mapping of str to float or sequence of float, optional
        Positive, one a class; by default the one mixture's weights, or equal ones.

    Raises
    ------
    TypeError, ValueError
        As :class:`Posterior` does; more than 65,534 classes are refused when labels are computed.

    Notes
    -----
    Of classes that are equally probable the first is given. The dtype is uint8, or uint16 for more than 254
    classes; its highest value, 255 or 65535, marks a pixel without data.
    """

    name: ClassVar[str] = "label"

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Give the dtype of the results: uint8, or uint16 for more than 254 classes.

        Raises
        ------
        ValueError
            If labels can't be given in this dtype.
        """
        if len(self.names) > _MOST_CLASSES:
            raise ValueError(f"got {len(self.names)} classes; wanted at most {_MOST_CLASSES}")
        smallest = np.dtype("uint8" if len(self.names) <= _MOST_IN_A_BYTE else "uint16")
        wanted = smallest if dtype is None else np.dtype(dtype)
        if wanted not in (smallest, np.dtype("uint16")):
            raise ValueError(
                f"dtype {wanted} can't hold labels of {len(self.names)} classes; wanted {smallest}"
            )
        return wanted


def _check_mixture(mixture: Any) -> None:  # noqa: ANN401  a caller may pass anything
    if not isinstance(mixture, Mixture):
        raise TypeError(f"got {mixture!r:.80}; wanted a Mixture, as Mixture.from_kernels(kernels)")


def _check_same_channels(mixtures: tuple[Mixture, ...]) -> None:
    first = next((mixture for mixture in mixtures if mixture.channels), mixtures[0])
    for mixture in mixtures:
        named = mixture.channels and first.channels
        if mixture.n_channels != first.n_channels or (named and mixture.channels != first.channels):
            raise ValueError(
                f"the mixtures {first} and {mixture} have different channels; wanted the same for all"
            )


def _check_classes(classes: Any) -> tuple[tuple[str, ...], tuple[Mixture, ...]]:  # noqa: ANN401  a caller may pass anything
    if not isinstance(classes, Mapping) or not classes:
        raise ValueError(
            f"classes are {classes!r:.80}; wanted a mixture, or at least one name and its mixture"
        )
    for name, mixture in classes.items():
        if not isinstance(name, str) or not isinstance(mixture, Mixture):
            raise TypeError(f"class {name!r} is {mixture!r:.80}; wanted a name and a Mixture")
    return tuple(classes), tuple(classes.values())


def _check_priors(priors: Any, names: tuple[str, ...]) -> tuple[float, ...]:  # noqa: ANN401  the same
    if isinstance(priors, Mapping):
        if set(priors) != set(names):
            raise ValueError(
                f"priors are of {', '.join(map(str, priors))}; wanted one of {', '.join(names)} each"
            )
        priors = [priors[name] for name in names]
    values = tuple(float(prior) for prior in priors)
    if len(values) != len(names):
        raise ValueError(f"got {len(values)} priors for {len(names)} classes; wanted one a class")
    for name, prior in zip(names, values, strict=True):
        if not (prior > 0 and math.isfinite(prior)):
            raise ValueError(
                f"the prior of class {name!r} is {prior:g}; wanted a positive number. Leave the class out."
            )
    return values
