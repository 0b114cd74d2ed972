"""The georeference of a GeoTIFF: a coordinate reference system, and the transform to its coordinates."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from pipeline.images.geometry import UNKNOWN, Geometry

if TYPE_CHECKING:
    import tifffile

    from pipeline.images.geometry import Transform

_SCALE, _TIEPOINT, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_MODEL_TYPE, _RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1024, 1025, 2048, 3072
_IS_PROJECTED, _IS_GEOGRAPHIC, _IS_POINT = 1, 2, 2
_USER_DEFINED = 32767
# The standard leaves numbers below and above to other uses than codes of the EPSG.
_EPSG = range(1024, _USER_DEFINED)
# The numbers of a tie point: column, row, depth, x, y, z. Those of a matrix: four rows of four.
_POINT, _FOUR_ROWS = 6, 16


def read_georeference(page: tifffile.TiffPage, path: str) -> Geometry:
    """Return where the pixels of a GeoTIFF's page lie, without a size in micrometers.

    Parameters
    ----------
    page : TiffPage
        The page of the full resolution, whose file is open.
    path : str
        Its file, from which rasterio reads a system that has no code.

    Returns
    -------
    Geometry
        Its coordinate reference system is the horizontal one, if the file states a vertical one too. It is
        None where a system that has no code of the EPSG can't be read, because rasterio isn't installed.

    Notes
    -----
    The size of pixels on the ground isn't known from the units of a projection: those of Web Mercator are
    called meters, and are half as long at a latitude of 60 degrees.
    """
    keys = _short_keys(page)
    transform = _transform(page, is_point=keys.get(_RASTER_TYPE) == _IS_POINT)
    crs = _crs(page, keys, path)
    return UNKNOWN if transform is None and crs is None else Geometry(crs=crs, transform=transform)


def _short_keys(page: tifffile.TiffPage) -> dict[int, int]:
    """Return the keys of the GeoKey directory whose values stand in it."""
    numbers = page.tags.valueof(_KEYS)
    if not isinstance(numbers, tuple):
        return {}
    entries = [numbers[start : start + 4] for start in range(4, len(numbers) - 3, 4)]
    return {key: value for key, place, _, value in entries if not place}


def _transform(page: tifffile.TiffPage, *, is_point: bool) -> Transform | None:
    """Return the affine transform, whose whole numbers are the corners of pixels, or None."""
    scale, points, matrix = (_floats(page, code) for code in (_SCALE, _TIEPOINT, _MATRIX))
    if len(scale) > 1 and scale[0] and scale[1] and len(points) >= _POINT:
        column, row, _, x, y, _ = points[:_POINT]
        # Rows go down and coordinates up, whichever sign was written.
        a, b, d, e = scale[0], 0.0, 0.0, -abs(scale[1])
        c, f = x - column * a, y - row * e
    elif len(matrix) == _FOUR_ROWS:
        a, b, _, c, d, e, _, f = matrix[:8]
    else:
        return None
    if a * e == b * d or not all(map(math.isfinite, (a, b, c, d, e, f))):
        return None
    if is_point:
        # Whole numbers are the centers of pixels in the file.
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return a, b, c, d, e, f


def _floats(page: tifffile.TiffPage, code: int) -> tuple[float, ...]:
    """Return the numbers of a tag, or none if it is missing."""
    numbers = page.tags.valueof(code)
    return tuple(map(float, numbers)) if isinstance(numbers, tuple) else ()


def _crs(page: tifffile.TiffPage, keys: dict[int, int], path: str) -> str | None:
    """Return the horizontal coordinate reference system, by its code or as WKT, or None."""
    model = keys.get(_MODEL_TYPE)
    is_geographic = model == _IS_GEOGRAPHIC or (model is None and _PROJECTED not in keys)
    code = keys.get(_GEOGRAPHIC if is_geographic else _PROJECTED)
    if code in _EPSG:
        return f"EPSG:{code}"
    # Without a kind of model, what GDAL makes up is no system of any place.
    return _read_wkt(path, page.offset) if model in (_IS_PROJECTED, _IS_GEOGRAPHIC) else None


def _read_wkt(path: str, offset: int) -> str | None:
    """Return the coordinate reference system of the page at an offset as WKT, or None."""
    try:
        import rasterio  # noqa: PLC0415  readers are imported where they are used
    except ImportError:
        return None
    with warnings.catch_warnings():
        # Only the system is read here, not the transform, which may be missing.
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            with rasterio.open(f"GTIFF_DIR:off:{offset}:{path}") as file:
                return str(file.crs.to_wkt()) if file.crs else None
        except (rasterio.errors.RasterioError, rasterio.errors.CRSError):
            # GDAL doesn't read all kinds of TIFFs, nor all systems.
            return None
