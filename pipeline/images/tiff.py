"""A path becomes a Dask array of blocks, and each task opens the path itself.

What travels to a task is an `ImageFile`: a path, a shape and how the samples are laid out, never pixels.
TIFFs are read tile by tile. The other formats have no random access: they are decoded whole, and each
process keeps the last two that it decoded.
"""

from __future__ import annotations

import math
import mmap
import re
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import dask.array as da
import numpy as np
from dask.base import tokenize

from pipeline.images.grid import choose_grid

if TYPE_CHECKING:
    import os

    import tifffile
    from numpy.typing import NDArray

    # (Channel of the result, sample within a pixel), and those by (page, plane).
    _Pairs = list[tuple[int, int]]
    _Wanted = dict[tuple[int, int], _Pairs]

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# A marker of a JPEG other than a restart: the zero after 0xff in compressed data marks none.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_LETTERS = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}
_GREY, _RGB, _YCBCR = 1, 2, 6
_PHOTOMETRIC = {0: "white-is-zero grey", 3: "palette", 4: "mask", 5: "CMYK", _YCBCR: "YCbCr", 8: "CIELab"}
# TIFF's codes of JPEG, whose YCbCr is decoded to RGB.
_JPEG_COMPRESSION = (6, 7, 34892, 33007)
# JPEG 2000 in Aperio's slides: YCbCr, whatever the photometric tag says, which isn't decoded to RGB.
_APERIO_YCBCR = 33003
_COPY_AGAIN = "Copy or download it again."
_decoding = threading.Lock()


@dataclass(frozen=True)
class ImageFile:
    """An image in a file as a duck array: small, picklable, opened wherever it is read."""

    path: str  # absolute
    shape: tuple[int, int, int]  # height, width, channels
    dtype: np.dtype[Any]
    # ("red", "green", "blue") in the order asked for, ("gray",), or None where the file names no samples.
    channels: tuple[str, ...] | None
    # (h, w) of what is decoded at once: a tile, a strip or the whole image; (1, 1) where any piece will do.
    tile: tuple[int, int]
    # The stored sample that each channel is.
    samples: tuple[int, ...] = field(repr=False)
    # (mtime in ns, size): a file that changes under a run isn't the one that was opened.
    identity: tuple[int, int] = field(repr=False)
    ndim: ClassVar[int] = 3

    @property
    def whole_bytes(self) -> int:
        """What a process holds of the image all along: all of a photo, nothing of a TIFF."""
        return 0 if _is_tiff(self.path) else math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, region: tuple[slice, ...] | slice) -> NDArray[Any]:
        """Read a region (h, w, c), from any thread, unless the file changed since it was opened."""
        if _identity(self.path) != self.identity:
            raise ValueError(f"{self.path} changed since it was opened. Open it again.")
        slices = region if isinstance(region, tuple) else (region,)
        slices += (slice(None),) * (3 - len(slices))
        rows, columns, channels = (range(n)[s] for s, n in zip(slices, self.shape, strict=True))
        if {rows.step, columns.step, channels.step} != {1}:
            raise ValueError(f"{self.path} is read with steps of 1; got {region}")
        samples = [self.samples[channel] for channel in channels]
        if _is_tiff(self.path):
            return _open_tiff(self.path, self.identity).read(rows, columns, samples)
        alpha = "alpha" in (self.channels or ())
        piece = _decode(self.path, self.identity, alpha)[rows.start : rows.stop, columns.start : columns.stop]
        return np.ascontiguousarray(piece[..., samples])


