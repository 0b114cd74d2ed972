"""Datasets in HDF5 files, read by their chunks (extra ``hdf5``)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import ImageFile, file_stamp
from pipeline.images.hdf5_file import (
    LISTED,
    SEPARATOR,
    find_numbers,
    is_hdf5,
    list_images,
    open_hdf5_file,
    shorten,
)
from pipeline.images.pixels import check_array
from pipeline.images.selection import meet_pieces

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.source import Places, Region, Source

_ROW_NAMES, _COLUMN_NAMES = ("y", "row", "rows", "height"), ("x", "column", "columns", "width")
_CHANNEL_NAMES = ("c", "channel", "channels", "band", "bands")
# The cache of chunks that the library keeps for an open dataset.
_CACHE = 2**20
# A strip of rows, or one row of chunks, is read at once.
_STRIP = 2**22


def open_hdf5(path: str, choice: Choice, *, role: str, channel_axis: int | None) -> Hdf5Dataset | None:
    """Open a dataset without reading its pixels, or return None if the file is of another format.

    Parameters
    ----------
    path : str
        The absolute path of a file, or one with the name of a dataset behind it, as ``FILE.h5::/group/name``.
    choice : Choice
        The series is the name of a dataset, or its number among those that can be images.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`. Labels of the dataset's dimensions, and the tags of ilastik, come first.

    Returns
    -------
    Hdf5Dataset or None

    Raises
    ------
    ImportError
        If the package h5py isn't installed.
    ValueError
        If the file is damaged, if there is no such dataset, or several of which none is chosen; if the
        dataset can't be an image, is compressed by a filter that the library lacks, or is a link to another
        file; if the other files of a virtual dataset aren't there.
    """
    file, _, name = path.partition(SEPARATOR)
    if not is_hdf5(file):
        return None
    choice.check(path, "an HDF5 file", "series")
    if name and choice.series is not None:
        raise ValueError(f"series is {choice.series!r}, but {path} names a dataset; wanted one of them")
    stamp = file_stamp(file)
    with open_hdf5_file(file) as opened:
        images = {one: _describe(data) for one, data in list_images(opened).items()}
        dataset = _chosen(file, images, name or choice.series)
        held = find_numbers(file, opened, dataset)
        data = opened.get(dataset)
        axis = _axis_of(f"{file}{SEPARATOR}{dataset}", data, role, channel_axis)
        lengths, n_channels, dtype = list(data.shape), 1, data.dtype.newbyteorder("=")
    chunks = [chunk for chunk in held.values() if chunk is not None]
    chunk_bytes = max(map(math.prod, chunks), default=0) * dtype.itemsize
    # The datasets of which a virtual one consists may be of other axes.
    pieces = next((list(chunk) for chunk in chunks if len(chunk) == len(lengths)), [1] * len(lengths))
    if axis is not None:
        n_channels = lengths.pop(axis)
        del pieces[axis]
    lines = tuple(f"{number}: {one!r}, {line}" for number, (one, line) in enumerate(images.items()))[:LISTED]
    return Hdf5Dataset(
        path=file,
        stamp=stamp,
        shape=(lengths[0], lengths[1], n_channels),
        dtype=dtype,
        channels=None,
        tile=(min(pieces[0], lengths[0]) or 1, min(pieces[1], lengths[1]) or 1),
        stored="?" * n_channels,
        samples=tuple(range(n_channels)),
        series=lines if len(lines) > 1 else (),
        dataset=dataset,
        axis=axis,
        is_axis_named=axis is not None and channel_axis not in {axis, axis - 3},
        chunk_bytes=chunk_bytes,
        others=tuple((one, file_stamp(one)) for one in sorted({one for one, _ in held} - {file})),
    )


@dataclass(frozen=True, kw_only=True)
class Hdf5Dataset(ImageFile):
    """A dataset in a file, which is opened for each region that is read.

    Attributes
    ----------
    dataset : str
        The name of the dataset in the file.
    axis : int or None
        The axis of the channels, 0 to 2; None for a dataset of two axes.
    is_axis_named : bool
        Whether the file names the axis of the channels.
    chunk_bytes : int
        The size of a decoded chunk; 0 if the dataset isn't chunked.
    others : tuple of (str, tuple of int)
        The other files that hold numbers of a virtual dataset, with their times and sizes.
    """

    dataset: str
    axis: int | None
    is_axis_named: bool = field(repr=False)
    chunk_bytes: int = field(repr=False)
    others: tuple[tuple[str, tuple[int, int]], ...] = field(repr=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, and those that hold numbers of a virtual dataset."""
        return (Path(self.path), *(Path(other) for other, _ in self.others))

    @property
    def name(self) -> str:
        """The path and the name of the dataset."""
        return f"{self.path}{SEPARATOR}{self.dataset}"

    def identity(self) -> str:
        """Return the identity of the file, the name of the dataset, and the axis of the channels."""
        axis = "" if self.axis in {None, 2} else f", channel_axis {self.axis}"
        digest = hashlib.sha256(repr(self.others).encode()).hexdigest()
        others = f", {len(self.others)} other files {digest}" if self.others else ""
        return f"{super().identity()}, dataset {self.dataset}{axis}{others}"

    def check_unchanged(self) -> None:
        """Raise ValueError if a file isn't the one that was opened."""
        super().check_unchanged()
        for other, stamp in self.others:
            if not Path(other).is_file() or file_stamp(other) != stamp:
                raise ValueError(f"{other} changed since {self.name} was opened. Open it again.")

    def place(self) -> dict[str, Any]:
        """Return the path with the name of the dataset, and how the channels are taken."""
        axis = {} if self.axis in {None, 2} or self.is_axis_named else {"channel_axis": self.axis}
        return {**super().place(), "image": self.name, **axis}

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C), by strips."""
        self.check_unchanged()
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        out = np.empty((len(rows), len(columns), len(self.samples)), self.dtype)
        if not out.size:
            return out
        # The library is asked to skip chunks, but not pixels of a chunk, which it would pick one by one.
        steps = [
            places.step if places.step >= piece else 1
            for places, piece in zip((rows, columns), self.tile, strict=True)
        ]
        wanted = slice(columns[0], columns[-1] + 1, steps[1])
        height = self._strip(len(columns), columns.step)[0]
        with open_hdf5_file(self.path, self.name) as file:
            for _, place, _ in meet_pieces(rows, height):
                first, last = rows[place.start], rows[place.stop - 1]
                pixels = self._read_strip(file[self.dataset], slice(first, last + 1, steps[0]), wanted)
                out[place] = pixels[:: rows.step // steps[0], :: columns.step // steps[1]]
        return out

    def _strip(self, n_columns: int, step: int) -> tuple[int, int]:
        """Return the height of the strips in which some columns are read, and the bytes of a strip."""
        tall, wide = self.tile
        n_samples = max(self.samples, default=0) - min(self.samples, default=0) + 1
        span = (n_columns - 1) * step + 1 if step < wide else n_columns
        row_bytes = span * n_samples * self.dtype.itemsize
        height = tall * max(1, _STRIP // (tall * row_bytes))
        return height, height * row_bytes

    def _read_strip(self, data: h5py.Dataset, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows and columns of the samples, shape (h, w, C)."""
        first, index = min(self.samples), [rows, columns]
        if self.axis is not None:
            index.insert(self.axis, slice(first, max(self.samples) + 1))
        pixels: NDArray[Any] = data[tuple(index)]
        pixels = pixels[..., np.newaxis] if self.axis is None else np.moveaxis(pixels, self.axis, -1)
        wanted = [sample - first for sample in self.samples]
        return pixels if wanted == [*range(pixels.shape[2])] else pixels[..., wanted]

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, a strip twice, chunks and the library's cache."""
        step = 1 if places is None else abs(places[1].step)
        strip = self._strip(extent[1], step)[1]
        return math.prod(extent) * self.pixel_bytes + 2 * (strip + self.chunk_bytes) + _CACHE


def _describe(data: h5py.Dataset) -> str:
    return f"shape {data.shape}, {data.dtype}"


def _chosen(path: str, images: dict[str, str], wanted: str | int | None) -> str:
    """Return the name of the dataset that is chosen."""
    names = list(images)
    if isinstance(wanted, str):
        return f"/{wanted.strip('/')}"
    if wanted is not None and wanted < len(names):
        return names[wanted]
    if wanted is None and len(names) == 1:
        return names[0]
    if not names:
        raise ValueError(f"{path} holds no dataset of two or three axes of numbers")
    lines = shorten([f"{one}, {line}" for one, line in images.items()], "; ")
    got = "several datasets" if wanted is None else f"no dataset {wanted}"
    raise ValueError(f"{path} holds {got}; wanted one of them, as {path}{SEPARATOR}{names[0]}: {lines}")


def _axis_of(name: str, data: h5py.Dataset, role: str, channel_axis: int | None) -> int | None:
    """Return the axis of the channels, 0 to 2, or None if there is none."""
    labels = [dimension.label for dimension in data.dims]
    tags = data.attrs.get("axistags")
    if tags is not None:
        try:
            labels = [axis["key"] for axis in json.loads(tags)["axes"]]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{name} has axistags that can't be read: {tags!r:.80}") from None
    kinds = [_kind(label) for label in labels]
    if channel_axis == -1 and sorted(kinds) in (["c", "x", "y"], ["x", "y"]):
        if kinds.index("x") < kinds.index("y"):
            raise ValueError(f"{name} has axes {', '.join(labels)}; wanted y before x. Transpose it.")
        channel_axis = kinds.index("c") if "c" in kinds else None
    elif channel_axis == -1 and any(labels):
        raise ValueError(f"{name} has axes {', '.join(labels)}; wanted y, x and perhaps c")
    try:
        return check_array(data, role, channel_axis)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _kind(label: str) -> str:
    """Return y, x or c for the label of an axis, or the label itself."""
    for kind, names in (("y", _ROW_NAMES), ("x", _COLUMN_NAMES), ("c", _CHANNEL_NAMES)):
        if label.lower() in names:
            return kind
    return label
