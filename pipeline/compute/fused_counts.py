"""Counts and sums of stored numbers, in loops that Numba compiles.

Neighbors often have the same value. Adding to a number to which was just added has to wait for it, so each
loop has four copies of its counters, which take turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled
def count_bins(patterns: NDArray[Any], dropped: int, counters: NDArray[Any]) -> None:
    """Count numbers by their leading bits.

    Parameters
    ----------
    patterns : ndarray of unsigned integers, shape (n,)
    dropped : int
        How many of the last bits don't count.
    counters : ndarray of int64
        The counters, to which the numbers are added.
    """
    lanes = np.zeros((4, counters.size), np.int64)
    whole = patterns.size // 4 * 4
    for start in range(0, whole, 4):
        for lane in range(4):
            lanes[lane, patterns[start + lane] >> dropped] += 1
    for place in range(whole, patterns.size):
        lanes[0, patterns[place] >> dropped] += 1
    for lane in range(4):
        counters += lanes[lane]


@compiled
def sum_values(
    places: NDArray[Any], values: NDArray[Any], counts: NDArray[Any], totals: NDArray[Any]
) -> None:
    """Sum the finite values of each zone, and count them.

    Parameters
    ----------
    places : ndarray of intp, shape (n,)
        The place of the zone of each value.
    values : ndarray of floats, shape (n,)
    counts : ndarray of int64, shape (4, zones)
        The counters, to which the numbers of values are added.
    totals : ndarray of float64, shape (4, zones)
        The sums, to which value number i is added in row i modulo 4.
    """
    for number in range(values.size):
        value = np.float64(values[number])
        if np.isfinite(value):
            lane, place = number % 4, places[number]
            counts[lane, place] += 1
            totals[lane, place] += value
