"""Scale bars: a round length that can be told for certain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.images.geometry import Geometry

_MICROMETERS = (("nm", 1e-3), ("µm", 1.0), ("mm", 1e3), ("m", 1e6), ("km", 1e9))
_STEPS = (1, 2, 5, 10)
# A bar takes this share of a picture's width at most.
_SHARE = 0.25
# Meters of these projections differ from meters on the ground by a factor of two in the middle of Europe.
_UNTRUE = {"merc", "webmerc"}


def choose_bar(geometry: Geometry, width: int) -> tuple[float, str] | None:
    """Choose the length of a scale bar.

    Parameters
    ----------
    geometry : Geometry
    width : int
        The width of the picture in pixels of the geometry.

    Returns
    -------
    length : float
        In pixels.
    words : str
        The same length with its unit, as ``"200 µm"``.

    None if the geometry has neither the size of a pixel nor a projected coordinate reference system, or if
    nothing can tell the length of its unit, since the extra ``geo`` isn't installed.
    """
    pixel = _pixel_width(geometry)
    if pixel is None or not 0 < pixel < math.inf:
        return None
    longest = _SHARE * width * pixel
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in _STEPS if step * power <= longest * (1 + 1e-9))
    unit, size = max(
        (one for one in _MICROMETERS if one[1] <= length), key=lambda one: one[1], default=_MICROMETERS[0]
    )
    return length / pixel, f"{length / size:.4g} {unit}"


def _pixel_width(geometry: Geometry) -> float | None:
    """Return the width of a pixel in micrometers, or None if it isn't certain."""
    if geometry.pixel_size is not None:
        return geometry.pixel_size[1]
    if geometry.crs is None or geometry.transform is None:
        return None
    try:
        from rasterio.crs import CRS  # noqa: PLC0415  an extra
        from rasterio.errors import CRSError  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        return None
    try:
        crs = CRS.from_user_input(geometry.crs)
        if not crs.is_projected or crs.to_dict().get("proj") in _UNTRUE:
            return None
        meters = float(crs.linear_units_factor[1])
    except CRSError:
        return None
    a, _, _, d, _, _ = geometry.transform
    return math.hypot(a, d) * meters * 1e6
