"""Counts of the leading bits of numbers, in a loop that Numba compiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    for pattern in patterns:
        counters[pattern >> dropped] += 1
