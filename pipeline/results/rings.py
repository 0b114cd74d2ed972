"""Rings of vertices on the corners of pixels: their areas, and rings that touch themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A ring that meets a vertex twice has at least as many vertices.
_SHORTEST_TOUCHING = 8
# NumPy takes longer than Python for as many vertices.
_FEW = 32


def split_ring(ring: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return a ring as rings that meet no vertex twice."""
    if len(ring) < _SHORTEST_TOUCHING:
        return [ring]
    keys = ring[:, 0] * (int(ring[:, 1].max()) + 1) + ring[:, 1]
    if len(np.unique(keys)) == len(keys):
        return [ring]
    rings: list[NDArray[np.int64]] = []
    path: list[int] = []
    places: dict[int, int] = {}
    for number, key in enumerate(keys.tolist()):
        if key in places:
            begin = places[key]
            rings.append(ring[path[begin:]])
            for passed in path[begin + 1 :]:
                del places[int(keys[passed])]
            # The vertex stays, once.
            path[begin:] = [number]
        else:
            places[key] = len(path)
            path.append(number)
    return [*rings, ring[path]]


def area_of(ring: NDArray[np.int64]) -> int:
    """Return the area in pixels, which is negative for the outline of a hole."""
    if len(ring) > _FEW:
        rows, columns = ring[:, 0], ring[:, 1]
        return int(columns @ np.roll(rows, -1) - np.roll(columns, -1) @ rows) // 2
    points, twice = ring.tolist(), 0
    row, column = points[-1]
    for next_row, next_column in points:
        twice += column * next_row - next_column * row
        row, column = next_row, next_column
    return int(twice) // 2
