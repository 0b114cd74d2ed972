"""The outlines of the regions of a label, traced along the edges of pixels, tile by tile.

A region is a set of pixels of one class that are connected by their sides. Its outline goes along the edges
of its pixels with the region at its right. Each tile gives pieces of outlines (`tile_outlines.py`), which are
joined where they cross from tile to tile. A region is finished, and forgotten, when no outline of it is open:
as the outer one encloses the others, all tiles with pixels of the region have been traced by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.results.rings import area_of, split_ring
from pipeline.results.tile_outlines import trace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.results.tile_outlines import Fragments

# Of no class: what lies beyond the image, and pixels of classes that aren't wanted.
_OUTSIDE = -1
# The pixels above a tile, and on its left, that are kept: what is traced lies one pixel behind what is read.
_KEPT = 2


class Region(NamedTuple):
    """A region and its outline.

    Attributes
    ----------
    label : int
        The number of its class.
    n_pixels : int
    outer : ndarray of int64, shape (n, 2)
        The rows and columns of the vertices of the outline, clockwise where rows go down.
    holes : tuple of ndarray
        The outlines of its holes, counterclockwise.
    """

    label: int
    n_pixels: int
    outer: NDArray[np.int64]
    holes: tuple[NDArray[np.int64], ...]


class _Growing:
    """A region that isn't finished: its closed rings, and how many pieces of its outlines are open."""

    __slots__ = ("_parent", "fresh", "label", "n_open", "rings")

    def __init__(self, label: int) -> None:
        self.label, self.n_open = label, 0
        # Rings of this tile share one array, until they are kept.
        self.fresh: list[NDArray[Any]] = []
        self.rings: list[NDArray[Any]] = []
        self._parent = self

    def root(self) -> _Growing:
        """Return the region that stands for all that are known to be connected with this one."""
        one = self
        while one._parent is not one:
            one._parent = one._parent._parent  # noqa: SLF001  of the same class
            one = one._parent
        return one

    def unite(self, other: _Growing) -> _Growing:
        """Note that two regions are one, and return it."""
        one, other = self.root(), other.root()
        if one is not other:
            if len(one.rings) < len(other.rings):
                one, other = other, one
            other._parent = one  # noqa: SLF001  of the same class
            one.n_open += other.n_open
            one.rings += other.rings
            one.fresh += other.fresh
            other.rings, other.fresh = [], []
        return one

    def keep(self) -> None:
        """Keep the rings of this tile without the others of the tile."""
        self.rings += [ring.astype(np.int32) for ring in self.fresh]
        self.fresh = []

    def finish(self) -> Region:
        """Return the region, of which all rings are closed."""
        closed = [ring.astype(np.int64, copy=False) for ring in (*self.rings, *self.fresh)]
        rings = [part for ring in closed for part in split_ring(ring)]
        if len(rings) == 1:
            return Region(self.label, area_of(rings[0]), rings[0], ())
        areas = [area_of(ring) for ring in rings]
        (outer,) = (ring for ring, area in zip(rings, areas, strict=True) if area > 0)
        holes = tuple(ring for ring, area in zip(rings, areas, strict=True) if area < 0)
        return Region(self.label, sum(areas), outer, holes)


class _Chain:
    """Pieces of one outline that follow one another; both ends go on in tiles that haven't been traced."""

    __slots__ = ("entry", "exit", "is_straight", "pieces", "region")

    def __init__(
        self, entry: int, leaves: int, piece: NDArray[np.int32], region: _Growing, *, is_straight: bool
    ) -> None:
        self.entry, self.exit, self.is_straight = entry, leaves, is_straight
        self.pieces, self.region = [piece], region

    def extend(self, other: _Chain) -> None:
        """Take the pieces of the chain that follows."""
        if self.is_straight:
            # The outline goes straight on, so that there is no vertex.
            other.pieces[0] = other.pieces[0][1:]
        if len(self.pieces) < len(other.pieces):
            other.pieces[:0] = self.pieces
            self.pieces = other.pieces
        else:
            self.pieces += other.pieces
        self.region = self.region.unite(other.region)
        self.region.n_open -= 1
        self.exit, self.is_straight = other.exit, other.is_straight

    def close(self) -> None:
        """Give the ring to the region."""
        ring = np.concatenate(self.pieces).astype(np.int64)
        region = self.region.root()
        region.fresh.append(ring[1:] if self.is_straight else ring)
        region.n_open -= 1


