"""Checks of arrays of pixels, whichever library made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows, columns and channels.
_COLOR_AXES = 3


def check_pixels(
    array: Any,  # noqa: ANN401  any library's array
    n_channels: int,
    channels: Sequence[str] | None = None,
    *,
    channel_axis: int | None = -1,
) -> int:
    """Check that an array holds pixels of a model's channels, before anything is computed.

    Parameters
    ----------
    array : array
        Anything with a shape and a dtype.
    n_channels : int
        The number of channels of the model.
    channels : sequence of str, optional
        The names of the model's channels.
    channel_axis : int or None
        The axis of the channels; None for a gray image without a channel axis.

    Returns
    -------
    int
        The channel axis, counted from the end: -1 is the last axis.

    Raises
    ------
    TypeError
        If the array is a masked array, whose mask would be lost, or the channel axis isn't a number.
    ValueError
        If there is no such axis, if its length isn't the model's number of channels, or if the dtype isn't
        boolean, integer or floating point.
    """
    _check_axis_type(channel_axis)
    if is_masked(array):
        raise TypeError(
            "the image is a masked array, whose mask would be lost. Fill it: "
            "image.astype(float).filled(numpy.nan)."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"pixels have dtype {array.dtype}; wanted integers or floating point numbers")
    shape = array.shape
    if channel_axis is None:
        shape, channel_axis = (*shape, 1), -1
    if not -len(shape) <= channel_axis < len(shape):
        raise ValueError(
            f"channel_axis is {channel_axis}, but the image has shape {shape}; wanted one of its axes"
        )
    found = shape[channel_axis]
    if found != n_channels:
        names = f" ({', '.join(channels)})" if channels else ""
        gray = " A gray image without a channel axis needs channel_axis=None."
        raise ValueError(
            f"the image has {count_channels(found)} (shape {shape}), the model has "
            f"{count_channels(n_channels)}{names}. Pass an image with the model's channels, or a model of "
            f"the image's channels.{gray if len(array.shape) < _COLOR_AXES else ''}"
        )
    return channel_axis % len(shape) - len(shape)


def has_data(mask: Any) -> Any:  # noqa: ANN401  NumPy's or Dask's
    """Return where a mask keeps pixels: where it holds a number other than 0.

    Parameters
    ----------
    mask : ndarray or dask.array.Array

    Returns
    -------
    ndarray or dask.array.Array of bool

    Raises
    ------
    ValueError
        If the mask doesn't hold numbers.
    """
    check_mask_dtype(mask.dtype)
    # NaN is the only number that doesn't equal itself.
    return (mask != 0) & (mask == mask)  # noqa: PLR0124  the same


def check_mask_dtype(dtype: np.dtype[Any]) -> None:
    """Raise ValueError unless a mask of this dtype holds numbers."""
    if dtype.kind not in "biuf":
        raise ValueError(f"the mask has dtype {dtype}; wanted numbers, 0 where there are no data")


def is_masked(array: Any) -> bool:  # noqa: ANN401  any library's array
    """Return whether an array is a NumPy masked array, or a Dask array of such blocks."""
    return isinstance(getattr(array, "_meta", array), np.ma.MaskedArray)


def count_channels(n_channels: int) -> str:
    """Return a number of channels in words, for messages."""
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"


def check_array(array: Any, role: str, channel_axis: int | None) -> int | None:  # noqa: ANN401  any array
    """Check that an array can be an image, or a mask, and find its channels.

    Parameters
    ----------
    array : array
        Anything with a shape and a dtype.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        The axis that the caller names. The default, -1, also takes a gray image without a channel axis.

    Returns
    -------
    int or None
        The channel axis, 0 to 2, or None if the array has two axes, of rows and columns.

    Raises
    ------
    TypeError
        If it is a masked array, or the channel axis isn't a number.
    ValueError
        If it has another number of axes or lacks the channel axis, if a length isn't known, or if it doesn't
        hold numbers.
    """
    shape = tuple(array.shape)
    _check_axis_type(channel_axis)
    n_axes = 2 if channel_axis is None or (channel_axis == -1 and len(shape) == 2) else _COLOR_AXES  # noqa: PLR2004  rows, columns
    if len(shape) != n_axes:
        reason = "" if channel_axis == -1 else f" with channel_axis={channel_axis}"
        wanted = "(H, W, C)" if role == "image" and channel_axis is not None else "(H, W)"
        raise ValueError(
            f"{role} is an array of shape {shape}{reason}; wanted a path or an array of shape {wanted}"
        )
    if is_masked(array):
        remedy = f"Fill it, and pass its mask: mask=~{role}.mask[..., 0]."
        if not isinstance(array, np.ma.MaskedArray):
            remedy = f"Fill them: dask.array.ma.filled({role}, 0)."
        raise TypeError(f"{role} is a masked array, whose mask would be lost. {remedy}")
    if any(np.isnan(length) for length in shape):
        raise ValueError(
            f"{role} has chunks of unknown size, shape {shape}. Call its compute_chunk_sizes() first."
        )
    check_numbers(array, role)
    if n_axes == _COLOR_AXES and channel_axis is not None:
        if not -_COLOR_AXES <= channel_axis < _COLOR_AXES:
            raise ValueError(
                f"channel_axis is {channel_axis}, but the {role} has shape {shape}; wanted -1, 0, 1 or 2"
            )
        return channel_axis % _COLOR_AXES
    return None


def check_numbers(array: Any, role: str) -> None:  # noqa: ANN401  any array
    """Raise ValueError unless an array for this role holds numbers."""
    if role == "mask":
        check_mask_dtype(array.dtype)
    elif array.dtype.kind not in "biuf":
        raise ValueError(
            f"{role} has pixels of dtype {array.dtype}; wanted integers or floating point numbers"
        )


def _check_axis_type(channel_axis: object) -> None:
    """Raise TypeError unless this can be the number of an axis, or None."""
    if not (channel_axis is None or isinstance(channel_axis, int | np.integer)):
        raise TypeError(f"channel_axis is {channel_axis!r:.80}; wanted the number of an axis, or None")
