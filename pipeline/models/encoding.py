"""Encodings: how the values of an output become stored numbers, and stored numbers become values again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.models.quantity import FLOAT_DTYPES, no_data_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_INTEGERS = (np.dtype("uint8"), np.dtype("uint16"))
_HALF = np.dtype("float16")


@dataclass(frozen=True)
class Encoding(ABC):
    """The way from computed values to stored numbers, and back.

    Attributes
    ----------
    dtype : dtype
        The dtype of the stored numbers.
    is_lossy : bool
        Whether a run records how far the stored numbers are from the values. If so, values are computed in
        float64 before they are encoded; if not, they are computed in `dtype` directly.
    """

    dtype: np.dtype[Any]

    is_lossy: ClassVar[bool] = True
    # The dtypes that the encoding can store.
    _dtypes: ClassVar[tuple[np.dtype[Any], ...]]

    def __post_init__(self) -> None:
        if self.dtype not in self._dtypes:
            raise ValueError(f"dtype is {self.dtype}; wanted {' or '.join(map(str, self._dtypes))}")

    @property
    def computed_dtype(self) -> np.dtype[Any]:
        """The dtype in which an engine computes the values."""
        return np.dtype(np.float64) if self.is_lossy else self.dtype

    @property
    def decoded_dtype(self) -> np.dtype[Any]:
        """The dtype of decoded values."""
        return np.dtype(np.float32) if self.is_lossy else self.dtype

    @property
    def attributes(self) -> dict[str, Any]:
        """The parameters of the decoding, for readers without this package, as a Zarr attribute."""
        return {}

    def encode(self, values: Array, out: NDArray[Any]) -> Array:
        """Fill `out` with the stored numbers.

        Parameters
        ----------
        values : ndarray of float64
            NaN marks values without data.
        out : ndarray of `dtype`, of the same shape

        Returns
        -------
        ndarray of float64
            The error of each stored number: absolute, or relative to the value for the encodings that say so;
            0 without data.
        """
        missing = np.isnan(values)
        errors = self._encode(values, missing, out)
        errors[missing] = 0
        # JSON and float32 can hold the error.
        return np.minimum(errors, float(np.finfo(np.float32).max))

    @abstractmethod
    def _encode(self, values: Array, missing: NDArray[np.bool_], out: NDArray[Any]) -> Array:
        """Fill `out`, and return the errors, which may be anything where values are missing."""

    @abstractmethod
    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the values that stored numbers stand for, NaN where there is no data."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain strings and numbers, which JSON can hold."""


@dataclass(frozen=True)
class Plain(Encoding):
    """The values themselves, rounded once to `dtype`, or the integers of a label."""

    is_lossy: ClassVar[bool] = False
    _dtypes: ClassVar[tuple[np.dtype[Any], ...]] = FLOAT_DTYPES + _INTEGERS

    def _encode(self, values: Array, missing: NDArray[np.bool_], out: NDArray[Any]) -> Array:
        out[...] = np.where(missing, no_data_value(self.dtype), values)
        return np.zeros(values.shape)

    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the stored numbers, which are the values."""
        return stored

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain strings and numbers, which JSON can hold."""
        return {"kind": "plain", "dtype": str(self.dtype)}


@dataclass(frozen=True)
class Half(Encoding):
    """The values rounded to float16, with the largest error recorded.

    Attributes
    ----------
    relative : bool
        Whether errors are relative to the values.
    """

    relative: bool = False

    _dtypes: ClassVar[tuple[np.dtype[Any], ...]] = (_HALF,)

    def _encode(self, values: Array, missing: NDArray[np.bool_], out: NDArray[Any]) -> Array:
        del missing  # NaN stays NaN
        largest = float(np.finfo(np.float16).max)
        out[...] = np.clip(values, -largest, largest)
        errors = np.abs(out.astype(np.float64) - values)
        if self.relative:
            errors = np.divide(errors, values, out=np.zeros_like(errors), where=values > 0)
        return errors

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return the values as float32."""
        return stored.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain strings and numbers, which JSON can hold."""
        return {"kind": "half", "dtype": str(self.dtype), "relative": self.relative}


