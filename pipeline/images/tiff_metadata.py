"""What a TIFF says beside its pixels: where they lie."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from pipeline.images.geometry import UNKNOWN, Geometry

if TYPE_CHECKING:
    import tifffile

_APERIO_SIZE = re.compile(r"\bMPP *= *([0-9.]+)")
_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_MICROMETERS = {"nm": 1e-3, "µm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def read_geometry(file: tifffile.TiffFile) -> Geometry:
    """Return the geometry that OME-XML or the description of an Aperio slide states."""
    description = file.pages.first.description
    if file.is_ome:
        sizes = [_ome_size(description, axis) for axis in "YX"]
    else:
        found = _APERIO_SIZE.search(description) if file.is_svs else None
        sizes = [float(found[1]) if found else None] * 2
    height, width = sizes
    return Geometry((height, width)) if height and width else UNKNOWN


def _ome_size(description: str, axis: str) -> float | None:
    """Return the size of the first image's pixels along an axis in micrometers, or None if it isn't known."""
    pixels = _OME_PIXELS.search(description)
    size = pixels and re.search(rf'\bPhysicalSize{axis}="([^"]+)"', pixels[0])
    unit = pixels and re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', pixels[0])
    if not size:
        return None
    # The schema's default is the micrometer.
    scale = _MICROMETERS.get(html.unescape(unit[1]) if unit else "µm")
    return None if scale is None else float(size[1]) * scale
