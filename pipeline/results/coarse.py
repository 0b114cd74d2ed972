"""Results read coarsely: a few pixels of a result of any size, for a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.results.planes import list_planes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.results.planes import Plane
    from pipeline.results.result import Result


def choose_planes(result: Result, names: Iterable[str], most: int) -> tuple[list[Plane], int]:
    """Choose the pictures of some results.

    Parameters
    ----------
    result : Result
    names : iterable of str
    most : int
        How many pictures there may be. The last classes of posteriors are left out before other results.

    Returns
    -------
    planes : list of Plane
    left_out : int
        How many are left out.
    """
    planes = list_planes(map(result.outputs.__getitem__, names))
    by_class = sorted(range(len(planes)), key=lambda place: planes[place].class_number or 0)
    return [planes[place] for place in sorted(by_class[:most])], len(by_class[most:])


def read_coarse(result: Result, plane: Plane, side: int) -> tuple[NDArray[Any], int]:
    """Read a result, or one class of it, at the coarsest level that suits a picture.

    Parameters
    ----------
    result : Result
    plane : Plane
    side : int
        The pixels that the longer side has at least, if the result has so many, and less than twice as many.

    Returns
    -------
    values : ndarray, shape (h, w)
        float32 or float64, NaN where there is no data; integers for a label.
    scale : int
        The height and the width of a value in pixels of full resolution.
    """
    level = result.at(result.level_of(side))
    # The coarsest level fits into a chunk, and may have more pixels than a small picture.
    step = max(1, max(level.levels[level.level]) // side)
    array = level[plane.output.name]
    if plane.class_number is not None:
        array = array[plane.class_number]
    values: NDArray[Any] = array[::step, ::step].compute()
    # Half precision overflows in what follows.
    return values.astype(np.float32) if values.dtype == np.float16 else values, step * 2**level.level
