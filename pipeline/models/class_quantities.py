"""Quantities of several classes: posterior, label, confidence, entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from pipeline.models.classes import Classes, class_entries, read_classes
from pipeline.models.mixture import Mixture
from pipeline.models.quantity import Coarsening, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
            kernels = [
                Mixture([1.0], [mean], [covariance], classes.channels) for mean, covariance in parameters
            ]
            named = {str(number): kernel for number, kernel in enumerate(kernels)}
            checked = Classes(named, classes.weights.tolist() if priors is None else priors)
        else:
            checked = Classes(classes, priors)
        object.__setattr__(self, "names", tuple(checked))
        object.__setattr__(self, "class_mixtures", tuple(checked.values()))
        object.__setattr__(self, "priors", checked.priors)

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures of the classes."""
        return self.class_mixtures

    def to_dict(self) -> dict[str, Any]:
        """Return the quantity as plain lists and numbers, which JSON can hold."""
        return {
            "quantity": self.name,
            "classes": class_entries(dict(zip(self.names, self.class_mixtures, strict=True))),
            "priors": list(self.priors),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make the quantity from the content that :meth:`to_dict` returned."""
        return cls(read_classes(content["classes"]), content["priors"])


@dataclass(frozen=True, init=False)
class Posterior(ClassQuantity):
    r"""The probability of each class, given the color of a pixel.

    Parameters
    ----------
    classes : Mixture, Classes or mapping of str to Mixture
        Either one mixture, whose kernels are the classes, named by their numbers, or the names of the classes
        and their mixtures, over the same channels.
    priors : mapping of str to float or sequence of float, optional
        One positive number for each class; they need not sum to 1. By default the weights of the one mixture,
        the priors of the :class:`Classes`, or equal priors.
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
        return cls(read_classes(content["classes"]), content["priors"], only=content["only"])


class Label(ClassQuantity):
    """The number of the most probable class, given the color of a pixel: the argmax of :class:`Posterior`.

    Parameters
    ----------
    classes : Mixture, Classes or mapping of str to Mixture
        As for :class:`Posterior`. The classes are numbered from 0 in their order.
    priors : mapping of str to float or sequence of float, optional
        As for :class:`Posterior`.

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
    coarsening: ClassVar[Coarsening] = "mode"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, by their numbers."""
        return self.names

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
    classes : Mixture, Classes or mapping of str to Mixture
        As for :class:`Posterior`.
    priors : mapping of str to float or sequence of float, optional
        As for :class:`Posterior`.

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
    classes : Mixture, Classes or mapping of str to Mixture
        As for :class:`Posterior`.
    priors : mapping of str to float or sequence of float, optional
        As for :class:`Posterior`.

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
    unit: ClassVar[str | None] = "nats"

    @property
    def value_range(self) -> tuple[float, float] | None:
        """An entropy lies between 0 and the logarithm of the number of classes."""
        return (0.0, math.log(len(self.names))) if len(self.names) > 1 else None
