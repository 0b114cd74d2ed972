"""Zarr arrays as sources."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from dask.base import tokenize

from pipeline.images.file import file_stamp, show_time
from pipeline.images.kept import GIANT, KEPT, PIECES
from pipeline.images.pixels import check_array
from pipeline.images.selection import meet_pieces
from pipeline.images.source import RegionPart, Source, count_touched
from pipeline.images.zarr_chunks import chunk_reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from zarr.core.buffer import Buffer

    from pipeline.images.choice import Choice
    from pipeline.images.source import Part, Places, Region


def open_zarr_directory(
    path: str, choice: Choice, *, role: str, channel_axis: int | None
) -> ZarrArray | None:
    """Open the directory of a Zarr array, or return None if it is another directory.

    Parameters
    ----------
    path : str
        The absolute path of a directory.
    choice : Choice
        An array is one image: nothing can be chosen.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    ZarrArray or None

    Raises
    ------
    ValueError
        If the array can't be an image or a mask.
    """
    try:
        array = zarr.open_array(Path(path).resolve(), mode="r")
    except (ValueError, FileNotFoundError):
        return None
    choice.check(path, "a Zarr array")
    return _open(array, role, channel_axis)


def open_zarr(array: object, role: str, channel_axis: int | None) -> ZarrArray | None:
    """Return a Zarr array as a source, or None if it is something else.

    Parameters
    ----------
    array : object
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    ZarrArray or None

    Raises
    ------
    TypeError, ValueError
        If the array can't be an image or a mask.
    """
    return _open(array, role, channel_axis) if isinstance(array, zarr.Array) else None


def _open(array: zarr.Array[Any], role: str, channel_axis: int | None) -> ZarrArray:
    store = array.store
    if isinstance(store, zarr.storage.LocalStore) and not store.root.is_absolute():
        # The working directory may change.
        store = type(store)(store.root.resolve(), read_only=store.read_only)
        array = zarr.open_array(store, path=array.path, mode="r")
    axis = check_array(array, role, channel_axis)
    n_channels = 1 if axis is None else array.shape[axis]
    return ZarrArray(array, axis, tuple(range(n_channels)))


class ZarrArray(Source):
    """A Zarr array, of which a task reads the chunks that a region needs.

    Parameters
    ----------
    array : zarr.Array
        With three axes, or two.
    axis : int or None
        The axis of the channels, 0 to 2; None for an array of two axes.
    selected : tuple of int
        The channels, in order.
    """

    def __init__(self, array: zarr.Array[Any], axis: int | None, selected: tuple[int, ...]) -> None:
        self._array, self._axis, self._selected = array, axis, selected
        lengths, pieces = list(array.shape), list(array.shards or array.chunks)
        n_channels, self._chunk = 1, 1
        if axis is not None:
            n_channels, self._chunk = lengths.pop(axis), max(1, array.chunks[axis])
            del pieces[axis]
        self._is_whole = selected == tuple(range(n_channels))
        chunks = list(array.chunks)
        if axis is not None:
            del chunks[axis]
        self._sizes = (max(1, chunks[0]), max(1, chunks[1]))
        self._chunk_bytes = math.prod(self._sizes) * self._chunk * array.dtype.itemsize
        self._is_encoded = bool(array.compressors or array.filters)
        n_chunks = math.prod(-(-n // size) for n, size in zip(lengths, self._sizes, strict=True))
        self._is_one = n_chunks == 1
        # A local chunk's file tells whether the chunk has changed.
        self._n_kept = 0
        if self._chunk_bytes > GIANT and not array.shards and self._path is not None:
            self._n_kept = min(PIECES, n_chunks) * len(self._groups())
        self._reader = chunk_reader(array, self._path)
        self.shape, self.dtype = (lengths[0], lengths[1], len(selected)), array.dtype.newbyteorder("=")
        self.tile = (max(1, pieces[0]), max(1, pieces[1]))

    def identity(self) -> str | None:
        """Return the identity of the array, and how its channels are taken."""
        identity = identify_zarr(self._array)
        if identity is None:
            return None
        return ", ".join([identity, *(f"{name} {value}" for name, value in self._options().items())])

    def place(self) -> dict[str, Any] | None:
        """Return the path of the directory, and how the channels are taken; None if the store isn't local."""
        return None if self._path is None else {"image": str(self._path), **self._options()}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The directory, if the store is local."""
        return (self._path,) if self._path else ()

    @property
    def unit(self) -> tuple[int, int]:
        """A chunk, unless it is so large that it is kept: shards are read by their chunks."""
        return (1, 1) if self._n_kept else (self._sizes[0], self._sizes[1])

    @property
    def held_bytes(self) -> int:
        """The memory of the chunks that are kept, because they are larger than blocks."""
        # One of them is decoded at a time, beside blocks that are computed, unless there is only one.
        return self._n_kept * self._chunk_bytes + (0 if self._is_one else self._decoding_bytes)

    @property
    def opening_bytes(self) -> int:
        """The memory to decode the only chunk, if it is kept: that is before any block is computed."""
        return self._decoding_bytes if self._is_one else 0

    @property
    def _decoding_bytes(self) -> int:
        """The memory that zarr takes beside a kept chunk: a copy of it, and at most as many bytes encoded."""
        return (1 + self._is_encoded) * self._chunk_bytes if self._n_kept else 0

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
            # A chunk is encoded, without its checksum, and decoded; the index of a shard is copied once.
            pieces = math.prod(self._array.shards or ()) // math.prod(self._array.chunks)
            decoding = 3 * self._chunk_bytes + 32 * pieces
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
        return ZarrArray(self._array, self._axis, tuple(self._selected[channel] for channel in channels))

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self

    @property
    def _path(self) -> Path | None:
        return _directory_of(self._array)

    def _options(self) -> dict[str, Any]:
        """Return the options of :func:`open_image` that aren't the default ones."""
        options: dict[str, Any] = {} if self._axis in {None, 2} else {"channel_axis": self._axis}
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
        (row, column, group), (tall, wide) = number, self._sizes
        places = list(number[:2])
        if self._axis is not None:
            places.insert(self._axis, group)
        file = Path(str(self._path), self._array.metadata.encode_chunk_key(tuple(places)))
        stamp = file_stamp(str(file)) if file.is_file() else None
        region = (slice(row * tall, (row + 1) * tall), slice(column * wide, (column + 1) * wide))
        channels = slice(group * self._chunk, (group + 1) * self._chunk)
        source = (str(self._path), self._axis)
        return KEPT.get(source, (number, stamp), lambda: self._read_channels(region, channels), self._n_kept)

    def _read_channels(self, region: Region, channels: slice) -> NDArray[Any]:
        """Read a region of adjacent channels, shape (h, w, channels)."""
        index, axis = list(region), self._axis
        if axis is not None:
            index.insert(axis, channels)
        if self._reader is None:
            pixels = np.asarray(self._array[tuple(index)], self.dtype)
        else:
            places = (range(*one.indices(n)) for one, n in zip(index, self._array.shape, strict=True))
            pixels = np.asarray(self._reader.read(tuple(places)), self.dtype)
        return pixels[..., np.newaxis] if axis is None else np.moveaxis(pixels, axis, -1)


