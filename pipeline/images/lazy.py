"""A source as a Dask array, whose tasks read its regions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import tokenize

from pipeline.images.selection import Selection
from pipeline.images.view import view

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from pipeline.images.source import Source


def as_dask_array(source: Source, block: tuple[int, int]) -> da.Array:
    """Return a source as a lazy Dask array.

    Parameters
    ----------
    source : Source
    block : tuple of int
        Height and width of a chunk.

    Returns
    -------
    dask.array.Array, shape (H, W, C)
        With all channels in one chunk. Its name is the same for the same file, channels and chunks, in each
        process, and another once the file has changed.
    """
    array: da.Array | None = source.as_dask()
    if array is not None:
        rechunked: da.Array = array.rechunk((*block, -1))
        return rechunked
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    place = source.place()
    # Behind one place and identity are the same pixels; those in memory have no identity that is certain.
    token = uuid.uuid4().hex if place is None else tokenize(source.description.to_dict(), block)
    # Inline, each task holds the source; else all of them would wait for one task that hands it out.
    lazy: da.Array = da.from_array(
        _Readable(source),
        chunks=(*block, -1),
        name=f"image-{token}",
        inline_array=True,
        fancy=False,
        meta=np.empty((0, 0, 0), source.dtype),
    )
    return lazy


def read_whole(source: Source) -> NDArray[Any]:
    """Read all of a source in the calling thread, into a new array of shape (H, W, C)."""
    height, width = source.extent
    return source.read((slice(0, height, 1), slice(0, width, 1)))


class _Readable:
    """A source as Dask wants an array: with a shape, and indexed with slices and integers."""

    ndim = 3

    def __init__(self, source: Source) -> None:
        self._source, self.shape, self.dtype = source, source.shape, source.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401  any of NumPy's basic indices
        selection = Selection.of_whole(self.shape).index(key)
        if not selection.has_pixels:
            return np.empty(selection.shape, self.dtype)
        rows, columns, channels = selection.axes
        return selection.arrange(read_whole(view(self._source, rows, columns, tuple(channels))))
