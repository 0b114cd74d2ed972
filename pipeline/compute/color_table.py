"""The program once for each distinct colour, then a look-up: for pixels of up to 24 bits.

A giant image has far fewer colours than pixels. A table holds the results of every possible colour, which are
marked as missing until that colour is met, and is filled as colours occur. What it gives is what the program
gives, bit for bit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.planes import compute_planes
from pipeline.models.encoding import Packed
from pipeline.models.quantity import no_data_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.models.quantity import Wanted

# Pixels that are looked up at once. Their indices and results stay in a core's cache, and OpenCV's conversion
# of no more than these stays in the calling thread, whatever its thread count is.
STRIP = 2**16
# Bytes of a row that holds several columns.
_SHARED_ROW = 16
# Of a pixel that a table can index: 2^24 values are 64 MiB of float32.
_MOST_BYTES = 3
# Of one table, as for a posterior of four classes.
_MOST_MEMORY = 2**28
_ERROR = np.dtype("float32")
# Of the tables that a process keeps, the least recently used of which goes first.
_MOST_KEPT = 2**30


def color_bits(dtype: np.dtype[Any], n_channels: int) -> int | None:
    """Count the bits of a pixel that a table can index, None where there can't be a table.

    Parameters
    ----------
    dtype : dtype
        Of the samples.
    n_channels : int

    Returns
    -------
    int or None
        8, 16 or 24 for one to three channels of uint8, 16 for one of uint16.
    """
    if dtype.kind == "u" and dtype.itemsize * n_channels <= _MOST_BYTES:
        return 8 * dtype.itemsize * n_channels
    return None


def table_bytes(columns: Sequence[Wanted], bits: int) -> int:
    """Give the memory of a table in bytes."""
    return int(2**bits) * _row_of(columns).itemsize


def fits_table(column: Wanted, bits: int) -> bool:
    """Tell whether a table of all results of a quantity has a sensible size: 256 MiB at most."""
    return table_bytes([column], bits) <= _MOST_MEMORY


def share_tables(columns: Sequence[Wanted]) -> list[list[int]]:
    """Tell which columns stand in one table.

    Parameters
    ----------
    columns : sequence of (Quantity, dtype)

    Returns
    -------
    list of list of int
        The columns' numbers, for each table: results of a colour that have 16 bytes together are found at the
        cost of one.
    """
    tables: list[list[int]] = []
    for number, column in enumerate(columns):
        for table in tables:
            if _row_of([*(columns[other] for other in table), column]).itemsize <= _SHARED_ROW:
                table.append(number)
                break
        else:
            tables.append([number])
    return tables


def _row_of(columns: Sequence[Wanted]) -> np.dtype[Any]:
    """Lay out a row: the columns' results by number, and the errors of what is packed."""
    fields = [(str(number), dtype, quantity.n_planes) for number, (quantity, dtype) in enumerate(columns)]
    for number, (quantity, _) in enumerate(columns):
        if isinstance(quantity, Packed):
            fields.append((_error_of(number), _ERROR, 1))
    # The largest first, so that each lies where the processor reads it best.
    fields.sort(key=lambda field: -field[1].itemsize)
    ends = np.cumsum([dtype.itemsize * n_planes for _, dtype, n_planes in fields])
    widest, size = fields[0][1].itemsize, int(ends[-1])
    # np.take copies 1, 2, 4, 8 or 16 bytes in one move, and others by a function's call.
    whole = 1 << (size - 1).bit_length() if size <= _SHARED_ROW else -(-size // widest) * widest
    return np.dtype(
        {
            "names": [name for name, *_ in fields],
            "formats": [(dtype, (n_planes,)) for _, dtype, n_planes in fields],
            "offsets": [0, *ends[:-1].tolist()],
            "itemsize": whole,
        }
    )


def _error_of(number: int) -> str:
    return f"error of {number}"


class _Scratch(threading.local):
    """Room for one strip, kept by each thread: fresh memory would cost as much as the look-up."""

    def __init__(self) -> None:
        self.bytes = np.empty((STRIP, 4), np.uint8)
        self.colors = np.empty(STRIP, np.intp)
        self.rows = np.empty(STRIP * _SHARED_ROW, np.uint8)


_scratch = _Scratch()


def pack_colors(pixels: NDArray[Any]) -> NDArray[np.intp]:
    """Make a number of each pixel's colour, with the first channel in the lowest bits.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
        At most `STRIP` pixels, of a kind that has :func:`color_bits`.

    Returns
    -------
    ndarray of intp, shape (h * w,)
        The calling thread's, until it calls again: all tables look the same colours up.
    """
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    n_channels = pixels.shape[-1]
    if n_channels == 3:  # noqa: PLR2004  red, green, blue
        import cv2  # noqa: PLC0415  half a second that only three channels need

        four = _scratch.bytes[: pixels.size // 3].reshape(*pixels.shape[:2], 4)
        packed = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA, dst=four).view("<u4")
        packed &= 0xFFFFFF
    elif n_channels == 2:  # noqa: PLR2004  one byte each
        packed = pixels.view("<u2")
    else:
        packed = pixels
    # np.take would convert indices of another type anew at each call, and more slowly.
    colors = _scratch.colors[: packed.size]
    np.copyto(colors, packed.reshape(-1))
    return colors


class ColorTable:
    """Results of quantities for every colour of a kind of image, computed when they are first met.

    Parameters
    ----------
    columns : sequence of (Quantity, dtype)
        The dtypes are the results'.
    bits : int
        Of a colour: 8, 16 or 24.

    Attributes
    ----------
    rows : structured ndarray, shape (2**bits,)
        A field ``"0"`` of shape (planes,) for the first column, and so on: the results, or the value without
        data where a colour wasn't met. ``"error of 0"`` is the largest error of the first column's results,
        if they are packed.

    Notes
    -----
    A colour's results lie together, since a look-up's time is that of fetching its row from memory. A table
    of 24 bits and one float32 has 64 MiB. Any number of threads may look up and fill at once: a value is
    written whole, and is the same whoever computes it.
    """

    def __init__(self, columns: Sequence[Wanted], bits: int) -> None:
        row = np.zeros(1, _row_of(columns))
        for number, (_, dtype) in enumerate(columns):
            row[str(number)] = no_data_value(dtype)
        # As plain bytes, which are copied in one go over the memory.
        self.rows: NDArray[np.void] = np.full(2**bits, row.view(f"V{row.itemsize}")[0]).view(row.dtype)
        self._columns = list(columns)
        self._filling = threading.Lock()

    def look_up(self, colors: NDArray[np.intp], outputs: Sequence[NDArray[Any]]) -> list[float]:
        """Give each colour's results, computing what is missing.

        Parameters
        ----------
        colors : ndarray of intp, shape (n,)
            Of :func:`pack_colors`.
        outputs : sequence of ndarray, shape (planes, n)
            One a column.

        Returns
        -------
        list of float
            The largest error of each column that is packed, else 0.
        """
        largest = [0.0] * len(outputs)
        step = max(1, _scratch.rows.nbytes // self.rows.itemsize)
        for start in range(0, len(colors), step):
            piece = slice(start, start + step)
            outs = [out[:, piece] for out in outputs]
            rows = self._take(colors[piece], outs)
            # What is missing is NaN or the highest integer, and a maximum is NaN if any value is.
            missing = [out for out in outs if self._is_missing(out.max())]
            if missing:
                absent = np.any([self._is_missing(out).any(axis=0) for out in missing], axis=0)
                self._fill(colors[piece][absent])
                rows = self._take(colors[piece], outs)
            for number, (quantity, _) in enumerate(self._columns):
                if isinstance(quantity, Packed):
                    largest[number] = max(largest[number], float(rows[_error_of(number)].max()))
        return largest

    def _take(self, colors: NDArray[np.intp], outs: Sequence[NDArray[Any]]) -> NDArray[np.void]:
        """Fill `outs` and give the rows that they are from: the calling thread's, until its next call."""
        values = self.rows["0"]
        # Indices are within the table; "wrap" checks that faster than "clip", and "raise" makes a copy.
        if values.nbytes == self.rows.nbytes and len(outs[0]) == 1:
            np.take(values[:, 0], colors, out=outs[0][0], mode="wrap")
            return self.rows[:0]
        rows = _scratch.rows[: len(colors) * self.rows.itemsize].view(self.rows.dtype)
        np.take(self.rows, colors, out=rows, mode="wrap")
        for number, out in enumerate(outs):
            np.copyto(out, rows[str(number)].T)
        return rows

    @staticmethod
    def _is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
        if values.dtype.kind == "f":
            return np.asarray(np.isnan(values))
        return np.asarray(values == no_data_value(values.dtype))

    def _fill(self, missing: NDArray[np.intp]) -> None:
        colors = np.unique(missing)
        with self._filling:
            # Another thread may have met the same colours meanwhile.
            rows = self.rows[colors]
            absent = [self._is_missing(rows[str(number)]).any(axis=1) for number in range(len(self._columns))]
            colors = colors[np.any(absent, axis=0)]
            if not len(colors):
                return
            n_channels = self._columns[0][0].n_channels
            bits = 8 if n_channels > 1 else 16
            planes = np.array(
                [colors >> bits * channel & (1 << bits) - 1 for channel in range(n_channels)],
                dtype=np.float64,
            )
            results = [np.empty((quantity.n_planes, len(colors)), dtype) for quantity, dtype in self._columns]
            errors = compute_planes(self._columns, planes, results, serial=True)
            for number, (values, error) in enumerate(zip(results, errors, strict=True)):
                # The errors first: a colour that isn't missing has all that is asked of it.
                if error is not None:
                    self.rows[_error_of(number)][colors, 0] = error
                self.rows[str(number)][colors] = values.T


_tables: OrderedDict[tuple[tuple[Wanted, ...], int], ColorTable] = OrderedDict()
_finding = threading.Lock()


def find_table(columns: Sequence[Wanted], bits: int) -> ColorTable:
    """Give this process's table for some quantities, an empty one at first.

    Parameters
    ----------
    columns : sequence of (Quantity, dtype)
        The dtypes are the results'.
    bits : int
        Of a colour.

    Returns
    -------
    ColorTable
        The same for all threads and all blocks. A process keeps those used last, up to 1 GiB of them.
    """
    key = (tuple(columns), bits)
    with _finding:
        if key not in _tables:
            _tables[key] = ColorTable(columns, bits)
        _tables.move_to_end(key)
        while len(_tables) > 1 and sum(table.rows.nbytes for table in _tables.values()) > _MOST_KEPT:
            _tables.popitem(last=False)
        return _tables[key]