class _Joiner:
    """The open outlines of all tiles so far, and the regions that cross the right side of the last one."""

    def __init__(self) -> None:
        self._by_entry: dict[int, _Chain] = {}
        self._by_exit: dict[int, _Chain] = {}
        self._entering: list[_Growing | None] = []

    def begin_row(self) -> None:
        """Forget what lies on the left: a row of tiles begins."""
        self._entering = []

    def add(self, found: Fragments) -> Iterator[Region]:
        """Take the pieces of a tile, and yield the regions that they finish."""
        regions = self._find_regions(found)
        ends = found.ends.tolist()
        n_open = len(found.entries)
        starts = [0, *ends]
        for number in range(n_open, len(ends)):
            regions[number].root().fresh.append(found.points[starts[number] : ends[number]])
        opened = zip(
            found.entries.tolist(),
            found.exits.tolist(),
            found.is_straight.tolist(),
            ends,
            starts,
            strict=False,
        )
        for number, (entry, leaves, is_straight, end, start) in enumerate(opened):
            region = regions[number].root()
            region.n_open += 1
            piece = found.points[start:end].astype(np.int32)
            self._join(_Chain(entry, leaves, piece, region, is_straight=is_straight))
        for region in {id(root): root for root in (one.root() for one in regions)}.values():
            if region.n_open:
                region.keep()
            else:
                yield region.finish()

    def _find_regions(self, found: Fragments) -> list[_Growing]:
        """Return the region of each piece, and take those that leave the tile to the right."""
        n_pieces, height = len(found.ends), len(found.leaving)
        parents = list(range(n_pieces + height))

        def root(node: int) -> int:
            while parents[node] != node:
                parents[node] = parents[parents[node]]
                node = parents[node]
            return node

        for one, other in found.pairs.tolist():
            parents[root(one)] = root(other)
        known: dict[int, _Growing] = {}
        for row, region in enumerate(self._entering):
            if region is not None:
                node = root(n_pieces + row)
                known[node] = region.root() if node not in known else known[node].unite(region)
        regions = []
        for number, label in enumerate(found.labels.tolist()):
            node = root(number)
            if node not in known:
                known[node] = _Growing(label)
            regions.append(known[node])
        self._entering = [None if node < 0 else known[root(node)] for node in found.leaving.tolist()]
        return regions

    def _join(self, chain: _Chain) -> None:
        """Join an open piece with those before and behind it."""
        before = self._by_exit.pop(chain.entry, None)
        if before is not None:
            del self._by_entry[before.entry]
            before.extend(chain)
            chain = before
        if chain.entry != chain.exit:
            after = self._by_entry.pop(chain.exit, None)
            if after is not None:
                del self._by_exit[after.exit]
                chain.extend(after)
        if chain.entry == chain.exit:
            chain.close()
        else:
            self._by_entry[chain.entry] = self._by_exit[chain.exit] = chain


def trace_regions(
    tiles: Iterable[tuple[Block, NDArray[Any]]], shape: tuple[int, int], wanted: Collection[int]
) -> Iterator[Region]:
    """Trace the regions of a label.

    Parameters
    ----------
    tiles : iterable of (Block, ndarray of unsigned integers)
        The pieces of the label with their places, row by row as :meth:`Grid.blocks` gives them. A tile is
        held in memory, two rows of pixels above, and the outlines of regions that aren't finished.
    shape : tuple of int
        Height and width of the label.
    wanted : collection of int
        The numbers of the classes whose regions are traced.

    Yields
    ------
    Region
        In the order in which they end. Their vertices are corners of pixels, where the outline turns. No ring
        meets a vertex twice.
    """
    joiner = _Joiner()
    for origin, window in _windows(tiles, shape, np.array(sorted(wanted), np.int32)):
        if origin[1] < 0:
            joiner.begin_row()
        yield from joiner.add(trace(window, origin, shape[1] + 1))


def _windows(
    tiles: Iterable[tuple[Block, NDArray[Any]]], shape: tuple[int, int], wanted: NDArray[np.int32]
) -> Iterator[tuple[tuple[int, int], NDArray[np.int32]]]:
    """Yield what can be traced when each tile has been read, with one pixel more on all sides.

    That is the tile, moved by one pixel up and to the left, as the pixels behind it aren't known yet.
    """
    height, width = shape
    # Two columns before the image and one behind it have no class.
    above = np.full((_KEPT, width + _KEPT + 1), _OUTSIDE, np.int32)
    below = above.copy()
    left = np.zeros((0, _KEPT), np.int32)
    for block, tile in tiles:
        table = np.full(np.iinfo(tile.dtype).max + 1, _OUTSIDE, np.int32)
        table[wanted] = wanted
        top, first = block.rows.start, block.columns.start
        more = int(block.rows.stop == height), int(block.columns.stop == width)
        if first == 0:
            above, below = below, np.full_like(above, _OUTSIDE)
            left = np.full((tile.shape[0] + _KEPT + more[0], _KEPT), _OUTSIDE, np.int32)
        window = np.full(
            [n + _KEPT + extra for n, extra in zip(tile.shape, more, strict=True)], _OUTSIDE, np.int32
        )
        window[_KEPT : _KEPT + tile.shape[0], _KEPT : _KEPT + tile.shape[1]] = table[tile]
        window[:, :_KEPT] = left
        window[:_KEPT] = above[:, first : first + window.shape[1]]
        below[:, first + _KEPT : first + window.shape[1]] = window[-_KEPT:, _KEPT:]
        left = window[:, -_KEPT:].copy()
        yield (top - 1, first - 1), window
