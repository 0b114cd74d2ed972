"""The program once for each distinct colour, then a look-up: for pixels of up to 24 bits.

A giant image has far fewer colours than pixels. A table holds the results of every possible colour, which are
marked as missing until that colour is met, and is filled as colours occur. What it gives is what the program
gives, bit for bit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute import compute_planes
from pipeline.packing import Packed
from pipeline.quantity import no_data_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quantity import Quantity

# Pixels that are looked up at once. Their indices and results stay in a core's cache, and OpenCV's conversion
# of no more than these stays in the calling thread, whatever its thread count is.
STRIP = 2**16
# Of a pixel that a table can index: 2^24 values are 64 MiB of float32.
_MOST_BYTES = 3
# Of one table, as for a posterior of four classes.
_MOST_MEMORY = 2**28
_ERROR = np.dtype("float32")
# Of the tables that a process keeps, the least recently used of which goes first.
_MOST_KEPT = 2**30


def color_bits(dtype: np.dtype[Any], n_channels: int) -> int | None:
    """Count the bits of a pixel that a table can index, None where there can't be a table.

    Parameters
    ----------
    dtype : dtype
        Of the samples.
    n_channels : int

    Returns
    -------
    int or None
        8, 16 or 24 for one to three channels of uint8, 16 for one of uint16.
    """
    if dtype.kind == "u" and dtype.itemsize * n_channels <= _MOST_BYTES:
        return 8 * dtype.itemsize * n_channels
    return None


def table_bytes(quantity: Quantity, bits: int, dtype: np.dtype[Any]) -> int:
    """Give the memory of a table in bytes."""
    errors = _ERROR.itemsize if isinstance(quantity, Packed) else 0
    return int(2**bits) * (quantity.n_planes * dtype.itemsize + errors)


def fits_table(quantity: Quantity, bits: int, dtype: np.dtype[Any]) -> bool:
    """Tell whether a table of all results of a quantity has a sensible size: 256 MiB at most."""
    return table_bytes(quantity, bits, dtype) <= _MOST_MEMORY


class _Scratch(threading.local):
    """Room for one strip, kept by each thread: fresh memory would cost as much as the look-up."""

    def __init__(self) -> None:
        self.bytes = np.empty((STRIP, 4), np.uint8)
        self.colors = np.empty(STRIP, np.intp)


_scratch = _Scratch()


def pack_colors(pixels: NDArray[Any]) -> NDArray[np.intp]:
    """Make a number of each pixel's colour, with the first channel in the lowest bits.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
        At most `STRIP` pixels, of a kind that has :func:`color_bits`.

    Returns
    -------
    ndarray of intp, shape (h * w,)
        The calling thread's, until it calls again: all tables look the same colours up.
    """
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    n_channels = pixels.shape[-1]
    if n_channels == 3:  # noqa: PLR2004  red, green, blue
        import cv2  # noqa: PLC0415  half a second that only three channels need

        four = _scratch.bytes[: pixels.size // 3].reshape(*pixels.shape[:2], 4)
        packed = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA, dst=four).view("<u4")
        packed &= 0xFFFFFF
    elif n_channels == 2:  # noqa: PLR2004  one byte each
        packed = pixels.view("<u2")
    else:
        packed = pixels
    # np.take would convert indices of another type anew at each call, and more slowly.
    colors = _scratch.colors[: packed.size]
    np.copyto(colors, packed.reshape(-1))
    return colors


class ColorTable:
    """Results of a quantity for every colour of a kind of image, computed when they are first met.

    Parameters
    ----------
    quantity : Quantity
    bits : int
        Of a colour: 8, 16 or 24.
    dtype : dtype
        Of the results.

    Attributes
    ----------
    values : ndarray, shape (planes, 2**bits)
        The results, or the value without data where a colour wasn't met.
    errors : ndarray or None
        Of what is packed, the largest error of each colour that was met.

    Notes
    -----
    A table of 24 bits and float32 has 64 MiB. Any number of threads may look up and fill at once: a value is
    written whole, and is the same whoever computes it.
    """

    def __init__(self, quantity: Quantity, bits: int, dtype: np.dtype[Any]) -> None:
        self._missing = no_data_value(dtype)
        self.values: NDArray[Any] = np.full((quantity.n_planes, 2**bits), self._missing, dtype)
        self.errors = np.zeros(2**bits, _ERROR) if isinstance(quantity, Packed) else None
        self._quantity = quantity
        self._filling = threading.Lock()

    def look_up(self, colors: NDArray[np.intp], out: NDArray[Any]) -> float:
        """Give each colour's results, computing what is missing.

        Parameters
        ----------
        colors : ndarray of intp, shape (n,)
            Of :func:`pack_colors`.
        out : ndarray, shape (planes, n)

        Returns
        -------
        float
            The largest error of what is packed, else 0.
        """
        for values, results in zip(self.values, out, strict=True):
            # Indices are within the table; "wrap" checks that faster than "clip", and "raise" makes a copy.
            np.take(values, colors, out=results, mode="wrap")
            highest = results.max()
            # What is missing is NaN or the highest integer, and a maximum is NaN if any value is.
            if highest == self._missing or np.isnan(highest):
                self._fill(colors[self._is_missing(results)])
                np.take(values, colors, out=results, mode="wrap")
        return 0.0 if self.errors is None else float(np.take(self.errors, colors, mode="wrap").max())

    def _is_missing(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(np.isnan(values) if values.dtype.kind == "f" else values == self._missing)

    def _fill(self, missing: NDArray[np.intp]) -> None:
        colors = np.unique(missing)
        with self._filling:
            # Another thread may have met the same colours meanwhile.
            colors = colors[self._is_missing(self.values[:, colors]).any(axis=0)]
            if len(colors):
                n_channels = self._quantity.n_channels
                bits = 8 if n_channels > 1 else 16
                planes = [colors >> bits * channel & (1 << bits) - 1 for channel in range(n_channels)]
                values = np.empty((len(self.values), len(colors)), self.values.dtype)
                errors = compute_planes(
                    self._quantity, np.array(planes, dtype=np.float64), values, serial=True
                )
                # The errors first: a colour that isn't missing has all that is asked of it.
                if self.errors is not None:
                    self.errors[colors] = errors
                self.values[:, colors] = values


_tables: OrderedDict[tuple[Quantity, int, np.dtype[Any]], ColorTable] = OrderedDict()
_finding = threading.Lock()


def find_table(quantity: Quantity, bits: int, dtype: np.dtype[Any]) -> ColorTable:
    """Give this process's table for a quantity, an empty one at first.

    Parameters
    ----------
    quantity : Quantity
    bits : int
        Of a colour.
    dtype : dtype
        Of the results.

    Returns
    -------
    ColorTable
        The same for all threads and all blocks. A process keeps those used last, up to 1 GiB of them.
    """
    key = (quantity, bits, dtype)
    with _finding:
        if key not in _tables:
            _tables[key] = ColorTable(quantity, bits, dtype)
        _tables.move_to_end(key)
        while len(_tables) > 1 and sum(table_bytes(*kept) for kept in _tables) > _MOST_KEPT:
            _tables.popitem(last=False)
        return _tables[key]
