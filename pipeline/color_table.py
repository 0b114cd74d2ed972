"""The program once for each distinct colour, then a look-up: for pixels of up to 24 bits.

A giant image has far fewer colours than pixels. A table holds one value for every possible colour, NaN until
that colour is met, and is filled as colours occur. What it gives is what the program gives, bit for bit.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.expression import compile_program

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quantity import Quantity

# Pixels that are looked up at once. Their indices and results stay in a core's cache, and OpenCV's conversion
# of no more than these stays in the calling thread, whatever its thread count is.
STRIP = 2**16
# Of a pixel that a table can index: 2^24 values are 64 MiB of float32.
_MOST_BYTES = 3
# Tables that a process keeps, the least recently used of which goes first.
_TABLES = 8


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


class _Scratch(threading.local):
    """Room for one strip, kept by each thread: fresh memory would cost as much as the look-up."""

    def __init__(self) -> None:
        self.bytes = np.empty((STRIP, 4), np.uint8)
        self.colors = np.empty(STRIP, np.intp)


_scratch = _Scratch()


class ColorTable:
    """Values of a quantity for every colour of a kind of image, computed when they are first met.

    Parameters
    ----------
    quantity : Quantity
    bits : int
        Of a colour: 8, 16 or 24.
    dtype : dtype
        Of the values, float32 or float64.

    Notes
    -----
    Its memory is ``2**bits`` values: 64 MiB for 24 bits and float32. Any number of threads may look up and
    fill at once: a value is written whole, and is the same whoever computes it.
    """

    def __init__(self, quantity: Quantity, bits: int, dtype: np.dtype[Any]) -> None:
        self.values: NDArray[Any] = np.full(2**bits, np.nan, dtype)
        self._program = compile_program(quantity, dtype)
        self._n_channels = quantity.n_channels
        self._filling = threading.Lock()

    def look_up(self, pixels: NDArray[Any], out: NDArray[Any]) -> None:
        """Give each pixel its colour's value, computing what is missing.

        Parameters
        ----------
        pixels : ndarray, shape (h, w, C)
            At most `STRIP` pixels.
        out : ndarray, shape (h * w,)
        """
        colors = self._pack(pixels)
        # The indices are within the table; "wrap" checks that faster than "clip", and "raise" makes a copy.
        np.take(self.values, colors, out=out, mode="wrap")
        # A maximum is NaN if any value is: the cheapest of such tests.
        if np.isnan(out.max()):
            self._fill(colors[np.isnan(out)])
            np.take(self.values, colors, out=out, mode="wrap")

    def _pack(self, pixels: NDArray[Any]) -> NDArray[np.intp]:
        """Make a number of each pixel's colour, with the first channel in the lowest bits."""
        pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
        if self._n_channels == 3:  # noqa: PLR2004  red, green, blue
            import cv2  # noqa: PLC0415  half a second that only three channels need

            four = _scratch.bytes[: pixels.size // 3].reshape(*pixels.shape[:2], 4)
            packed = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA, dst=four).view("<u4")
            packed &= 0xFFFFFF
        elif self._n_channels == 2:  # noqa: PLR2004  one byte each
            packed = pixels.view("<u2")
        else:
            packed = pixels
        # np.take would convert indices of another type anew at each call, and more slowly.
        colors = _scratch.colors[: packed.size]
        np.copyto(colors, packed.reshape(-1))
        return colors

    def _fill(self, missing: NDArray[np.intp]) -> None:
        colors = np.unique(missing)
        with self._filling:
            # Another thread may have met the same colours meanwhile.
            colors = colors[np.isnan(self.values[colors])]
            if len(colors):
                bits = 8 if self._n_channels > 1 else 16
                planes = [colors >> bits * channel & (1 << bits) - 1 for channel in range(self._n_channels)]
                values = np.empty(len(colors), self.values.dtype)
                self._program.run(np.array(planes, dtype=np.float64), values, serial=True)
                self.values[colors] = values


_finding = threading.Lock()


def find_table(quantity: Quantity, bits: int, dtype: np.dtype[Any]) -> ColorTable:
    """Give this process's table for a quantity, an empty one at first.

    Parameters
    ----------
    quantity : Quantity
    bits : int
        Of a colour.
    dtype : dtype
        Of the values.

    Returns
    -------
    ColorTable
        The same for all threads and all blocks. A process keeps the last eight.
    """
    with _finding:
        return _find_table(quantity, bits, dtype)


_find_table = lru_cache(maxsize=_TABLES)(ColorTable)
