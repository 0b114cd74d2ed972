"""Files of NumPy's format ``.npy``, read by memory maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline.images.file import COPY_AGAIN, ImageFile, file_stamp, open_binary
from pipeline.images.pixels import check_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.source import Places, Region, Source

_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
# The system maps so many bytes of a file around each run of bytes that is read, at both of its ends.
_NEIGHBORS = 2 * 2**16
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npy(path: str, choice: Choice, *, role: str, channel_axis: int | None) -> NpyFile | None:
    """Open a ``.npy`` file without reading its pixels, or return None if the file is of another format.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        An array is one image: nothing can be chosen.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    NpyFile or None

    Raises
    ------
    ValueError
        If the file is truncated, holds objects or anything else that isn't a number, or can't be an image; if
        it is a ``.npz`` file.
    """
    with open_binary(path) as file:
        magic = file.read(len(_MAGIC))
        if magic[: len(_ZIP)] == _ZIP and path.endswith(".npz"):
            raise ValueError(
                f"{path} holds several arrays; wanted one. Save it as .npy: "
                "numpy.save(OUT, numpy.load(IN)[NAME])"
            )
        if magic != _MAGIC:
            return None
        choice.check(path, "an array")
        layout = _read_layout(path, file)
    stamp = file_stamp(path)
    lacking = layout.offset + math.prod(layout.shape) * layout.dtype.itemsize - stamp[1]
    if lacking > 0:
        raise ValueError(f"{path} is truncated: it lacks {lacking} bytes. {COPY_AGAIN}")
    try:
        axis = check_array(layout, role, channel_axis)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from None
    lengths = list(layout.shape)
    n_channels = 1 if axis is None else lengths.pop(axis)
    return NpyFile(
        path=path,
        stamp=stamp,
        shape=(lengths[0], lengths[1], n_channels),
        dtype=layout.dtype.newbyteorder("="),
        channels=None,
        tile=(1, 1),
        stored="?" * n_channels,
        samples=tuple(range(n_channels)),
        layout=layout,
        axis=axis,
    )


@dataclass(frozen=True)
class Layout:
    """How an array lies in its file.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        In the byte order of the file.
    is_fortran : bool
        Whether the first axis varies fastest.
    offset : int
        Where the array begins, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    offset: int

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def mapped_bytes(self, spans: Sequence[tuple[int, int]]) -> int:
        """Return the memory of the file's pages that a region maps.

        Parameters
        ----------
        spans : sequence of tuple of int
            The number of places of each axis, and the number of places from the first one to the last one.

        Returns
        -------
        int
        """
        axes = list(zip(self.shape, spans, strict=True))
        if self.is_fortran:
            axes.reverse()
        length, (_, span) = axes.pop()
        run, period = span * self.dtype.itemsize, length * self.dtype.itemsize
        while axes and run == period:
            length, (_, span) = axes.pop()
            run, period = span * period, length * period
        n_runs = math.prod(count for _, (count, _) in axes)
        return n_runs * min(period, run + _NEIGHBORS)


@dataclass(frozen=True, kw_only=True)
class NpyFile(ImageFile):
    """An array in a file, of which the system reads what a region needs.

    Attributes
    ----------
    layout : Layout
    axis : int or None
        The axis of the channels, 0 to 2; None for an array of two axes.
    """

    layout: Layout
    axis: int | None

    def place(self) -> dict[str, Any]:
        """Return the path and, unless they are the default ones, the channels and their axis."""
        axis = {} if self.axis in {None, 2} else {"channel_axis": self.axis}
        return {**super().place(), **axis}

    def identity(self) -> str:
        """Return the identity of the file, and the axis of the channels."""
        axis = "" if self.axis in {None, 2} else f", channel_axis {self.axis}"
        return f"{super().identity()}{axis}"

    def read(self, region: Region) -> NDArray[Any]:
        """Copy a region, shape (h, w, C)."""
        self.check_unchanged()
        layout = self.layout
        whole = np.memmap(
            self.path,
            layout.dtype,
            mode="r",
            offset=layout.offset,
            shape=layout.shape,
            order="F" if layout.is_fortran else "C",
        )
        pixels = whole[..., np.newaxis] if self.axis is None else np.moveaxis(whole, self.axis, -1)
        pixels = pixels[region]
        if self.samples != tuple(range(pixels.shape[2])):
            pixels = pixels[..., list(self.samples)]
        return np.array(pixels, self.dtype, order="C")

    def with_alpha(self) -> Source:
        """Return the source itself, whose last channel its caller calls alpha."""
        return self

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, twice where channels are chosen, and mapped bytes."""
        steps = (1, 1) if places is None else [abs(axis.step) for axis in places]
        spans = [(count, (count - 1) * step + 1) for count, step in zip(extent, steps, strict=True)]
        if self.axis is not None:
            spans.insert(self.axis, (len(self.stored), len(self.stored)))
        pixels = math.prod(extent) * self.pixel_bytes
        is_chosen = self.samples != tuple(range(len(self.stored)))
        return (1 + is_chosen) * pixels + self.layout.mapped_bytes(spans)


def _read_layout(path: str, file: BinaryIO) -> Layout:
    """Read the header of an array; objects are refused, since they are pickles."""
    try:
        file.seek(0)
        version = np.lib.format.read_magic(file)
        shape, is_fortran, dtype = _READERS.get(version, _READERS[2, 0])(file)
    except Exception as error:
        # A damaged header makes NumPy raise exceptions of several types.
        raise ValueError(f"{path} can't be read as a .npy file: {error}. {COPY_AGAIN}") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {dtype}; wanted integers or floating point numbers")
    return Layout(tuple(map(int, shape)), dtype, bool(is_fortran), file.tell())
