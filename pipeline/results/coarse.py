"""Reading a result coarsely: a few pixels of a result of any size, for a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.results.result import Result


def read_coarse(result: Result, name: str, number: int | None, side: int) -> tuple[NDArray[Any], int]:
    """Read a result, or one class of it, at the coarsest level that suits a picture.

    Parameters
    ----------
    result : Result
    name : str
    number : int or None
        The number of a class of a posterior, or None for a result that has one number for each pixel.
    side : int
        The pixels that the longer side has at least, if the result has so many. It has less than twice as
        many if the result has coarser levels; else pixels are left out.

    Returns
    -------
    values : ndarray, shape (h, w)
        float32 or float64, NaN where there is no data; integers for a label.
    scale : int
        The height and the width of a value in pixels of full resolution.
    """
    level = result.at(result.level_of(side))
    step = max(1, max(level.levels[level.level]) // side)
    array = level[name] if number is None else level[name][number]
    values: NDArray[Any] = array[::step, ::step].compute()
    # Half precision overflows in what follows.
    return values.astype(np.float32) if values.dtype == np.float16 else values, step * 2**level.level
