"""TIFFs: tiles or strips are decoded as a region needs them, each in the thread that reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.file import ImageFile, file_stamp, name_samples, open_binary
from pipeline.images.tiff_pages import open_pages
from pipeline.images.tiff_raw import raw_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Places, Region, Source
    from pipeline.images.tiff_pages import Pages

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(path: str, choice: Choice = WHOLE) -> Tiff | None:
    """Open a TIFF or BigTIFF without reading a pixel, or return None if the file is of another format.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        The level, the series, the pages, and the planes along axes of depth and time. By default the largest
        image at full resolution.

    Returns
    -------
    Tiff or None
        All samples but alpha, as they are stored: alpha is neither applied nor undone. White-is-zero gray is
        turned round, and the colors of a palette take the place of the numbers of its entries.

    Raises
    ------
    ValueError
        If the image is of a kind that isn't read, is truncated, or has tags that are damaged; if there is no
        such level, series or page, or several planes of which none is chosen.
    """
    if not is_tiff(path):
        return None
    choice.check(path, "a TIFF", "level", "series", "pages", "z", "t", "magnification")
    stamp = file_stamp(path)
    pages = open_pages(path, stamp, choice)
    samples, channels = name_samples(pages.stored, pages.names)
    return Tiff(
        path=path,
        stamp=stamp,
        shape=(*pages.extent, len(samples)),
        dtype=pages.dtype,
        channels=channels,
        tile=pages.tile,
        stored=pages.stored,
        samples=samples,
        geometry=pages.geometry,
        no_data=pages.no_data,
        levels=pages.levels,
        series=pages.series,
        choice=choice,
    )


def is_tiff(path: str) -> bool:
    """Return whether a file is a TIFF, by its first bytes."""
    with open_binary(path) as file:
        return file.read(4) in _MAGIC


@dataclass(frozen=True, kw_only=True)
class Tiff(ImageFile):
    """A TIFF, of which a region is read by its tiles or strips."""

    @property
    def _pages(self) -> Pages:
        return open_pages(self.path, self.stamp, self.choice)

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C), decoding no more than the tiles or strips that hold its pixels."""
        self.check_unchanged()
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        return self._pages.read(rows, columns, self.samples)

    def stated_masks(self) -> dict[str, Source]:
        """Return the masks that the file states by absent tiles, by a mask page, or by a file beside it."""
        from pipeline.images.tiff_masks import find_masks  # noqa: PLC0415  which reads masks as TIFFs

        return find_masks(self, self._pages)

    @property
    def unit(self) -> tuple[int, int]:
        """A tile or strip, unless it is so large that it is kept."""
        return (1, 1) if self.held_bytes else self.tile

    @property
    def held_bytes(self) -> int:
        """The memory of the tiles or strips that are kept, because they are larger than blocks."""
        pages = self._pages
        n_kept = pages.n_kept(self.samples)
        # One of them is decoded at a time, beside blocks that are computed, unless there is only one.
        return n_kept * pages.segment_bytes + (pages.largest_count if n_kept and not pages.is_one else 0)

    @property
    def opening_bytes(self) -> int:
        """The size in the file of the only strip, if it is kept: it is decoded before blocks are computed."""
        pages = self._pages
        return pages.largest_count if pages.is_one and pages.n_kept(self.samples) else 0

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, and one tile or strip with its bytes in the file."""
        pages = self._pages
        pixels = math.prod(extent) * (self.pixel_bytes + pages.samples.converting_bytes(self.samples))
        if pages.is_raw:
            step = 1 if places is None else abs(places[1].step)
            return pixels + extent[0] * raw_bytes(extent[1], step, self.extent[1], pages.stored_bytes)
        return pixels + (0 if self.held_bytes else pages.segment_bytes + pages.largest_count)
