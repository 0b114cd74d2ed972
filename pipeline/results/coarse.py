"""Results read coarsely: a few pixels of a result of any size, for a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.models.summary import result_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.results.result import Result


class Plane(NamedTuple):
    """One picture: a result, or one class of a posterior.

    Attributes
    ----------
    output : Output
    title : str
        The name of the result, followed by that of the class.
    number : int or None
        The number of the class, or None if the result has one number for each pixel.
    """

    output: Output
    title: str
    number: int | None


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
    planes = [
        Plane(output, title, None if output.class_names is None else number)
        for output in map(result.outputs.__getitem__, names)
        for number, title in enumerate(result_names(output))
    ]
    by_class = sorted(range(len(planes)), key=lambda place: planes[place].number or 0)
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
    # A level has fewer pixels already, unless an older version wrote the store.
    step = max(1, max(level.levels[level.level]) // side)
    array = level[plane.output.name]
    if plane.number is not None:
        array = array[plane.number]
    values: NDArray[Any] = array[::step, ::step].compute()
    # Half precision overflows in what follows.
    return values.astype(np.float32) if values.dtype == np.float16 else values, step * 2**level.level
