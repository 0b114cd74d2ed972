"""Masks that a TIFF states: its absent tiles, its mask page, and the file of GDAL's beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.images.file import file_stamp
from pipeline.images.geometry import UNKNOWN
from pipeline.images.scaled import fit_extent
from pipeline.images.source import RegionPart, Source
from pipeline.images.tiff import Tiff, is_tiff
from pipeline.images.tiff_pages import Pages, open_pages, open_tags
from pipeline.images.view import view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Part, Places, Region

_SIDECAR = ".msk"
_GRAY = 1
# The bytes that the number of a row's or a column's tile takes, twice.
_NUMBER_BYTES = 16


def find_masks(image: Tiff, pages: Pages) -> dict[str, Source]:
    """Return the masks that a TIFF states, by their names.

    Parameters
    ----------
    image : Tiff
    pages : Pages
        Its pages.

    Returns
    -------
    dict of str to Source, shape (h, w, 1)
        "absent tiles" if the file leaves out tiles or strips. "mask page" if it has one: that of the image's
        own resolution, else the next coarser one, else a finer one. ".msk sidecar" if GDAL wrote a mask to a
        file beside it, of the same name with ".msk" behind it. A page or file whose aspect isn't the image's
        is that of another image.
    """
    masks: dict[str, Source] = {}
    if pages.presence is not None:
        masks["absent tiles"] = AbsentTiles(image)
    places = sorted(pages.mask_pages, key=lambda place: place.extent)
    coarse = [place for place in reversed(places) if place.extent <= image.extent]
    fine = [place for place in places if place.extent > image.extent]
    for place in (*coarse, *fine):
        mask = _fit(_open_mask(image.path, image.stamp, place.offset), image.extent)
        if mask is not None:
            masks["mask page"] = mask
            break
    sidecar = f"{image.path}{_SIDECAR}"
    if Path(sidecar).is_file() and is_tiff(sidecar):
        mask = _fit(_open_mask(sidecar, file_stamp(sidecar), None), image.extent)
        if mask is not None:
            masks[f"{_SIDECAR} sidecar"] = mask
    return masks


class AbsentTiles(Source):
    """Which pixels of a TIFF lie in tiles or strips that the file holds, in any plane of the pixels.

    Programs leave out tiles of one band that are 0 while others have data there.

    Parameters
    ----------
    image : Tiff
        Its pages say which tiles are there.
    """

    dtype = np.dtype(bool)

    def __init__(self, image: Tiff) -> None:
        self._image, self.shape = image, (*image.extent, 1)

    def identity(self) -> str:
        """Return the identity of the image."""
        return f"{self._image.identity()}, absent tiles"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return self._image.paths

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: the place of the image in its file."""
        return RegionPart(self, region)

    def read(self, region: Region) -> NDArray[np.bool_]:
        """Return which pixels lie in tiles that are there, shape (h, w, 1)."""
        image = self._image
        image.check_unchanged()
        pages = open_pages(image.path, image.stamp, image.choice)
        seen = [range(length)[places] for length, places in zip(self.extent, region, strict=True)]
        rows, columns = (
            np.arange(places.start, places.stop, places.step) // side
            for places, side in zip(seen, pages.tile, strict=True)
        )
        held = np.ones((len(rows), len(columns)), bool)
        if pages.presence is not None:
            held = pages.presence.take(rows, axis=0).take(columns, axis=1)
        return held[..., np.newaxis]

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, the tiles of each row, and numbers of tiles."""
        del places
        return 2 * math.prod(extent) + _NUMBER_BYTES * sum(extent)


@dataclass(frozen=True, kw_only=True)
class MaskPage(Tiff):
    """A page that is a mask: a pixel has data where any of its samples isn't 0.

    Attributes
    ----------
    offset : int or None
        The place of the page's tags in the file; None is the first page.
    """

    offset: int | None = None

    @property
    def _pages(self) -> Pages:
        return _open_pages(self.path, self.stamp, self.offset)

    def identity(self) -> str:
        """Return the identity of the file, and the place of the page."""
        page = "" if self.offset is None else f", page at {self.offset}"
        return f"{super().identity()}{page}"

    def place(self) -> None:  # type: ignore[override]  # its image finds it
        """Return None: a mask is found again by the image that states it."""

    def stated_masks(self) -> dict[str, Source]:
        """Return none: what a mask leaves out has no data."""
        return {}

    def select(self, channels: tuple[int, ...]) -> None:
        """Return None, since the samples are one channel."""

    def read(self, region: Region) -> NDArray[np.bool_]:
        """Read a region, shape (h, w, 1)."""
        held: NDArray[np.bool_] = np.any(super().read(region), axis=-1, keepdims=True)
        return held

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes, with the samples that are one channel."""
        samples = math.prod(extent) * len(self.samples) * self._pages.dtype.itemsize
        return samples + super().region_bytes(extent, places)


@lru_cache(maxsize=8)
def _open_pages(path: str, stamp: tuple[int, int], offset: int | None) -> Pages:
    """Read the tags of a mask page; they are kept, the file isn't kept open."""
    import tifffile  # noqa: PLC0415  readers are imported where they are used

    with open_tags(path) as file:
        page = file.pages.first
        if offset is not None:
            file.filehandle.seek(offset)
            page = tifffile.TiffPage(file, 0)
        # A mask is decoded as gray is.
        page.photometric = _GRAY
        return Pages(path, tifffile.TiffPageSeries([page], dtype=page.dtype), stamp, UNKNOWN)


def _open_mask(path: str, stamp: tuple[int, int], offset: int | None) -> MaskPage:
    """Open a mask page without reading a pixel."""
    pages = _open_pages(path, stamp, offset)
    return MaskPage(
        path=path,
        stamp=stamp,
        shape=(*pages.extent, 1),
        dtype=np.dtype(bool),
        channels=None,
        tile=pages.tile,
        stored=pages.stored,
        samples=tuple(range(len(pages.stored))),
        offset=offset,
    )


def _fit(mask: MaskPage, extent: tuple[int, int]) -> Source | None:
    """Return a mask scaled to the height and width of an image, or None if its aspect isn't the image's."""
    axis = 0 if extent[0] > extent[1] else 1
    step = max(1, round(mask.extent[axis] / max(1, extent[axis])))
    rows, columns = (_spread(*lengths, step) for lengths in zip(mask.extent, extent, strict=True))
    if rows is not None and columns is not None:
        return view(mask, rows, columns)
    try:
        return fit_extent(mask, extent, "mask")
    except ValueError:
        return None


def _spread(length: int, count: int, step: int) -> range | None:
    """Return places of a finer axis near the centers of a coarser level's pixels.

    Parameters
    ----------
    length : int
        The length of the finer axis.
    count : int
        The length of the coarser one, the number of the places.
    step : int
        How many times as long the finer axis is.

    Returns
    -------
    range or None
        None if it isn't so many times as long, up to what is rounded off.
    """
    rest = length - 1 - step * (count - 1)
    start = rest // 2
    return range(start, start + step * (count - 1) + 1, step) if 0 <= rest <= 2 * (step - 1) else None
