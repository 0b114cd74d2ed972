"""A quantity over planes of pixels: by its program, and again, more exactly, where that is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.expression import compile_program
from pipeline.packing import Packed
from pipeline.precise import compute_precisely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quantity import Quantity

# Numbers of each strip that the program has at hand: about a megabyte, which stays in a core's cache. numexpr
# goes through it in blocks of 1024 pixels; fewer than two would have its calls cost as much as their work.
_STRIP_VALUES = 3 * 42 * 1024
_BLOCK = 1024


def strip_length(quantity: Quantity) -> int:
    """Give the number of pixels that are best computed at once.

    Parameters
    ----------
    quantity : Quantity

    Returns
    -------
    int
        A multiple of 1024: fewer for a quantity of many channels or classes.
    """
    inner, dtype = _unpacked(quantity)
    program = compile_program(inner, dtype)
    numbers = max(quantity.n_channels, len(program.scratch))
    return max(2 * _BLOCK, _STRIP_VALUES // numbers // _BLOCK * _BLOCK)


def compute_planes(
    quantity: Quantity, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool
) -> NDArray[np.float64] | None:
    """Compute a quantity at every pixel.

    Parameters
    ----------
    quantity : Quantity
    planes : ndarray of float64, shape (C, n)
        One contiguous plane a channel.
    out : ndarray, shape (n_results, n)
        Of the quantity's ``output_dtype``: filled with the results, computed in float64 and rounded once. A
        pixel with a NaN channel gets the dtype's ``no_data_value``.
    serial : bool
        True stays in the calling thread. False lets numexpr use its thread count.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        Each pixel's largest error by packing, as :meth:`Packed.pack` gives it; None if nothing is packed.

    Notes
    -----
    Errors are below 1e-12, relative, of log-densities, log-ratios, posteriors and densities above 1e-300,
    for pixels up to some 1e140. Each pixel has the same bits wherever it stands.
    """
    if isinstance(quantity, Packed):
        values = np.empty(out.shape)
        compute_planes(quantity.quantity, planes, values, serial=serial)
        return np.asarray(quantity.pack(values, out).max(axis=0))
    doubt = compile_program(quantity, out.dtype).run(planes, out, serial=serial)
    if doubt is not None:
        doubtful = np.flatnonzero(doubt > 0)
        if len(doubtful):
            exact = compute_precisely(quantity, planes[:, doubtful], out.dtype)
            out[:, doubtful] = np.where(np.isnan(exact), out[:, doubtful], exact)
    return None


def _unpacked(quantity: Quantity) -> tuple[Quantity, np.dtype[Any]]:
    if isinstance(quantity, Packed):
        return quantity.quantity, np.dtype(np.float64)
    return quantity, quantity.output_dtype()
