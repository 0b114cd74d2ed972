"""An output: one result of a run, with its name, its quantity and its encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.classes import Classes
from pipeline.models.encoding import Encoding, Plain, read_encoding
from pipeline.models.packed import Packed
from pipeline.models.quantity import Quantity, no_data_value, read_quantity

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

# The argument of the public functions: one quantity, or several by name.
Quantities = Quantity | Packed | Mapping[str, Quantity | Packed]


@dataclass(frozen=True)
class Output:
    """One result of a run, for every pixel.

    Attributes
    ----------
    name : str
        The name under which the result is stored.
    quantity : Quantity
        The quantity to compute.
    encoding : Encoding
        The way from computed values to stored numbers.
    """

    name: str
    quantity: Quantity
    encoding: Encoding

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the stored numbers."""
        return self.encoding.dtype

    @property
    def no_data(self) -> float:
        """The stored number that marks a pixel without data."""
        return no_data_value(self.dtype)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names along the extra axis, or None if a pixel has one number."""
        return self.quantity.class_names

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The names of the classes whose numbers the results are, or None if the results aren't labels."""
        return self.quantity.label_names

    @property
    def n_results(self) -> int:
        """How many numbers a pixel has."""
        return self.quantity.n_results

    def to_dict(self) -> dict[str, Any]:
        """Return the output as plain lists and numbers, which JSON can hold."""
        return {
            "name": self.name,
            "quantity": self.quantity.to_dict(),
            "encoding": self.encoding.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Output:
        """Make an output from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the content doesn't describe an output.
        """
        return cls(
            str(content["name"]), read_quantity(content["quantity"]), read_encoding(content["encoding"])
        )


def make_outputs(quantities: Quantities, dtype: DTypeLike | None = None) -> tuple[Output, ...]:
    """Make an output of each quantity. A single quantity is named after its kind.

    Parameters
    ----------
    quantities : Quantity, Packed, or mapping of str to these
    dtype : dtype, optional
        The dtype of results that aren't packed; by default each quantity's own.

    Returns
    -------
    tuple of Output

    Raises
    ------
    TypeError
        If a quantity isn't one.
    ValueError
        If there is no quantity, a name can't be a directory's name on every system, a dtype can't hold the
        results, or the quantities are for different channels.
    """
    if isinstance(quantities, Classes):
        raise TypeError(f"got {quantities!r:.80}; wanted a quantity of them, for example Label(classes)")
    if isinstance(quantities, Mapping):
        named = dict(quantities)
    else:
        one = quantities.quantity if isinstance(quantities, Packed) else quantities
        if not isinstance(one, Quantity):
            raise TypeError(
                f"the quantity is {quantities!r:.80}; wanted Density(mixture) or another quantity of this "
                "package, or a mapping of names to quantities"
            )
        named = {one.name: quantities}
    if not named:
        raise ValueError("got no quantities; wanted at least one")
    names: list[Any] = list(named)
    for name in names:
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise ValueError(
                f"a quantity is named {name!r}; wanted letters, digits, - and _, for example 'skin-density'"
            )
    outputs = tuple(_make_output(name, quantity, dtype) for name, quantity in named.items())
    _check_channels(outputs)
    return outputs


def _make_output(name: str, quantity: Any, dtype: DTypeLike | None) -> Output:  # noqa: ANN401  a caller may pass anything
    if isinstance(quantity, Packed):
        if dtype is not None and np.dtype(dtype) != quantity.encoding.dtype:
            raise ValueError(
                f"dtype is {np.dtype(dtype)}, but the quantity {name!r} is packed as {quantity.dtype}. Leave "
                "dtype out."
            )
        return Output(name, quantity.quantity, quantity.encoding)
    if not isinstance(quantity, Quantity):
        raise TypeError(
            f"the quantity {name!r} is {quantity!r:.80}; wanted Density(mixture) or another quantity of this "
            "package"
        )
    return Output(name, quantity, Plain(quantity.output_dtype(dtype)))


def _check_channels(outputs: tuple[Output, ...]) -> None:
    """Raise ValueError unless one image can serve all outputs."""
    orders = {output.quantity.channels for output in outputs if output.quantity.channels}
    if len(orders) > 1:
        described = " and ".join(", ".join(order) for order in sorted(orders))
        raise ValueError(
            f"the mixtures of the quantities have different channels: {described}. Run them one by one."
        )
    counts = {output.quantity.n_channels for output in outputs}
    if len(counts) > 1:
        raise ValueError(
            f"the mixtures of the quantities have {' and '.join(map(str, sorted(counts)))} channels; wanted "
            "the same number for all. Run them one by one."
        )
