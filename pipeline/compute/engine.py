"""One NumPy block in, one NumPy block out: everything that computes goes through here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.compute.color_table import STRIP, color_bits, find_table, fits_table, pack_colors, share_tables
from pipeline.compute.planes import compute_planes, strip_length
from pipeline.models.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray


ENGINES = ("auto", "numexpr", "table")
# Nanoseconds that numexpr needs for a constant of the program and a pixel, and that making a table needs for
# a colour. Their ratio decides, which is much the same on other machines:
# python tests/benchmarks/compare.py
_NS_PER_CONSTANT = 1.3
_NS_PER_COLOR = 3.0
# Beyond this, squares overflow, and a full covariance would subtract infinities.
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
    if isinstance(getattr(image, "_meta", image), np.ma.MaskedArray):
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


def has_data(mask: Any) -> Any:  # noqa: ANN401  NumPy's or Dask's
    """Tell where a mask keeps pixels: where it is a number other than 0.

    Raises
    ------
    ValueError
        If it isn't of numbers.
    """
    if mask.dtype.kind not in "biuf":
        raise ValueError(f"the mask has dtype {mask.dtype}; wanted numbers, 0 where there are no data")
    # NaN alone doesn't equal itself.
    return (mask != 0) & (mask == mask)  # noqa: PLR0124  the same


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
    too_big = bits is not None and not fits_table((quantity, result), bits)
    if bits is None or too_big:
        why = f"{kind} have too many colours for a table"
        if too_big:
            why = f"a table of {quantity.n_planes} results for each colour has more than 256 MiB"
        if engine == "table":
            raise ValueError(
                f"engine is 'table', but {why}; wanted 1 to 3 channels of uint8 or 1 of uint16. Use "
                "engine='auto'."
            )
        return Choice("numexpr", why)
    if engine != "auto":
        return Choice(engine, "as asked for")
    computing = n_pixels * _constants(quantity) * _NS_PER_CONSTANT
    if computing < 2**bits * _NS_PER_COLOR:
        return Choice("numexpr", f"{n_pixels} pixels take less time than a table of 2^{bits} colours")
    return Choice("table", f"{kind} have at most 2^{bits} colours")


def _constants(quantity: Quantity) -> int:
    """Count the constants of a quantity's program, by which its time goes."""
    n = quantity.n_channels
    return sum(
        mixture.n_kernels * (2 * n + 1 + (0 if mixture.is_diagonal else n * (n - 1) // 2))
        for mixture in quantity.mixtures
    )


class Request(NamedTuple):
    """What is wanted of a block: a quantity, in a dtype, by an engine that was chosen."""

    quantity: Quantity
    dtype: np.dtype[Any]
    engine: str
    # Why this engine.
    reason: str = ""


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
        Of the result, by default the quantity's own: float32 of most.
    channel_axis : int or None
        None for a grey image without a channel axis.
    engine : str
        One of :data:`ENGINES`.
    serial : bool
        True stays in the calling thread, as a task of many must. False lets numexpr use its threads.

    Returns
    -------
    ndarray
        The image's shape without the channel axis, in whose place the classes of a posterior stand.
        Computed in float64, then rounded to `dtype`. NaN, or the highest of integers, where a channel
        is NaN.

    Raises
    ------
    ValueError
        As :func:`check_image` does, and for another dtype or engine.
    """
    axis = check_image(image, quantity, channel_axis=channel_axis)
    pixels = np.moveaxis(image if channel_axis is not None else image[..., np.newaxis], axis, -1)
    n_pixels = math.prod(pixels.shape[:-1])
    output_dtype = quantity.output_dtype(dtype)
    chosen = choose_engine(engine, quantity, image.dtype, n_pixels, result=output_dtype).engine
    (out,), _ = evaluate_requests(pixels, [Request(quantity, output_dtype, chosen)], serial=serial)
    return out[0] if quantity.planes is None else np.moveaxis(out, 0, axis)


def evaluate_requests(
    pixels: NDArray[Any], requests: Sequence[Request], *, serial: bool
) -> tuple[list[NDArray[Any]], list[float]]:
    """Evaluate several quantities in one go over the pixels.

    Parameters
    ----------
    pixels : ndarray, shape (..., C)
        Checked by :func:`check_image`.
    requests : sequence of Request
        Their engines are ``"numexpr"`` or ``"table"``.
    serial : bool
        As of :func:`evaluate_block`.

    Returns
    -------
    results : list of ndarray, shape (planes, ...)
        One a request; a quantity without an extra axis has one plane.
    largest_errors : list of float
        Of what is packed, else 0.
    """
    results = [np.empty((r.quantity.n_planes, *pixels.shape[:-1]), r.dtype) for r in requests]
    errors = [0.0] * len(requests)
    if not math.prod(pixels.shape[:-1]):
        return results, errors
    rows = pixels.reshape(-1, *pixels.shape[-2:]) if pixels.ndim > 1 else pixels[np.newaxis, np.newaxis]
    outputs = [result.reshape(len(result), *rows.shape[:-1]) for result in results]
    looked_up = [number for number, request in enumerate(requests) if request.engine == "table"]
    bits = color_bits(pixels.dtype, pixels.shape[-1])
    if looked_up and bits is not None:
        columns = [(requests[number].quantity, requests[number].dtype) for number in looked_up]
        tables = [
            (
                [looked_up[column] for column in shared],
                find_table([columns[column] for column in shared], bits),
            )
            for shared in share_tables(columns)
        ]
        for window in _windows(rows.shape, STRIP):
            colors = pack_colors(rows[window])
            for numbers, table in tables:
                largest = table.look_up(colors, [_flat(outputs[number], window) for number in numbers])
                for number, error in zip(numbers, largest, strict=True):
                    errors[number] = max(errors[number], error)
    computed = [number for number, request in enumerate(requests) if request.engine != "table"]
    if computed:
        wanted = [(requests[number].quantity, requests[number].dtype) for number in computed]
        for window in _windows(rows.shape, strip_length(wanted)):
            outs = [_flat(outputs[number], window) for number in computed]
            packed = compute_planes(wanted, _planes(rows[window]), outs, serial=serial)
            for number, worst in zip(computed, packed, strict=True):
                if worst is not None:
                    errors[number] = max(errors[number], float(worst.max()))
    return results, errors


def _windows(shape: tuple[int, ...], strip: int) -> Iterator[tuple[slice, slice]]:
    """Cut (n, width, C) pixels into windows of at most `strip` pixels."""
    height, width, _ = shape
    columns = min(width, strip)
    lines = max(1, strip // columns)
    for top in range(0, height, lines):
        for left in range(0, width, columns):
            yield slice(top, top + lines), slice(left, left + columns)


def _flat(out: NDArray[Any], window: tuple[slice, slice]) -> NDArray[Any]:
    """View a window of results as flat planes: it is of whole rows, or within one."""
    return out[:, *window].reshape(len(out), -1)


def _planes(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Convert pixels (h, w, C) to contiguous planes (C, h * w)."""
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0), dtype=np.float64)
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize >= planes.itemsize:
        planes = np.clip(planes, -_LARGEST, _LARGEST)
    return planes.reshape(len(planes), -1)


def _count(n_channels: int) -> str:
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"
