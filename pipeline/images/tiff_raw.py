"""Pixels that lie in a file as in an array: they are mapped into memory, or read row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import open_binary
from pipeline.images.selection import to_slice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Places


def read_raw(
    path: str, offset: int, dtype: np.dtype[Any], shape: tuple[int, int, int], places: Places
) -> NDArray[Any]:
    """Read a region of an array that lies in a file.

    Parameters
    ----------
    path : str
        The file. One that isn't local can't be mapped into memory.
    offset : int
        The place of the array in the file, in bytes.
    dtype : dtype
        That of the array, in the file's byte order.
    shape : tuple of int
        The height, width and number of samples of the array.
    places : tuple of range
        The rows and the columns, ascending, at least one of each.

    Returns
    -------
    ndarray, shape (h, w, samples)
    """
    rows, columns = places
    if Path(path).is_file():
        mapped = np.memmap(path, dtype, mode="r", offset=offset, shape=shape)
        return mapped[to_slice(rows), to_slice(columns)]
    _, width, n_samples = shape
    pixel_bytes = n_samples * dtype.itemsize
    first, last = columns[0], columns[-1] + 1
    out = np.empty((len(rows), len(columns), n_samples), dtype)
    with open_binary(path) as file:
        for number, row in enumerate(rows):
            file.seek(offset + (row * width + first) * pixel_bytes)
            content = file.read((last - first) * pixel_bytes)
            if len(content) < (last - first) * pixel_bytes:
                raise OSError(f"{path} ends within row {row}. Open it again.")
            pixels = np.frombuffer(content, dtype).reshape(last - first, n_samples)
            out[number] = pixels[:: columns.step]
    return out


def raw_bytes(columns: int, step: int, width: int, pixel_bytes: int) -> int:
    """Return the memory that one row of a region takes while it is mapped.

    Parameters
    ----------
    columns : int
        The number of columns of the region.
    step : int
        The distance between them.
    width : int
        The width of the image.
    pixel_bytes : int
        The size of a pixel in the file.

    Returns
    -------
    int
        The system maps so many bytes of a file around each one that is read, at both ends of a row.
    """
    neighbors = 2 * 2**16
    return min(((columns - 1) * step + 1) * pixel_bytes + neighbors, math.prod((width, pixel_bytes)))
