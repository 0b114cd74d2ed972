"""What a TIFF says beside its pixels: where they lie, and how large they are."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any

from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.geotiff import read_georeference

if TYPE_CHECKING:
    from collections.abc import Callable

    import tifffile

    # Height and width of a pixel in micrometers.
    Size = tuple[float, float]

_NUMBER = r"([0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?)"
_APERIO_SIZE = re.compile(rf"\bMPP *= *{_NUMBER}")
_PHILIPS_SIZE = re.compile(rf'"DICOM_PIXEL_SPACING"[^>]*>[^0-9<]*{_NUMBER}[^0-9<]+{_NUMBER}')
_VENTANA_SIZE = re.compile(rf'\bScanRes="{_NUMBER}"')
_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
# Of the names in OME-XML, and of those that ImageJ writes or takes.
_MICROMETERS = {
    "nm": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
# Both signs for mu are in use, and ImageJ writes one of them by its number.
_MU = re.compile(r"[\u00b5\u03bc]|\\u00[bB]5")
# The units of the resolution that a TIFF states: inches and centimeters.
_RESOLUTION_UNITS = {2: 25400.0, 3: 1e4}
# A plain TIFF's pixels of this size or larger are those of a print or a screen: 72 to 2400 dots per inch.
# Programs write such resolutions unasked.
_PRINTED = 10.0
_XMP = 700


def read_geometry(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Geometry:
    """Return the geometry that a TIFF states for one of its images.

    Parameters
    ----------
    file : TiffFile
        It is open.
    series : TiffPageSeries
        The image, at full resolution.

    Returns
    -------
    Geometry
        The georeference, if there is one. Else the size of pixels by OME-XML, by ImageJ's description, or by
        the metadata of Aperio's, Philips' or Ventana's slides; failing these by the resolution in pixels per
        inch or centimeter, if that is finer than prints and screens are: pixels are smaller than 10 µm.
    """
    georeference = read_georeference(series.keyframe, file.filehandle.path)
    if georeference != UNKNOWN:
        return georeference
    read_size = _READERS.get(series.kind)
    size = _positive(read_size(file, series) if read_size else None)
    if size is None:
        size = _positive(_resolution_size(series.keyframe))
    return UNKNOWN if size is None else Geometry(size)


def _ome_size(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Size | None:
    """Return the size that OME-XML states for the image of a series."""
    images = _OME_PIXELS.findall(file.pages.first.description)
    if len(images) != len(file.series):
        # Images without pages in the file can't be told from the others, unless all of them have one size.
        sizes = {_ome_image_size(image) for image in images}
        return sizes.pop() if len(sizes) == 1 else None
    return _ome_image_size(images[file.series.index(series)])


def _ome_image_size(pixels: str) -> Size | None:
    """Return the size that the element of an image's pixels states."""
    height, width = (_ome_axis(pixels, axis) for axis in "YX")
    return None if height is None or width is None else (height, width)


def _ome_axis(pixels: str, axis: str) -> float | None:
    """Return the size of pixels along an axis, or None if it isn't known."""
    size = re.search(rf"""\bPhysicalSize{axis}=["']\s*{_NUMBER}\s*["']""", pixels)
    unit = re.search(rf"""\bPhysicalSize{axis}Unit=["']([^"']+)["']""", pixels)
    # The schema's default is the micrometer.
    scale = _micrometers(html.unescape(unit[1])) if unit else 1.0
    return None if size is None or scale is None else float(size[1]) * scale


def _imagej_size(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Size | None:
    """Return the size in the unit that ImageJ's description names; the resolution is in pixels per unit."""
    facts = file.imagej_metadata or {}
    across = _micrometers(facts.get("unit", ""))
    down = _micrometers(facts.get("yunit", facts.get("unit", "")))
    return None if across is None or down is None else _size_of(series.keyframe, down, across)


def _resolution_size(page: tifffile.TiffPage) -> Size | None:
    """Return the size by the resolution in pixels per inch or centimeter, unless it is one of prints."""
    unit = _RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    size = None if unit is None else _size_of(page, unit, unit)
    return None if size is None or max(size) >= _PRINTED else size


def _size_of(page: tifffile.TiffPage, down: float, across: float) -> Size | None:
    """Return the size by the resolution in pixels per unit, and the lengths of the units along both axes."""
    rates = [_rate(page.tags.valueof(name)) for name in ("YResolution", "XResolution")]
    return (down / rates[0], across / rates[1]) if all(rates) else None


def _rate(value: object) -> float:
    """Return a resolution, which is a fraction of two numbers or one number, or 0 if it isn't known."""
    match value:
        case (int() | float() as over, int() | float() as under):
            return over / under if under else 0.0
        case (int() | float() as rate,) | (int() | float() as rate):
            return rate
    return 0.0


def _slide_reader(
    find: Callable[[tifffile.TiffPage], Any],
) -> Callable[[tifffile.TiffFile, tifffile.TiffPageSeries], Size | None]:
    """Return a reader of what the first page of a slide states, which is true of its largest image only."""

    def _read(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Size | None:
        return find(file.pages.first) if series.name == "Baseline" else None

    return _read


def _aperio_size(page: tifffile.TiffPage) -> Size | None:
    found = _APERIO_SIZE.search(page.description)
    return (float(found[1]), float(found[1])) if found else None


def _philips_size(page: tifffile.TiffPage) -> Size | None:
    # In millimeters, of the rows first; the first one is that of the full resolution.
    found = _PHILIPS_SIZE.search(page.description)
    return (float(found[1]) * 1e3, float(found[2]) * 1e3) if found else None


def _ventana_size(page: tifffile.TiffPage) -> Size | None:
    xmp = page.tags.valueof(_XMP)
    found = _VENTANA_SIZE.search(xmp.decode(errors="replace") if isinstance(xmp, bytes) else str(xmp))
    return (float(found[1]), float(found[1])) if found else None


def _micrometers(unit: object) -> float | None:
    """Return the length of a unit by its name in micrometers, or None if it isn't one of length."""
    name = _MU.sub("u", str(unit)).strip()
    return _MICROMETERS.get(name, _MICROMETERS.get(name.lower().removesuffix("s")))


def _positive(size: Size | None) -> Size | None:
    """Return a size if it can be one."""
    return size if size is not None and all(0 < side < math.inf for side in size) else None


_READERS = {
    "ome": _ome_size,
    "imagej": _imagej_size,
    "svs": _slide_reader(_aperio_size),
    "philips": _slide_reader(_philips_size),
    "bif": _slide_reader(_ventana_size),
}
