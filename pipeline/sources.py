"""A path becomes a Dask array of blocks, and each task opens the path itself.

What travels to a task is an `ImageFile`: a path, a shape and how the samples are laid out, never pixels.
TIFFs are read tile by tile. The other formats have no random access: they are decoded whole, and each
process keeps the last one that it decoded.
"""

from __future__ import annotations

import mmap
import os
import re
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import dask.array as da
import numpy as np
from dask.base import tokenize

from pipeline.grid import choose_grid

if TYPE_CHECKING:
    import tifffile
    from numpy.typing import NDArray

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# A marker of a JPEG other than a restart: the zero after 0xff in compressed data marks none.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_JPEG_END = 0xD9
_LETTERS = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}
_GREY, _RGB, _YCBCR = 1, 2, 6
_PHOTOMETRIC = {0: "white-is-zero grey", 3: "palette", 4: "mask", 5: "CMYK", _YCBCR: "YCbCr", 8: "CIELab"}
# TIFF's codes of JPEG, whose YCbCr is decoded to RGB.
_JPEG_COMPRESSION = (6, 7, 34892, 33007)
_COPY_AGAIN = "Copy or download it again."


@dataclass(frozen=True)
class ImageFile:
    """An image in a file as a duck array: small, picklable, opened wherever it is read.

    Attributes
    ----------
    path : str
        Absolute.
    shape : tuple of int
        (H, W, C).
    dtype : dtype
        Of the samples.
    channels : tuple of str or None
        ``("red", "green", "blue")`` in the order asked for, ``("gray",)``, or None where the file doesn't
        name its samples.
    tile : tuple of int
        (h, w) of the piece that the file decodes at once: a tile, a strip, or the whole image; (1, 1) where
        pixels aren't compressed and any piece will do.
    """

    path: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    channels: tuple[str, ...] | None
    tile: tuple[int, int]
    # The stored sample that each channel is.
    samples: tuple[int, ...] = field(repr=False)
    # (mtime in ns, size): a file that changes under a run isn't the one that was opened.
    identity: tuple[int, int] = field(repr=False)

    ndim: ClassVar[int] = 3

    def __getitem__(self, region: tuple[slice, ...] | slice) -> NDArray[Any]:
        """Read a region, from any thread.

        Parameters
        ----------
        region : slice or tuple of up to three slices
            Of rows, columns and channels, with steps of 1.

        Returns
        -------
        ndarray, shape (h, w, c)

        Raises
        ------
        ValueError
            If the file changed since it was opened, or a part of it can't be decoded.
        """
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
        as one channel. Samples that a file doesn't name, such as a fluorescence image's, come as stored.

    Returns
    -------
    ImageFile
        Holds no pixels and no open file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it isn't an image of these kinds, is damaged, or has no alpha where it is asked for.

    Notes
    -----
    A photo's EXIF orientation is applied as OpenCV applies it, unless alpha is asked for. A TIFF comes as it
    is stored: level 0 of its first series, alpha neither applied nor undone.
    """
    if sorted(channel_order) not in (sorted("RGB"), sorted("RGBA")):
        raise ValueError(f"channel_order is {channel_order!r}; wanted a permutation of 'RGB' or 'RGBA', as 'BGR'")
    name = str(Path(path).absolute())
    if not Path(name).is_file():
        kind = "a directory, wanted an image file" if Path(name).is_dir() else "not there: no such file"
        raise FileNotFoundError(f"{os.fspath(path)} is {kind}")
    identity = _identity(name)
    if _is_tiff(name):
        tiff = _open_tiff(name, identity)
        stored, tile, dtype, extent = tiff.stored, tiff.tile, tiff.dtype, tiff.extent
    else:
        pixels = _decode(name, identity, "A" in channel_order)
        stored = "L" if pixels.shape[2] == 1 else "BGRA"[: pixels.shape[2]]
        extent, tile, dtype = pixels.shape[:2], pixels.shape[:2], pixels.dtype
    if "A" in channel_order and "A" not in stored:
        raise ValueError(f"{os.fspath(path)} has no alpha channel; ask for 'RGB', not {channel_order!r}")
    channels: tuple[str, ...] | None
    if stored.startswith(("R", "B")):
        samples = tuple(stored.index(letter) for letter in channel_order)
        channels = tuple(_LETTERS[letter] for letter in channel_order)
    else:
        samples = (0,) if stored.startswith("L") else tuple(range(len(stored)))
        channels = ("gray",) if stored.startswith("L") else None
    return ImageFile(name, (*extent, len(samples)), dtype, channels, tile, samples, identity)


def open_image(
    path: str | os.PathLike[str], *, channel_order: str = "RGB", block: int | tuple[int, int] | None = None
) -> da.Array:
    """Open an image file as a lazy Dask array, whose tasks open the path themselves.

    Parameters
    ----------
    path : path
        A TIFF or BigTIFF, or anything that OpenCV reads (JPEG, PNG, WebP, BMP, ...).
    channel_order : str
        The channels wanted of a colour image: a permutation of ``"RGB"``, or of ``"RGBA"`` to keep alpha.
        A grey image comes as one channel, samples that the file doesn't name as stored.
    block : int or tuple of int, optional
        Height and width of a chunk; by default about 4096 x 4096, in whole tiles of the file.

    Returns
    -------
    dask.array.Array, shape (H, W, C)
        All channels in one chunk.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it isn't an image of these kinds, is damaged, or has no alpha where it is asked for.
    """
    file = open_file(path, channel_order=channel_order)
    chunks = choose_grid(file.shape[:2], tile=file.tile, block=block).block
    array: da.Array = da.from_array(
        file,
        chunks=(*chunks, -1),
        name=f"image-{tokenize(file, chunks)}",
        # Each task holds the path; else all would wait for one task that hands it out.
        inline_array=True,
        meta=np.empty((0, 0, 0), file.dtype),
    )
    return array


def _identity(path: str) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def _is_tiff(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(4) in _TIFF_MAGIC


_decoding = threading.Lock()


def _decode(path: str, identity: tuple[int, int], alpha: bool) -> NDArray[Any]:  # noqa: FBT001  a cache's key
    """Decode a photo, or give it if it was this process's last; threads that want it meanwhile wait."""
    with _decoding:
        return _decode_last(path, identity, alpha)


