"""The seam `Source`: an image that can be read by regions, whatever holds it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pipeline.images.description import Description
from pipeline.images.geometry import UNKNOWN, Geometry

if TYPE_CHECKING:
    from pathlib import Path

    import dask.array as da
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.images.no_data import NoData

# Rows and columns with explicit ends, and steps of 1 or more.
Region = tuple[slice, slice]
# Rows and columns, with any step.
Places = tuple[range, range]


class Part(Protocol):
    """A region of a source, as one task reads it: small and picklable."""

    def read(self) -> NDArray[Any]:
        """Read the pixels, shape (h, w, C)."""
        ...


class Source(ABC):
    """An image of shape (H, W, C) that is read by regions.

    A new kind of source sets the attributes and defines :meth:`identity` and :meth:`part`. It overrides the
    other methods where their defaults don't fit.

    Attributes
    ----------
    shape : tuple of int
        Height, width and number of channels.
    dtype : dtype
        The dtype of the samples, in this machine's byte order.
    channels : tuple of str or None
        The names of the channels, or None if the image doesn't name them.
    tile : tuple of int
        Height and width of the piece that is best read at once; (1, 1) if any region is read equally well.
    geometry : Geometry
        Where the pixels lie, as far as the image says.
    no_data : NoData or None
        The value by which the image itself marks pixels without data.
    states_alpha : bool
        Whether the image says that its alpha channel marks pixels without data.
    levels : tuple of tuple of int
        Height and width of each level of the pyramid to which the image belongs, level 0 first; empty if it
        belongs to none.
    series : tuple of str
        A line about each image that the file holds, for :func:`open_image`'s ``series=``; empty if it holds
        this one only.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    channels: tuple[str, ...] | None = None
    tile: tuple[int, int] = (1, 1)
    geometry: Geometry = UNKNOWN
    no_data: NoData | None = None
    states_alpha: bool = False
    levels: tuple[tuple[int, int], ...] = ()
    series: tuple[str, ...] = ()

    @abstractmethod
    def identity(self) -> str | None:
        """Return a text that is equal for the same image, and different for another one.

        It depends on the content of the image, or on its place and the time of its last change. It is None if
        nothing is known that tells the image from another one. It is computed anew at each call, since the
        pixels of an array may have changed meanwhile.
        """

    @abstractmethod
    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region."""

    def place(self) -> dict[str, Any] | None:
        """Return the keyword arguments that reopen the image, or None for an image that is in memory only."""
        return None

    @property
    def description(self) -> Description:
        """The facts that are known without reading a pixel. The identity is computed anew at each access."""
        return Description(
            self.shape, self.dtype, self.channels, self.identity(), self.place(), self.geometry
        )

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[:2]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The local files and directories that are read."""
        return ()

    @property
    def name(self) -> str:
        """The path, or "the image" if it has none."""
        return str(self.paths[0]) if self.paths else "the image"

    def stated_masks(self) -> dict[str, Source]:
        """Return the masks that the image itself states, by their names, for example "absent tiles".

        Each has one channel, which is 0 where the image has no data, and the same height and width, or fewer
        pixels with the same aspect.
        """
        return {}

    @property
    def unit(self) -> tuple[int, int]:
        """Height and width of the piece that is decoded anew for each region that lies in it.

        A tile by default; smaller than a tile if parts of it can be decoded, or if it is kept once decoded.
        """
        return self.tile

    @property
    def held_bytes(self) -> int:
        """The memory in bytes that each process holds for as long as it reads the image."""
        return 0

    @property
    def present_bytes(self) -> int:
        """How much of :attr:`held_bytes` this process holds by now."""
        return 0

    @property
    def opening_bytes(self) -> int:
        """The memory in bytes that each process takes beside :attr:`held_bytes` before it reads a region."""
        return 0

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory in bytes that a thread takes at most while it reads a region.

        Parameters
        ----------
        extent : tuple of int
            Height and width of the region in pixels. It is one of those into which a grid divides the image.
        places : tuple of range, optional
            The rows and the columns of the image that are divided; by default all of them.

        Returns
        -------
        int
            The pixels, and everything that is held until they are read: the default adds one decoded tile.
        """
        del places
        tile = 0 if self.tile == (1, 1) else math.prod(self.tile)
        return (math.prod(extent) + tile) * self.pixel_bytes

    @property
    def pixel_bytes(self) -> int:
        """The size of one pixel in bytes, with all of its channels."""
        return self.shape[2] * self.dtype.itemsize

    @property
    def is_held_by_cluster(self) -> bool:
        """Whether the pixels are held by the workers of a Dask cluster."""
        return False

    @property
    def travels(self) -> bool:
        """Whether the image, or a part of it, can be sent to another process."""
        return True

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region in this process, outside of any task, into a new array of shape (h, w, C)."""
        return self.part(region).read()

    def as_dask(self) -> da.Array | None:
        """Return the image as a Dask array, or None if one whose tasks read parts is as good."""
        return None

    def select(self, channels: tuple[int, ...]) -> Source | None:
        """Return the source of some of the channels, if reading can leave the others out; else None."""
        del channels
        return None

    def with_alpha(self) -> Source | None:
        """Return the source with its alpha channel as the last one, or None if it has no alpha channel.

        An array doesn't say which channels it holds. It returns itself: its caller says that the last channel
        is alpha.
        """
        return None


