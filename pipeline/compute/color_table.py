"""Tables of the results of all colors, for pixels of at most 24 bits.

A giant image has far fewer colors than pixels. A table has room for the results of every possible color. They
are marked as missing until that color occurs, and are then computed. They have the same bits as if every
pixel were computed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.colors import STRIP, are_different, unpack_colors
from pipeline.compute.planes import compute_planes
from pipeline.models.quantity import no_data_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.models.encoding import Encoding
    from pipeline.models.output import Output
    from pipeline.models.quantity import Quantity

# The largest size of one table in bytes, enough for a posterior of four classes.
MOST_MEMORY = 2**28
# The largest size in bytes of a row that several outputs share.
_SHARED_ROW = 16
_ERROR = np.dtype("float32")
# The largest size in bytes of all tables that a process keeps. The least recently used ones are dropped.
MOST_KEPT = 2**30
# What a thread needs to look a strip up: packed colors, indices, rows; and the unknown colors of a strip.
SCRATCH_BYTES = STRIP * (4 + 8 + _SHARED_ROW) + 4 * 8 * STRIP


def table_bytes(outputs: Sequence[Output], bits: int) -> int:
    """Return the size of the table of some outputs in bytes."""
    return int(2**bits) * _row_of(outputs).itemsize


def share_tables(outputs: Sequence[Output]) -> list[list[int]]:
    """Distribute outputs among tables.

    Parameters
    ----------
    outputs : sequence of Output

    Returns
    -------
    list of list of int
        The numbers of the outputs in each table. Results of a color that take 16 bytes together are found in
        the time of one.
    """
    tables: list[list[int]] = []
    for number, output in enumerate(outputs):
        for table in tables:
            if _row_of([*(outputs[other] for other in table), output]).itemsize <= _SHARED_ROW:
                table.append(number)
                break
        else:
            tables.append([number])
    return tables


def _row_of(outputs: Sequence[Output]) -> np.dtype[Any]:
    """Return the layout of a row: results by the number of the output, and errors of lossy encodings."""
    fields = [(str(number), output.dtype, output.n_results) for number, output in enumerate(outputs)]
    for number, output in enumerate(outputs):
        if output.encoding.is_lossy:
            fields.append((_error_of(number), _ERROR, 1))
    # The largest dtype comes first, so that each field is aligned.
    fields.sort(key=lambda field: -field[1].itemsize)
    ends = np.cumsum([dtype.itemsize * n_results for _, dtype, n_results in fields])
    widest, size = fields[0][1].itemsize, int(ends[-1])
    # np.take copies 1, 2, 4, 8 or 16 bytes in one instruction, and other sizes by calling a function.
    whole = 1 << (size - 1).bit_length() if size <= _SHARED_ROW else -(-size // widest) * widest
    return np.dtype(
        {
            "names": [name for name, *_ in fields],
            "formats": [(dtype, (n_results,)) for _, dtype, n_results in fields],
            "offsets": [0, *ends[:-1].tolist()],
            "itemsize": whole,
        }
    )


def _error_of(number: int) -> str:
    return f"error of {number}"


class _Scratch(threading.local):
    """Memory for one strip, kept by each thread, because new memory would take as long as the look-up."""

    def __init__(self) -> None:
        self.rows = np.empty(STRIP * _SHARED_ROW, np.uint8)


_scratch = _Scratch()


class ColorTable:
    """The results of outputs for every color of a kind of pixels, computed when the color first occurs.

    Parameters
    ----------
    outputs : sequence of Output
    bits : int
        The number of bits of a color: 8, 16 or 24.

    Attributes
    ----------
    rows : structured ndarray, shape (2**bits,)
        The field ``"0"`` has the results of the first output, with shape (n_results,), and so on. A color
        that hasn't occurred has the ``no_data`` value. The field ``"error of 0"`` is the largest error of the
        results of the first output, if its encoding is lossy.

    Notes
    -----
    The results of a color lie together, since a look-up takes the time of fetching its row from memory. A
    table of 24 bits and one float32 has 64 MiB. Any number of threads may look up and fill at the same time:
    a value is written in one piece, and is the same whichever thread computes it. Threads that miss the same
    color share the work.
    """

    def __init__(self, outputs: Sequence[Output], bits: int) -> None:
        self._outputs, self._bits = list(outputs), bits
        self._filling = threading.Lock()
        self._batches: list[_Batch] = []
        self._rows: NDArray[np.void] | None = None

    @property
    def nbytes(self) -> int:
        """The size of the rows in bytes."""
        return table_bytes(self._outputs, self._bits)

    @property
    def rows(self) -> NDArray[np.void]:
        """The rows, which are allocated at the first access."""
        if self._rows is None:
            with self._filling:
                if self._rows is None:
                    self._rows = self._empty_rows()
        return self._rows

    def _empty_rows(self) -> NDArray[np.void]:
        row = np.zeros(1, _row_of(self._outputs))
        for number, output in enumerate(self._outputs):
            row[str(number)] = output.no_data
        # Plain bytes are copied in one pass over the memory.
        rows: NDArray[np.void] = np.full(2**self._bits, row.view(f"V{row.itemsize}")[0]).view(row.dtype)
        return rows

    def look_up(self, colors: NDArray[np.intp], results: Sequence[NDArray[Any]]) -> list[float]:
        """Fill arrays with the results of colors. Missing results are computed first.

        Parameters
        ----------
        colors : ndarray of intp, shape (n,)
            The colors that :func:`pack_colors` returned.
        results : sequence of ndarray, shape (n_results, n)
            One array for each output, of its dtype.

        Returns
        -------
        list of float
            The largest error of each output whose encoding is lossy, and 0 for the others.
        """
        largest = [0.0] * len(results)
        step = max(1, _scratch.rows.nbytes // self.rows.itemsize)
        for start in range(0, len(colors), step):
            piece = slice(start, start + step)
            outs = [result[:, piece] for result in results]
            rows = self._take(colors[piece], outs)
            # A missing value is NaN or the highest integer, and a maximum is NaN if any value is NaN.
            missing = [out for out in outs if self._is_missing(out.max())]
            if missing:
                absent = np.any([self._is_missing(out).any(axis=0) for out in missing], axis=0)
                unknown = colors[piece][absent]
                if are_different(unknown):
                    self._compute(unknown)
                else:
                    self._fill(unknown)
                rows = self._take(colors[piece], outs)
            for number, output in enumerate(self._outputs):
                if output.encoding.is_lossy:
                    largest[number] = max(largest[number], float(rows[_error_of(number)].max()))
        return largest

    def _take(self, colors: NDArray[np.intp], outs: Sequence[NDArray[Any]]) -> NDArray[np.void]:
        """Fill `outs`, and return their rows, which the calling thread uses again in its next call."""
        values = self.rows["0"]
        # All indices are valid. The mode "wrap" checks them faster than "clip", and "raise" makes a copy.
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
        """Compute the missing colors that no other thread is computing, and wait for the others."""
        colors, rows = np.unique(missing), self.rows
        while len(colors):
            with self._filling:
                # Another thread may have computed the same colors meanwhile.
                found = rows[colors]
                absent = [
                    self._is_missing(found[str(number)]).any(axis=1) for number in range(len(self._outputs))
                ]
                colors = colors[np.any(absent, axis=0)]
                shared = [(other, np.intersect1d(colors, other.colors)) for other in self._batches]
                taken = np.concatenate([colors[:0], *(both for _, both in shared)])
                own = _Batch(np.setdiff1d(colors, taken, assume_unique=True))
                self._batches.append(own)
            try:
                if len(own.colors):
                    self._compute(own.colors)
                own.is_done = True
            finally:
                with self._filling:
                    self._batches.remove(own)
                own.ended.set()
            # Each thread computes before it waits, so that none waits for ever.
            for other, both in shared:
                if len(both):
                    other.ended.wait()
            # A thread that failed leaves its colors to the others.
            colors = np.concatenate([colors[:0], *(both for other, both in shared if not other.is_done)])

    def _compute(self, colors: NDArray[np.intp]) -> None:
        """Compute the rows of colors, of which some may be the same."""
        planes = unpack_colors(colors, self._outputs[0].quantity.n_channels)
        results = [np.empty((output.n_results, len(colors)), output.dtype) for output in self._outputs]
        errors = compute_planes(self._outputs, planes, results, serial=True)
        for number, (values, error) in enumerate(zip(results, errors, strict=True)):
            # Errors are written first, so that a color that isn't missing has its error too.
            if error is not None:
                self.rows[_error_of(number)][colors, 0] = error
            self.rows[str(number)][colors] = values.T


class _Batch:
    """Colors that a thread is computing."""

    def __init__(self, colors: NDArray[np.intp]) -> None:
        self.colors, self.ended, self.is_done = colors, threading.Event(), False


_tables: OrderedDict[tuple[tuple[tuple[Quantity, Encoding], ...], int], ColorTable] = OrderedDict()
_finding = threading.Lock()


def find_table(outputs: Sequence[Output], bits: int) -> ColorTable:
    """Return the table of this process for some outputs, which is empty at first.

    Parameters
    ----------
    outputs : sequence of Output
    bits : int
        The number of bits of a color.

    Returns
    -------
    ColorTable
        The same table for all threads, all blocks, and all names of the outputs. A process keeps the tables
        that were used last, at most 1 GiB of them.
    """
    key = (tuple((output.quantity, output.encoding) for output in outputs), bits)
    # Only the table itself is made here; its rows are allocated when its first color is looked up.
    with _finding:
        if key not in _tables:
            _tables[key] = ColorTable(outputs, bits)
        _tables.move_to_end(key)
        while len(_tables) > 1 and sum(table.nbytes for table in _tables.values()) > MOST_KEPT:
            _tables.popitem(last=False)
        return _tables[key]
