"""Quantities of several classes: posterior, label, confidence, entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from pipeline.models.mixture import Mixture
from pipeline.models.quantity import Quantity, check_same_channels

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Confidence", "Entropy", "Label", "Posterior"]

# Labels of this many classes fit a byte, whose highest value marks pixels without data.
_MOST_IN_A_BYTE = 254
_MOST_CLASSES = 65534


@dataclass(frozen=True, init=False)
class ClassQuantity(Quantity):
    """The base class of the quantities of several classes. Its arguments are those of :class:`Posterior`."""

    names: tuple[str, ...]
    class_mixtures: tuple[Mixture, ...]
    priors: tuple[float, ...]

    operands: ClassVar[Literal["mixture", "pair", "classes"]] = "classes"

    def __init__(
        self,
        classes: Mixture | Mapping[str, Mixture],
        priors: Mapping[str, float] | Sequence[float] | None = None,
    ) -> None:
        if isinstance(classes, Mixture):
            parameters = zip(classes.means, classes.covariances, strict=True)
            mixtures = tuple(Mixture([1.0], [m], [s], classes.channels) for m, s in parameters)
            names = tuple(str(number) for number in range(len(mixtures)))
            default = tuple(classes.weights.tolist())
        else:
            names, mixtures = _check_classes(classes)
            default = (1 / len(mixtures),) * len(mixtures)
        check_same_channels(mixtures)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "class_mixtures", mixtures)
        object.__setattr__(self, "priors", default if priors is None else _check_priors(priors, names))

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures of the classes."""
        return self.class_mixtures

    def to_dict(self) -> dict[str, Any]:
        """Return the quantity as plain lists and numbers, which JSON can hold."""
        return {
            "quantity": self.name,
            # This is a list, because labels are numbered by the order of the classes.
            "classes": [
                {"name": name, "mixture": mixture.to_dict()}
                for name, mixture in zip(self.names, self.class_mixtures, strict=True)
            ],
            "priors": list(self.priors),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make the quantity from the content that :meth:`to_dict` returned."""
        return cls(_read_classes(content), content["priors"])


@dataclass(frozen=True, init=False)
class Posterior(ClassQuantity):
    r"""The probability of each class, given the color of a pixel.

    Parameters
    ----------
    classes : Mixture or mapping of str to Mixture
        Either one mixture, whose kernels are the classes, named by their numbers, or the names of the classes
        and their mixtures, over the same channels.
    priors : mapping of str to float or sequence of float, optional
        One positive number for each class; they need not sum to 1. By default the weights of the one mixture,
        or equal priors.
    only : str, optional
        The one class whose probability is returned; the result has no axis of classes then.

    Raises
    ------
    TypeError
        If a class isn't a name and a mixture.
    ValueError
        If `classes` is neither a mixture nor a mapping with at least one class, if the classes have different
        channels, if a prior isn't positive, or if there is no class named `only`.

    Notes
    -----
    .. math:: P(c \mid x) = \pi_c p_c(x) / \sum_d \pi_d p_d(x)

    The probabilities are a softmax of logarithms: they sum to 1 and are never NaN for a finite pixel, however
    far it is from every kernel. The axis of the classes stands where the channels of the image stand; in a
    store it comes first.
    """

    only: str | None

    name: ClassVar[str] = "posterior"
    summary: ClassVar[str] = "The probability of each class."

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
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, or None if only one class was requested."""
        return self.names if self.only is None else None

    @property
    def value_range(self) -> tuple[float, float]:
        """Probabilities lie between 0 and 1."""
        return 0.0, 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the quantity as plain lists and numbers, which JSON can hold."""
        return {**super().to_dict(), "only": self.only}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make the quantity from the content that :meth:`to_dict` returned."""
        return cls(_read_classes(content), content["priors"], only=content["only"])


class Label(ClassQuantity):
    """The number of the most probable class, given the color of a pixel: the argmax of :class:`Posterior`.

    Parameters
    ----------
    classes : Mixture or mapping of str to Mixture
        As for :class:`Posterior`. The classes are numbered from 0 in their order.
    priors : mapping of str to float or sequence of float, optional
        One positive number for each class; by default the weights of the one mixture, or equal priors.

    Raises
    ------
    TypeError, ValueError
        As :class:`Posterior` does. More than 65,534 classes are refused when labels are computed.

    Notes
    -----
    If several classes are equally probable, the first one is given. The dtype is uint8, or uint16 for more
    than 254 classes; its highest value, 255 or 65535, marks a pixel without data.
    """

    name: ClassVar[str] = "label"
    summary: ClassVar[str] = "The number of the most probable class."

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Return the dtype of the results: uint8, or uint16 for more than 254 classes.

        Raises
        ------
        ValueError
            If labels can't be given in this dtype.
        """
        if len(self.names) > _MOST_CLASSES:
            raise ValueError(f"got {len(self.names)} classes; wanted at most {_MOST_CLASSES}")
        smallest = np.dtype("uint8" if len(self.names) <= _MOST_IN_A_BYTE else "uint16")
        requested = smallest if dtype is None else np.dtype(dtype)
        if requested not in (smallest, np.dtype("uint16")):
            raise ValueError(
                f"dtype {requested} can't hold labels of {len(self.names)} classes; wanted {smallest}"
            )
        return requested


class Confidence(ClassQuantity):
    """The difference between the two highest posterior probabilities, from 0 to 1.

    Parameters
    ----------
    classes : Mixture or mapping of str to Mixture
        As for :class:`Posterior`.
    priors : mapping of str to float or sequence of float, optional
        One positive number for each class; by default the weights of the one mixture, or equal priors.

    Raises
    ------
    TypeError, ValueError
        As :class:`Posterior` does.

    Notes
    -----
    The value is near 0 where two classes are about equally probable, and 1 where one class is certain. With a
    single class it is 1 everywhere.
    """

    name: ClassVar[str] = "confidence"
    summary: ClassVar[str] = "The difference between the two highest posteriors, 0 to 1."

    @property
    def value_range(self) -> tuple[float, float]:
        """Differences of probabilities lie between 0 and 1."""
        return 0.0, 1.0


class Entropy(ClassQuantity):
    r"""The entropy of the posterior probabilities, in nats, from 0 to the logarithm of the number of classes.

    Parameters
    ----------
    classes : Mixture or mapping of str to Mixture
        As for :class:`Posterior`.
    priors : mapping of str to float or sequence of float, optional
        One positive number for each class; by default the weights of the one mixture, or equal priors.

    Raises
    ------
    TypeError, ValueError
        As :class:`Posterior` does.

    Notes
    -----
    .. math:: H(x) = -\sum_c P(c \mid x) \log P(c \mid x)

    The value is 0 where one class is certain, and highest where all classes are equally probable (Shannon,
    1948). With a single class it is 0 everywhere.
    """

    name: ClassVar[str] = "entropy"
    summary: ClassVar[str] = "The entropy of the posterior, in nats."

    @property
    def value_range(self) -> tuple[float, float] | None:
        """An entropy lies between 0 and the logarithm of the number of classes."""
        return (0.0, math.log(len(self.names))) if len(self.names) > 1 else None


def _read_classes(content: dict[str, Any]) -> dict[str, Mixture]:
    return {entry["name"]: Mixture.from_dict(entry["mixture"]) for entry in content["classes"]}


def _check_classes(classes: Any) -> tuple[tuple[str, ...], tuple[Mixture, ...]]:  # noqa: ANN401  a caller may pass anything
    if not isinstance(classes, Mapping) or not classes:
        raise ValueError(
            f"classes are {classes!r:.80}; wanted a mixture, or at least one name and its mixture"
        )
    for name, mixture in classes.items():
        if not isinstance(name, str) or not isinstance(mixture, Mixture):
            raise TypeError(f"class {name!r} is {mixture!r:.80}; wanted a name and a Mixture")
    return tuple(classes), tuple(classes.values())


def _check_priors(priors: Any, names: tuple[str, ...]) -> tuple[float, ...]:  # noqa: ANN401  a caller may pass anything
    if isinstance(priors, Mapping):
        if set(priors) != set(names):
            raise ValueError(
                f"priors are given for {', '.join(map(str, priors))}; wanted one for each of "
                f"{', '.join(names)}"
            )
        priors = [priors[name] for name in names]
    try:
        values = tuple(float(prior) for prior in priors)
    except (TypeError, ValueError):
        raise TypeError(
            f"priors are {priors!r:.80}; wanted a positive number for each of {', '.join(names)}"
        ) from None
    if len(values) != len(names):
        raise ValueError(f"got {len(values)} priors for {len(names)} classes; wanted one for each class")
    for name, prior in zip(names, values, strict=True):
        if not (prior > 0 and math.isfinite(prior)):
            raise ValueError(
                f"the prior of class {name!r} is {prior:g}; wanted a positive number. To exclude the class, "
                "leave it out."
            )
    return values