class Derived(Source):
    """A source whose pixels are those of another one, arranged in another way.

    Attributes
    ----------
    _base : Source
        The other source.
    """

    _base: Source

    @abstractmethod
    def _places(self) -> dict[str, Any]:
        """Return the keyword arguments of a place that arrange the pixels of the base."""

    def place(self) -> dict[str, Any] | None:
        """Return the place of the base, and how its pixels are arranged."""
        place = self._base.place()
        if place is None:
            return None
        return {"image": place if len(place) > 1 else place["image"], **self._places()}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The local files and directories that are read."""
        return self._base.paths

    @property
    def held_bytes(self) -> int:
        """The memory that each process holds for as long as it reads the base."""
        return self._base.held_bytes

    @property
    def present_bytes(self) -> int:
        """How much of the base's memory this process holds by now."""
        return self._base.present_bytes

    @property
    def opening_bytes(self) -> int:
        """The memory that each process takes before it reads a region of the base."""
        return self._base.opening_bytes

    @property
    def is_held_by_cluster(self) -> bool:
        """Whether the pixels are held by the workers of a Dask cluster."""
        return self._base.is_held_by_cluster

    @property
    def travels(self) -> bool:
        """Whether the base can be sent to another process."""
        return self._base.travels


class SamePixels(Derived):
    """A source with all pixels of another one, of which something else is said: read as the base is."""

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region of the base."""
        return self._base.part(region)

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region of the base in this process."""
        return self._base.read(region)

    @property
    def unit(self) -> tuple[int, int]:
        """The piece that the base decodes anew for each region."""
        return self._base.unit

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading the base takes."""
        return self._base.region_bytes(extent, places)


def count_touched(length: int, places: range, piece: int) -> int:
    """Count the pieces of an axis that a region touches at most.

    Parameters
    ----------
    length : int
        The length of the regions into which the places are divided, one after the other.
    places : range
        The places of the axis.
    piece : int
        The length of a piece. The first piece begins at place 0.

    Returns
    -------
    int
    """
    length, step = min(length, len(places)), abs(places.step)
    if not length:
        return 0
    span = (length - 1) * step + 1
    first = min(places[0], places[length - 1])
    # Regions begin at distances of length * step: within a piece at distances of the common divisor.
    common = math.gcd(length * step, piece)
    start = first % piece if length == len(places) else piece - common + first % common
    return min(length, (start + span - 1) // piece + 1, (max(places[0], places[-1])) // piece + 1)


class RegionPart(NamedTuple):
    """A region of a source that is itself small and picklable, so that a task can take the source along."""

    source: Source
    region: Region

    def read(self) -> NDArray[Any]:
        """Read the pixels, shape (h, w, C)."""
        return self.source.read(self.region)
