"""Strips: the pixels of a block that an engine computes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


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


def flat_strip(results: NDArray[Any], strip: tuple[slice, slice]) -> NDArray[Any]:
    """Return a strip of contiguous results (n_results, n, width) as a view of shape (n_results, pixels)."""
    return results[:, *strip].reshape(len(results), -1)
