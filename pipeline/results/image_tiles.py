"""Tiles of the image from which results were computed, read from the level of its own that fits best."""

from __future__ import annotations

import math
import threading
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.display import Brightness, shown_channels
from pipeline.images.remote import is_url
from pipeline.images.reopening import innermost, reopen
from pipeline.images.view import view
from pipeline.results.tiles import SIDE, Place, n_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.description import Description
    from pipeline.images.image import Image
    from pipeline.images.source import Source

_MOST_LEVELS = 32
# A tile isn't read from pixels that lie farther apart, since that takes long: it is made of finer tiles.
_MOST_STEP = 16
# A file without coarse levels is read whole for an overview if its finest one has no more pixels.
_MOST_FOR_OVERVIEW = 2**31
# Coarse tiles that are kept, of 0.8 MB each.
_KEPT_TILES = 64
# An image is read with steps that leave so many of its samples for each pixel of a tile along an axis.
_SAMPLES = 2
# These options arrange the pixels of a level, or choose a level by other means than its number.
_ARRANGING = frozenset({"rows", "columns", "extent", "by", "states", "zeroed", "magnification"})
# Levels are rounded to whole pixels, so that one of them may be coarser than a power of two by so much.
_ROUNDED = 1.02
# OpenCV resizes these.
_RESIZED = ("uint8", "uint16", "int16", "float32", "float64")


class _Level(NamedTuple):
    """A level of the image's file: row r of the image at full resolution is row top + r / down of it."""

    source: Source
    down: float = 1.0
    across: float = 1.0
    top: float = 0.0
    left: float = 0.0


