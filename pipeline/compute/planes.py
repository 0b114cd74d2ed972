"""Quantities over planes of pixels: by their program, and again, more exactly, where that is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.expression import compile_program
from pipeline.models.encoding import Packed
from pipeline.compute.precise import compute_precisely

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.models.quantity import Wanted

# Numbers of each strip that the program has at hand: about a megabyte, which stays in a core's cache. numexpr
# goes through it in blocks of 1024 pixels; fewer than two would have its calls cost as much as their work.
_STRIP_VALUES = 3 * 42 * 1024
_BLOCK = 1024


def strip_length(wanted: Sequence[Wanted]) -> int:
    """Give the number of pixels that are best computed at once.

    Parameters
    ----------
    wanted : sequence of (Quantity, dtype)

    Returns
    -------
    int
        A multiple of 1024: fewer for quantities of many channels or classes.
    """
    program = compile_program(_unpacked(wanted))
    numbers = max(wanted[0][0].n_channels, len(program.scratch))
    return max(2 * _BLOCK, _STRIP_VALUES // numbers // _BLOCK * _BLOCK)


def compute_planes(
    wanted: Sequence[Wanted], planes: NDArray[np.float64], outputs: Sequence[NDArray[Any]], *, serial: bool
) -> list[NDArray[np.float64] | None]:
    """Compute quantities at every pixel.

    Parameters
    ----------
    wanted : sequence of (Quantity, dtype)
    planes : ndarray of float64, shape (C, n)
        One contiguous plane a channel.
    outputs : sequence of ndarray, shape (n_results, n)
        Of the quantities' dtypes: filled with the results, computed in float64 and rounded once. A pixel with
        a NaN channel gets the dtype's ``no_data_value``.
    serial : bool
        True stays in the calling thread. False lets numexpr use its thread count.

    Returns
    -------
    list of ndarray of float64, shape (n,), or None
        For each quantity that is packed each pixel's largest error, as :meth:`Packed.pack` gives it.

    Notes
    -----
    Errors are below 1e-12, relative, of log-densities, log-ratios, posteriors and densities above 1e-300,
    for pixels up to some 1e140. Each pixel has the same bits wherever it stands, and whatever else is wanted.
    """
    unpacked = _unpacked(wanted)
    results = [
        out if dtype == out.dtype else np.empty(out.shape, dtype)
        for (_, dtype), out in zip(unpacked, outputs, strict=True)
    ]
    doubts = compile_program(unpacked).run(planes, results, serial=serial)
    for (quantity, dtype), values, doubt in zip(unpacked, results, doubts, strict=True):
        doubtful = np.flatnonzero(doubt > 0) if doubt is not None else ()
        if len(doubtful):
            exact = compute_precisely(quantity, planes[:, doubtful], dtype)
            values[:, doubtful] = np.where(np.isnan(exact), values[:, doubtful], exact)
    return [
        quantity.pack(values, out).max(axis=0) if isinstance(quantity, Packed) else None
        for (quantity, _), values, out in zip(wanted, results, outputs, strict=True)
    ]


def _unpacked(wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Give the quantities that have a program: what is packed is computed in float64 first."""
    return tuple(
        (one.quantity, np.dtype(np.float64)) if isinstance(one, Packed) else (one, dtype)
        for one, dtype in wanted
    )
