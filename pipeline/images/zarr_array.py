"""Zarr arrays as sources: rows, columns and channels along any of their axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from pipeline.images.file import file_stamp
from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.kept import GIANT, KEPT, PIECES
from pipeline.images.selection import meet_pieces, to_slice
from pipeline.images.source import RegionPart, Source, count_touched
from pipeline.images.travel import can_travel
from pipeline.images.zarr_chunks import chunk_reader
from pipeline.images.zarr_damage import damage_in
from pipeline.images.zarr_identity import identify_zarr
from pipeline.images.zarr_nodes import directory_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.no_data import NoData
    from pipeline.images.source import Part, Places, Region
    from pipeline.images.zarr_axes import Axes


_ALPHA = "alpha"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an image beside the array that holds it.

    Attributes
    ----------
    path : Path or None
        The directory that was opened, of the array or of a group; None if the store isn't local.
    address : str or None
        The URL that was opened, without secrets; None if the store isn't remote.
    options : dict
        The options of :func:`open_image` by which the image is found there.
    channels : tuple of str or None
        The names of all channels of the array.
    geometry, no_data, levels, series
        As for :class:`Source`.
    """

    path: Path | None = None
    address: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] | None = None
    geometry: Geometry = UNKNOWN
    no_data: NoData | None = None
    levels: tuple[tuple[int, int], ...] = ()
    series: tuple[str, ...] = ()


