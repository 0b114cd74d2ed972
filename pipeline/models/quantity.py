"""The base class of all quantities, which are the numbers that can be computed for a pixel."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from pipeline.models.mixture import Mixture

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

FLOAT_DTYPES = tuple(np.dtype(name) for name in ("float16", "float32", "float64"))

Coarsening = Literal["mean", "log-mean-exp", "mode"]
_OPERANDS = ("mixture", "pair", "classes")

_kinds: dict[str, type[Quantity]] = {}


class Quantity(ABC):
    """A quantity has mixtures over the same channels, and yields one or several numbers for each pixel.

    Attributes
    ----------
    name : str
        The name of the kind, for example ``"log-ratio"``. The command's option and a record use it too.
    operands : str
        The kind of arguments: ``"mixture"`` for one mixture, ``"pair"`` for two, ``"classes"`` for
        named mixtures with priors.
    summary : str
        A description of one line, for help texts.
    error_is_relative : bool
        Whether the error of a rounded value is given relative to the value, because the values span many
        powers of ten. They are shown by their logarithms then.
    coarsening : str
        How a pixel of a coarser level follows from those that it stands for: ``"mean"`` of their values,
        ``"log-mean-exp"``, the logarithm of the mean of their exponentials, or ``"mode"``, the most frequent.
    unit : str or None
        The unit of the values, or None if they have none, or one that depends on the channels.
    neutral : float or None
        The value between two opposite findings, from which the colors of a picture diverge, or None.
    """

    name: ClassVar[str]
    operands: ClassVar[Literal["mixture", "pair", "classes"]]
    summary: ClassVar[str]
    error_is_relative: ClassVar[bool] = False
    coarsening: ClassVar[Coarsening] = "mean"
    unit: ClassVar[str | None] = None
    neutral: ClassVar[float | None] = None

    def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401  the options of any class
        """Register a kind under its name, so that a record can be read back."""
        super().__init_subclass__(**options)
        if "name" in cls.__dict__:
            _kinds[cls.name] = cls

    @property
    @abstractmethod
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures that the quantity is made of."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the quantity as plain lists and numbers, which JSON can hold."""

    @classmethod
    @abstractmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make the quantity from the content that :meth:`to_dict` returned."""

    @property
    def n_channels(self) -> int:
        """The number of channels of a pixel, C."""
        return self.mixtures[0].n_channels

    @property
    def channels(self) -> tuple[str, ...] | None:
        """The names of the channels, or None if no mixture names them."""
        return next((mixture.channels for mixture in self.mixtures if mixture.channels), None)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names along the extra axis of the result, or None if a pixel has one number."""
        return None

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The names of the classes whose numbers the results are, or None if the results aren't labels."""
        return None

    @property
    def n_results(self) -> int:
        """How many numbers a pixel has."""
        return 1 if self.class_names is None else len(self.class_names)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The least and the greatest value that can occur, or None if there are no such bounds."""
        return None

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Return the dtype of the results: the requested one, float32 by default.

        Raises
        ------
        ValueError
            If the results can't be given in this dtype.
        """
        requested = np.dtype("float32" if dtype is None else dtype)
        if requested not in FLOAT_DTYPES:
            raise ValueError(
                f"dtype {requested} can't hold {with_article(self.name)}; wanted float16, float32 or "
                "float64. To store integers that stand for values, see Packed."
            )
        return requested


def read_quantity(content: dict[str, Any]) -> Quantity:
    """Make a quantity from the content that its ``to_dict`` returned.

    Raises
    ------
    ValueError
        If the content doesn't describe a quantity.
    """
    try:
        name = content["quantity"]
        if name not in _kinds:
            raise ValueError(f"no quantity is named {name!r}. Upgrade mixture-pipeline.")
        return _kinds[name].from_dict(content)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not the record of a quantity: {error}") from None


def quantity_kinds() -> tuple[type[Quantity], ...]:
    """Return every kind of quantity: those of one mixture first, then those of two, then those of classes."""
    return tuple(sorted(_kinds.values(), key=lambda kind: _OPERANDS.index(kind.operands)))


def no_data_value(dtype: np.dtype[Any]) -> float:
    """Return the value that marks a pixel without data: NaN, or the highest integer of the dtype."""
    return math.nan if dtype.kind == "f" else int(np.iinfo(dtype).max)


def with_article(name: str) -> str:
    """Return a name with its indefinite article, for use in a message."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def check_mixture(mixture: Any) -> None:  # noqa: ANN401  a caller may pass anything
    """Raise TypeError unless the argument is a Mixture."""
    if not isinstance(mixture, Mixture):
        raise TypeError(f"got {mixture!r:.80}; wanted a Mixture, for example Mixture.from_kernels(kernels)")


def check_same_channels(mixtures: tuple[Mixture, ...]) -> None:
    """Raise ValueError unless all mixtures have the same channels."""
    first = next((mixture for mixture in mixtures if mixture.channels), mixtures[0])
    for mixture in mixtures:
        named = mixture.channels and first.channels
        if mixture.n_channels != first.n_channels or (named and mixture.channels != first.channels):
            raise ValueError(
                f"the mixtures {first} and {mixture} have different channels; wanted the same channels for "
                "all mixtures"
            )
