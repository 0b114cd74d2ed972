"""Rows, columns and channels of any other source, as a source."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.selection import canonical, to_slice
from pipeline.images.source import Derived

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from pipeline.images.source import Part, Places, Region, Source


def view(
    source: Source,
    rows: range | None = None,
    columns: range | None = None,
    channels: tuple[int, ...] | None = None,
) -> Source:
    """Return the source of some rows, columns and channels of another source.

    Parameters
    ----------
    source : Source
    rows, columns : range, optional
        The rows and columns, with any step; by default all of them.
    channels : tuple of int, optional
        The channels, in the order wanted; by default all of them.

    Returns
    -------
    Source
        The same source if it is seen whole. Channels are left out where they are read, if they can be.
    """
    if channels is not None and channels != tuple(range(source.shape[2])):
        selected = source.select(channels)
        source = (
            selected
            if selected is not None
            else View(source, range(source.shape[0]), range(source.shape[1]), channels)
        )
    height, width = source.extent
    rows, columns = range(height) if rows is None else rows, range(width) if columns is None else columns
    if (rows, columns) == (range(height), range(width)):
        return source
    return View(source, rows, columns, None)


class View(Derived):
    """Some rows, columns and channels of another source.

    Parameters
    ----------
    base : Source
    rows, columns : range
        Places in the base, with any step other than 0.
    selected : tuple of int or None
        The channels of the base, in order, or None for all of them.
    """

    def __init__(self, base: Source, rows: range, columns: range, selected: tuple[int, ...] | None) -> None:
        self._base, self._rows, self._columns, self._selected = base, rows, columns, selected
        names, n_channels = base.channels, base.shape[2]
        if selected is not None:
            n_channels = len(selected)
            names = None if names is None else tuple(names[channel] for channel in selected)
        self.shape, self.dtype, self.channels = (len(rows), len(columns), n_channels), base.dtype, names
        self.geometry = base.geometry.view(rows, columns)
        self.tile = self._within(base.tile)

    def identity(self) -> str | None:
        """Return the identity of the base, with the rows, columns and channels of the view."""
        base = self._base.identity()
        if base is None:
            return None
        seen = [base]
        for axis, places in self._places().items():
            seen.append(f"{axis} {' '.join(map(str, places))}")
        return ", ".join(seen)

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: a part of the base, and how to turn it."""
        inner, turns = self._to_base(region)
        return _ViewPart(self._base.part(inner), turns, self._selected)

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region in this process."""
        inner, turns = self._to_base(region)
        return _take(self._base.read(inner), turns, self._selected)

    @property
    def unit(self) -> tuple[int, int]:
        """As many pixels of the view as the base decodes anew for each region."""
        return self._within(self._base.unit)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: the base's, and a copy where channels are chosen from it."""
        rows, columns = self._rows, self._columns
        if places is not None:
            rows, columns = rows[to_slice(places[0])], columns[to_slice(places[1])]
        read = self._base.region_bytes(extent, (rows, columns))
        return read if self._selected is None else read + math.prod(extent) * self.pixel_bytes

    def as_dask(self) -> da.Array | None:
        """Return the same slices of the base's Dask array, or None if it has none."""
        array: da.Array | None = self._base.as_dask()
        if array is None:
            return None
        array = array[to_slice(self._rows), to_slice(self._columns)]
        return array if self._selected is None else array[:, :, list(self._selected)]

    def select(self, channels: tuple[int, ...]) -> Source:
        """Return the view of some of the channels."""
        selected = channels if self._selected is None else tuple(self._selected[n] for n in channels)
        base = self._base.select(selected)
        if base is None:
            is_all = selected == tuple(range(self._base.shape[2]))
            return View(self._base, self._rows, self._columns, None if is_all else selected)
        return View(base, self._rows, self._columns, None)

    def with_alpha(self) -> Source | None:
        """Return the view of the base with its alpha channel, or None if it has no alpha channel."""
        base, selected = self._base.with_alpha(), self._selected
        if base is None or base.extent != self._base.extent:
            return None
        if base.channels is None:
            return self
        if selected is not None:
            alpha = base.shape[2] - 1
            selected = (*(channel for channel in selected if channel != alpha), alpha)
        return View(base, self._rows, self._columns, selected)

    def _within(self, piece: tuple[int, int]) -> tuple[int, int]:
        """Return as many pixels of the view as a piece of the base holds."""
        rows, columns = self._rows, self._columns
        return (
            max(1, min(piece[0] // abs(rows.step), len(rows))),
            max(1, min(piece[1] // abs(columns.step), len(columns))),
        )

    def _places(self) -> dict[str, list[int]]:
        """Return the rows, columns and channels that aren't all of the base's, as lists of integers."""
        seen = {}
        for axis, places, length in zip(
            ("rows", "columns"), (self._rows, self._columns), self._base.extent, strict=True
        ):
            if places != range(length):
                seen[axis] = [places.start, places.stop, places.step]
        return seen if self._selected is None else {**seen, "channels": list(self._selected)}

    def _to_base(self, region: Region) -> tuple[Region, tuple[slice, slice]]:
        """Return a region of the base, with steps of 1 or more, and the slices that turn it as wanted."""
        rows, row_turn = _forward(self._rows[region[0]])
        columns, column_turn = _forward(self._columns[region[1]])
        return (rows, columns), (row_turn, column_turn)


class _ViewPart(NamedTuple):
    """A part of the base, with the axes to turn round and the channels to take."""

    part: Part
    turns: tuple[slice, slice]
    selected: tuple[int, ...] | None

    def read(self) -> NDArray[Any]:
        """Read the pixels, shape (h, w, C)."""
        return _take(self.part.read(), self.turns, self.selected)


def _take(pixels: NDArray[Any], turns: tuple[slice, slice], selected: tuple[int, ...] | None) -> NDArray[Any]:
    pixels = pixels[turns]
    return pixels if selected is None else np.take(pixels, np.array(selected, int), axis=-1)


def _forward(places: range) -> tuple[slice, slice]:
    """Return the slice of ascending places, and the one that puts them into their order."""
    if places.step > 0 or not places:
        return to_slice(canonical(places)), slice(None)
    return to_slice(canonical(places[::-1])), slice(None, None, -1)
