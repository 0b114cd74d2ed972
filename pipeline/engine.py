"""One NumPy block in, one NumPy block out: everything that computes goes through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.expression import compile_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    from pipeline.expression import Program
    from pipeline.quantity import Density

ENGINES = ("auto", "numexpr")
# Pixels that are converted to float64 planes at once: with three channels about a megabyte, which stays
# in a core's cache between the conversion and the program. A multiple of numexpr's block of 1024.
_STRIP_VALUES = 3 * 42 * 1024


def check_image(
    shape: tuple[int, ...], dtype: np.dtype[Any], quantity: Density, *, channel_axis: int | None = -1
) -> int:
    """Check that `quantity` can be evaluated on such an image, before anything is computed.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    quantity : Density
    channel_axis : int or None
        None for a grey image without a channel axis.

    Returns
    -------
    int
        The channel axis, counted from the end: -1 is last.

    Raises
    ------
    ValueError
        If there is no such axis, its length isn't the quantity's number of channels, or the dtype isn't
        boolean, integer or floating point.
    """
    if dtype.kind not in "biuf":
        raise ValueError(f"pixels have dtype {dtype}; wanted integers or floating point numbers")
    if channel_axis is None:
        shape, channel_axis = (*shape, 1), -1
    if not -len(shape) <= channel_axis < len(shape):
        raise ValueError(f"channel_axis is {channel_axis}, but the image has shape {shape}")
    found, wanted = shape[channel_axis], quantity.n_channels
    if found != wanted:
        names = f" ({', '.join(quantity.channels)})" if quantity.channels else ""
        raise ValueError(
            f"the image has {_count(found)} (shape {shape}, channel_axis {channel_axis}), the model has "
            f"{_count(wanted)}{names}. Pass an image of those channels, or the right channel_axis; for a "
            "grey image without a channel axis, channel_axis=None."
        )
    return channel_axis % len(shape) - len(shape)


def check_engine(engine: str) -> None:
    """Raise ValueError unless `engine` is one of :data:`ENGINES`."""
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; wanted one of {', '.join(ENGINES)}")


def evaluate_block(
    image: NDArray[Any],
    quantity: Density,
    *,
    dtype: DTypeLike | None = None,
    channel_axis: int | None = -1,
    engine: str = "auto",
    serial: bool = True,
) -> NDArray[Any]:
    """Evaluate a quantity at every pixel of an array.

    Parameters
    ----------
    image : ndarray
        Any shape with a channel axis of length C; boolean, integer or floating point; any strides.
    quantity : Density
    dtype : dtype, optional
        Of the result: float32 by default, or float64.
    channel_axis : int or None
        None for a grey image without a channel axis.
    engine : str
        One of :data:`ENGINES`.
    serial : bool
        True stays in the calling thread, as a task of many must. False lets numexpr use its threads.

    Returns
    -------
    ndarray
        The image's shape without the channel axis. Computed in float64, then rounded to `dtype`. A pixel
        with a NaN channel gives NaN.

    Raises
    ------
    ValueError
        As :func:`check_image` does, and for another dtype or engine.
    """
    check_engine(engine)
    axis = check_image(image.shape, image.dtype, quantity, channel_axis=channel_axis)
    pixels = np.moveaxis(image if channel_axis is not None else image[..., np.newaxis], axis, -1)
    out = np.empty(pixels.shape[:-1], quantity.output_dtype(dtype))
    if out.size:
        program = compile_program(quantity)
        rows = pixels.reshape(-1, *pixels.shape[-2:]) if pixels.ndim > 1 else pixels[np.newaxis, np.newaxis]
        for planes, flat in _strips(rows, out.reshape(rows.shape[:-1])):
            _run_numexpr(program, planes, flat, serial=serial)
    return out


def _strips(rows: NDArray[Any], out: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Cut (n, width, C) pixels into (C, strip) views with the flat piece of `out` that each fills."""
    height, width, n_channels = rows.shape
    strip = max(1024, _STRIP_VALUES // n_channels // 1024 * 1024)
    columns = min(width, strip)
    lines = max(1, strip // columns)
    for top in range(0, height, lines):
        for left in range(0, width, columns):
            window = (slice(top, top + lines), slice(left, left + columns))
            yield np.moveaxis(rows[window], -1, 0), out[window].reshape(-1)


def _run_numexpr(program: Program, pixels: NDArray[Any], out: NDArray[Any], *, serial: bool) -> None:
    planes = np.ascontiguousarray(pixels, dtype=np.float64).reshape(len(pixels), -1)
    program.run(planes, out, serial=serial)


def _count(n_channels: int) -> str:
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"