@dataclass(frozen=True)
class Range(Encoding):
    """Integers that stand for evenly spaced numbers between two ends; the highest integer is no data."""

    low: float
    high: float

    kind: ClassVar[str]
    wanted_range: ClassVar[str] = "two finite numbers, low below high"
    _dtypes: ClassVar[tuple[np.dtype[Any], ...]] = _INTEGERS
    # The number of integers that stand for neither a number of the range nor no data.
    _reserved: ClassVar[int] = 0
    _is_relative: ClassVar[bool] = False
    _above: ClassVar[float] = -math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        is_range = self.low < self.high and math.isfinite(self.high - self.low)
        if not (is_range and self.low > self._above and self.step > 0):
            raise ValueError(f"the range is {self.low} to {self.high}; wanted {self.wanted_range}")

    @cached_property
    def _start(self) -> float:
        return self._transformed(self.low)

    @cached_property
    def step(self) -> float:
        """The distance between the numbers that two adjacent integers stand for."""
        n_steps = no_data_value(self.dtype) - 1 - self._reserved
        return (self._transformed(self.high) - self._start) / n_steps

    @property
    def attributes(self) -> dict[str, Any]:
        """The decoding: scale_factor * integer + add_offset, and for a logarithmic range its exponential.

        The names are those of the CF conventions, section 8.1 (https://cfconventions.org), by which other
        programs decode integers. The highest integer is no data.
        """
        return {
            "scale_factor": self.step,
            "add_offset": self._start - self._reserved * self.step,
            "exponential": self.kind == "log",
            **({"below_low": 0} if self._reserved else {}),
            "_FillValue": no_data_value(self.dtype),
        }

    def _encode(self, values: Array, missing: NDArray[np.bool_], out: NDArray[Any]) -> Array:
        present = np.where(missing, self.low, values)
        codes = self._codes(present)
        out[...] = np.where(missing, no_data_value(out.dtype), codes)
        errors = np.abs(self._values(codes) - values)
        if self._is_relative:
            errors = np.divide(errors, values, out=np.zeros_like(errors), where=codes > 0)
        return errors

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return the values that the integers stand for as float32, NaN for the highest integer."""
        table = self._values(np.arange(int(no_data_value(stored.dtype)) + 1, dtype=np.float64))
        table[-1] = np.nan
        return np.asarray(table.astype(np.float32)[stored])

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain strings and numbers, which JSON can hold."""
        return {"kind": self.kind, "dtype": str(self.dtype), "low": self.low, "high": self.high}

    @abstractmethod
    def _transformed(self, value: float) -> float:
        """Return the number that is evenly spaced: the value, or its logarithm."""

    @abstractmethod
    def _codes(self, values: Array) -> Array:
        """Return the integers, as float64."""

    @abstractmethod
    def _values(self, codes: Array) -> Array:
        """Return the values that integers stand for."""


@dataclass(frozen=True)
class Linear(Range):
    """Integers that stand for evenly spaced values from `low` to `high`."""

    kind: ClassVar[str] = "linear"

    def _transformed(self, value: float) -> float:
        return value

    def _codes(self, values: Array) -> Array:
        within = np.clip(values, self.low, self.high)
        return np.asarray(np.rint((within - self._start) / self.step))

    def _values(self, codes: Array) -> Array:
        return self._start + codes * self.step


@dataclass(frozen=True)
class Logarithmic(Range):
    """Integers whose values are evenly spaced in the logarithm; 0 stands for a value below `low`."""

    kind: ClassVar[str] = "log"
    _reserved: ClassVar[int] = 1
    _is_relative: ClassVar[bool] = True
    _above: ClassVar[float] = 0.0
    wanted_range: ClassVar[str] = "two finite numbers, low below high and above 0"

    def _transformed(self, value: float) -> float:
        return math.log(value)

    def _codes(self, values: Array) -> Array:
        within = np.clip(values, self.low, self.high)
        codes = 1 + np.rint((np.log(within) - self._start) / self.step)
        codes[values < self.low] = 0
        return codes

    def _values(self, codes: Array) -> Array:
        values = np.exp(self._start + (codes - 1) * self.step)
        values[codes == 0] = 0
        return values


# The encodings by ranges of values, by the name of their scale.
RANGES: dict[str, type[Range]] = {kind.kind: kind for kind in (Linear, Logarithmic)}


def read_encoding(content: dict[str, Any]) -> Encoding:
    """Make an encoding from the content that its ``to_dict`` returned.

    Raises
    ------
    ValueError
        If the content doesn't describe an encoding.
    """
    try:
        kind, dtype = content["kind"], np.dtype(content["dtype"])
        if kind == "plain":
            return Plain(dtype)
        if kind == "half":
            return Half(dtype, relative=bool(content["relative"]))
        if kind in RANGES:
            return RANGES[kind](dtype, float(content["low"]), float(content["high"]))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not the record of an encoding: {error}") from None
    raise ValueError(f"no encoding is named {kind!r}. Upgrade mixture-pipeline.")