def identify_zarr(array: zarr.Array[Any]) -> str | None:
    """Return the identity of a Zarr array by what its store tells of it.

    Parameters
    ----------
    array : zarr.Array

    Returns
    -------
    str or None
        For a local directory or a ZIP file: the size and the time of what is stored; for an array in memory:
        a digest of its chunks; for a remote array: its address and its metadata. None for any other store.
    """
    store, metadata = array.store, tokenize(array.metadata.to_dict())
    directory = _directory_of(array)
    if directory is not None:
        return f"{_describe_files(directory)}, metadata {metadata}"
    if isinstance(store, zarr.storage.ZipStore):
        status = store.path.stat()
        return f"{status.st_size} bytes, modified {show_time(status.st_mtime_ns)}, {array.path} {metadata}"
    if isinstance(store, zarr.storage.MemoryStore):
        # zarr has no other way to its bytes than by asynchronous calls.
        return f"{_digest_chunks(store._store_dict, array.path)}, metadata {metadata}"  # noqa: SLF001
    if isinstance(store, zarr.storage.FsspecStore) and "memory" not in store.fs.protocol:
        return f"{store.path}/{array.path}, metadata {metadata}"
    return None


def _directory_of(array: zarr.Array[Any]) -> Path | None:
    """Return the directory of an array in a local store, or None."""
    store = array.store
    return Path(store.root, array.path).resolve() if isinstance(store, zarr.storage.LocalStore) else None


def _digest_chunks(chunks: Mapping[str, Buffer], path: str) -> str:
    """Return a digest of the stored bytes of an array."""
    digest = hashlib.sha256()
    for key in sorted(key for key in chunks if key.startswith(path)):
        content = chunks[key].to_bytes()
        digest.update(f"{key} {len(content)}\n".encode())
        digest.update(content)
    return f"content {digest.hexdigest()}"


def _describe_files(path: Path) -> str:
    """Return the number, size and last change of a directory's files, and a digest of each one's."""
    digest = hashlib.sha256()
    n_files = n_bytes = last = 0
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            file = os.path.join(folder, name)  # noqa: PTH118  there may be millions
            status = os.stat(file)  # noqa: PTH116  the same
            digest.update(f"{file[len(str(path)) :]} {status.st_size} {status.st_mtime_ns}\n".encode())
            n_files, n_bytes, last = n_files + 1, n_bytes + status.st_size, max(last, status.st_mtime_ns)
    return f"{n_files} files of {n_bytes} bytes, modified {show_time(last)}, digest {digest.hexdigest()}"
