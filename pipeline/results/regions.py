"""Regions of results, read without Dask and in bounded memory, for whatever writes them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.results.result import Result


def value_dtype(result: Result, name: str) -> np.dtype[Any]:
    """Return the dtype of the values of a result that every file format knows: there are no halves."""
    dtype = result.outputs[name].encoding.decoded_dtype
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def tiles_of(result: Result, name: str, side: int) -> Iterator[NDArray[Any]]:
    """Yield the values of a result in square tiles, plane after plane, and row by row in a plane.

    Parameters
    ----------
    result : Result
    name : str
    side : int
        Tiles at the lower and right edge are filled up with no data.

    Yields
    ------
    ndarray, shape (side, side)
    """
    output = result.outputs[name]
    grid = Grid(result.levels[result.level], (side, side), (side, side))
    dtype = value_dtype(result, name)
    no_data = np.nan if dtype.kind == "f" else output.no_data
    for plane in range(output.n_results):
        for block in grid.blocks():
            values = result.read(name, block, plane)[0].astype(dtype, copy=False)
            if values.shape != (side, side):
                whole = np.full((side, side), no_data, dtype)
                whole[: values.shape[0], : values.shape[1]] = values
                values = whole
            yield values
