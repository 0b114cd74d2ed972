"""Objects with a shape, a dtype and slicing as sources: variables of HDF5 and NetCDF, tensorstore."""

from __future__ import annotations

import math
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.pixels import check_array
from pipeline.images.source import RegionPart, Source, count_touched
from pipeline.images.travel import can_travel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Part, Places, Region

# Libraries whose objects may be read from several threads; some of them let one thread read at a time.
_THREAD_SAFE = {"h5py", "tensorstore", "xarray", "zarr"}
# For all others, since libraries such as that of NetCDF aren't safe even if two files are read.
_LOCK = threading.Lock()


def open_sliceable(
    array: object, role: str, channel_axis: int | None, order: tuple[int, int, int | None] | None = None
) -> Sliceable | None:
    """Return an object that can be sliced as an array as a source, or None if it is something else.

    Parameters
    ----------
    array : object
        With a shape, a dtype of numbers, and slicing by a tuple of slices, which returns something that NumPy
        makes an array of.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.
    order : tuple of int, optional
        The axes of rows, columns and channels; None if there are no channels. By default rows come before
        columns, and the channels are where `channel_axis` says.

    Returns
    -------
    Sliceable or None

    Raises
    ------
    TypeError, ValueError
        If the object can't be an image or a mask.
    """
    dtype = _dtype_of(array)
    if dtype is None or not hasattr(type(array), "__getitem__"):
        return None
    shape = getattr(array, "shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(length, int | np.integer) for length in shape):
        return None
    if order is None:
        axis = check_array(_Facts(shape, dtype), role, channel_axis)
        rows, columns = (number for number in range(len(shape)) if number != axis)
        order = (rows, columns, axis)
    n_channels = 1 if order[2] is None else int(shape[order[2]])
    return Sliceable(array, dtype, order, tuple(range(n_channels)))


class Sliceable(Source):
    """An object that is sliced as an array is, of which a task reads the pixels of a region.

    Nothing tells whether the pixels have changed, so that it has no identity.

    Parameters
    ----------
    array : object
    dtype : dtype
        The dtype of what slicing returns.
    order : tuple of int
        The axes of rows, columns and channels; None if there are no channels.
    selected : tuple of int
        The channels, in order.
    """

    def __init__(
        self,
        array: Any,  # noqa: ANN401  an array of any library
        dtype: np.dtype[Any],
        order: tuple[int, int, int | None],
        selected: tuple[int, ...],
    ) -> None:
        self._array, self._order, self._selected = array, order, selected
        height, width = (int(array.shape[axis]) for axis in order[:2])
        self.shape, self.dtype = (height, width, len(selected)), dtype.newbyteorder("=")
        chunks = _chunks_of(array)
        if chunks is not None:
            self.tile = (max(1, min(chunks[order[0]], height)), max(1, min(chunks[order[1]], width)))
        self._chunk_channels = 1 if chunks is None or order[2] is None else chunks[order[2]]

    def identity(self) -> None:
        """Return None, since nothing is known of the content."""

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: the object itself."""
        return RegionPart(self, region)

    @property
    def travels(self) -> bool:
        """Whether the object can be pickled."""
        return can_travel(self._array)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, a copy with all channels between, and chunks."""
        n_pixels, span = math.prod(extent), self._span()
        read = n_pixels * len(span) * self.dtype.itemsize
        if self.tile == (1, 1):
            return n_pixels * self.pixel_bytes + read
        lengths = zip(extent, places or map(range, self.extent), self.tile, strict=True)
        channels = (span.stop - 1) // self._chunk_channels + 1 - span.start // self._chunk_channels
        n_chunks = math.prod(count_touched(*axis) for axis in lengths) * max(1, channels)
        chunk = math.prod(self.tile) * self._chunk_channels * self.dtype.itemsize
        return n_pixels * self.pixel_bytes + read + n_chunks * chunk

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        rows, columns = (len(range(n)[places]) for n, places in zip(self.extent, region, strict=True))
        if not (rows and columns and self._selected):
            return np.empty((rows, columns, len(self._selected)), self.dtype)
        row_axis, column_axis, channel_axis = self._order
        span = self._span()
        key: list[slice] = [slice(None)] * len(self._array.shape)
        key[row_axis], key[column_axis] = (
            slice(*places.indices(n)) for n, places in zip(self.extent, region, strict=True)
        )
        if channel_axis is not None:
            key[channel_axis] = slice(span.start, span.stop)
        block = self._slice(tuple(key))
        wanted = [0] * block.ndim
        for axis, length in zip(self._order, (rows, columns, len(span)), strict=True):
            if axis is not None and axis < block.ndim:
                wanted[axis] = length
        if list(block.shape) != wanted or block.dtype.newbyteorder("=") != self.dtype:
            raise TypeError(
                f"the image is of {type(self._array)}, which has {self.dtype} pixels, but slicing it gave an "
                f"array of shape {block.shape} of {block.dtype}; wanted shape {tuple(wanted)}. If it scales "
                "or masks its pixels, turn that off: variable.set_auto_maskandscale(False)."
            )
        if channel_axis is None:
            pixels = block.transpose(row_axis, column_axis)[..., np.newaxis]
        else:
            pixels = block.transpose(row_axis, column_axis, channel_axis)
        if self._selected != tuple(span):
            pixels = pixels[..., [channel - span.start for channel in self._selected]]
        return np.array(pixels, self.dtype, order="C")

    def select(self, channels: tuple[int, ...]) -> Source:
        """Return the source of some of the channels."""
        return Sliceable(
            self._array, self.dtype, self._order, tuple(self._selected[channel] for channel in channels)
        )

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self

    def _span(self) -> range:
        """Return the channels that are read: from the first selected one to the last."""
        return range(min(self._selected, default=0), max(self._selected, default=0) + 1)

    def _slice(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Slice the object into an array; only one thread does so unless the library is known to be safe."""
        is_safe = type(self._array).__module__.partition(".")[0] in _THREAD_SAFE
        with nullcontext() if is_safe else _LOCK:
            block = self._array[key]
            if isinstance(block, np.ma.MaskedArray):
                if np.ma.is_masked(block):
                    raise TypeError(
                        f"the image is of {type(self._array)}, which masks some of its pixels, and the mask "
                        "would be lost. Turn that off, variable.set_auto_maskandscale(False), and pass "
                        "no_data=, the value of masked pixels."
                    )
                block = block.data
            return np.asarray(block)


class _Facts:
    """The shape and the dtype of an object."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype


def _dtype_of(array: Any) -> np.dtype[Any] | None:  # noqa: ANN401  a caller may pass anything
    """Return NumPy's dtype of an object, or None if it has none."""
    dtype = getattr(array, "dtype", None)
    try:
        return None if dtype is None else np.dtype(getattr(dtype, "numpy_dtype", dtype))
    except TypeError:
        return None


def _chunks_of(array: Any) -> tuple[int, ...] | None:  # noqa: ANN401  an array of any library
    """Return the lengths of an object's chunks as h5py, xarray, netCDF4 or tensorstore say them, or None."""
    encoding = getattr(array, "encoding", None)
    stored = encoding if isinstance(encoding, dict) else {}
    preferred = stored.get("preferred_chunks")
    layout = getattr(getattr(array, "chunk_layout", None), "read_chunk", None)
    chunking = getattr(array, "chunking", None)
    said: tuple[Any, ...] = (
        getattr(array, "chunks", None),
        stored.get("chunks"),
        stored.get("chunksizes"),
        [preferred.get(name) for name in array.dims] if isinstance(preferred, dict) else None,
        getattr(layout, "shape", None),
        chunking() if callable(chunking) else None,
    )
    for chunks in said:
        is_regular = isinstance(chunks, tuple | list) and all(isinstance(n, int | np.integer) for n in chunks)
        if is_regular and len(chunks) == len(array.shape) and min(chunks) > 0:
            return tuple(map(int, chunks))
    return None
