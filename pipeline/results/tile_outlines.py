"""Outlines of the regions of a label image along the edges of pixels, traced in one tile of it.

A region is what is connected through the sides of pixels of one class. A corner is where an outline turns.
The outline of a region has the region on its right, as seen on the screen: it goes right along the upper side
of a pixel, and down along its right side. Where two pixels of one class touch at a corner only, it stays with
its pixel, so that it needs to know only the four pixels around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Directions: rotating an image so often by 90 degrees makes them point right.
_RIGHT, _DOWN, _LEFT, _UP = range(4)
_N_DIRECTIONS = 4
_DONE = -2


class Fragments(NamedTuple):
    """The pieces of outlines in a tile. Those that leave the tile come first.

    Attributes
    ----------
    points : ndarray of int64, shape (n, 2)
        Row and column of each corner in the image; the corners of a piece lie one after the other. The first
        one of a piece that leaves the tile is where it enters.
    ends : ndarray of int64, shape (m,)
        The end of each piece among the corners.
    labels : ndarray of int64, shape (m,)
    entries, exits : ndarray of int64, shape (m_open,)
        A number for the edge with which a piece enters, and for the edge that follows behind it.
    is_straight : ndarray of bool, shape (m_open,)
        Whether the edge that follows goes the same way, so that it doesn't begin at a corner.
    pairs : ndarray of int64, shape (k, 2)
        Pieces of the same region. Number m + r is the region that enters row r of the tile from the left.
    leaving : ndarray of int64, shape (h,)
        The piece, or the number as above, of the region that leaves each row to the right; -1 for none.
    """

    points: NDArray[np.int64]
    ends: NDArray[np.int64]
    labels: NDArray[np.int64]
    entries: NDArray[np.int64]
    exits: NDArray[np.int64]
    is_straight: NDArray[np.bool_]
    pairs: NDArray[np.int64]
    leaving: NDArray[np.int64]


class _Segments(NamedTuple):
    """The straight parts of all outlines that go in one direction, in the tile."""

    labels: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    turns: NDArray[np.int64]
    # Which pixels have such an edge, and the number of the segment of it, from 1.
    is_edge: NDArray[np.bool_]
    numbers: NDArray[np.int32]


class _Sides(NamedTuple):
    """The edges on one side of pixels, the numbers of their segments, and the piece of each segment."""

    is_edge: NDArray[np.bool_]
    numbers: NDArray[np.int32]
    pieces: NDArray[np.int64]


def trace(labels: NDArray[np.int32], origin: tuple[int, int], stride: int) -> Fragments:
    """Trace the outlines of the pixels of a tile.

    Parameters
    ----------
    labels : ndarray of int32, shape (h + 2, w + 2)
        The pixels of the tile and those around it. Negative ones have no outline.
    origin : tuple of int
        Row and column of the tile's first pixel in the image.
    stride : int
        More than the largest column of a corner in the image.

    Returns
    -------
    Fragments
    """
    height, width = labels.shape[0] - 2, labels.shape[1] - 2
    parts = [_find_segments(labels, direction) for direction in range(_N_DIRECTIONS)]
    counts = [len(part.labels) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    directions = np.repeat(np.arange(_N_DIRECTIONS), counts)
    starts, ends = (np.concatenate([part[n] for part in parts]) for n in (1, 2))
    after = (directions + np.concatenate([part.turns for part in parts])) % _N_DIRECTIONS
    following, is_first = _follow(starts, ends, directions, after, (height, width))
    order, stops = _chain(following, is_first)
    firsts = np.concatenate([[0], stops[:-1]]).astype(np.int64)[: len(stops)]
    owners = np.empty(len(order), np.int64)
    owners[order] = np.repeat(np.arange(len(stops)), stops - firsts)
    n_open = int(is_first.sum())
    begin, last = order[firsts[:n_open]], order[stops[:n_open] - 1]
    down, across = origin

    def number(way: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.int64]:
        keys: NDArray[np.int64] = ((points[:, 0] + down) * stride + points[:, 1] + across) * 4 + way
        return keys

    left, right = (
        _Sides(parts[way].is_edge, parts[way].numbers, owners[offsets[way] : offsets[way + 1]])
        for way in (_UP, _DOWN)
    )
    pairs, leaving = _connect(labels[1:-1, 1:-1] >= 0, left, right, len(stops))
    return Fragments(
        starts[order] + np.array(origin),
        stops,
        np.concatenate([part.labels for part in parts])[order[firsts]],
        number(directions[begin], starts[begin]),
        number(after[last], ends[last]),
        directions[last] == after[last],
        pairs,
        leaving,
    )


def _find_segments(labels: NDArray[np.int32], direction: int) -> _Segments:
    """Find the straight parts of outlines that go in one direction, as if it were to the right."""
    turned = np.ascontiguousarray(np.rot90(labels, direction))
    center = turned[1:-1, 1:-1]
    is_edge = (center >= 0) & (center != turned[:-2, 1:-1])
    goes_on = is_edge[:, 1:] & is_edge[:, :-1] & (center[:, 1:] == center[:, :-1])
    is_start, is_end = is_edge.copy(), is_edge.copy()
    is_start[:, 1:] &= ~goes_on
    is_end[:, :-1] &= ~goes_on
    # Twice as fast as np.nonzero.
    rows, first = np.divmod(np.flatnonzero(is_start), is_edge.shape[1])
    last = np.flatnonzero(is_end) - rows * is_edge.shape[1]
    found = center[rows, first].astype(np.int64)
    ahead, beside = turned[rows + 1, last + 2], turned[rows, last + 2]
    # To the right around the pixel, to the left where the region goes on there, else straight on.
    turns = np.where(ahead != found, 1, np.where(beside == found, -1, 0))
    numbers = np.cumsum(is_start, dtype=np.int32).reshape(is_start.shape)
    extent = labels.shape[0] - 2, labels.shape[1] - 2
    return _Segments(
        found,
        _turn_back(rows, first, direction, extent),
        _turn_back(rows, last + 1, direction, extent),
        turns,
        np.rot90(is_edge, -direction),
        np.rot90(numbers, -direction),
    )


def _turn_back(
    rows: NDArray[np.int64], columns: NDArray[np.int64], direction: int, extent: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the rows and columns of corners of pixels in the image that hasn't been rotated."""
    height, width = extent
    row, column = {
        _RIGHT: (rows, columns),
        _DOWN: (columns, width - rows),
        _LEFT: (height - rows, width - columns),
        _UP: (height - columns, rows),
    }[direction]
    return np.stack([row, column], axis=1)


