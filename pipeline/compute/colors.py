"""Colors as numbers, for pixels of at most 24 bits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The number of pixels that are looked up at once. Their indices and results stay in the cache of a core, and
# the conversion of so few pixels by OpenCV stays in the calling thread, whatever the thread count of OpenCV
# is.
STRIP = 2**16
# The largest size in bytes of a pixel that a table can index: 2^24 float32 values take 64 MiB.
_MOST_BYTES = 3
# The number of colors in a sample, and the share of different ones above which they are noise.
_SAMPLE = 2**12
_MOSTLY = 0.98


class _Scratch(threading.local):
    """Memory for one strip, kept by each thread, because new memory would take as long as packing."""

    def __init__(self) -> None:
        self.bytes = np.empty((STRIP, 4), np.uint8)
        self.colors = np.empty(STRIP, np.intp)


_scratch = _Scratch()


def color_bits(dtype: np.dtype[Any], n_channels: int) -> int | None:
    """Return the number of bits of a pixel that a table can index, or None if there can't be a table.

    Parameters
    ----------
    dtype : dtype
        The dtype of the pixels.
    n_channels : int

    Returns
    -------
    int or None
        8, 16 or 24 for one to three channels of uint8, and 16 for one channel of uint16.
    """
    if dtype.kind == "u" and dtype.itemsize * n_channels <= _MOST_BYTES:
        return 8 * dtype.itemsize * n_channels
    return None


def pack_colors(pixels: NDArray[Any]) -> NDArray[np.intp]:
    """Return the color of each pixel as a number, with the first channel in the lowest bits.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
        At most `STRIP` pixels, for which :func:`color_bits` isn't None.

    Returns
    -------
    ndarray of intp, shape (h * w,)
        An array that the calling thread uses again in its next call.
    """
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    n_channels = pixels.shape[-1]
    if n_channels == 3:  # noqa: PLR2004  red, green, blue
        import cv2  # noqa: PLC0415  takes half a second, and only three channels need it

        four = _scratch.bytes[: pixels.size // 3].reshape(*pixels.shape[:2], 4)
        packed = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA, dst=four).view("<u4")
        packed &= 0xFFFFFF
    elif n_channels == 2:  # noqa: PLR2004  one byte each
        packed = pixels.view("<u2")
    else:
        packed = pixels
    # np.take would convert indices of another type in each call, and more slowly.
    colors = _scratch.colors[: packed.size]
    np.copyto(colors, packed.reshape(-1))
    return colors


def unpack_colors(colors: NDArray[np.intp], n_channels: int) -> NDArray[np.float64]:
    """Return the channels of packed colors.

    Parameters
    ----------
    colors : ndarray of intp, shape (n,)
        Numbers that :func:`pack_colors` returned.
    n_channels : int

    Returns
    -------
    ndarray of float64, shape (C, n)
    """
    bits = 8 if n_channels > 1 else 16
    return np.array(
        [colors >> bits * channel & (1 << bits) - 1 for channel in range(n_channels)], dtype=np.float64
    )


def are_different(colors: NDArray[np.intp]) -> bool:
    """Return whether hardly any color occurs twice, as in noise, by a sample.

    Finding out which ones do would then take longer than computing those twice.
    """
    sample = colors[:: max(1, len(colors) // _SAMPLE)]
    return len(sample) >= _SAMPLE and len(np.unique(sample)) > _MOSTLY * len(sample)