class ZarrArray(Source):
    """A Zarr array, of which a task reads the chunks that a region needs.

    Parameters
    ----------
    array : zarr.Array
    axes : Axes
        Which of its axes are rows, columns and channels, and the places along the others.
    facts : Facts
    selected : tuple of int, optional
        The channels, in order; by default all of them.
    """

    def __init__(
        self, array: zarr.Array[Any], axes: Axes, facts: Facts, selected: tuple[int, ...] | None = None
    ) -> None:
        self._array, self._axes, self._facts = array, axes, facts
        plane, lengths, chunks = (axes.rows, axes.columns), array.shape, [max(1, n) for n in array.chunks]
        pieces = array.shards or array.chunks
        height, width = (lengths[axis] for axis in plane)
        n_channels, self._chunk = 1, 1
        if axes.channels is not None:
            n_channels, self._chunk = lengths[axes.channels], chunks[axes.channels]
        self._is_whole = selected is None or selected == tuple(range(n_channels))
        self._selected = tuple(range(n_channels)) if selected is None else selected
        self._sizes = (chunks[axes.rows], chunks[axes.columns])
        # A chunk may hold several planes, of which one is the image's.
        self._chunk_bytes = math.prod(chunks) * array.dtype.itemsize
        self._plane_bytes = math.prod(self._sizes) * self._chunk * array.dtype.itemsize
        self._is_encoded = bool(array.compressors or array.filters)
        n_chunks = math.prod(-(-n // size) for n, size in zip((height, width), self._sizes, strict=True))
        self._is_one = n_chunks == 1
        # A local chunk's file tells whether the chunk has changed.
        self._n_kept = 0
        if self._chunk_bytes > GIANT and not array.shards and self._directory is not None:
            self._n_kept = min(PIECES, n_chunks) * len(self._groups())
        self._reader = chunk_reader(array, self._directory)
        self.shape = (height, width, len(self._selected))
        self.dtype = array.dtype.newbyteorder("=")
        self.tile = (max(1, pieces[axes.rows]), max(1, pieces[axes.columns]))
        names = facts.channels
        self.channels = None if names is None else tuple(names[channel] for channel in self._selected)
        self.geometry, self.no_data = facts.geometry, facts.no_data
        self.levels, self.series = facts.levels, facts.series

    def identity(self) -> str | None:
        """Return the identity of the array, and what is chosen where it was opened."""
        identity = identify_zarr(self._array)
        if identity is None:
            return None
        options = self._options()
        if "channel_axis" not in options and not self._axes.are_usual:
            options["axes"] = self._axes.order
        return ", ".join([identity, *(f"{name} {value}" for name, value in options.items())])

    def place(self) -> dict[str, Any] | None:
        """Return the directory or the URL, and what is chosen there; None if another store holds it."""
        path = self._facts.path
        address = self._facts.address if path is None else str(path)
        return None if address is None else {"image": address, **self._options()}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The directory, if the store is local."""
        return (self._facts.path,) if self._facts.path else ()

    @property
    def name(self) -> str:
        """The directory or the URL, or "the image" if another store holds it."""
        return str(self._facts.path or self._facts.address or "the image")

    @property
    def unit(self) -> tuple[int, int]:
        """A chunk, unless it is so large that it is kept: shards are read by their chunks."""
        return (1, 1) if self._n_kept else (self._sizes[0], self._sizes[1])

    @property
    def held_bytes(self) -> int:
        """The memory of the chunks that are kept, because they are larger than blocks."""
        # One of them is decoded at a time, beside blocks that are computed, unless there is only one.
        return self._n_kept * self._plane_bytes + (0 if self._is_one else self._decoding_bytes)

    @property
    def opening_bytes(self) -> int:
        """The memory to decode the only chunk, if it is kept: that is before any block is computed."""
        return self._decoding_bytes if self._is_one else 0

    @property
    def _decoding_bytes(self) -> int:
        """The memory to decode a chunk that is kept: a copy of it, and at most as many bytes encoded."""
        if not self._n_kept:
            return 0
        if self._reader is not None:
            return self._reader.decoding_bytes
        return (1 + self._is_encoded) * self._chunk_bytes

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: the pixels, and the chunks that are decoded at once.

        A chunk takes at most as many bytes encoded as it has decoded. zarr-python collects the encoded chunks
        of a shard, and the pixels of each shard, before it joins them.
        """
        n_pixels = math.prod(extent)
        out = n_pixels * self.pixel_bytes
        if self._n_kept:
            return out
        lengths = zip(extent, places or map(range, self.extent), self._sizes, strict=True)
        groups = [[self._selected[place] for place in places] for places in self._groups().values()]
        span = max((max(channels) + 1 - min(channels) for channels in groups), default=0)
        # Channels of several chunks are read at once only if all of them are.
        together = len(groups) if self._is_whole else 1
        span = span if together <= 1 else len(self._selected)
        n_chunks = math.prod(count_touched(*axis) for axis in lengths) * together
        at_once = min(n_chunks, int(zarr.config.get("async.concurrency") or n_chunks))
        read = n_pixels * span * self.dtype.itemsize
        if self._reader is not None:
            decoding = self._reader.decoding_bytes
        elif self._array.shards:
            decoding = read + (n_chunks * self._is_encoded + at_once) * self._chunk_bytes
        else:
            decoding = at_once * (1 + self._is_encoded) * self._chunk_bytes
        return read + decoding + (0 if self._is_whole else out)

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: the array itself, without its pixels."""
        return RegionPart(self, region)

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        if self._n_kept:
            return self._read_kept(region)
        if self._is_whole:
            return self._read_channels(region, slice(None))
        rows, columns = (len(range(n)[places]) for n, places in zip(self.extent, region, strict=True))
        out = np.empty((rows, columns, len(self._selected)), self.dtype)
        for places in self._groups().values():
            channels = np.array([self._selected[place] for place in places])
            first = channels.min()
            read = self._read_channels(region, slice(int(first), int(channels.max()) + 1))
            out[..., places] = read[..., channels - first]
        return out

    def select(self, channels: tuple[int, ...]) -> Source:
        """Return the source of some of the channels."""
        chosen = tuple(self._selected[channel] for channel in channels)
        return ZarrArray(self._array, self._axes, self._facts, chosen)

    def with_alpha(self) -> Source | None:
        """Return the source itself, whose last channel its caller calls alpha, unless channels have names."""
        if self.channels is None or self.channels[-1] == _ALPHA:
            return self
        names = self._facts.channels or ()
        if _ALPHA not in names:
            return None
        alpha = names.index(_ALPHA)
        chosen = (*(channel for channel in self._selected if channel != alpha), alpha)
        return ZarrArray(self._array, self._axes, self._facts, chosen)

    @property
    def travels(self) -> bool:
        """Whether the store can be pickled: that of a TIFF can't, since it holds an open file."""
        return self._directory is not None or can_travel(self._array.store)

    @property
    def _directory(self) -> Path | None:
        return directory_of(self._array)

    def _options(self) -> dict[str, Any]:
        """Return the options of :func:`open_image` that aren't the default ones."""
        options = dict(self._facts.options)
        return options if self._is_whole else {**options, "channels": list(self._selected)}

    def _groups(self) -> dict[int, list[int]]:
        """Return the places of the channels by the chunk that holds them, since these are read together."""
        groups: dict[int, list[int]] = {}
        for place, channel in enumerate(self._selected):
            groups.setdefault(channel // self._chunk, []).append(place)
        return groups

    def _read_kept(self, region: Region) -> NDArray[Any]:
        """Read a region of giant chunks, each of which is decoded once for several regions."""
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        out = np.empty((len(rows), len(columns), len(self._selected)), self.dtype)
        if not out.size:
            return out
        for row, height, inner_rows in meet_pieces(rows, self._sizes[0]):
            for column, width, inner_columns in meet_pieces(columns, self._sizes[1]):
                for group, places in self._groups().items():
                    piece = self._kept_chunk((row, column, group))[inner_rows, inner_columns]
                    for place in places:
                        channel = self._selected[place] - group * self._chunk
                        out[height, width, place] = piece[..., channel]
        return out

    def _kept_chunk(self, number: tuple[int, int, int]) -> NDArray[Any]:
        """Return a chunk, shape (h, w, channels)."""
        (row, column, group), (tall, wide), axes = number, self._sizes, self._axes
        places = [0] * self._array.ndim
        for axis, place in axes.fixed:
            places[axis] = place // self._array.chunks[axis]
        places[axes.rows], places[axes.columns] = row, column
        if axes.channels is not None:
            places[axes.channels] = group
        file = Path(str(self._directory), self._array.metadata.encode_chunk_key(tuple(places)))
        stamp = file_stamp(str(file)) if file.is_file() else None
        region = (slice(row * tall, (row + 1) * tall), slice(column * wide, (column + 1) * wide))
        channels = slice(group * self._chunk, (group + 1) * self._chunk)
        source = (str(self._directory), axes)
        return KEPT.get(source, (number, stamp), lambda: self._read_channels(region, channels), self._n_kept)

    def _read_channels(self, region: Region, channels: slice) -> NDArray[Any]:
        """Read a region of adjacent channels, shape (h, w, channels)."""
        axes, lengths = self._axes, self._array.shape
        places = [range(1)] * len(lengths)
        for axis, place in axes.fixed:
            places[axis] = range(place, place + 1)
        wanted = {axes.rows: region[0], axes.columns: region[1], axes.channels: channels}
        for number, one in wanted.items():
            if number is not None:
                places[number] = range(lengths[number])[one]
        order = [axis for axis in wanted if axis is not None]
        pixels = self._read_places(tuple(places)).transpose(*order, *(axis for axis, _ in axes.fixed))
        # The other axes have one place each.
        pixels = pixels.reshape(pixels.shape[: len(order)])
        return pixels[..., np.newaxis] if axes.channels is None else pixels

    def _read_places(self, places: tuple[range, ...]) -> NDArray[Any]:
        """Read some places along each axis of the array."""
        if self._reader is not None:
            return self._reader.read(places)
        try:
            return np.asarray(self._array[tuple(map(to_slice, places))], self.dtype)
        except Exception as error:
            # Each codec has exceptions of its own, which don't name the file.
            raise damage_in(self._array, places, error) from error
