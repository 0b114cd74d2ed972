"""What the attributes of a Zarr array say of its pixels: the names of axes, a map, the value without data.

xarray and GDAL write them, by the conventions of CF and of https://github.com/zarr-conventions.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import TYPE_CHECKING, Any

from zarr.core.metadata import ArrayV3Metadata

from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.no_data import NoData

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import zarr

# xarray's key of the names of axes, in version 2 of the format.
_DIMENSIONS = "_ARRAY_DIMENSIONS"
# CF's key of the value without data, and the one that stores of this package have.
_NO_DATA = ("_FillValue", "no_data")
_MAPPING = "spatial_ref"
_SPATIAL, _REGISTRATION = "spatial:transform", "spatial:registration"
_N_NUMBERS = 6


def axis_names(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    """Return the names of an array's axes, or None if it has none.

    Rows and columns are named y and x if the attribute ``spatial:dimensions`` says which axes they are.
    """
    attributes = array.attrs.asdict()
    if isinstance(array.metadata, ArrayV3Metadata):
        names: Any = array.metadata.dimension_names
    else:
        names = attributes.get(_DIMENSIONS)
    if not isinstance(names, list | tuple) or len(names) != array.ndim:
        return None
    places = attributes.get("spatial:dimensions")
    plane = dict(zip(map(str, places), "yx", strict=False)) if isinstance(places, list) else {}
    return tuple(None if name is None else plane.get(str(name), str(name)) for name in names)


def no_data_of(array: zarr.Array[Any]) -> NoData | None:
    """Return the value that marks pixels without data, if an array states a finite one."""
    attributes = array.attrs.asdict()
    stated: Any = next((attributes[key] for key in _NO_DATA if attributes.get(key) is not None), None)
    is_old = not isinstance(array.metadata, ArrayV3Metadata)
    if stated is None and is_old and _DIMENSIONS in attributes:
        # xarray keeps the value there.
        stated = array.metadata.fill_value
    if isinstance(stated, str):
        # xarray encodes a float by its bytes.
        try:
            (stated,) = struct.unpack("<d", base64.b64decode(stated, validate=True))
        except (binascii.Error, struct.error):
            return None
    try:
        value = float(stated)
    except (TypeError, ValueError):
        return None
    return NoData(value) if math.isfinite(value) else None


def map_geometry(
    attributes: Mapping[str, Any], find_attributes: Callable[[str], Mapping[str, Any] | None]
) -> Geometry:
    """Return the coordinate reference system and the transform that attributes state.

    Parameters
    ----------
    attributes : mapping
        Those of an array, or of a group.
    find_attributes : callable
        It returns the attributes of an array of a name in the same group, or None if there is none.

    Returns
    -------
    Geometry
        Unknown as far as they don't say.
    """
    transform = _numbers(attributes.get(_SPATIAL))
    crs = attributes.get("proj:code") or attributes.get("proj:wkt2")
    if transform is not None or crs is not None:
        if transform is not None and attributes.get(_REGISTRATION) == "node":
            # Whole numbers are the centers of pixels.
            a, b, c, d, e, f = transform
            transform = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
        return Geometry(crs=crs if isinstance(crs, str) else None, transform=transform)
    name = attributes.get("grid_mapping")
    # The extended form names coordinates after a colon.
    name = name.partition(":")[0].split()[0] if isinstance(name, str) and name.split() else _MAPPING
    mapping = find_attributes(name)
    if mapping is None:
        return UNKNOWN
    crs = mapping.get("crs_wkt") or mapping.get("spatial_ref")
    numbers = mapping.get("GeoTransform")
    transform = _numbers(numbers.split() if isinstance(numbers, str) else numbers)
    if transform is not None:
        # GDAL's order begins with the corner.
        c, a, b, f, d, e = transform
        transform = (a, b, c, d, e, f)
    return Geometry(crs=crs if isinstance(crs, str) else None, transform=transform)


def _numbers(values: object) -> tuple[float, float, float, float, float, float] | None:
    """Return six finite numbers, or None if they are something else."""
    if not isinstance(values, list | tuple) or len(values) < _N_NUMBERS:
        return None
    try:
        a, b, c, d, e, f = map(float, values[:_N_NUMBERS])
    except (TypeError, ValueError):
        return None
    return (a, b, c, d, e, f) if all(map(math.isfinite, (a, b, c, d, e, f))) else None
