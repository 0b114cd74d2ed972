"""Results in fewer bytes: half precision, or integers that stand for a range of values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.mixture import Mixture
from pipeline.models.quantity import (
    Density,
    Label,
    LogDensity,
    LogRatio,
    Posterior,
    Quantity,
    no_data_value,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_SCALES = ("linear", "log")


@dataclass(frozen=True)
class Packed(Quantity):
    """A quantity whose results are kept in one or two bytes each.

    Parameters
    ----------
    quantity : Quantity
        Anything but a label, which is small already.
    dtype : str
        ``"float16"``, ``"uint8"`` or ``"uint16"``.
    low, high : float, optional
        The values that the integers span; by default 0 and 1 for a posterior. Values beyond are given as the
        nearest of the two. For ``"float16"`` there are none.
    scale : str
        ``"linear"`` spaces the integers evenly. ``"log"`` spaces them evenly in the logarithm, for a density;
        values below `low` are given as 0.

    Raises
    ------
    TypeError
        If there is no quantity, or one that can't be packed.
    ValueError
        If the dtype or scale is another, or the range isn't one.

    Notes
    -----
    The highest integer marks a pixel without data. :func:`evaluate` gives the integers, and so does the array
    in the store; :func:`open_result` gives the values that they stand for, as float32. A run records the
    largest error: absolute, but relative for the scale ``"log"``, of which values below `low` are no part,
    and of densities in float16, which are 0 below 6e-8.
    """

    quantity: Quantity
    dtype: str
    low: float | None = None
    high: float | None = None
    scale: str = "linear"

    def __post_init__(self) -> None:
        kind: Any = self.quantity
        if not isinstance(kind, Quantity) or isinstance(kind, Label | Packed):
            raise TypeError(f"{self.quantity!r:.80} can't be packed; wanted a quantity that gives floats")
        if self.dtype not in ("float16", "uint8", "uint16"):
            raise ValueError(f"dtype is {self.dtype!r}; wanted 'float16', 'uint8' or 'uint16'")
        # As JSON can hold it, and the ends below.
        object.__setattr__(self, "dtype", str(self.dtype))
        if self.scale not in _SCALES:
            raise ValueError(f"scale is {self.scale!r}; wanted one of {', '.join(_SCALES)}")
        if self.dtype == "float16":
            if (self.low, self.high, self.scale) != (None, None, "linear"):
                raise ValueError("float16 takes no low, high or scale; they are for 'uint8' and 'uint16'")
            return
        if isinstance(self.quantity, Posterior) and self.low is None and self.high is None:
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", 1.0)
        low, high = (math.nan if end is None else float(end) for end in (self.low, self.high))
        spans = low < high and math.isfinite(high - low) and (self.scale == "linear" or low > 0)
        if spans:
            object.__setattr__(self, "low", low)
            object.__setattr__(self, "high", high)
        if not (spans and self._step > 0):
            above = " and above 0" if self.scale == "log" else ""
            raise ValueError(
                f"{self.dtype} of a {self.name} span {self.low} to {self.high}; wanted two finite numbers, "
                f"low below high{above}"
            )

    @property
    def name(self) -> str:  # type: ignore[override]  # a constant of the other quantities' classes
        """The name of the quantity that is packed."""
        return self.quantity.name

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures of the quantity that is packed."""
        return self.quantity.mixtures

    @property
    def planes(self) -> tuple[str, ...] | None:
        """The names along the extra axis of the quantity that is packed."""
        return self.quantity.planes

    def output_dtype(self, dtype: DTypeLike | None = None) -> np.dtype[Any]:
        """Give the dtype of what is stored.

        Raises
        ------
        ValueError
            If another one is asked for.
        """
        if dtype is not None and np.dtype(dtype) != np.dtype(self.dtype):
            raise ValueError(f"dtype {np.dtype(dtype)} of what is packed as {self.dtype}; leave one out")
        return np.dtype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Give the quantity and its packing as plain lists and numbers, for a store's attributes."""
        packing: dict[str, Any] = {"dtype": self.dtype}
        if self.dtype != "float16":
            packing |= {"low": self.low, "high": self.high, "scale": self.scale}
        return {**self.quantity.to_dict(), "packing": packing}

    @property
    def decoding(self) -> dict[str, Any]:
        """How other readers get values: value = offset + factor * integer, or its exponential."""
        if self.dtype == "float16":
            return {}
        return {
            "factor": self._step,
            "offset": self._start - (self._step if self.scale == "log" else 0),
            "exponential": self.scale == "log",
            "below_low": 0 if self.scale == "log" else None,
            "no_data": no_data_value(np.dtype(self.dtype)),
        }

    def pack(self, values: NDArray[np.float64], out: NDArray[Any]) -> NDArray[np.float64]:
        """Fill `out` with what stands for the values.

        Parameters
        ----------
        values : ndarray of float64
            NaN where there is no data.
        out : ndarray
            Of the same shape and the packed dtype.

        Returns
        -------
        ndarray of float64
            The errors: absolute, but relative for the scale ``"log"`` and of densities in float16.
        """
        missing = np.isnan(values)
        if self.dtype == "float16":
            largest = float(np.finfo(np.float16).max)
            out[...] = np.clip(values, -largest, largest)
            errors = np.abs(out.astype(np.float64) - values)
            if isinstance(self.quantity, Density):
                errors = np.divide(errors, values, out=np.zeros_like(errors), where=values > 0)
        else:
            codes = self._codes(np.where(missing, self._range[0], values))
            out[...] = np.where(missing, no_data_value(out.dtype), codes)
            errors = np.abs(self._decode(codes) - values)
            if self.scale == "log":
                errors = np.divide(errors, values, out=np.zeros_like(errors), where=codes > 0)
        errors[missing] = 0
        # As float32 holds it, and JSON can.
        return np.minimum(errors, float(np.finfo(np.float32).max))

    def unpack(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Give the values that stored ones stand for, NaN where there is no data."""
        if self.dtype == "float16":
            return codes.astype(np.float32)
        table = self._decode(np.arange(int(no_data_value(codes.dtype)) + 1, dtype=np.float64))
        table[-1] = np.nan
        return np.asarray(table.astype(np.float32)[codes])

    @property
    def _range(self) -> tuple[float, float]:
        assert self.low is not None, "integers have a range"  # noqa: S101  for the type checker
        assert self.high is not None, "integers have a range"  # noqa: S101  the same
        return self.low, self.high

    @cached_property
    def _start(self) -> float:
        low = self._range[0]
        return math.log(low) if self.scale == "log" else low

    @cached_property
    def _step(self) -> float:
        high = self._range[1]
        end = math.log(high) if self.scale == "log" else high
        # Of a byte's values, 255 is no data, and 0 is what lies below a logarithmic range.
        return (end - self._start) / (no_data_value(np.dtype(self.dtype)) - (2 if self.scale == "log" else 1))

    def _codes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = self._range
        within = np.clip(values, low, high)
        if self.scale == "linear":
            return np.asarray(np.rint((within - self._start) / self._step))
        codes = 1 + np.rint((np.log(within) - self._start) / self._step)
        codes[values < low] = 0
        return codes

    def _decode(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.scale == "linear":
            return self._start + codes * self._step
        values = np.exp(self._start + (codes - 1) * self._step)
        values[codes == 0] = 0
        return values


def read_quantity(record: dict[str, Any]) -> Quantity:
    """Make a quantity of what its ``to_dict`` gave.

    Raises
    ------
    ValueError
        If the record isn't one of a quantity.
    """
    try:
        quantity = _read_unpacked(record)
        packing = record.get("packing")
        return quantity if packing is None else Packed(quantity, **packing)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the record of a quantity: {error}") from None


def _read_unpacked(record: dict[str, Any]) -> Quantity:
    kind = record["quantity"]
    for one in (Density, LogDensity):
        if kind == one.name:
            return one(Mixture.from_dict(record["mixture"]), normalized=bool(record["normalized"]))
    if kind == LogRatio.name:
        return LogRatio(Mixture.from_dict(record["numerator"]), Mixture.from_dict(record["denominator"]))
    if kind not in (Posterior.name, Label.name):
        raise ValueError(f"no quantity is named {kind!r}; upgrade mixture-pipeline")
    classes = {entry["name"]: Mixture.from_dict(entry["mixture"]) for entry in record["classes"]}
    if kind == Label.name:
        return Label(classes, record["priors"])
    return Posterior(classes, record["priors"], only=record["only"])
