"""The values that a finished result must have at every level, computed without the package's own ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from references import scipy_reference

from pipeline.models.output import make_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.models.quantity import Quantity
    from pipeline.results.result import Result


def assert_right(result: Result, image: NDArray[Any], quantities: Mapping[str, Any]) -> None:
    """Compare a result with SciPy's numbers at full resolution, and each other level with the finer one.

    Parameters
    ----------
    result : Result
    image : ndarray, shape (H, W, C)
        All its pixels have data.
    quantities : mapping
        Those of the run. Packed ones have a linear scale or are halves, and none is coarsened by logarithms.
    """
    outputs = make_outputs(quantities)
    assert list(result) == [output.name for output in outputs]
    shape = image.shape[:2]
    for level, found in enumerate(result.levels):
        assert found == shape, level
        at_level = result.at(level)
        for output in outputs:
            got = _planes(at_level[output.name])
            if level:
                wanted = _coarsened(output, _planes(result.at(level - 1)[output.name]))
            else:
                wanted = _reference(image, output.quantity)
            assert got.shape == wanted.shape
            if output.label_names is not None:
                np.testing.assert_array_equal(got, wanted)
            else:
                np.testing.assert_allclose(got, wanted, rtol=_relative(output), atol=_absolute(output))
        shape = (-(-shape[0] // 2), -(-shape[1] // 2))
    assert max(result.levels[-1]) <= max(result.record.grid.chunk)
    assert result.summary is not None


def _planes(values: Any) -> NDArray[Any]:
    """Return values as an array of shape (J, H, W)."""
    array = np.asarray(values)
    return array[None] if array.ndim == 2 else array


def _reference(image: NDArray[Any], quantity: Quantity) -> NDArray[Any]:
    values = scipy_reference(image, quantity)
    return values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)


def _relative(output: Output) -> float:
    return 1e-3 if output.encoding.is_lossy and output.dtype.kind == "f" else 1e-6


def _absolute(output: Output) -> float:
    """Return the error that a packed output may have: half a step, and its rounding to float32."""
    if output.dtype.kind == "f":
        return 0.0
    encoding: Any = output.encoding
    return float(encoding.step) * 0.5001


def _coarsened(output: Output, finer: NDArray[Any]) -> NDArray[Any]:
    """Make each pixel of the two by two pixels that it stands for, as far as they are in the image."""
    planes, height, width = finer.shape
    coarse = np.empty((planes, -(-height // 2), -(-width // 2)))
    for plane, row, column in np.ndindex(*coarse.shape):
        square = finer[plane, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].astype(np.float64).ravel()
        if output.label_names is None:
            coarse[plane, row, column] = square.mean()
        else:
            # Of equally frequent classes the first one counts, row by row.
            coarse[plane, row, column] = max(square, key=lambda value: np.count_nonzero(square == value))
    return coarse
