"""The pages of a TIFF: where the tiles or strips of an image lie, and how they are decoded."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline.images.file import COPY_AGAIN, open_binary
from pipeline.images.kept import GIANT, KEPT, PIECES
from pipeline.images.selection import meet_pieces, to_slice
from pipeline.images.tiff_metadata import read_geometry
from pipeline.images.tiff_validity import find_mask_pages, read_fill, read_no_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tifffile
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.geometry import Geometry
    from pipeline.images.no_data import NoData
    from pipeline.images.tiff_validity import MaskPlace

    # (Channel of the result, sample within a pixel), and those by (page, plane).
    _Pairs = list[tuple[int, int]]
    _Wanted = dict[tuple[int, int], _Pairs]

_GRAY, _RGB, _YCBCR = 1, 2, 6
_PHOTOMETRIC = {0: "white-is-zero gray", 3: "palette", 4: "mask", 5: "CMYK", _YCBCR: "YCbCr", 8: "CIELab"}
# TIFF's codes of JPEG, whose YCbCr is decoded to RGB.
_JPEG_COMPRESSION = (6, 7, 34892, 33007)
# JPEG 2000 in Aperio's slides: YCbCr, whatever the photometric tag says, which isn't decoded to RGB.
_APERIO_YCBCR = 33003


@lru_cache(maxsize=8)
def open_pages(path: str, stamp: tuple[int, int], choice: Choice) -> Pages:
    """Read the tags of the image that is chosen in a TIFF; they are kept, the file isn't kept open."""
    del choice
    with open_tags(path) as file:
        series = file.series[0]
        pages = Pages(path, series.levels[0], stamp, read_geometry(file, series))
        pages.no_data = read_no_data(series.keyframe, pages.dtype)
        pages.mask_pages = find_mask_pages(file, series)
        return pages


