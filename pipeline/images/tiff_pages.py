"""The pages of a TIFF: where the tiles or strips of an image lie, and how they are decoded."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline.images.file import COPY_AGAIN, open_binary
from pipeline.images.kept import GIANT, KEPT, PIECES
from pipeline.images.selection import meet_pieces
from pipeline.images.tiff_directories import check_directories
from pipeline.images.tiff_metadata import read_geometry
from pipeline.images.tiff_names import read_names
from pipeline.images.tiff_raw import read_raw
from pipeline.images.tiff_samples import choose_decoder, read_samples
from pipeline.images.tiff_series import choose, extent_of, is_mask
from pipeline.images.tiff_validity import find_mask_pages, read_fill, read_no_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tifffile
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice
    from pipeline.images.geometry import Geometry
    from pipeline.images.no_data import NoData
    from pipeline.images.tiff_series import Plane
    from pipeline.images.tiff_validity import MaskPlace

    # (Channel of the result, sample within a pixel), and those by (page, plane).
    _Pairs = list[tuple[int, int]]
    _Wanted = dict[tuple[int, int], _Pairs]


# LZW, JPEG, deflate and PackBits make bytes of no more than so many times as many.
_DENSE, _MOST_TIMES = {5, 7, 8, 32946, 32773}, 4096


@lru_cache(maxsize=8)
def open_pages(path: str, stamp: tuple[int, int], choice: Choice) -> Pages:
    """Read the tags of the image that is chosen in a TIFF; they are kept, the file isn't kept open."""
    with open_tags(path) as file:
        check_directories(path, file)
        chosen = choose(path, file, choice)
        whole, (height, width) = chosen.whole, extent_of(chosen.whole)
        pages = Pages(path, chosen.series, stamp, read_geometry(file, whole), chosen.planes)
        tall, wide = pages.extent
        if chosen.series is not whole:
            pages.geometry = pages.geometry.coarser(height / tall, width / wide)
        pages.levels, pages.series = chosen.levels, chosen.lines
        if pages.samples.palette is None:
            pages.name_samples(read_names(file, whole, len(chosen.planes), len(pages.stored)))
        pages.no_data = pages.read_no_data(whole.keyframe)
        # Finding the masks of one image reads the tags of all pages.
        if any(is_mask(series.keyframe) for series in file.series):
            pages.mask_pages = find_mask_pages(file, whole)
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
    """One image in a TIFF: where its tiles or strips lie, and how to decode them.

    Parameters
    ----------
    path : str
    series : TiffPageSeries
        The level that is read.
    stamp : tuple of int
        The file's time and size.
    geometry : Geometry
        Where the pixels lie.
    planes : sequence of (TiffPage or None, int), optional
        The pages whose samples are those of the image, as for :class:`Chosen`; by default all of them.
    """

    # What the file says of pixels without data, of its other images, and of the names of samples.
    no_data: NoData | None = None
    mask_pages: tuple[MaskPlace, ...] = ()
    levels: tuple[tuple[int, int], ...] = ()
    series: tuple[str, ...] = ()
    names: tuple[str | None, ...] = ()

    def __init__(
        self,
        path: str,
        series: tifffile.TiffPageSeries,
        stamp: tuple[int, int],
        geometry: Geometry,
        planes: Sequence[Plane] | None = None,
    ) -> None:
        page, self.path, self.geometry, self._stamp = series.keyframe, path, geometry, stamp
        planes = [(page, number) for number, page in enumerate(series)] if planes is None else planes
        self.samples = read_samples(path, series, len(planes))
        self.stored, self.dtype = self.samples.stored, self.samples.dtype
        separate, _, height, width, contiguous = page.shaped
        self.extent = (height, width)
        # As the samples are held in the file, and in memory once they are decoded.
        self._held_dtype = np.dtype(series.dtype).newbyteorder("=")
        self._raw = _raw_offsets(series, planes)
        self._pages = [p for p, _ in planes if p is not None]
        if series.is_multifile or (self._raw is None and len(self._pages) < len(planes)):
            raise ValueError(f"{path} doesn't hold all of its image's planes. Join them in one file.")
        # Samples in the file are counted by page, then by separate plane, then within a pixel.
        self._layout = (len(planes), separate, contiguous)
        self._fill, self._byteorder = read_fill(page, self.dtype), page.parent.byteorder
        # tifffile reads the file's bytes once more to choose the decoder: while the file is open.
        self._decoder, self._jpegheader = choose_decoder(path, page), page.jpegheader
        tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        self._tile = (min(tile[0], height), tile[1])
        self.tile = self._tile if self._raw is None else (1, 1)
        self._grid = (-(-height // self._tile[0]), -(-width // self._tile[1]))
        self.is_raw = self._raw is not None
        self.stored_bytes = self._held_dtype.itemsize * contiguous
        # A tile or strip, decoded; and the largest one as it is stored.
        self.segment_bytes = math.prod(self._tile) * self.stored_bytes
        self.largest_count = (
            0 if self.is_raw else max((max(p.databytecounts) for p in self._pages), default=0)
        )
        self.is_one = self._grid == (1, 1)
        self._check_places(stamp[1], separate)
        self._check_ratio(page.compression)

    def _check_places(self, size: int, separate: int) -> None:
        """Raise unless the file is as large as its tags say."""
        plane_bytes = separate * math.prod(self.extent) * self.stored_bytes
        end = max((offset + plane_bytes for offset in self._raw or ()), default=0)
        for p in self._pages if self._raw is None else ():
            if min(len(p.dataoffsets), len(p.databytecounts)) < separate * math.prod(self._grid):
                raise ValueError(
                    f"{self.path} doesn't say where all of its tiles or strips lie. {COPY_AGAIN}"
                )
            end = max(end, *(o + n for o, n in zip(p.dataoffsets, p.databytecounts, strict=False)))
        if end > size:
            raise ValueError(f"{self.path} is truncated: it lacks {end - size} bytes. {COPY_AGAIN}")

    def _check_ratio(self, compression: int) -> None:
        """Raise unless a tile or strip can become as large as the tags say."""
        if self.segment_bytes > max(GIANT, _MOST_TIMES * self.largest_count) and compression in _DENSE:
            raise ValueError(
                f"{self.path} is damaged: {self.largest_count} bytes can't hold a tile or strip of "
                f"{' x '.join(map(str, self._tile))} pixels. {COPY_AGAIN}"
            )

    def name_samples(self, names: tuple[str | None, ...]) -> None:
        """Take over the names of samples. One that is tagged as alpha but has another name isn't alpha.

        GDAL tags the fourth band of 8-bit images as alpha, whatever it is.
        """
        self.names = names
        letters = list(self.stored)
        for number, name in enumerate(names):
            if letters[number] == "A" and name is not None and "alpha" not in name.lower():
                letters[number] = "?"
        self.stored = "".join(letters)

    def read_no_data(self, page: tifffile.TiffPage) -> NoData | None:
        """Return the no-data value that a page states, as its samples have it once they are read."""
        no_data = read_no_data(page, self.dtype)
        highest = self.samples.highest
        if no_data is None or highest is None:
            return None if self.samples.palette is not None else no_data
        return no_data._replace(value=highest - no_data.value)

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
        planes = len(self._planes_of(self.samples.held(samples)))
        return min(PIECES, math.prod(self._grid)) * planes

    def read(self, rows: range, columns: range, samples: tuple[int, ...]) -> NDArray[Any]:
        """Read a region of some stored samples, decoding in the calling thread."""
        held = self.samples.held(samples)
        out = np.empty((len(rows), len(columns), len(held)), self._out_dtype)
        wanted = self._planes_of(held)
        if out.size and self._raw is not None:
            self._read_raw(out, rows, columns, wanted, self._raw)
        elif out.size:
            self._read_segments(out, rows, columns, wanted, self.n_kept(samples))
        return self.samples.convert(out, samples)

    @property
    def _out_dtype(self) -> np.dtype[Any]:
        """The dtype of samples before they are converted: bits come as numbers."""
        return self._held_dtype if self.samples.palette is not None else self.dtype

    def _read_raw(
        self, out: NDArray[Any], rows: range, columns: range, wanted: _Wanted, offsets: tuple[int, ...]
    ) -> None:
        """Copy pixels that lie in the file as in an array."""
        stored = self._held_dtype.newbyteorder(self._byteorder)
        shape = (*self.extent, self._layout[2])
        plane_bytes = math.prod(shape) * stored.itemsize
        for (page, plane), pairs in wanted.items():
            offset = offsets[page] + plane * plane_bytes
            _copy(out, read_raw(self.path, offset, stored, shape, (rows, columns)), pairs)

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
            return np.broadcast_to(np.array(self._fill, self._held_dtype), (*self._tile, self._layout[2]))
        file.seek(offset)
        # Errors of reading aren't damage.
        content = file.read(count)
        try:
            tables = {"jpegtables": page.jpegtables, "jpegheader": self._jpegheader}
            segment: Any = self._decoder(content, index, **tables)[0]
        except ImportError as error:
            # imagecodecs is built without some codecs for some systems.
            raise ImportError(
                f"{self.path} can't be decoded: {error}. Convert it to another kind."
            ) from error
        except Exception as error:
            # Each codec has exceptions of its own.
            raise self._damage(index, str(error)) from error
        if segment.dtype not in {self._held_dtype, self.dtype}:
            raise self._damage(index, f"it holds {segment.dtype}, not {self._held_dtype}")
        return segment[0]  # type: ignore[no-any-return]

    def _damage(self, index: int, reason: str) -> ValueError:
        advice = f"It is damaged, or compressed in a way that isn't known. {COPY_AGAIN}"
        return ValueError(f"{self.path}: tile or strip {index} can't be decoded: {reason}. {advice}")


def _copy(out: NDArray[Any], pixels: NDArray[Any], pairs: _Pairs) -> None:
    """Copy samples of pixels to the channels that they are."""
    if pairs == [(i, i) for i in range(pixels.shape[2])] and len(pairs) == out.shape[2]:
        out[...], pairs = pixels, []  # several times as fast
    for channel, within in pairs:
        out[..., channel] = pixels[..., within]


def _raw_offsets(
    series: tifffile.TiffPageSeries,
    planes: Sequence[Plane],
) -> tuple[int, ...] | None:
    """Return where planes lie in the file as arrays do, or None if one of them doesn't."""
    keyframe = series.keyframe
    if not keyframe.is_final or keyframe.dtype is None:
        return None
    offsets = []
    for page, number in planes:
        if page is None:
            # The pixels follow those of the page that stands for it.
            offset = 0 if series.dataoffset is None else series.dataoffset + number * keyframe.nbytes
        else:
            offset = _start(page, keyframe.nbytes)
        if not offset:
            return None
        offsets.append(offset)
    return tuple(offsets)


def _start(page: tifffile.TiffPage | tifffile.TiffFrame, n_bytes: int) -> int:
    """Return where the first strip of a page lies if the others follow it, else 0."""
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or not counts or not counts[0]:
        return 0
    is_whole = len(offsets) == 1 or sum(counts) == n_bytes
    follows = all(
        offset + count == then for offset, count, then in zip(offsets, counts, offsets[1:], strict=False)
    )
    return int(offsets[0]) if is_whole and follows else 0
