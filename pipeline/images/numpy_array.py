"""NumPy arrays as sources."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from dask.base import tokenize

from pipeline.images.pixels import check_array
from pipeline.images.source import Source

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from pipeline.images.source import Part, Region

# Pixels along a side of a chunk, if the array becomes a Dask array.
_CHUNK = 4096
# Bytes that are digested at once.
_STRIP = 2**24


def open_numpy(array: object, role: str, channel_axis: int | None) -> NumpyArray | None:
    """Return a NumPy array as a source, or None if it is something else.

    Parameters
    ----------
    array : object
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    NumpyArray or None

    Raises
    ------
    TypeError, ValueError
        If the array can't be an image or a mask.
    """
    if not isinstance(array, np.ndarray):
        return None
    axis = check_array(array, role, channel_axis)
    plain = np.asarray(array)
    return NumpyArray(plain[..., np.newaxis] if axis is None else np.moveaxis(plain, axis, -1))


class NumpyArray(Source):
    """A NumPy array, of which a task is sent a region alone.

    Parameters
    ----------
    array : ndarray, shape (H, W, C)
        With any strides and in any byte order.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        height, width, n_channels = array.shape
        self.shape, self.dtype = (height, width, n_channels), array.dtype.newbyteorder("=")

    def identity(self) -> str:
        """Return a digest of the pixels, whatever their strides and byte order."""
        height = self.shape[0]
        rows = max(1, height * _STRIP // max(1, self._array.nbytes))
        strips = (self._array[top : top + rows] for top in range(0, height, rows))
        digests = [tokenize(np.ascontiguousarray(strip, self.dtype)) for strip in strips]
        return str(tokenize(self.shape, str(self.dtype), digests))

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: the pixels, which aren't copied here."""
        return _PixelsPart(self._array[region].astype(self.dtype, copy=False))

    def read(self, region: Region) -> NDArray[Any]:
        """Copy a region."""
        return self._array[region].astype(self.dtype, order="C")

    def as_dask(self) -> da.Array:
        """Return the array as a Dask array, whose tasks hold their chunks alone."""
        import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

        array: da.Array = da.from_array(
            self._array.astype(self.dtype, copy=False), chunks=(_CHUNK, _CHUNK, -1)
        )
        return array

    def select(self, channels: tuple[int, ...]) -> Source | None:
        """Return the source of channels that lie at even distances, as a view; None for others."""
        if not channels:
            return NumpyArray(self._array[..., :0])
        steps = {after - before for before, after in pairwise(channels)} or {1}
        if len(steps) > 1 or 0 in steps:
            return None
        step = steps.pop()
        stop = channels[-1] + (1 if step > 0 else -1)
        return NumpyArray(self._array[..., channels[0] : (stop if stop >= 0 else None) : step])

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self


class _PixelsPart(NamedTuple):
    """Pixels in memory."""

    pixels: NDArray[Any]

    def read(self) -> NDArray[Any]:
        """Return the pixels, shape (h, w, C)."""
        return self.pixels
