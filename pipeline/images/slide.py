"""Whole slides in the formats of scanners, through OpenSlide (extra ``slides``).

Aperio's slides and plain tiled TIFFs are read by the reader of TIFFs, exactly as they are stored. OpenSlide
reads formats that aren't TIFFs, and TIFFs whose tiles overlap, are missing, or are giant: those of Hamamatsu,
Leica, Philips and Ventana.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import ImageFile, file_stamp, name_samples
from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.magnification import find_magnification
from pipeline.images.selection import meet_pieces
from pipeline.images.tiff import is_tiff
from pipeline.images.tiff_pages import open_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    import openslide
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.source import Places, Region

# OpenSlide's names of the scanners whose slides it reads here.
_VENDORS = {
    *("dicom", "hamamatsu", "leica", "mirax", "philips", "sakura", "trestle", "ventana", "zeiss"),
}
# Formats that aren't TIFFs, by the endings that OpenSlide itself goes by.
_SUFFIXES = {".czi", ".dcm", ".mrxs", ".svslide", ".vms", ".vmu"}
# The kinds of TIFFs that tifffile knows by their tags.
_TIFF_KINDS = ("ndpi", "scn", "bif", "philips")
# Slides of these are scanned without gaps.
_OPAQUE = {"hamamatsu"}
# A level is read by squares that don't depend on the region, since places between pixels are interpolated.
_SQUARE = 1024
# The bytes of decoded tiles that OpenSlide keeps for a slide, and the slides that a process keeps open.
_CACHE, _SLIDES = 2**25, 4
# An RGBA pixel, as OpenSlide returns it and as an array.
_PIXEL_BYTES = 8
_SLIDE = "slide"


def open_slide(path: str, choice: Choice) -> Slide | None:
    """Open a slide without reading a pixel, or return None if another reader knows the file.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        A level or a magnification; the series is "slide", or the name of an image that belongs to it, such as
        "label", "macro" or "thumbnail".

    Returns
    -------
    Slide or None
        Red, green and blue, with pixels that the scanner left out marked by alpha. A level is whole, with its
        margins; its series line says which part the scanner filled.

    Raises
    ------
    ImportError
        If the file is a slide of a format that isn't TIFF, and OpenSlide isn't installed.
    ValueError
        If the slide is damaged, or there is no such level, magnification or series.
    """
    if not _may_be_slide(path):
        return None
    try:
        import openslide  # noqa: PLC0415  readers are imported where they are used
    except ImportError as error:
        if is_tiff(path):
            return None
        raise ImportError(
            f"{path} needs OpenSlide to be read: pip install 'mixture-pipeline[slides]'"
        ) from error
    vendor = openslide.OpenSlide.detect_format(path)
    if vendor not in _VENDORS:
        return None
    choice.check(path, "a slide", "level", "series", "magnification")
    stamp = file_stamp(path)
    slide = _opened(path, stamp)
    names = (_SLIDE, *sorted(slide.associated_images))
    name = _series_name(path, names, choice.series)
    series = tuple(f"{number}: {_line(slide, one)}" for number, one in enumerate(names))
    levels = tuple((height, width) for width, height in slide.level_dimensions)
    level, geometry, tile = 0, UNKNOWN, (1, 1)
    if name == _SLIDE:
        level = _level(path, slide.properties, choice, levels)
        height, width = levels[level]
        geometry = _geometry(slide.properties).coarser(levels[0][0] / height, levels[0][1] / width)
        tile = _tile(slide.properties, level)
    else:
        if choice.level or choice.magnification:
            raise ValueError(f"{path} has no levels of its series {name!r}. Leave the level out.")
        width, height = slide.associated_images[name].size
        levels = ()
    samples, channels = name_samples("RGBA")
    return Slide(
        path=path,
        stamp=stamp,
        shape=(height, width, len(samples)),
        dtype=np.dtype(np.uint8),
        channels=channels,
        tile=tile,
        stored="RGBA",
        samples=samples,
        geometry=geometry,
        levels=levels if len(levels) > 1 else (),
        series=series if len(series) > 1 else (),
        choice=choice,
        level=level,
        image=name,
        states_alpha=vendor not in _OPAQUE,
    )


@dataclass(frozen=True, kw_only=True)
class Slide(ImageFile):
    """A level of a slide, or an image that belongs to it.

    Attributes
    ----------
    level : int
    image : str
        "slide", or the name of an image that belongs to it.
    states_alpha : bool
        Whether pixels may be transparent, which the scanner left out.
    """

    level: int = field(repr=False)
    image: str = field(repr=False)
    states_alpha: bool = field(repr=False)

    @property
    def unit(self) -> tuple[int, int]:
        """A tile, or the square in which a coarser level is read."""
        return (_SQUARE, _SQUARE) if self.level else self.tile

    @property
    def held_bytes(self) -> int:
        """The decoded tiles that OpenSlide keeps."""
        return _CACHE

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        self.check_unchanged()
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        out = np.empty((len(rows), len(columns), len(self.samples)), np.uint8)
        if not out.size:
            return out
        for row, height, row_places in meet_pieces(rows, _SQUARE):
            for column, width, column_places in meet_pieces(columns, _SQUARE):
                square = self._read_square(row, column, row_places, column_places)
                out[height, width] = square[..., self.samples]
        return out

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, and a square of RGBA twice."""
        del places
        size = math.prod(self.extent) if self.image != _SLIDE else _SQUARE * _SQUARE
        return math.prod(extent) * self.pixel_bytes + size * _PIXEL_BYTES

    def _read_square(self, row: int, column: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Read places of a square of the image as RGBA."""
        slide = _opened(self.path, self.stamp)
        top, left = row * _SQUARE, column * _SQUARE
        try:
            if self.image != _SLIDE:
                whole = np.asarray(slide.associated_images[self.image].convert("RGBA"))
                return whole[top : top + _SQUARE, left : left + _SQUARE][rows, columns]
            if self.level:
                down = slide.level_downsamples[self.level]
                height, width = (min(_SQUARE, n - at) for n, at in zip(self.extent, (top, left), strict=True))
                place = (round(left * down), round(top * down))
                return np.asarray(slide.read_region(place, self.level, (width, height)))[rows, columns]
            place = (left + columns.start, top + rows.start)
            size = (columns.stop - columns.start, rows.stop - rows.start)
            return np.asarray(slide.read_region(place, 0, size))[:: rows.step or 1, :: columns.step or 1]
        except Exception as error:
            # After an error, a slide that is open can't be read any more.
            _opened.cache_clear()
            raise ValueError(f"{self.path} can't be read at row {top}, column {left}: {error}") from error


@lru_cache(maxsize=_SLIDES)
def _opened(path: str, stamp: tuple[int, int]) -> openslide.OpenSlide:
    """Open a slide, which is kept open: OpenSlide reads it from several threads at once."""
    del stamp
    import openslide  # noqa: PLC0415  readers are imported where they are used

    try:
        slide = openslide.OpenSlide(path)
        slide.set_cache(openslide.OpenSlideCache(_CACHE))
    except Exception as error:
        raise ValueError(f"{path} can't be read as a slide: {error}") from error
    return slide


def _may_be_slide(path: str) -> bool:
    """Return whether OpenSlide should be asked for a file: it takes long to load."""
    if Path(path).suffix.lower() in _SUFFIXES:
        return True
    if not is_tiff(path):
        return False
    with open_tags(path) as file:
        return any(getattr(file, f"is_{kind}") for kind in _TIFF_KINDS)


def _series_name(path: str, names: tuple[str, ...], wanted: int | str | None) -> str:
    if wanted is None:
        return _SLIDE
    if isinstance(wanted, str) and wanted in names:
        return wanted
    if isinstance(wanted, int) and wanted < len(names):
        return names[wanted]
    raise ValueError(f"{path} has no series {wanted!r}; wanted one of {', '.join(names)}")


def _level(
    path: str, properties: Mapping[str, str], choice: Choice, levels: tuple[tuple[int, int], ...]
) -> int:
    if choice.magnification is not None:
        power = _number(properties, "openslide.objective-power")
        return find_magnification(path, power, choice.magnification, levels)
    if choice.level >= len(levels):
        raise ValueError(f"{path} has no level {choice.level}; wanted one of 0 to {len(levels) - 1}")
    return choice.level


def _geometry(properties: Mapping[str, str]) -> Geometry:
    """Return the geometry of level 0, whose pixels OpenSlide measures in micrometers."""
    height, width = (_number(properties, f"openslide.mpp-{axis}") for axis in "yx")
    return Geometry((height, width)) if height and width else UNKNOWN


def _tile(properties: Mapping[str, str], level: int) -> tuple[int, int]:
    """Return the tile of a level, or a square where OpenSlide doesn't say."""
    height, width = (
        _number(properties, f"openslide.level[{level}].tile-{side}") or _SQUARE
        for side in ("height", "width")
    )
    return int(height), int(width)


def _line(slide: openslide.OpenSlide, name: str) -> str:
    """Describe a slide, or an image that belongs to it."""
    if name != _SLIDE:
        width, height = slide.associated_images[name].size
        return f"{name!r}, {height} x {width} pixels"
    width, height = slide.dimensions
    power = _number(slide.properties, "openslide.objective-power")
    parts = [f"{name!r}", f"{height} x {width} pixels", f"{slide.level_count} levels"]
    if power:
        parts.append(f"magnification {power:g}")
    sides = ("y", "height", "x", "width")
    bounds = [_number(slide.properties, f"openslide.bounds-{side}") for side in sides]
    if None not in bounds:
        top, tall, left, wide = (int(bound or 0) for bound in bounds)
        parts.append(f"scanned rows {top} to {top + tall} and columns {left} to {left + wide}")
    return ", ".join(parts)


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        return float(properties[name])
    except (KeyError, ValueError):
        return None
