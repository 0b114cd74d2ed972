"""Whole slides in the formats of scanners, through OpenSlide (extra ``slides``).

Which reader a slide gets:

- Aperio's slides and plain tiled TIFFs are read by the reader of TIFFs, exactly as they are stored.
- Formats that aren't TIFFs are read through OpenSlide: Mirax, Zeiss, Sakura, DICOM, and Hamamatsu's VMS.
- The tiles of Ventana's and Trestle's TIFFs overlap. Only OpenSlide puts them together.
- TIFFs of Hamamatsu, Leica and Philips are read through OpenSlide, which places several scanned areas and
  knows which pixels weren't scanned. If OpenSlide isn't installed or refuses them, the reader of TIFFs reads
  them, area by area.

OpenSlide takes places in pixels of level 0, and interpolates where they fall between pixels of a coarser
level. Such a level is therefore read by squares that don't depend on the region, from places that fall on
pixels as nearly as possible: where a level is coarser by a whole number, the pixels are those of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import ImageFile, file_stamp, name_samples, open_binary
from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.magnification import find_magnification
from pipeline.images.remote import is_url
from pipeline.images.selection import meet_pieces, to_slice
from pipeline.images.tiff import is_tiff
from pipeline.images.tiff_pages import open_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    import openslide
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.source import Places, Region

# What OpenSlide calls the formats that the reader of TIFFs reads.
_TIFFS = {None, "aperio", "generic-tiff"}
# Formats that aren't TIFFs, by the endings that OpenSlide itself goes by, and by their first bytes.
_SUFFIXES = {".czi", ".dcm", ".mrxs", ".svslide", ".vms", ".vmu"}
_ZEISS, _DICOM, _DICOM_PLACE = b"ZISRAWFILE", b"DICM", 128
# Whether the reader of TIFFs reads a slide if OpenSlide doesn't.
_ONLY_OPENSLIDE, _OTHERWISE_TIFF = "only OpenSlide", "otherwise the reader of TIFFs"
# What the tags of TIFFs say whose tiles overlap: the software, and the XML in the tag of XMP.
_TRESTLE, _VENTANA, _XMP = "MedScan", "<iScan", 700
# Slides of these are scanned without gaps.
_OPAQUE = {"hamamatsu"}
# A region is read by squares. A square of a coarser level may begin so many pixels earlier.
_SQUARE, _MARGIN = 1024, 127
# The bytes of decoded tiles that OpenSlide keeps for a slide, and the slides that a process keeps open.
_CACHE, _SLIDES = 2**25, 4
# An RGBA pixel; and as OpenSlide returns it, as Pillow copies it, and as an array.
_RGBA_BYTES, _SQUARE_BYTES = 4, 12
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
        If only OpenSlide reads the slide, and it isn't installed.
    ValueError
        If the slide is damaged or of a kind that OpenSlide doesn't read, or there is no such level,
        magnification or series; if only OpenSlide reads it, and it is behind a URL.
    """
    kind = _kind_of(path)
    vendor = None if kind is None else _detect(path, kind)
    if vendor is None:
        return None
    stamp = file_stamp(path)
    try:
        slide = _opened(path, stamp)
    except ValueError:
        if kind == _OTHERWISE_TIFF:
            return None
        raise
    choice.check(path, "a slide", "level", "series", "magnification")
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
        height, width = _associated_size(slide.properties, name)
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
        states_alpha=name == _SLIDE and vendor not in _OPAQUE,
        content="" if is_tiff(path) else slide.properties.get("openslide.quickhash-1", ""),
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
    content : str
        OpenSlide's digest of a slide that consists of several files; empty for a single one.
    """

    level: int = field(repr=False)
    image: str = field(repr=False)
    states_alpha: bool = field(repr=False)
    content: str = field(repr=False)

    def identity(self) -> str:
        """Return the identity of the file and of its content: another reader decodes other pixels."""
        return f"{super().identity()}, by OpenSlide {self.content}".rstrip()

    @property
    def unit(self) -> tuple[int, int]:
        """A tile, or the square in which a coarser level is read."""
        return (_SQUARE, _SQUARE) if self.level else self.tile

    @property
    def held_bytes(self) -> int:
        """The decoded tiles that OpenSlide keeps."""
        return _CACHE

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C), by squares of the whole image."""
        self.check_unchanged()
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        out = np.empty((len(rows), len(columns), len(self.samples)), np.uint8)
        if not out.size:
            return out
        try:
            slide = _opened(self.path, self.stamp)
            if self.image != _SLIDE:
                whole = np.asarray(slide.associated_images[self.image].convert("RGBA"))
                return np.array(whole[to_slice(rows), to_slice(columns)][..., self.samples], order="C")
            for row, height, row_places in meet_pieces(rows, _SQUARE):
                for column, width, column_places in meet_pieces(columns, _SQUARE):
                    square = self._read_square(slide, (row, column), row_places, column_places)
                    out[height, width] = square[..., self.samples]
        except Exception as error:
            # After an error, a slide that is open can't be read any more.
            _opened.cache_clear()
            place = f"rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}"
            raise ValueError(f"{self.path} can't be read at {place}: {error}") from error
        return out

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, one square or associated image, and one tile."""
        del places
        size = math.prod(self.extent) if self.image != _SLIDE else (_SQUARE + _MARGIN) ** 2
        tile = math.prod(self.tile) * _RGBA_BYTES
        return math.prod(extent) * self.pixel_bytes + size * _SQUARE_BYTES + tile

    def _read_square(
        self, slide: openslide.OpenSlide, square: tuple[int, int], rows: slice, columns: slice
    ) -> NDArray[np.uint8]:
        """Read places of a square of a level as RGBA."""
        down = slide.level_downsamples[self.level]
        anchors = []
        for number, places in zip(square, (rows, columns), strict=True):
            # On level 0, any place falls on a pixel.
            start = number * _SQUARE if self.level else number * _SQUARE + places.start
            stop, margin = number * _SQUARE + places.stop, _margin(start, down)
            first = round((start - margin) * down)
            skipped = number * _SQUARE + places.start - start + margin
            anchors.append((first, stop - start + margin, slice(skipped, None, places.step)))
        (top, height, row_places), (left, width, column_places) = anchors
        pixels = np.asarray(slide.read_region((left, top), self.level, (width, height)))
        return pixels[row_places, column_places]


def _margin(start: int, down: float) -> int:
    """Return how many pixels before a place of a level is one that falls on a pixel of level 0, nearly."""

    def distance(margin: int) -> float:
        place = (start - margin) * down
        return abs(place - round(place))

    return min(range(min(start, _MARGIN) + 1), key=distance)


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


def _kind_of(path: str) -> str | None:
    """Return whether OpenSlide alone reads a file, or the reader of TIFFs too; None for any other file."""
    if Path(path).suffix.lower() in _SUFFIXES:
        return _ONLY_OPENSLIDE
    if not is_tiff(path):
        with open_binary(path) as file:
            start = file.read(_DICOM_PLACE + len(_DICOM))
        is_slide = start.startswith(_ZEISS) or start[_DICOM_PLACE:] == _DICOM
        return _ONLY_OPENSLIDE if is_slide else None
    with open_tags(path) as file:
        page = file.pages.first
        is_trestle = page.software.startswith(_TRESTLE) and page.is_tiled
        if is_trestle or _VENTANA in str(page.tags.valueof(_XMP)):
            return _ONLY_OPENSLIDE
        return _OTHERWISE_TIFF if file.is_ndpi or file.is_scn or file.is_philips else None


def _detect(path: str, kind: str) -> str | None:
    """Return OpenSlide's name of the maker of a slide, or None if the reader of TIFFs reads it."""
    if is_url(path):
        if kind == _OTHERWISE_TIFF:
            return None
        raise ValueError(f"{path} is a slide that only OpenSlide reads, from local files. Download it.")
    try:
        import openslide  # noqa: PLC0415  readers are imported where they are used
    except ImportError as error:
        if kind == _OTHERWISE_TIFF:
            return None
        raise ImportError(
            f"{path} needs OpenSlide to be read: pip install 'mixture-pipeline[slides]'"
        ) from error
    vendor: str | None = openslide.OpenSlide.detect_format(path)
    if vendor in _TIFFS and kind == _ONLY_OPENSLIDE and is_tiff(path):
        raise ValueError(f"{path} has the tags of a slide whose tiles overlap, but OpenSlide can't read them")
    return None if vendor in _TIFFS else vendor


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
        height, width = _associated_size(slide.properties, name)
        return f"{name!r}, {height} x {width} pixels"
    width, height = slide.dimensions
    power = _number(slide.properties, "openslide.objective-power")
    parts = [f"{name!r}", f"{height} x {width} pixels"]
    if slide.level_count > 1:
        parts.append(f"{slide.level_count} levels")
    if power:
        parts.append(f"magnification {power:g}")
    sides = ("y", "height", "x", "width")
    bounds = [_number(slide.properties, f"openslide.bounds-{side}") for side in sides]
    if None not in bounds:
        top, tall, left, wide = (int(bound or 0) for bound in bounds)
        parts.append(f"scanned rows {top} to {top + tall} and columns {left} to {left + wide}")
    return ", ".join(parts)


def _associated_size(properties: Mapping[str, str], name: str) -> tuple[int, int]:
    """Return the height and width of an image that belongs to a slide, without decoding it."""
    height, width = (int(properties[f"openslide.associated.{name}.{side}"]) for side in ("height", "width"))
    return height, width


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        return float(properties[name])
    except (KeyError, ValueError):
        return None