def open_file(path: str | os.PathLike[str], *, channel_order: str = "RGB") -> ImageFile:
    """Open an image file, for reading it by regions.

    Parameters
    ----------
    path : path
        A TIFF or BigTIFF, or anything that OpenCV reads; the content decides, not the name.
    channel_order : str
        The channels wanted of a colour image, a permutation of ``"RGB"`` or ``"RGBA"``. A grey image comes
        as one channel, unless its alpha is asked for: then grey stands in for red, green and blue. Samples
        that a file doesn't name, such as a fluorescence image's, come as stored.

    Returns
    -------
    ImageFile

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it isn't an image of these kinds, is truncated, is damaged so that its decoder notices, or has no
        alpha where it is asked for.

    Notes
    -----
    OpenCV applies a photo's EXIF orientation unless alpha is asked for, and makes grey with alpha RGB. A TIFF
    comes as it is stored: level 0 of its first series, alpha neither applied nor undone.
    """
    if sorted(channel_order) not in (sorted("RGB"), sorted("RGBA")):
        raise ValueError(f"channel_order is {channel_order!r}; wanted 'RGB' or 'RGBA', in any order")
    name = str(Path(path).absolute())
    if not Path(name).is_file():
        raise FileNotFoundError(f"{path} is {'a directory' if Path(name).is_dir() else 'not there'}")
    identity = _identity(name)
    if _is_tiff(name):
        tiff = _open_tiff(name, identity)
        stored, tile, dtype, extent = tiff.stored, tiff.tile, tiff.dtype, tiff.extent
    else:
        pixels = _decode(name, identity, "A" in channel_order)
        stored = "L" if pixels.shape[2] == 1 else "BGRA"[: pixels.shape[2]]
        extent, tile, dtype = pixels.shape[:2], pixels.shape[:2], pixels.dtype
    if "A" in channel_order and "A" not in stored:
        raise ValueError(f"{path} has no alpha channel; ask for 'RGB', not {channel_order!r}")
    channels: tuple[str, ...] | None
    if stored.startswith("?"):
        samples, channels = tuple(range(len(stored))), None
    elif stored.startswith("L") and "A" not in channel_order:
        samples, channels = (0,), ("gray",)
    else:
        # The grey of grey with alpha is at 0.
        samples = tuple(max(stored.find(letter), 0) for letter in channel_order)
        channels = tuple(_LETTERS[letter] for letter in channel_order)
    return ImageFile(name, (*extent, len(samples)), dtype, channels, tile, samples, identity)


def open_image(
    path: str | os.PathLike[str], *, channel_order: str = "RGB", block: int | tuple[int, int] | None = None
) -> da.Array:
    """Open an image file as a lazy Dask array, whose tasks open the path themselves.

    Parameters
    ----------
    path, channel_order
        As of `open_file`, which says what it raises.
    block : int or tuple of int, optional
        Height and width of a chunk; by default about 4096 x 4096, in whole tiles of the file.

    Returns
    -------
    dask.array.Array, shape (H, W, C)
        All channels in one chunk.
    """
    file = open_file(path, channel_order=channel_order)
    chunks = choose_grid(file.shape[:2], tile=file.tile, block=block).block
    name, meta = f"image-{tokenize(file, chunks)}", np.empty((0, 0, 0), file.dtype)
    # Inline, each task holds the path; else all would wait for one task that hands it out.
    array: da.Array = da.from_array(file, chunks=(*chunks, -1), name=name, inline_array=True, meta=meta)
    return array