class ImageTiles:
    """Tiles of an image. It may be used by several threads at once.

    Parameters
    ----------
    description : Description
        The image as a result describes it.

    Attributes
    ----------
    name : str
        The path of the image.
    extent : tuple of int
        Height and width at full resolution.
    channels : tuple of str
        The names of the channels that are shown: red, green and blue if there are such channels, else the
        first three channels, or the first one of fewer than three.
    coarsest : int
        The coarsest level whose tiles can be read.
    overview_pixels : int
        How many pixels of the file are read for all of the coarsest level.

    Raises
    ------
    FileNotFoundError
        If the image isn't there any more, was in memory only, or is at a URL: nothing is requested from a
        network.
    ValueError
        If it isn't the same image any more, or can't be read.
    """

    def __init__(self, description: Description) -> None:
        place = description.place
        if place is None:
            raise FileNotFoundError("the image was in memory only")
        address = innermost(place)["image"]
        if is_url(address):
            raise FileNotFoundError(f"the image is at {address}, from which nothing is requested")
        image = reopen(place)
        now = image.description
        if now.shape != description.shape or now.identity != description.identity:
            raise ValueError(f"{image.name} has changed since the results were computed")
        self.name, self.extent = image.name, image.extent
        names = image.channels or tuple(f"channel {number}" for number in range(image.n_channels))
        shown = shown_channels(names, len(names))
        self.channels = tuple(names[channel] for channel in shown)
        self._levels = _open_levels(place, image, shown)
        last = self._levels[-1]
        self._directly = min(
            n_levels(self.extent) - 1, int(math.log2(min(last.down, last.across) * _MOST_STEP))
        )
        self.overview_pixels = math.prod(last.source.extent)
        is_small = self.overview_pixels <= _MOST_FOR_OVERVIEW
        self.coarsest = n_levels(self.extent) - 1 if is_small else self._directly
        self._composing = threading.RLock()
        self._composed = lru_cache(_KEPT_TILES)(self._compose)

    def read(self, place: Place) -> NDArray[np.uint8]:
        """Return the colors of a tile, shape (h, w, 3).

        Raises
        ------
        LookupError
            If there is no such tile, or it would be made of too many pixels.
        """
        if place.level > self.coarsest:
            raise LookupError(f"level {place.level} is coarser than {self.coarsest}, the coarsest")
        if place.level < self._directly:
            return self._paint(place)
        # Several threads would compose the same tiles.
        with self._composing:
            return self._composed(place)

    def _compose(self, place: Place) -> NDArray[np.uint8]:
        """Return the colors of a tile that is kept: halved tiles of the level before, if it isn't read."""
        rows, columns = place.region(self.extent)
        if place.level == self._directly:
            return self._paint(place)
        import cv2  # noqa: PLC0415  OpenCV is loaded where it is used

        finer = [-(-length // 2 ** (place.level - 1)) for length in self.extent]
        down, across = (
            range(2 * number, 2 * number + 1 + (2 * number * SIDE + SIDE < length))
            for number, length in zip((place.row, place.column), finer, strict=True)
        )
        tiles = [[self._composed(Place(place.level - 1, column, row)) for column in across] for row in down]
        whole = np.vstack([np.hstack(line) for line in tiles])
        return cv2.resize(whole, (len(columns), len(rows)), interpolation=cv2.INTER_AREA).astype(np.uint8)

    def _paint(self, place: Place) -> NDArray[np.uint8]:
        """Return the colors of a tile that is read."""
        return self._brightness.colors(self._read(place))

    def values(self, row: int, column: int) -> list[float | int | None]:
        """Return the samples of a pixel at full resolution in the shown channels; None isn't finite."""
        source = self._levels[0].source
        pixel = source.read((slice(row, row + 1, 1), slice(column, column + 1, 1)))
        return [sample if math.isfinite(sample) else None for sample in pixel[0, 0].tolist()]

    @cached_property
    def _brightness(self) -> Brightness:
        """That of the middle of the coarsest level, which isn't read if samples have 8 bits."""
        if self._levels[0].source.dtype == np.uint8:
            return Brightness.of(np.zeros(0, np.uint8))
        middle = (max(0, (-(-length // 2**self.coarsest) - 1) // SIDE // 2) for length in self.extent)
        row, column = middle
        return Brightness.of(self._read(Place(self.coarsest, column, row)))

    def _read(self, place: Place) -> NDArray[Any]:
        """Return the shown samples of a tile, shape (h, w, C)."""
        places, step = place.region(self.extent), 2**place.level
        level = max(
            (one for one in self._levels if max(one.down, one.across) <= step * 1.02),
            key=lambda one: one.down,
        )
        region = tuple(
            _span(span, step / size, offset, length)
            for span, size, offset, length in zip(
                places, (level.down, level.across), (level.top, level.left), level.source.extent, strict=True
            )
        )
        pixels = level.source.read((region[0], region[1]))
        height, width = (len(span) for span in places)
        if pixels.shape[:2] == (height, width):
            return pixels
        import cv2  # noqa: PLC0415  OpenCV is loaded where it is used

        known = pixels if pixels.dtype.name in _RESIZED else pixels.astype(np.float32)
        resized: NDArray[Any] = cv2.resize(known, (width, height), interpolation=cv2.INTER_AREA)
        return resized.reshape(height, width, -1)


def _span(places: range, ratio: float, offset: float, length: int) -> slice:
    """Return the rows of a level in which rows of a tile lie; one of these is `ratio` of the level's."""
    start = min(math.floor(offset + places.start * ratio + 1e-6), length - 1)
    stop = min(math.ceil(offset + places.stop * ratio - 1e-6), length)
    return slice(start, max(stop, start + 1), max(1, int(ratio / _SAMPLES)))


def _at_level(place: dict[str, Any], level: int) -> dict[str, Any]:
    """Return the place of another level of the same file."""
    inner = place["image"]
    if isinstance(inner, dict):
        return {**place, "image": _at_level(inner, level)}
    return {**place, "level": level}


def _is_arranged(place: dict[str, Any]) -> bool:
    """Return whether another level of the file can't be arranged as a place says."""
    inner = place["image"]
    return bool(_ARRANGING & set(place)) or (isinstance(inner, dict) and _is_arranged(inner))


def _open_levels(place: dict[str, Any], image: Image, shown: tuple[int, ...]) -> list[_Level]:
    """Open the image, and the coarser levels of its file if it has them, the finest first."""
    levels = [_Level(view(image.source, channels=shown))]
    rows, columns = (
        range(*place.get(axis, (0, length, 1)))
        for axis, length in zip(("rows", "columns"), image.extent, strict=True)
    )
    whole = {name: option for name, option in place.items() if name not in {"rows", "columns"}}
    if _is_arranged(whole) or min(rows.step, columns.step) < 1:
        return levels
    finest = reopen(whole)
    first = innermost(place).get("level", 0)
    extent = finest.extent
    for number in range(first + 1, first + _MOST_LEVELS):
        try:
            coarser = reopen(_at_level(whole, number))
        except (ValueError, OSError, LookupError):
            break
        is_alike = coarser.dtype == finest.dtype and coarser.source.shape[2] == finest.source.shape[2]
        if not is_alike or not 0 < math.prod(coarser.extent) < math.prod(extent):
            break
        extent = coarser.extent
        down, across = (fine / coarse for fine, coarse in zip(finest.extent, extent, strict=True))
        levels.append(
            _Level(
                view(coarser.source, channels=shown),
                down / rows.step,
                across / columns.step,
                rows.start / down,
                columns.start / across,
            )
        )
    return levels