def _follow(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    directions: NDArray[np.int64],
    after: NDArray[np.int64],
    extent: tuple[int, int],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the segment that follows on each one, -1 if it isn't in the tile, and which follow on none."""
    shape = (_N_DIRECTIONS, extent[0] + 1, extent[1] + 1)
    table = np.full(shape, -1, np.int32)
    table[directions, starts[:, 0], starts[:, 1]] = np.arange(len(starts))
    following = table[after, ends[:, 0], ends[:, 1]]
    is_first = np.ones(len(starts), bool)
    is_first[following[following >= 0]] = False
    return following, is_first


def _chain(
    following: NDArray[np.int32], is_first: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the segments in the order of the outlines, and the end of each outline among them."""
    # The last place, which -1 stands for, ends the outlines that leave the tile.
    left = [*following.tolist(), _DONE]
    order: list[int] = []
    stops: list[int] = []
    for candidates in (np.flatnonzero(is_first).tolist(), range(len(following))):
        for start in candidates:
            one = start
            while (after := left[one]) != _DONE:
                order.append(one)
                left[one] = _DONE
                one = after
            if one == start or one < 0:
                stops.append(len(order))
    ends = np.unique(np.array(stops, np.int64))
    return np.array(order, np.int64), ends[ends > 0]


def _connect(
    is_inside: NDArray[np.bool_], left: _Sides, right: _Sides, n_pieces: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which outlines belong together, since a row of a region lies between them.

    The row at the leftmost edge of a hole begins at an outline of the same region that lies farther to the
    left, so that all holes come to belong to the outer outline.
    """
    height, width = is_inside.shape
    begins, ends = np.array(left.is_edge, order="C"), np.array(right.is_edge, order="C")
    begins[:, 0], ends[:, -1] = is_inside[:, 0], is_inside[:, -1]
    rows, first = np.divmod(np.flatnonzero(begins), width)
    last = np.flatnonzero(ends) - rows * width
    # The piece on the left and the one on the right of each row of pixels of a region.
    one, opens = n_pieces + rows, left.is_edge[rows, first]
    one[opens] = left.pieces[left.numbers[rows[opens], first[opens]] - 1]
    leaving = np.full(height, -1, np.int64)
    closes = right.is_edge[rows, last]
    leaving[rows[~closes]] = one[~closes]
    one, other = one[closes], right.pieces[right.numbers[rows[closes], last[closes]] - 1]
    differs = one != other
    keys = np.unique(one[differs] * (n_pieces + 1) + other[differs])
    return np.stack(np.divmod(keys, n_pieces + 1), axis=1), leaving
