"""The public spelling of a lossy encoding: a quantity whose results are packed into fewer bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.encoding import RANGES, Half
from pipeline.models.quantity import Quantity, with_article

if TYPE_CHECKING:
    from pipeline.models.encoding import Encoding


@dataclass(frozen=True)
class Packed:
    """A quantity whose results are stored in one or two bytes each.

    Parameters
    ----------
    quantity : Quantity
        Any quantity but a label, which is small already.
    dtype : str or dtype
        ``"float16"``, ``"uint8"`` or ``"uint16"``.
    low, high : float, optional
        The values that the integers span. By default they are the bounds of the quantity, if it has any, such
        as 0 and 1 for a posterior. Values beyond them are stored as the nearer end. ``"float16"`` takes none.
    scale : str
        ``"linear"`` spaces the values evenly. ``"log"`` spaces them evenly in the logarithm, which suits a
        density; values below `low` are stored as 0.

    Raises
    ------
    TypeError
        If `quantity` isn't a quantity, or can't be packed.
    ValueError
        If there is no such dtype or scale, or `low` and `high` aren't a range.

    Notes
    -----
    The highest integer marks a pixel without data. :func:`evaluate` returns the integers, and so does the
    array in the store; :func:`open_result` returns the values that they stand for, as float32. A run records
    the largest error. It is absolute, but relative for the scale ``"log"``, where values below `low` don't
    count, and for densities in float16, which are 0 below 6e-8.
    """

    quantity: Quantity
    dtype: str
    low: float | None = None
    high: float | None = None
    scale: str = "linear"

    def __post_init__(self) -> None:
        quantity: Any = self.quantity
        if not isinstance(quantity, Quantity) or quantity.output_dtype().kind != "f":
            raise TypeError(f"{self.quantity!r:.80} can't be packed; wanted a quantity that gives floats")
        try:
            dtype = np.dtype(self.dtype).name
        except TypeError:
            dtype = ""
        if dtype not in {"float16", "uint8", "uint16"}:
            raise ValueError(f"dtype is {self.dtype!r}; wanted 'float16', 'uint8' or 'uint16'")
        object.__setattr__(self, "dtype", dtype)
        if self.scale not in RANGES:
            raise ValueError(f"scale is {self.scale!r}; wanted one of {', '.join(RANGES)}")
        if self.dtype == "float16":
            if (self.low, self.high, self.scale) != (None, None, "linear"):
                raise ValueError("float16 takes no low, high or scale; they are for 'uint8' and 'uint16'")
        else:
            self._settle_range()

    @cached_property
    def encoding(self) -> Encoding:
        """The encoding of the stored numbers."""
        dtype = np.dtype(self.dtype)
        if self.low is None or self.high is None:
            return Half(dtype, relative=self.quantity.error_is_relative)
        return RANGES[self.scale](dtype, self.low, self.high)

    def _settle_range(self) -> None:
        """Replace `low` and `high` by plain numbers, or raise ValueError if they aren't a range."""
        ends: tuple[float | None, float | None] = (self.low, self.high)
        if ends == (None, None):
            ends = self.quantity.value_range or ends
        low, high = (math.nan if end is None else float(end) for end in ends)
        kind = RANGES[self.scale]
        try:
            kind(np.dtype(self.dtype), low, high)
        except ValueError:
            given = "no range" if ends == (None, None) else f"the range {ends[0]} to {ends[1]}"
            raise ValueError(
                f"{self.dtype} for {with_article(self.quantity.name)} has {given}; wanted "
                f"{kind.wanted_range}, for example Packed(quantity, {self.dtype!r}, low, high)"
            ) from None
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
