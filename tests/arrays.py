"""Evaluation of one quantity on one array, for tests of the computation alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.engines import choose_engine, evaluate_pixels
from pipeline.models.output import Output, make_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline import Packed
    from pipeline.models.quantity import Quantity


def output_of(quantity: Quantity | Packed, dtype: Any = None) -> Output:
    """Return the output of one quantity."""
    (output,) = make_outputs(quantity, dtype)
    return output


def evaluate_array(
    pixels: NDArray[Any],
    quantity: Quantity | Packed,
    *,
    dtype: Any = None,
    engine: str = "auto",
    serial: bool = True,
) -> NDArray[Any]:
    """Return a quantity at every pixel of an array (..., C), with classes along the last axis."""
    output = output_of(quantity, dtype)
    chosen = choose_engine(engine, output, pixels.dtype, pixels[..., 0].size).engine
    (result,), _ = evaluate_pixels(pixels, [output], [chosen], serial=serial)
    return result[0] if output.class_names is None else np.moveaxis(result, 0, -1)
