"""Pseudorandom numbers that belong to places in an image, whichever blocks it is read by."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Extent = tuple[int, int]

# The number of groups among which the squares of an image are distributed.
N_GROUPS = 20
# An image is divided into about so many squares, within these limits of their side in pixels.
_SQUARES = 400
_SHORTEST, _LONGEST = 16, 1024
# The constants of SplitMix64.
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def priorities_of(rows: slice, columns: slice, width: int, seed: int) -> NDArray[np.uint64]:
    """Return a pseudorandom number for each pixel of a region.

    Parameters
    ----------
    rows, columns : slice
        The region, with steps of 1.
    width : int
        The width of the image.
    seed : int

    Returns
    -------
    ndarray of uint64, shape (h, w)
        Uniform over all 64-bit numbers; no two pixels of an image have the same number.

    Notes
    -----
    The numbers are the output of the generator SplitMix64 (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014) for the place of the pixel.
    """
    numbers = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.uint64)
    line = np.arange(columns.start, columns.stop, dtype=np.uint64)
    # Row by row, the numbers stay in the cache.
    for row, target in zip(range(rows.start, rows.stop), numbers, strict=True):
        target[...] = _mix(line + np.uint64(row * width), seed)
    return numbers


def groups_of(rows: slice, columns: slice, extent: Extent, seed: int) -> NDArray[np.uint8]:
    """Return the group of each pixel of a region.

    Neighboring pixels resemble one another, so that pixels are held out of training by squares: a square
    belongs to one of 20 groups as a whole.

    Parameters
    ----------
    rows, columns : slice
        The region, with steps of 1.
    extent : tuple of int
        Height and width of the image, which is divided into about 400 squares, of 16 to 1024 pixels a side.
    seed : int

    Returns
    -------
    ndarray of uint8, shape (h, w)
        Numbers from 0 to 19.
    """
    side = min(max(round(math.sqrt(math.prod(extent) / _SQUARES)), _SHORTEST), _LONGEST)
    down, across = (np.arange(part.start, part.stop) // side for part in (rows, columns))
    # Each square is hashed once, and then spread over its pixels.
    tops, lefts = (np.unique(part).astype(np.uint64) for part in (down, across))
    n_across = np.uint64(-(-extent[1] // side))
    squares = _mix(tops[:, np.newaxis] * n_across + lefts, seed)
    groups = (squares % np.uint64(N_GROUPS)).astype(np.uint8)
    return groups[np.ix_(down - down[:1], across - across[:1])]


def check_seed(seed: int) -> int:
    """Return a seed as an int, or raise ValueError unless it is an integer of at least 0."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"seed is {seed!r:.80}; wanted an integer of at least 0")
    return number


def _mix(numbers: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return the outputs of SplitMix64 for these numbers of its sequence."""
    # Two seeds begin at places that are far apart.
    begin = (seed % 2**64 * _FIRST + 1) * _STEP % 2**64
    mixed = numbers * np.uint64(_STEP) + np.uint64(begin)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(_FIRST)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(_SECOND)
    mixed ^= mixed >> np.uint64(31)
    return mixed
