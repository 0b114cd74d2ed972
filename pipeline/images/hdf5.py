"""Datasets in HDF5 files, read by their chunks (extra ``hdf5``)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import COPY_AGAIN, ImageFile, file_stamp, open_binary
from pipeline.images.pixels import check_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.source import Places, Region, Source

SEPARATOR = "::"
_MAGIC = b"\x89HDF\r\n\x1a\n"
# A block for the user may stand before the magic bytes.
_OFFSETS = (0, 512, 1024, 2048)
_ROW_NAMES, _COLUMN_NAMES = ("y", "row", "rows", "height"), ("x", "column", "columns", "width")
_CHANNEL_NAMES = ("c", "channel", "channels", "band", "bands")
# The cache of chunks that the library keeps for an open dataset.
_CACHE = 2**20


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
        If the file is damaged, if there is no such dataset, or several of which none is chosen, or if the
        dataset can't be an image or lies in another file.
    """
    file, _, name = path.partition(SEPARATOR)
    if not _is_hdf5(file):
        return None
    choice.check(path, "an HDF5 file", "series")
    stamp = file_stamp(file)
    with _opened(file) as opened:
        images = {one: _describe(data) for one, data in _images(opened)}
        dataset = _chosen(file, images, name or choice.series)
        _check_place(file, opened, dataset)
        data = opened.get(dataset)
        axis = _axis_of(f"{file}{SEPARATOR}{dataset}", data, role, channel_axis)
        lengths, pieces = list(data.shape), list(data.chunks or (1,) * data.ndim)
        n_channels, dtype, is_chunked = 1, data.dtype.newbyteorder("="), data.chunks is not None
    chunk_bytes = math.prod(pieces) * dtype.itemsize if is_chunked else 0
    if axis is not None:
        n_channels = lengths.pop(axis)
        del pieces[axis]
    lines = tuple(f"{number}: {one!r}, {line}" for number, (one, line) in enumerate(images.items()))
    return Hdf5Dataset(
        path=file,
        stamp=stamp,
        shape=(lengths[0], lengths[1], n_channels),
        dtype=dtype,
        channels=None,
        tile=(pieces[0], pieces[1]),
        stored="?" * n_channels,
        samples=tuple(range(n_channels)),
        series=lines if len(lines) > 1 else (),
        dataset=dataset,
        axis=axis,
        is_axis_named=axis is not None and channel_axis not in {axis, axis - 3},
        chunk_bytes=chunk_bytes,
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
    """

    dataset: str
    axis: int | None
    is_axis_named: bool = field(repr=False)
    chunk_bytes: int = field(repr=False)

    @property
    def name(self) -> str:
        """The path and the name of the dataset."""
        return f"{self.path}{SEPARATOR}{self.dataset}"

    def identity(self) -> str:
        """Return the identity of the file, the name of the dataset, and the axis of the channels."""
        axis = "" if self.axis in {None, 2} else f", channel_axis {self.axis}"
        return f"{super().identity()}, dataset {self.dataset}{axis}"

    def place(self) -> dict[str, Any]:
        """Return the path with the name of the dataset, and how the channels are taken."""
        axis = {} if self.axis in {None, 2} or self.is_axis_named else {"channel_axis": self.axis}
        return {**super().place(), "image": self.name, **axis}

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        self.check_unchanged()
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        if not (rows and columns and self.samples):
            return np.empty((len(rows), len(columns), len(self.samples)), self.dtype)
        first = min(self.samples)
        index = list(region)
        if self.axis is not None:
            index.insert(self.axis, slice(first, max(self.samples) + 1))
        try:
            with _opened(self.path) as file:
                pixels = np.asarray(file[self.dataset][tuple(index)], self.dtype)
        except (OSError, RuntimeError) as error:
            # Without the plugin of a filter, the library says that it can't be found.
            raise ValueError(f"{self.name} can't be read: {' '.join(str(error).split())}") from error
        pixels = pixels[..., np.newaxis] if self.axis is None else np.moveaxis(pixels, self.axis, -1)
        wanted = [sample - first for sample in self.samples]
        return np.ascontiguousarray(pixels if wanted == [*range(pixels.shape[2])] else pixels[..., wanted])

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, twice where they are arranged, and chunks."""
        del places
        span = (max(self.samples, default=0) - min(self.samples, default=0) + 1) * self.dtype.itemsize
        return math.prod(extent) * (self.pixel_bytes + span) + 2 * self.chunk_bytes + _CACHE


def _is_hdf5(path: str) -> bool:
    with open_binary(path) as file:
        for offset in _OFFSETS:
            file.seek(offset)
            if file.read(len(_MAGIC)) == _MAGIC:
                return True
    return False


def _opened(path: str) -> h5py.File:
    """Open a file for reading; the library locks it if the file system can."""
    try:
        import h5py  # noqa: PLC0415  readers are imported where they are used
    except ImportError as error:
        raise ImportError(
            f"{path} is an HDF5 file, for which h5py is needed: pip install 'mixture-pipeline[hdf5]'"
        ) from error
    try:
        return h5py.File(path, "r", locking="best-effort")
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{path} can't be read as HDF5: {' '.join(str(error).split())}. {COPY_AGAIN}"
        ) from error


def _images(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the datasets of a file that can be images, with their names, without those of other files."""
    found: list[tuple[str, Any]] = []

    def note(name: str, item: Any) -> None:  # noqa: ANN401  a group or a dataset
        shape = getattr(item, "shape", None)
        if shape is not None and len(shape) in {2, 3} and item.dtype.kind in "biuf":
            found.append((f"/{name}", item))

    group.visititems(note)
    yield from found


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
    lines = "; ".join(f"{one}, {line}" for one, line in images.items())
    got = "several datasets" if wanted is None else f"no dataset {wanted}"
    raise ValueError(f"{path} holds {got}; wanted one of them, as {path}{SEPARATOR}{names[0]}: {lines}")


def _check_place(path: str, file: h5py.File, dataset: str) -> None:
    """Raise ValueError unless a name is that of a dataset whose numbers lie in this file."""
    data = file.get(dataset)
    if data is None or not hasattr(data, "shape"):
        names = ", ".join(name for name, _ in _images(file)) or "none"
        raise ValueError(f"{path} has no dataset {dataset}; its datasets of two or three axes are: {names}")
    if Path(data.file.filename).resolve() != Path(path).resolve():
        raise ValueError(
            f"{dataset} in {path} is a link; wanted its target: {data.file.filename}{SEPARATOR}{data.name}"
        )
    others = [source.file_name for source in data.virtual_sources()] if data.is_virtual else []
    others = [name for name in others if name != "."] or [name for name, *_ in data.external or ()]
    if others:
        raise ValueError(
            f"{dataset} in {path} has its numbers in other files, such as {others[0]}. Copy them into one "
            "dataset: h5repack, or dask.array.from_array(...).to_hdf5(...)."
        )


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
