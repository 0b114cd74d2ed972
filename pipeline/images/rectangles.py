"""A mask of rectangles: 1 within any of them, computed where it is read."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.images.source import Places, Region

# The top, the left, the height and the width of each, in pixels.
_TOP, _LEFT, _HEIGHT, _WIDTH = range(4)


class Rectangles(Source):
    """An image of one channel that is 1 within any of some rectangles, and 0 elsewhere.

    Parameters
    ----------
    extent : tuple of int
        Height and width in pixels.
    places : ndarray of int64, shape (N, 4)
        The top, the left, the height and the width of each rectangle in pixels.
    """

    def __init__(self, extent: tuple[int, int], places: NDArray[np.int64]) -> None:
        self.shape, self.dtype, self._rectangles = (*extent, 1), np.dtype(np.uint8), places

    def identity(self) -> str:
        """Return a digest of the rectangles."""
        return f"rectangles {hashlib.sha256(self._rectangles.tobytes()).hexdigest()}"

    def part(self, region: Region) -> RectanglesPart:
        """Return the part with which a task reads a region: the rectangles that it touches."""
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        return RectanglesPart(rows, columns, self._rectangles[find_touched(self._rectangles, rows, columns)])

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: the pixels, and the search for the rectangles."""
        del places
        return math.prod(extent) + 8 * len(self._rectangles)


class RectanglesPart(NamedTuple):
    """Rows and columns of an image of rectangles, and the rectangles that they touch."""

    rows: range
    columns: range
    rectangles: NDArray[np.int64]

    def read(self) -> NDArray[Any]:
        """Compute the pixels, shape (h, w, 1)."""
        out = np.zeros((len(self.rows), len(self.columns), 1), np.uint8)
        for top, left, height, width in self.rectangles.tolist():
            (rows, _), (columns, _) = meet(self.rows, top, height), meet(self.columns, left, width)
            out[rows, columns] = 1
        return out


def find_touched(rectangles: NDArray[np.int64], rows: range, columns: range) -> NDArray[np.intp]:
    """Return the numbers of the rectangles that hold any of some rows and columns, in order.

    Parameters
    ----------
    rectangles : ndarray of int64, shape (N, 4)
        As for :class:`Rectangles`.
    rows, columns : range
        With steps of 1 or more.

    Returns
    -------
    ndarray of int
    """
    touched = np.ones(len(rectangles), bool)
    for places, start, length in ((rows, _TOP, _HEIGHT), (columns, _LEFT, _WIDTH)):
        step, starts = places.step, rectangles[:, start] - places.start
        first = np.maximum(0, -(-starts // step))
        last = np.minimum(len(places), -(-(starts + rectangles[:, length]) // step))
        touched &= first < last
    return np.flatnonzero(touched)


def meet(places: range, start: int, length: int) -> tuple[slice, slice]:
    """Return which of some ascending places lie in a piece of an axis, and where they lie within it.

    Parameters
    ----------
    places : range
        With a step of 1 or more.
    start, length : int
        The first place of the piece, and its length. The piece holds one of the places at least.

    Returns
    -------
    slice
        Which of the places.
    slice
        Where within the piece.
    """
    step = places.step
    first = max(0, -((places.start - start) // step))
    last = min(len(places), -((places.start - start - length) // step))
    return slice(first, last), slice(places[first] - start, places[last - 1] - start + 1, step)


def cover_all(rectangles: NDArray[np.int64], extent: tuple[int, int]) -> bool:
    """Return whether rectangles cover all of an image.

    Parameters
    ----------
    rectangles : ndarray of int64, shape (N, 4)
        As for :class:`Rectangles`; none reaches beyond the image.
    extent : tuple of int
        Height and width of the image in pixels.
    """
    ordered = rectangles[np.argsort(rectangles[:, _TOP], kind="stable")]
    edges = sorted(
        {0, extent[0], *(ordered[:, _TOP] + ordered[:, _HEIGHT]).tolist(), *ordered[:, _TOP].tolist()}
    )
    active: list[Sequence[int]] = []
    waiting = ordered.tolist()[::-1]
    # Between two edges the same rectangles lie in every row.
    for row in edges[:-1]:
        active = [one for one in active if one[_TOP] + one[_HEIGHT] > row]
        while waiting and waiting[-1][_TOP] <= row:
            active.append(waiting.pop())
        reached = 0
        for one in sorted(active, key=lambda rectangle: rectangle[_LEFT]):
            if one[_LEFT] > reached:
                return False
            reached = max(reached, one[_LEFT] + one[_WIDTH])
        if reached < extent[1]:
            return False
    return True