@lru_cache(maxsize=1)
def _decode_last(path: str, identity: tuple[int, int], alpha: bool) -> NDArray[Any]:  # noqa: FBT001  as above
    """Decode a photo to (H, W, samples): grey, BGR or BGRA, at the depth that is stored."""
    import cv2  # noqa: PLC0415  readers are imported where they are used

    if not identity[1]:
        raise ValueError(f"{path} is empty. {_COPY_AGAIN}")
    if not cv2.haveImageReader(path):
        raise ValueError(f"{path} isn't an image that OpenCV or tifffile can read. Convert it to TIFF or PNG.")
    _check_whole(path)
    flags = cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    level = cv2.utils.logging.getLogLevel()
    try:
        # The exception below says it all; meanwhile OpenCV's own lines are kept off the terminal.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        pixels = cv2.imread(path, flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise ValueError(
                f"{path} has more pixels than OpenCV decodes (2^30). Convert it to a tiled TIFF, for example "
                "with: vips tiffsave IN OUT.tif --tile --bigtiff --compression deflate"
            ) from error
        raise ValueError(f"{path} can't be decoded: {' '.join(str(error).split())}") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        raise ValueError(f"{path} can't be decoded: it is truncated or damaged. {_COPY_AGAIN}")
    return pixels.reshape(*pixels.shape[:2], -1)


def _check_whole(path: str) -> None:
    """Raise unless a JPEG or PNG reaches its end: OpenCV fills what a JPEG lacks with grey, silently."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:2] == b"\xff\xd8":
            whole = _jpeg_ends(content)
        elif content[: len(_PNG_MAGIC)] == _PNG_MAGIC:
            whole = _png_ends(content)
        else:
            return
        if not whole:
            raise ValueError(f"{path} is truncated: its {len(content)} bytes have no end marker. {_COPY_AGAIN}")


def _jpeg_ends(content: mmap.mmap) -> bool:
    """Walk the segments by their lengths, since a thumbnail within one has an end marker of its own."""
    place = 2
    while marker := _JPEG_MARKER.search(content, place):
        if marker[0][1] == _JPEG_END:
            return True
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return False


def _png_ends(content: mmap.mmap) -> bool:
    """Walk the chunks: length, kind, data, checksum."""
    place = len(_PNG_MAGIC)
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"IEND":
            return True
        place += 12 + length
    return False


@lru_cache(maxsize=8)
def _open_tiff(path: str, identity: tuple[int, int]) -> _Tiff:
    """Read the tags of a TIFF; what they say is kept, the file isn't kept open."""
    import tifffile  # noqa: PLC0415  readers are imported where they are used

    try:
        with tifffile.TiffFile(path) as file:
            return _Tiff(path, file.series[0].levels[0], identity[1])
    except ValueError:
        raise
    except Exception as error:
        # A damaged file makes tifffile raise whatever comes.
        raise ValueError(f"{path} can't be read as a TIFF: {error}. {_COPY_AGAIN}") from error


