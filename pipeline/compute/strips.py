"""Strips: the pixels of a block that an engine computes at once."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.compute.environment import numexpr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

# With fewer strips, threads would cost more than they gain.
_FEWEST_STRIPS = 4


def cut_strips(shape: tuple[int, ...], length: int) -> Iterator[tuple[slice, slice]]:
    """Yield the strips of pixels of shape (n, width, C), each of at most `length` pixels.

    A strip consists of whole rows, or is a part of one row.
    """
    n_rows, width = shape[:2]
    columns = min(width, length)
    rows = max(1, length // columns)
    for top in range(0, n_rows, rows):
        for left in range(0, width, columns):
            yield slice(top, top + rows), slice(left, left + columns)


def compute_strips(
    compute: Callable[[Iterable[tuple[slice, slice]]], list[float]],
    shape: tuple[int, ...],
    length: int,
    *,
    serial: bool,
) -> list[float]:
    """Compute the strips of an image, in several threads if there are many strips.

    Parameters
    ----------
    compute : callable
        It computes the strips that it is given, and returns the largest error of each output.
    shape, length
        As for :func:`cut_strips`.
    serial : bool
        Whether everything is computed in the calling thread. If not, there are as many threads as numexpr's
        settings say.

    Returns
    -------
    list of float
        The largest error of each output.
    """
    n_threads = 1 if serial else numexpr.get_num_threads()
    if n_threads == 1 or math.prod(shape[:2]) < _FEWEST_STRIPS * length:
        return compute(cut_strips(shape, length))
    with ThreadPoolExecutor(n_threads) as pool:
        shares = [islice(cut_strips(shape, length), n, None, n_threads) for n in range(n_threads)]
        return [max(errors) for errors in zip(*pool.map(compute, shares), strict=True)]


def flat_strip(results: NDArray[Any], strip: tuple[slice, slice]) -> NDArray[Any]:
    """Return a strip of contiguous results (n_results, n, width) as a view of shape (n_results, pixels)."""
    return results[:, *strip].reshape(len(results), -1)
