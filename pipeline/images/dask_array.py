"""Dask arrays as sources."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import zarr
from dask.base import optimize

from pipeline.images.pixels import check_array
from pipeline.images.source import Source, count_touched
from pipeline.images.zarr_identity import identify_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph
    from numpy.typing import NDArray
    from typing_extensions import TypeIs

    from pipeline.images.source import Part, Places, Region

# The end of a name that Dask made: a token.
_MADE_BY_DASK = re.compile(r"-[0-9a-f]{32}$")


# The C library gives larger arrays back to the system as soon as they are freed.
_RETAINED = 2**25


def is_dask_array(array: object) -> TypeIs[da.Array]:
    """Return whether something is a Dask array. There is none before somebody has imported dask.array."""
    module: Any = sys.modules.get("dask.array")
    return module is not None and isinstance(array, module.Array)


def open_dask(array: object, role: str, channel_axis: int | None) -> DaskArray | None:
    """Return a Dask array as a source, or None if it is something else.

    Parameters
    ----------
    array : object
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    DaskArray or None

    Raises
    ------
    TypeError, ValueError
        If the array can't be an image or a mask.
    """
    if not is_dask_array(array):
        return None
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    axis = check_array(array, role, channel_axis)
    if axis is None:
        return DaskArray(array[..., np.newaxis])
    return DaskArray(array if axis == array.ndim - 1 else da.moveaxis(array, axis, -1))


class DaskArray(Source):
    """A Dask array, of which a task is sent the part of its graph that computes a region.

    Parameters
    ----------
    array : dask.array.Array, shape (H, W, C)
    """

    def __init__(self, array: da.Array) -> None:
        self._array = array
        height, width, n_channels = (int(length) for length in array.shape)
        self.shape, self.dtype = (height, width, n_channels), array.dtype.newbyteorder("=")
        tall, wide = (int(length) for length in array.chunksize[:2])
        self.tile = (max(1, tall), max(1, wide))

    def identity(self) -> str | None:
        """Return the array's name, and the identities of the Zarr arrays that it is made of.

        Dask makes the name of an array from what the array is computed from, but for two cases: somebody
        chose a name, or the array comes from a Zarr array, whose pixels no name depends on.
        """
        graph = self._array.dask
        if not all(_MADE_BY_DASK.search(name) for name in graph.layers):
            return None
        identities = [identify_zarr(array) for array in _zarr_arrays(graph)]
        if None in identities:
            return None
        return ", ".join([str(self._array.name), *map(str, identities)])

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, the chunks that they come from, what those come from.

        The graph of a chunk may hold anything; one array of the chunk's size is reckoned with.
        """
        axes = zip(extent, places or map(range, self.extent), self._array.chunks, strict=False)
        chunks = math.prod(_length_touched(*axis) for axis in axes) * self.pixel_bytes
        # One chunk is computed at a time. Of what others came from, the allocator keeps small arrays, and it
        # does so for threads of other libraries too, such as those in which zarr decodes.
        chunk = math.prod(self.tile) * self.pixel_bytes
        return math.prod(extent) * self.pixel_bytes + chunks + chunk + 2 * min(chunk, _RETAINED)

    @property
    def is_held_by_cluster(self) -> bool:
        """Whether the array is persisted on a Dask cluster."""
        if "distributed" not in sys.modules:
            return False
        from distributed import futures_of  # noqa: PLC0415  costs half a second where no cluster is used

        return bool(futures_of([self._array]))

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: its graph, without the rest of the image's."""
        return _GraphPart(optimize(self._array[region])[0], self.dtype)

    def read(self, region: Region) -> NDArray[Any]:
        """Compute a region with Dask's current scheduler."""
        return np.array(self._array[region].compute(), self.dtype)

    def as_dask(self) -> da.Array:
        """Return the array."""
        return self._array

    def select(self, channels: tuple[int, ...]) -> Source:
        """Return the source of some of the channels."""
        return DaskArray(self._array[:, :, list(channels)])

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self


def _zarr_arrays(graph: HighLevelGraph) -> Iterator[zarr.Array[Any]]:
    """Yield the Zarr arrays that the tasks of a graph read."""
    for layer in graph.layers.values():
        indices = getattr(layer, "indices", None)
        held = [value for value, axes in indices if axes is None] if indices else dict(layer).values()
        for value in held:
            value = getattr(value, "value", value)  # noqa: PLW2901  the data of a node of the graph
            if isinstance(value, zarr.Array):
                yield value


def _length_touched(length: int, places: range, chunks: tuple[int, ...]) -> int:
    """Return the length of the chunks that a region touches at most along an axis."""
    longest = max(chunks)
    if chunks == (longest,) * (len(chunks) - 1) + chunks[-1:]:
        return min(count_touched(length, places, longest) * longest, sum(chunks))
    # Chunks of several lengths: the first and the last one reach beyond the region.
    return min((length - 1) * abs(places.step) + 1 + 2 * longest, sum(chunks))


class _GraphPart(NamedTuple):
    """A region of a Dask array."""

    array: da.Array
    dtype: np.dtype[Any]

    def read(self) -> NDArray[Any]:
        """Compute the pixels, shape (h, w, C), in the calling thread."""
        return np.asarray(self.array.compute(scheduler="synchronous"), self.dtype)