def _identity(path: str) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def _is_tiff(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(4) in _TIFF_MAGIC


def _decode(path: str, identity: tuple[int, int], alpha: bool) -> NDArray[Any]:
    """Decode a photo, or give it if it was one of the last two; threads that want it meanwhile wait."""
    with _decoding:
        return _decode_last(path, identity, alpha)


# An image, and its mask.
@lru_cache(maxsize=2)
def _decode_last(path: str, identity: tuple[int, int], alpha: bool) -> NDArray[Any]:
    """Decode a photo to (H, W, samples): grey, BGR or BGRA, at the depth that is stored."""
    import cv2  # noqa: PLC0415  readers are imported where they are used

    if not identity[1]:
        raise ValueError(f"{path} is empty. {_COPY_AGAIN}")
    if not cv2.haveImageReader(path):
        raise ValueError(f"{path} isn't an image that can be read. Convert it to TIFF or PNG.")
    _check_whole(path)
    flags = cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    level = cv2.utils.logging.getLogLevel()
    try:
        # The exception below says it all; meanwhile OpenCV's own lines are kept off the terminal.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        pixels = cv2.imread(path, flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            advice = "Convert it: vips tiffsave IN OUT.tif --tile --bigtiff --compression deflate"
            raise ValueError(f"{path} has more than the 2^30 pixels that OpenCV decodes. {advice}") from error
        raise ValueError(f"{path} can't be decoded: {' '.join(str(error).split())}") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        raise ValueError(f"{path} can't be decoded: it is truncated or damaged. {_COPY_AGAIN}")
    return pixels.reshape(*pixels.shape[:2], -1)


def _check_whole(path: str) -> None:
    """Raise unless a JPEG or PNG reaches its end: OpenCV fills what a JPEG lacks with grey, silently."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        cut_jpeg = content[:2] == b"\xff\xd8" and not _jpeg_ends(content)
        if cut_jpeg or (content[: len(_PNG_MAGIC)] == _PNG_MAGIC and content.rfind(_PNG_END) < 0):
            raise ValueError(f"{path} is truncated: it has no end marker. {_COPY_AGAIN}")


def _jpeg_ends(content: mmap.mmap) -> bool:
    """Walk the segments by their lengths, since a thumbnail within one has an end marker of its own."""
    place = 2
    while marker := _JPEG_MARKER.search(content, place):
        if marker[0] == b"\xff\xd9":
            return True
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return False


@lru_cache(maxsize=8)
def _open_tiff(path: str, identity: tuple[int, int]) -> _Tiff:
    """Read the tags of a TIFF; what they say is kept, the file isn't kept open."""
    import tifffile  # noqa: PLC0415  readers are imported where they are used

    try:
        with tifffile.TiffFile(path) as file:
            return _Tiff(path, file.series[0].levels[0], identity[1])
    except Exception as error:
        if str(error).startswith(path):
            raise
        # A damaged file makes tifffile raise whatever comes.
        raise ValueError(f"{path} can't be read as a TIFF: {error}. {_COPY_AGAIN}") from error


class _Tiff:
    """Level 0 of a TIFF's first series: where its tiles or strips lie, and how to decode them."""

    def __init__(self, path: str, series: tifffile.TiffPageSeries, size: int) -> None:
        page, self.path = series.keyframe, path
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
        self._nodata, self._byteorder = page.nodata, page.parent.byteorder
        # tifffile reads the file's bytes once more to choose the decoder: while the file is open.
        self._decoder, self._jpegheader = page.decode, page.jpegheader
        tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        self._tile = (min(tile[0], height), tile[1])
        self.tile = self._tile if self._raw is None else (1, 1)
        self._grid = (-(-height // self._tile[0]), -(-width // self._tile[1]))
        end = 0 if self._raw is None else self._raw + series.nbytes
        for p in self._pages if self._raw is None else ():
            if min(len(p.dataoffsets), len(p.databytecounts)) < separate * self._grid[0] * self._grid[1]:
                raise ValueError(f"{path} doesn't say where all of its tiles or strips lie. {_COPY_AGAIN}")
            end = max(end, *(o + n for o, n in zip(p.dataoffsets, p.databytecounts, strict=False)))
        if end > size:
            raise ValueError(f"{path} is truncated: it lacks {end - size} bytes. {_COPY_AGAIN}")

    def read(self, rows: range, columns: range, samples: list[int]) -> NDArray[Any]:
        """Read a region of some stored samples, decoding in the calling thread."""
        out = np.empty((len(rows), len(columns), len(samples)), self.dtype)
        wanted: _Wanted = {}
        for channel, sample in enumerate(samples):
            place, within = divmod(sample, self._layout[2])
            wanted.setdefault(divmod(place, self._layout[1]), []).append((channel, within))
        if out.size and self._raw is not None:
            self._read_raw(out, rows, columns, wanted)
        elif out.size:
            self._read_segments(out, rows, columns, wanted)
        return out

    def _read_raw(self, out: NDArray[Any], rows: range, columns: range, wanted: _Wanted) -> None:
        """Copy pixels that lie in the file as in an array."""
        stored = self.dtype.newbyteorder(self._byteorder)
        shape = (*self._layout[:2], *self.extent, self._layout[2])
        pixels = np.memmap(self.path, stored, mode="r", offset=self._raw or 0, shape=shape)
        for (page, plane), pairs in wanted.items():
            window = pixels[page, plane, rows.start : rows.stop, columns.start : columns.stop]
            _paste(out, window, (0, 0), pairs)

    def _read_segments(self, out: NDArray[Any], rows: range, columns: range, wanted: _Wanted) -> None:
        """Decode each tile or strip that meets the region, and copy what is wanted of it."""
        (tall, wide), (down, across) = self._tile, self._grid
        with Path(self.path).open("rb") as file:
            for (page, plane), pairs in wanted.items():
                for row in range(rows.start // tall, -(-rows.stop // tall)):
                    for column in range(columns.start // wide, -(-columns.stop // wide)):
                        segment = self._segment(file, page, (plane * down + row) * across + column)
                        _paste(out, segment, (row * tall - rows.start, column * wide - columns.start), pairs)

    def _segment(self, file: BinaryIO, number: int, index: int) -> NDArray[Any]:
        """Decode one tile or strip to (h, w, samples)."""
        page = self._pages[number]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if not offset or not count:
            return np.full((*self._tile, self._layout[2]), self._nodata, self.dtype)
        file.seek(offset)
        try:
            tables = {"jpegtables": page.jpegtables, "jpegheader": self._jpegheader}
            segment: Any = self._decoder(file.read(count), index, **tables)[0]
            return segment[0]  # type: ignore[no-any-return]
        except Exception as error:
            # Each codec has exceptions of its own.
            damage = f"tile or strip {index} can't be decoded ({error})"
            raise ValueError(f"{self.path}: {damage}: it is damaged. {_COPY_AGAIN}") from error


def _paste(out: NDArray[Any], segment: NDArray[Any], corner: tuple[int, int], pairs: _Pairs) -> None:
    """Copy the part of a segment that meets `out`, whose upper left pixel is the segment's `-corner`."""
    top, left = max(corner[0], 0), max(corner[1], 0)
    source = segment[top - corner[0] :, left - corner[1] :]
    target = out[top : top + source.shape[0], left : left + source.shape[1]]
    source = source[: target.shape[0], : target.shape[1]]
    if pairs == [(i, i) for i in range(source.shape[2])] and len(pairs) == out.shape[2]:
        target[...], pairs = source, []  # several times as fast
    for channel, within in pairs:
        target[..., channel] = source[..., within]


def _stored_letters(path: str, series: tifffile.TiffPageSeries, depth: int, n_pages: int) -> str:
    """Name the stored samples: R, G, B, A, L for grey, ? where the file doesn't say."""
    page = series.keyframe
    axes = {axis for axis, n in zip(series.axes, series.shape, strict=True) if n > 1} - set("YXS")
    if depth > 1 or not axes <= {"C"}:
        found = f"axes {series.axes} of lengths {series.shape}"
        raise ValueError(f"{path} has {found}; wanted YX with channels. Split it into one image a plane.")
    if series.dtype.kind not in "uif":
        raise ValueError(f"{path} stores {series.dtype} samples; wanted integers or floats. Convert it.")
    photometric = _YCBCR if page.compression == _APERIO_YCBCR else page.photometric
    decoded_jpeg = page.compression in _JPEG_COMPRESSION and page.planarconfig == 1
    if photometric not in (_GREY, _RGB) and not (photometric == _YCBCR and decoded_jpeg):
        kind = _PHOTOMETRIC.get(photometric, f"photometric-{photometric}")
        advice = "Convert it: vips colourspace IN OUT.tif srgb"
        raise ValueError(f"{path} stores {kind} samples; wanted RGB or grey. {advice}")
    n_samples = page.shaped[0] * page.shaped[4]
    named = "L" if page.photometric == _GREY else "RGB"
    if n_pages > 1 or n_samples < len(named):
        return "?" * (n_pages * n_samples)
    named += "A" if n_samples > len(named) and page.extrasamples and page.extrasamples[0] else ""
    # A fluorescence image's samples pass for grey with more.
    named = named if named.startswith("R") or n_samples == len(named) else ""
    return named + "?" * (n_samples - len(named))
