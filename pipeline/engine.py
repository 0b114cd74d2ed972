"""One NumPy block in, one NumPy block out: everything that computes goes through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.color_table import STRIP, color_bits, find_table
from pipeline.expression import compile_program
from pipeline.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray


ENGINES = ("auto", "numexpr", "table")
# Nanoseconds that numexpr needs for a constant of the program and a pixel, and that making a table needs for
# a colour. Their ratio decides, which is much the same on other machines:
# python tests/benchmarks/compare.py
_NS_PER_CONSTANT = 1.3
_NS_PER_COLOR = 3.0
# Pixels that are converted to float64 planes at once: with three channels about a megabyte, which stays
# in a core's cache between the conversion and the program. A multiple of numexpr's block of 1024.
_STRIP_VALUES = 3 * 42 * 1024
_LARGEST = 1e150


def check_image(image: Any, quantity: Quantity, *, channel_axis: int | None = -1) -> int:  # noqa: ANN401  any array
    """Check that `quantity` can be evaluated on an image, before anything is computed.

    Parameters
    ----------
    image : array
        Anything with a shape and a dtype.
    quantity : Quantity
    channel_axis : int or None
        None for a grey image without a channel axis.

    Returns
    -------
    int
        The channel axis, counted from the end: -1 is last.

    Raises
    ------
    TypeError
        If the quantity isn't one, or the image is a masked array, whose mask would be lost.
    ValueError
        If there is no such axis, its length isn't the quantity's number of channels, the dtype isn't boolean,
        integer or floating point.
    """
    if not isinstance(quantity, Quantity):
        raise TypeError(
            f"the quantity is {quantity!r:.80}; wanted Density(mixture) or another of this package"
        )
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("the image is a masked array. Fill it: image.astype(float).filled(numpy.nan).")
    if image.dtype.kind not in "biuf":
        raise ValueError(f"pixels have dtype {image.dtype}; wanted integers or floating point numbers")
    shape = image.shape
    if channel_axis is None:
        shape, channel_axis = (*shape, 1), -1
    if not -len(shape) <= channel_axis < len(shape):
        raise ValueError(f"channel_axis is {channel_axis}, but the image has shape {shape}")
    found, wanted = shape[channel_axis], quantity.n_channels
    if found != wanted:
        names = f" ({', '.join(quantity.channels)})" if quantity.channels else ""
        is_plane = len(image.shape) < 3  # noqa: PLR2004  rows, columns, channels
        grey = " A grey image without a channel axis needs channel_axis=None." if is_plane else ""
        raise ValueError(
            f"the image has {_count(found)} (shape {shape}), the model has {_count(wanted)}{names}. Pass an "
            f"image of the model's channels, or a model of the image's.{grey}"
        )
    return channel_axis % len(shape) - len(shape)


class Choice(NamedTuple):
    """An engine, and why it was chosen."""

    engine: str
    reason: str


def choose_engine(
    engine: str, quantity: Quantity, dtype: np.dtype[Any], n_pixels: int, *, result: np.dtype[Any]
) -> Choice:
    """Choose how blocks are computed.

    Parameters
    ----------
    engine : str
        What the caller asks for: one of :data:`ENGINES`.
    quantity : Quantity
    dtype : dtype
        Of the image.
    n_pixels : int
        Of the whole image, or of what is known of it.
    result : dtype
        Of the values.

    Returns
    -------
    Choice
        ``"numexpr"`` or ``"table"``.

    Raises
    ------
    ValueError
        If there is no such engine, or a table is asked for where pixels have more than 24 bits.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; wanted one of {', '.join(ENGINES)}")
    bits = color_bits(dtype, quantity.n_channels)
    kind = f"{_count(quantity.n_channels)} of {dtype}"
    if bits is None:
        if engine == "table":
            raise ValueError(
                f"engine is 'table', but the pixels are {kind}; wanted 1 to 3 of uint8 or 1 of uint16. Use "
                "engine='auto'."
            )
        return Choice("numexpr", f"{kind} have too many colours for a table")
    if engine != "auto":
        return Choice(engine, "as asked for")
    memory = f"{2**bits * result.itemsize / 2**20:.3g} MiB"
    computing = n_pixels * _constants(quantity) * _NS_PER_CONSTANT
    if computing < 2**bits * _NS_PER_COLOR:
        return Choice(
            "numexpr", f"{n_pixels} pixels take less time than a table of 2^{bits} colours ({memory})"
        )
    return Choice("table", f"{kind} have at most 2^{bits} colours ({memory})")


def _constants(quantity: Quantity) -> int:
    """Count the constants of a quantity's program, by which its time goes."""
    n = quantity.n_channels
    return sum(
        mixture.n_kernels * (2 * n + 1 + (0 if mixture.is_diagonal else n * (n - 1) // 2))
        for mixture in quantity.mixtures
    )


def evaluate_block(
    image: NDArray[Any],
    quantity: Quantity,
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
    quantity : Quantity
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
    axis = check_image(image, quantity, channel_axis=channel_axis)
    pixels = np.moveaxis(image if channel_axis is not None else image[..., np.newaxis], axis, -1)
    out = np.empty(pixels.shape[:-1], quantity.output_dtype(dtype))
    chosen = choose_engine(engine, quantity, image.dtype, out.size, result=out.dtype).engine
    if not out.size:
        return out
    rows = pixels.reshape(-1, *pixels.shape[-2:]) if pixels.ndim > 1 else pixels[np.newaxis, np.newaxis]
    results = out.reshape(rows.shape[:-1])
    if chosen == "table":
        bits = color_bits(image.dtype, quantity.n_channels)
        assert bits is not None, "choose_engine refuses a table for such pixels"  # noqa: S101  for the type checker
        table = find_table(quantity, bits, out.dtype)
        for window, flat in _strips(rows, results, STRIP):
            table.look_up(window, flat)
    else:
        program = compile_program(quantity, out.dtype)
        strip = max(1024, _STRIP_VALUES // quantity.n_channels // 1024 * 1024)
        for window, flat in _strips(rows, results, strip):
            planes = np.ascontiguousarray(np.moveaxis(window, -1, 0), dtype=np.float64)
            if image.dtype.kind == "f" and image.dtype.itemsize >= planes.itemsize:
                # Beyond this, squares overflow, and a full covariance would subtract infinities.
                planes = np.clip(planes, -_LARGEST, _LARGEST)
            program.run(planes.reshape(len(planes), -1), flat, serial=serial)
    return out


def _strips(rows: NDArray[Any], out: NDArray[Any], strip: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Cut (n, width, C) pixels into windows of at most `strip`, with the flat piece of `out` for each."""
    height, width, _ = rows.shape
    columns = min(width, strip)
    lines = max(1, strip // columns)
    for top in range(0, height, lines):
        for left in range(0, width, columns):
            window = (slice(top, top + lines), slice(left, left + columns))
            yield rows[window], out[window].reshape(-1)


def _count(n_channels: int) -> str:
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"