class _Tiff:
    """Level 0 of a TIFF's first series: where its tiles or strips lie, and how to decode them."""

    def __init__(self, path: str, series: tifffile.TiffPageSeries, size: int) -> None:
        page = series.keyframe
        self.path = path
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        separate, depth, height, width, contiguous = page.shaped
        self.extent = (height, width)
        # Stored samples are counted by page, then by separate plane, then within a pixel.
        self._layout = (len(series), separate, contiguous)
        self.stored = _stored_letters(path, series, depth)
        self._page = page
        self._pages = [page if p is None else p for p in series]
        self._raw = series.dataoffset if page.is_memmappable else None
        self._byteorder = page.parent.byteorder
        self._options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self._tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        self._tile = (min(self._tile[0], height), self._tile[1])
        self.tile = self._tile if self._raw is None else (1, 1)
        if self._raw is not None:
            end = self._raw + series.nbytes
        else:
            end = max(
                offset + count
                for p in self._pages
                for offset, count in zip(p.dataoffsets, p.databytecounts, strict=True)
            )
        if end > size:
            raise ValueError(
                f"{path} is truncated: its pixels reach to byte {end}, the file has {size}. {_COPY_AGAIN}"
            )

    def read(self, rows: range, columns: range, samples: list[int]) -> NDArray[Any]:
        """Read a region of some stored samples, decoding in the calling thread."""
        out = np.empty((len(rows), len(columns), len(samples)), self.dtype)
        if not out.size:
            return out
        if self._raw is not None:
            shape = (*self._layout[:2], *self.extent, self._layout[2])
            stored = self.dtype.newbyteorder(self._byteorder)
            pixels = np.memmap(self.path, stored, mode="r", offset=self._raw, shape=shape)
            window = pixels[:, :, rows.start : rows.stop, columns.start : columns.stop]
            for channel, sample in enumerate(samples):
                page, plane, within = np.unravel_index(sample, self._layout)
                out[..., channel] = window[page, plane, ..., within]
            return out
        wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for channel, sample in enumerate(samples):
            page, plane, within = (int(i) for i in np.unravel_index(sample, self._layout))
            wanted.setdefault((page, plane), []).append((channel, within))
        (tall, wide), (height, width) = self._tile, self.extent
        across = -(-width // wide)
        a_plane = -(-height // tall) * across
        with Path(self.path).open("rb") as file:
            for (page, plane), pairs in wanted.items():
                for row in range(rows.start // tall, -(-rows.stop // tall)):
                    for column in range(columns.start // wide, -(-columns.stop // wide)):
                        segment = self._segment(file, page, plane * a_plane + row * across + column)
                        _paste(out, segment, (row * tall - rows.start, column * wide - columns.start), pairs)
        return out

    def _segment(self, file: Any, page: int, index: int) -> NDArray[Any]:  # noqa: ANN401  an open file
        """Decode one tile or strip to (h, w, samples)."""
        count = self._pages[page].databytecounts[index]
        if not count:
            return np.full((*self._tile, self._layout[2]), self._page.nodata, self.dtype)
        file.seek(self._pages[page].dataoffsets[index])
        try:
            segment, _, shape = self._page.decode(file.read(count), index, **self._options)
            if segment is None:
                raise ValueError("no data")  # noqa: TRY301  said as any other failure to decode
        except Exception as error:
            # Each codec has exceptions of its own.
            raise ValueError(
                f"{self.path}: tile or strip {index} can't be decoded ({error}): the file is damaged. "
                f"{_COPY_AGAIN}"
            ) from error
        decoded: NDArray[Any] = segment[0, : shape[1], : shape[2]]
        return decoded


def _paste(
    out: NDArray[Any], segment: NDArray[Any], corner: tuple[int, int], pairs: list[tuple[int, int]]
) -> None:
    """Copy the part of a segment that meets `out`, whose upper left pixel is the segment's `-corner`."""
    top, left = max(corner[0], 0), max(corner[1], 0)
    source = segment[top - corner[0] :, left - corner[1] :]
    target = out[top : top + source.shape[0], left : left + source.shape[1]]
    source = source[: target.shape[0], : target.shape[1]]
    if [within for _, within in pairs] == list(range(out.shape[2])) == list(range(source.shape[2])):
        target[...] = source
        return
    for channel, within in pairs:
        target[..., channel] = source[..., within]


def _stored_letters(path: str, series: tifffile.TiffPageSeries, depth: int) -> str:
    """Name the stored samples: R, G, B, A, L for grey, ? where the file doesn't say."""
    page = series.keyframe
    long_axes = {
        axis: length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and length > 1
    }
    if depth > 1 or not set(long_axes) <= {"C"}:
        raise ValueError(
            f"{path} has axes {series.axes} of lengths {series.shape}; wanted rows, columns and channels. "
            "Split it into one image a plane."
        )
    decoded_jpeg = page.photometric == _YCBCR and page.compression in _JPEG_COMPRESSION
    if page.photometric not in (_GREY, _RGB) and not decoded_jpeg:
        kind = _PHOTOMETRIC.get(page.photometric, f"photometric interpretation {page.photometric}")
        raise ValueError(
            f"{path} stores {kind} samples; wanted RGB or grey. Convert it, for example with: "
            "vips colourspace IN OUT.tif srgb"
        )
    n_samples = page.shaped[0] * page.shaped[4]
    if len(series) > 1:
        return "?" * (len(series) * n_samples)
    if page.photometric == _GREY:
        extra = page.extrasamples
        return "L" if n_samples == 1 else "LA" if n_samples == 2 and extra and extra[0] else "?" * n_samples  # noqa: PLR2004
    if n_samples < 3:  # noqa: PLR2004  red, green, blue
        return "?" * n_samples
    alpha = "A" if n_samples > 3 and page.extrasamples and page.extrasamples[0] else "?"  # noqa: PLR2004  as above
    return ("RGB" + alpha + "?" * n_samples)[:n_samples]
