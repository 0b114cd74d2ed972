"""Arrays of xarray as sources, with what their dimensions, coordinates and attributes say."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.array_like import as_array
from pipeline.images.dask_array import open_dask
from pipeline.images.dimensions import Axes, find_axes, find_channel_axis
from pipeline.images.geometry import Geometry
from pipeline.images.no_data import NoData
from pipeline.images.numpy_array import open_numpy
from pipeline.images.sliceable import open_sliceable
from pipeline.images.source import SamePixels

if TYPE_CHECKING:
    import dask.array as da

    from pipeline.images.geometry import Transform
    from pipeline.images.source import Source

# The last authority of a coordinate reference system as WKT is that of the whole.
_EPSG = re.compile(r'(?:ID|AUTHORITY)\["EPSG", *"?(\d+)"?\]\s*\]\s*$')
# Coordinates are evenly spaced if none is further from its place, relative to the step or to its size.
_EVENLY = 1e-6
# A transform that is so many pixels from the coordinates at most is that of the same pixels.
_SAME = 1e-3


def open_data_array(array: object, role: str, channel_axis: int | None) -> Labeled | None:
    """Return an array of xarray as a source, or None if it is something else.

    Parameters
    ----------
    array : object
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`. The names of dimensions win over the default.

    Returns
    -------
    Labeled or None
        An array that xarray reads from a file isn't loaded: its regions are read.

    Raises
    ------
    TypeError, ValueError
        If the array can't be an image or a mask, or it is a Dataset of several.
    """
    check_no_dataset(array, role)
    xarray: Any = sys.modules.get("xarray")
    if xarray is None or not isinstance(array, xarray.DataArray):
        return None
    axis = find_channel_axis(array.dims, channel_axis)
    axes = find_axes(array.dims)
    order: tuple[int, int, int | None] | None = None
    # A caller may say which axis holds the channels where the names don't.
    channels = None if axis is None else axis % max(1, array.ndim)
    is_plane = array.ndim == 2 + (channels is not None) and channels not in axes[:2]
    if is_plane and axes.rows is not None and axes.columns is not None:
        order = (axes.rows, axes.columns, channels)
    base = _open_data(array, role, axis, order)
    if base is None:
        raise TypeError(
            f"{role} is an xarray.DataArray of {type(array.data)}; wanted one of a NumPy or a Dask array"
        )
    names = _read_names(array, channels, base.shape[2])
    geometry = _read_geometry(array, axes) if order is not None else Geometry(crs=_read_crs(array))
    return Labeled(base, names, geometry, read_no_data(array))


def check_no_dataset(array: object, role: str) -> None:
    """Raise ValueError for a Dataset of xarray, which holds several arrays."""
    xarray: Any = sys.modules.get("xarray")
    if xarray is not None and isinstance(array, xarray.Dataset):
        names = ", ".join(map(repr, array.data_vars))
        raise ValueError(
            f"{role} is an xarray.Dataset of {names:.200}; wanted a DataArray. Pass one of them, or all as "
            "channels: dataset.to_array('band')."
        )


def is_loaded(array: Any) -> bool:  # noqa: ANN401  an extra
    """Return whether the values of an array of xarray are in memory or a Dask array's, and in no file."""
    # There is no public way to ask, and asking for the values loads them.
    return array.chunks is not None or bool(array.variable._in_memory)  # noqa: SLF001  the same


def read_no_data(array: Any) -> NoData | None:  # noqa: ANN401  an extra
    """Return the no-data value that the attributes of an array of xarray state; NaN never has data."""
    for name in ("_FillValue", "missing_value"):
        value = array.attrs.get(name)
        if isinstance(value, int | float | np.number) and math.isfinite(value):
            return NoData(float(value))
    return None


class Labeled(SamePixels):
    """Another source, with names of channels, a geometry and a no-data value.

    Parameters
    ----------
    base : Source
        It is in memory, or lazy, and has no place.
    channels : tuple of str or None
    geometry : Geometry
    no_data : NoData or None
    """

    def __init__(
        self, base: Source, channels: tuple[str, ...] | None, geometry: Geometry, no_data: NoData | None
    ) -> None:
        self._base, self.channels, self.geometry, self.no_data = base, channels, geometry, no_data
        self.shape, self.dtype, self.tile = base.shape, base.dtype, base.tile

    def identity(self) -> str | None:
        """Return the identity of the pixels."""
        return self._base.identity()

    def as_dask(self) -> da.Array | None:
        """Return the Dask array of the pixels, if there is one."""
        return self._base.as_dask()

    def select(self, channels: tuple[int, ...]) -> Source | None:
        """Return the source of some of the channels, if reading can leave the others out."""
        base = self._base.select(channels)
        names = None if self.channels is None else tuple(self.channels[channel] for channel in channels)
        return None if base is None else Labeled(base, names, self.geometry, self.no_data)

    def with_alpha(self) -> Source | None:
        """Return the source itself if its last channel may be alpha, or is named so; else None."""
        return self if self.channels is None or self.channels[-1:] == ("alpha",) else None

    def _places(self) -> dict[str, Any]:
        return {}


def _open_data(
    array: Any,  # noqa: ANN401  an extra
    role: str,
    axis: int | None,
    order: tuple[int, int, int | None] | None,
) -> Source | None:
    """Return the source of the pixels of an array of xarray, with rows before columns."""
    if not is_loaded(array):
        return open_sliceable(array.variable, role, axis, order)
    data = as_array(array.data, role)
    if order is not None:
        data = data.transpose([number for number in order if number is not None])
        axis = None if order[2] is None else 2
    for open_array in (open_numpy, open_dask, open_sliceable):
        source: Source | None = open_array(data, role, axis)
        if source is not None:
            return source
    return None


def _read_names(array: Any, axis: int | None, n_channels: int) -> tuple[str, ...] | None:  # noqa: ANN401  an extra
    """Return the names of channels: the labels of their dimension if they are texts, or those of rasterio."""
    if axis is None:
        return None
    labels = _coordinate(array, axis)
    named = array.attrs.get("long_name")
    names: tuple[str, ...] = ()
    if (
        labels is not None
        and labels.dtype.kind in "UOT"
        and all(isinstance(label, str) for label in labels.values)
    ):
        names = tuple(map(str, labels.values))
    elif isinstance(named, tuple | list):
        names = tuple(map(str, named))
    return names if len(set(names)) == len(names) == n_channels else None


def _read_crs(array: Any) -> str | None:  # noqa: ANN401  an extra
    """Return the coordinate reference system of an array."""
    attributes = _grid_mapping(array)
    crs = attributes.get("crs_wkt") or attributes.get("spatial_ref")
    if not isinstance(crs, str):
        return None
    code = _EPSG.search(crs)
    return f"EPSG:{code[1]}" if code else crs


def _read_geometry(array: Any, axes: Axes) -> Geometry:  # noqa: ANN401  an extra
    """Return the georeference of an array whose rows and columns have names.

    Coordinates go with the pixels through any slicing, and the transform beside them doesn't. It is taken
    where it is that of the first pixel, since it is exact, or where there are no coordinates.
    """
    crs, stored = _read_crs(array), _stored_transform(array)
    x, y = (_coordinate(array, axis) for axis in (axes.columns, axes.rows))
    if x is None and y is None:
        return Geometry(crs=crs, transform=stored)
    across, down = (_even_steps(coordinate) for coordinate in (x, y))
    if across is None or down is None:
        return Geometry(crs=crs)
    (left, a), (top, e) = across, down
    transform = (a, 0.0, left - a / 2, 0.0, e, top - e / 2)
    if stored is not None:
        scales = (a, a, a, e, e, e)
        pairs = zip(stored, transform, scales, strict=True)
        if all(abs(one - other) <= _SAME * abs(scale) for one, other, scale in pairs):
            transform = stored
    return Geometry(crs=crs, transform=transform)


def _grid_mapping(array: Any) -> dict[str, Any]:  # noqa: ANN401  an extra
    """Return the attributes of the coordinate that states the coordinate reference system."""
    for name in (array.encoding.get("grid_mapping"), array.attrs.get("grid_mapping"), "spatial_ref"):
        if isinstance(name, str) and name in array.coords:
            return dict(array.coords[name].attrs)
    return {}


def _stored_transform(array: Any) -> Transform | None:  # noqa: ANN401  an extra
    """Return the transform that GDAL and rioxarray write, whose numbers come in another order."""
    try:
        c, a, b, f, d, e = map(float, str(_grid_mapping(array).get("GeoTransform")).split())
    except ValueError:
        return None
    return (a, b, c, d, e, f)


def _coordinate(array: Any, axis: int | None) -> Any:  # noqa: ANN401  an extra
    """Return the coordinate of an axis, or None; xarray's own `get` would make one up."""
    return None if axis is None else dict(array.coords).get(array.dims[axis])


def _even_steps(coordinate: Any) -> tuple[float, float] | None:  # noqa: ANN401  an extra
    """Return the first of evenly spaced coordinates and their step, or None if they aren't."""
    if coordinate is None or coordinate.ndim != 1 or coordinate.dtype.kind not in "iuf":
        return None
    values = np.asarray(coordinate.values, np.float64)
    last = len(values) - 1
    if last < 1 or not np.isfinite(values).all():
        return None
    first, step = float(values[0]), float(values[-1] - values[0]) / last
    off = np.abs(values - (first + step * np.arange(last + 1))).max()
    if not step or off > max(_EVENLY * abs(step), 1e-12 * np.abs(values).max()):
        return None
    return first, step
