"""Coarser levels: a pixel of a level is made of the two by two pixels of the level below that have data.

The values are what is averaged, and not the numbers that stand for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.models.quantity import Coarsening

    # Each array has one of the two by two pixels.
    Four = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]

# So many pixels of a strip, and what is made of them, stay in the cache.
_STRIP = 2**17


def coarsen(output: Output, stored: NDArray[Any]) -> NDArray[Any]:
    """Make a block of the next coarser level.

    Parameters
    ----------
    output : Output
        Its quantity says how: see :class:`Quantity`.
    stored : ndarray, shape (n_results, h, w)
        The stored numbers of a block that begins at an even row and an even column of its level.

    Returns
    -------
    ndarray, shape (n_results, ceil(h / 2), ceil(w / 2))
        The stored numbers of the coarser level. A pixel has no data if none of those that it stands for has.
        Of equally frequent classes, it has the one that comes first among them, row by row.
    """
    n_results, height, width = stored.shape
    coarse = np.empty((n_results, -(-height // 2), -(-width // 2)), stored.dtype)
    rows = max(2, _STRIP // max(1, width) // 2 * 2)
    for plane, result in zip(stored, coarse, strict=True):
        for top in range(0, height, rows):
            _coarsen_strip(output, plane[top : top + rows], result[top // 2 : (top + rows) // 2])
    return coarse


def _coarsen_strip(output: Output, stored: NDArray[Any], out: NDArray[Any]) -> None:
    """Fill the coarser rows of a strip."""
    odd = [(0, side % 2) for side in stored.shape]
    if any(after for _, after in odd):
        stored = np.pad(stored, odd, constant_values=output.no_data)
    rule = output.quantity.coarsening
    if rule == "mode":
        out[...] = _modes(stored, output.no_data)
        return
    values = output.encoding.decode(stored)
    # Halves have too few digits for a sum.
    means = _MEANS[rule](values.astype(np.float32) if values.dtype == np.float16 else values)
    if output.encoding.is_lossy:
        output.encoding.encode(means.astype(np.float64), out)
    else:
        out[...] = means


def _four(values: NDArray[Any]) -> Four:
    return values[::2, ::2], values[::2, 1::2], values[1::2, ::2], values[1::2, 1::2]


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    """Return the means of two by two values that have data, NaN where none has."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows = values[::2] + values[1::2]
        mean: NDArray[Any] = rows[:, ::2] + rows[:, 1::2]
        mean *= 0.25
    # A sum that isn't finite has a value without data in it, or has overflown.
    finite = np.isfinite(mean)
    if not finite.all():
        places = np.nonzero(~finite)
        mean[places] = _careful_mean(np.stack([part[places] for part in _four(values)]))
    return mean


def _careful_mean(values: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the values along the first axis that aren't NaN, without an overflow."""
    present = ~np.isnan(values)
    count = present.sum(axis=0)
    shares = np.where(present, values, 0) / np.maximum(count, 1).astype(values.dtype)
    # Three thirds of the largest number are rounded to more than it.
    top = np.finfo(values.dtype).max
    with np.errstate(over="ignore"):
        return np.where(count, np.clip(shares.sum(axis=0), -top, top), np.nan)


def _log_mean_exp(values: NDArray[Any]) -> NDArray[Any]:
    """Return the logarithm of the mean of the exponentials of two by two values that have data."""
    rows = np.fmax(values[::2], values[1::2])
    largest = np.fmax(rows[:, ::2], rows[:, 1::2])
    terms = np.empty_like(values)
    # A difference to the lowest finite number may overflow; its exponential is 0.
    with np.errstate(over="ignore"):
        for part, term in zip(_four(values), _four(terms), strict=True):
            np.exp(part - largest, out=term)
    mean: NDArray[Any] = largest + np.log(_mean(terms))
    return mean


_MEANS: dict[Coarsening, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mean": _mean,
    "log-mean-exp": _log_mean_exp,
}


def _modes(stored: NDArray[Any], no_data: float) -> NDArray[Any]:
    """Return the most frequent of two by two numbers that have data, of equally frequent ones the first."""
    a, b, c, d = map(np.ascontiguousarray, _four(stored))
    modes = np.where(c == d, c, a)
    np.copyto(modes, b, where=(b == c) | (b == d))
    np.copyto(modes, a, where=(a == b) | (a == c) | (a == d))
    if (stored == no_data).any():
        places = np.nonzero((a == no_data) | (b == no_data) | (c == no_data) | (d == no_data))
        some = np.stack([numbers[places] for numbers in (a, b, c, d)])
        counts = (some[:, None] == some[None]).sum(axis=0)
        counts[some == no_data] = 0
        modes[places] = np.take_along_axis(some, counts.argmax(axis=0)[None], axis=0)[0]
    return modes