@contextmanager
def open_tags(path: str) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF to read its tags. Errors in them are those of a file that is damaged."""
    import tifffile  # noqa: PLC0415  readers are imported where they are used

    try:
        with open_binary(path) as content, tifffile.TiffFile(content, name=path) as file:
            yield file
    except Exception as error:
        if str(error).startswith(path):
            raise
        # A damaged file makes tifffile raise exceptions of many types.
        raise ValueError(f"{path} can't be read as a TIFF: {error}. {COPY_AGAIN}") from error


class Pages:
    """Level 0 of a TIFF's first series: where its tiles or strips lie, and how to decode them."""

    # What the file says of pixels without data.
    no_data: NoData | None = None
    mask_pages: tuple[MaskPlace, ...] = ()

    def __init__(
        self, path: str, series: tifffile.TiffPageSeries, stamp: tuple[int, int], geometry: Geometry
    ) -> None:
        page, self.path, self.geometry, self._stamp = series.keyframe, path, geometry, stamp
        self.dtype = np.dtype(series.dtype).newbyteorder("=")
        separate, depth, height, width, contiguous = page.shaped
        self.extent = (height, width)
        self._pages = [p for p in series if p is not None]
        # One page of plain pixels may stand for several, which follow it.
        n_pages = series.size // page.size if page.size else 1
        self._raw = series.dataoffset if page.is_memmappable and page.databytecounts[0] else None
        held = len(self._pages) if self._raw is None else n_pages
        if series.is_multifile or len(self._pages) < len(series) or held < n_pages:
            raise ValueError(f"{path} doesn't hold all of its image's planes. Join them in one file.")
        # Stored samples are counted by page, then by separate plane, then within a pixel.
        self._layout = (n_pages, separate, contiguous)
        self.stored = _stored_letters(path, series, depth, n_pages)
        self._fill, self._byteorder = read_fill(page, self.dtype), page.parent.byteorder
        # tifffile reads the file's bytes once more to choose the decoder: while the file is open.
        self._decoder, self._jpegheader = page.decode, page.jpegheader
        tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        self._tile = (min(tile[0], height), tile[1])
        self.tile = self._tile if self._raw is None else (1, 1)
        self._grid = (-(-height // self._tile[0]), -(-width // self._tile[1]))
        self.is_raw = self._raw is not None
        self.stored_bytes = self.dtype.itemsize * contiguous
        # A tile or strip, decoded; and the largest one as it is stored.
        self.segment_bytes = math.prod(self._tile) * self.stored_bytes
        self.largest_count = (
            0 if self.is_raw else max((max(p.databytecounts) for p in self._pages), default=0)
        )
        self.is_one = self._grid == (1, 1)
        end = 0 if self._raw is None else self._raw + series.nbytes
        for p in self._pages if self._raw is None else ():
            if min(len(p.dataoffsets), len(p.databytecounts)) < separate * self._grid[0] * self._grid[1]:
                raise ValueError(f"{path} doesn't say where all of its tiles or strips lie. {COPY_AGAIN}")
            end = max(end, *(o + n for o, n in zip(p.dataoffsets, p.databytecounts, strict=False)))
        if end > stamp[1]:
            raise ValueError(f"{path} is truncated: it lacks {end - stamp[1]} bytes. {COPY_AGAIN}")

    @cached_property
    def presence(self) -> NDArray[np.bool_] | None:
        """Which tiles or strips the file holds, in any plane, shape (down, across); None if it holds all."""
        if self._raw is not None:
            return None
        shape = (self._layout[1], *self._grid)
        held = np.zeros(self._grid, bool)
        for page in self._pages:
            counts = (np.array(n[: math.prod(shape)], bool) for n in (page.dataoffsets, page.databytecounts))
            held |= np.logical_and(*counts).reshape(shape).any(axis=0)
        return None if held.all() else held

    def n_kept(self, samples: tuple[int, ...]) -> int:
        """Return the number of tiles or strips that are kept while some samples are read."""
        if self.is_raw or self.segment_bytes <= GIANT:
            return 0
        return min(PIECES, math.prod(self._grid)) * len(self._planes_of(samples))

    def read(self, rows: range, columns: range, samples: tuple[int, ...]) -> NDArray[Any]:
        """Read a region of some stored samples, decoding in the calling thread."""
        out = np.empty((len(rows), len(columns), len(samples)), self.dtype)
        wanted = self._planes_of(samples)
        if out.size and self._raw is not None:
            self._read_raw(out, rows, columns, wanted)
        elif out.size:
            self._read_segments(out, rows, columns, wanted, self.n_kept(samples))
        return out

    def _read_raw(self, out: NDArray[Any], rows: range, columns: range, wanted: _Wanted) -> None:
        """Copy pixels that lie in the file as in an array."""
        stored = self.dtype.newbyteorder(self._byteorder)
        shape = (*self._layout[:2], *self.extent, self._layout[2])
        pixels = np.memmap(self.path, stored, mode="r", offset=self._raw or 0, shape=shape)
        for (page, plane), pairs in wanted.items():
            _copy(out, pixels[page, plane, to_slice(rows), to_slice(columns)], pairs)

    def _planes_of(self, samples: tuple[int, ...]) -> _Wanted:
        """Return the pages and planes that hold some stored samples, and where in a pixel they lie."""
        wanted: _Wanted = {}
        for channel, sample in enumerate(samples):
            place, within = divmod(sample, self._layout[2])
            wanted.setdefault(divmod(place, self._layout[1]), []).append((channel, within))
        return wanted

    def _read_segments(
        self, out: NDArray[Any], rows: range, columns: range, wanted: _Wanted, n_kept: int
    ) -> None:
        """Decode each tile or strip that holds pixels of the region, and copy them."""
        (tall, wide), (down, across) = self._tile, self._grid
        with open_binary(self.path) as file:
            for (page, plane), pairs in wanted.items():
                for row, height, row_places in meet_pieces(rows, tall):
                    for column, width, column_places in meet_pieces(columns, wide):
                        index = (plane * down + row) * across + column
                        segment = self._kept_segment(file, page, index, n_kept)[row_places, column_places]
                        if segment.shape[:2] != (height.stop - height.start, width.stop - width.start):
                            raise self._damage(index, "it holds too few pixels")
                        _copy(out[height, width], segment, pairs)

    def _kept_segment(self, file: BinaryIO, number: int, index: int, n_kept: int) -> NDArray[Any]:
        """Return one tile or strip, which is decoded here unless it is kept."""
        if not n_kept:
            return self._segment(file, number, index)
        # The mask of an image is in the same file.
        name = (self.path, self._stamp, self._pages[0].offset)
        return KEPT.get(name, (number, index), lambda: self._segment(file, number, index), n_kept)

    def _segment(self, file: BinaryIO, number: int, index: int) -> NDArray[Any]:
        """Decode one tile or strip to (h, w, samples)."""
        page = self._pages[number]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if not offset or not count:
            return np.full((*self._tile, self._layout[2]), self._fill, self.dtype)
        file.seek(offset)
        try:
            tables = {"jpegtables": page.jpegtables, "jpegheader": self._jpegheader}
            segment: Any = self._decoder(file.read(count), index, **tables)[0]
            return segment[0]  # type: ignore[no-any-return]
        except Exception as error:
            # Each codec has exceptions of its own.
            raise self._damage(index, str(error)) from error

    def _damage(self, index: int, reason: str) -> ValueError:
        damage = f"tile or strip {index} can't be decoded ({reason})"
        return ValueError(f"{self.path}: {damage}: it is damaged. {COPY_AGAIN}")


def _copy(out: NDArray[Any], pixels: NDArray[Any], pairs: _Pairs) -> None:
    """Copy samples of pixels to the channels that they are."""
    if pairs == [(i, i) for i in range(pixels.shape[2])] and len(pairs) == out.shape[2]:
        out[...], pairs = pixels, []  # several times as fast
    for channel, within in pairs:
        out[..., channel] = pixels[..., within]


def _stored_letters(path: str, series: tifffile.TiffPageSeries, depth: int, n_pages: int) -> str:
    """Name the stored samples: R, G, B, A, L for gray, ? where the file doesn't say."""
    page = series.keyframe
    axes = {axis for axis, n in zip(series.axes, series.shape, strict=True) if n > 1} - set("YXS")
    if depth > 1 or not axes <= {"C"}:
        found = f"axes {series.axes} of lengths {series.shape}"
        raise ValueError(f"{path} has {found}; wanted YX with channels. Split it into one image a plane.")
    if series.dtype.kind not in "uif":
        raise ValueError(f"{path} stores {series.dtype} samples; wanted integers or floats. Convert it.")
    photometric = _YCBCR if page.compression == _APERIO_YCBCR else page.photometric
    decoded_jpeg = page.compression in _JPEG_COMPRESSION and page.planarconfig == 1
    if photometric not in (_GRAY, _RGB) and not (photometric == _YCBCR and decoded_jpeg):
        kind = _PHOTOMETRIC.get(photometric, f"photometric-{photometric}")
        advice = "Convert it: vips colourspace IN OUT.tif srgb"
        raise ValueError(f"{path} stores {kind} samples; wanted RGB or gray. {advice}")
    n_samples = page.shaped[0] * page.shaped[4]
    named = "L" if page.photometric == _GRAY else "RGB"
    if n_pages > 1 or n_samples < len(named):
        return "?" * (n_pages * n_samples)
    named += "A" if n_samples > len(named) and page.extrasamples and page.extrasamples[0] else ""
    # A fluorescence image's samples pass for gray with more.
    named = named if named.startswith("R") or n_samples == len(named) else ""
    return named + "?" * (n_samples - len(named))
