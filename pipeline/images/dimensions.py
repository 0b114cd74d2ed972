"""Names of dimensions: which axis of an array holds rows, which columns, and which channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

_CHANNELS = frozenset({"band", "bands", "channel", "channels", "c", "rgb"})
_ROWS = frozenset({"y", "lat", "latitude", "row", "rows", "height"})
_COLUMNS = frozenset({"x", "lon", "longitude", "col", "cols", "column", "columns", "width"})


class Axes(NamedTuple):
    """The axes of an array.

    Attributes
    ----------
    rows, columns : int or None
        None if the names don't say.
    channels : int or None
        None if there are no channels, or the names don't say.
    """

    rows: int | None
    columns: int | None
    channels: int | None


def find_axes(dims: Sequence[Hashable]) -> Axes:
    """Return the axes of an array by the names of its dimensions.

    Parameters
    ----------
    dims : sequence of str
        Upper and lower case are the same.

    Returns
    -------
    Axes
        An axis is None unless exactly one name stands for it. Rows and columns are known both, or none.
    """
    names = [str(name).lower() for name in dims]
    rows, columns, channels = (_find(names, known) for known in (_ROWS, _COLUMNS, _CHANNELS))
    if rows is None or columns is None:
        rows = columns = None
    return Axes(rows, columns, channels)


def find_channel_axis(dims: Sequence[Hashable], channel_axis: int | None) -> int | None:
    """Return the axis of an array's channels by the names of its dimensions, or as a caller says.

    Parameters
    ----------
    dims : sequence of str
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    int or None
        By default the dimension whose name stands for channels; None if the dimensions are rows and columns
        alone. If the names say neither, what the caller says.

    Raises
    ------
    ValueError
        If the caller names another axis than the dimension whose name stands for channels.
    """
    axes = find_axes(dims)
    if channel_axis == -1:
        if axes.channels is not None:
            return axes.channels
        return None if axes.rows is not None and len(dims) == 2 else -1  # noqa: PLR2004  rows and columns
    is_axis = isinstance(channel_axis, int) and -len(dims) <= channel_axis < len(dims)
    if is_axis and channel_axis is not None and axes.channels not in {None, channel_axis % len(dims)}:
        raise ValueError(
            f"channel_axis is {channel_axis}, the dimension {dims[channel_axis]!r}, but the channels are the "
            f"dimension {dims[axes.channels or 0]!r}. Leave channel_axis out."
        )
    return channel_axis


def _find(names: list[str], known: frozenset[str]) -> int | None:
    found = [axis for axis, name in enumerate(names) if name in known]
    return found[0] if len(found) == 1 else None
