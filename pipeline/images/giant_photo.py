"""Giant photos: libvips decodes them once, strip by strip, into a scratch array that is read by regions.

A PNG or a JPEG has no random access. A photo that is small enough is decoded into the memory of each process;
a larger one is decoded to the disk, to an array of chunks that all processes of the machine share. Both ways
give the same pixels. Interlaced PNGs and progressive JPEGs can't be decoded in strips: libvips holds them in
memory while the array is written.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil
import zarr
from zarr.codecs import BloscCodec

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.file import ImageFile, file_stamp, name_samples, open_binary
from pipeline.images.photo_facts import STORED, TURNED, turned
from pipeline.images.photo_header import read_header
from pipeline.images.photo_jpeg import JPEG_MAGIC
from pipeline.images.photo_png import PNG_MAGIC
from pipeline.images.scratch import share_scratch
from pipeline.images.selection import meet_pieces, to_slice
from pipeline.images.vips import VIPS_INSTALL, decode_strips, read_streamed
from pipeline.images.zarr_array import Facts, ZarrArray
from pipeline.images.zarr_axes import Axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Header
    from pipeline.images.source import Places, Region

# A photo that is larger than this, in bytes, isn't decoded into the memory of each process. The pass to the
# disk takes about as long as decoding it once.
MOST_HELD = 2**28
# Height and width of a chunk, unless strips of that height are larger than these bytes.
_SIDE, _LEAST_SIDE, _STRIP_BYTES = 512, 64, 2**27
# libvips and zarr take this beside strips.
_DECODING = 96 * 2**20

_T = TypeVar("_T")


def open_giant_photo(path: str, choice: Choice = WHOLE) -> GiantPhoto | None:
    """Open a PNG or JPEG that is too large to be held in memory, reading its header only.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        A photo is one image: nothing can be chosen.

    Returns
    -------
    GiantPhoto or None
        None for a smaller photo, for another format, for a kind that libvips doesn't decode to the same
        pixels, and without libvips for a photo that fits into memory.

    Raises
    ------
    ImportError
        If libvips is missing, and the photo doesn't fit into the memory of the machine.
    ValueError
        If the photo is truncated, or of a kind that isn't read.
    """
    with open_binary(path) as file:
        magic = file.read(len(PNG_MAGIC))
    if magic != PNG_MAGIC and not magic.startswith(JPEG_MAGIC):
        return None
    stamp, header = file_stamp(path), read_header(path)
    if header is None or header.n_bytes <= MOST_HELD:
        return None
    try:
        streamed = read_streamed(path)
    except ImportError as error:
        _check_memory(path, header, error)
        return None
    if streamed is None or (streamed.shape, streamed.dtype) != (_stored_shape(header), header.dtype):
        return None
    choice.check(path, "a photo")
    stored = STORED[header.shape[2]]
    samples, channels = name_samples(stored)
    return GiantPhoto(
        path=path,
        stamp=stamp,
        shape=(*header.shape[:2], len(samples)),
        dtype=header.dtype,
        channels=channels,
        tile=_turned_pair(_stored_chunk(header), header),
        stored=stored,
        samples=samples,
        header=header,
        decoder_bytes=streamed.held_bytes,
    )


@dataclass(frozen=True, kw_only=True)
class GiantPhoto(ImageFile):
    """A photo that the first process that reads it decodes into a scratch array on the disk.

    Attributes
    ----------
    header : Header
        The shape of all samples, their dtype, and how they are turned.
    decoder_bytes : int
        The memory of what the decoder can't decode in strips.
    """

    header: Header = field(repr=False)
    decoder_bytes: int = field(repr=False)

    @property
    def opening_bytes(self) -> int:
        """The memory that the one pass over the photo takes, in the process that does it."""
        strip = _stored_chunk(self.header)[0] * _stored_shape(self.header)[1] * self._stored_bytes
        return self.decoder_bytes + 2 * strip + _DECODING

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels before and after samples are chosen, and chunks."""
        del places
        chunk, n_pixels = math.prod(self.tile) * self._stored_bytes, math.prod(extent)
        is_whole = self.samples == tuple(range(len(self.stored)))
        n_copies = (not is_whole) + (self.header.orientation != 1)
        return n_pixels * (self._stored_bytes + n_copies * self.pixel_bytes) + 3 * chunk

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        self.check_unchanged()
        rows, columns = self._stored_places(region)
        if not rows or not columns:
            return np.empty(
                (*_turned_pair((len(rows), len(columns)), self.header), self.shape[2]), self.dtype
            )
        place = share_scratch(self._name, self._scratch_bytes, self._decode)
        array = _open_scratch(str(place))
        stored = ZarrArray(array, Axes.unnamed(2), Facts()).select(self.samples)
        pixels = stored.read((to_slice(rows), to_slice(columns)))
        # A chunk that isn't there is read as zeros. One that is still there afterwards was read.
        for row, _, _ in meet_pieces(rows, array.chunks[0]):
            for column, _, _ in meet_pieces(columns, array.chunks[1]):
                if not (place / array.metadata.encode_chunk_key((row, column, 0))).exists():
                    raise OSError(
                        f"the scratch copy of {self.path} in {place} has lost files: another program removed "
                        "them. Set DASK_TEMPORARY_DIRECTORY to a directory that isn't cleaned, and start "
                        "Python again."
                    )
        return np.ascontiguousarray(turned(pixels, self.header.orientation))

    def _stored_places(self, region: Region) -> tuple[range, range]:
        """Return the rows and columns of a region as they are stored, in ascending order."""
        rows, columns = (range(n)[one] for n, one in zip(self.extent, region, strict=True))
        places = list(_turned_pair((rows, columns), self.header))
        # The stored corner that comes first tells which of the stored axes are read backward.
        corner = turned(np.arange(4).reshape(2, 2, 1), self.header.orientation)[0, 0, 0]
        for axis, is_backward in enumerate(divmod(int(corner), 2)):
            if is_backward and (one := places[axis]):
                last = _stored_shape(self.header)[axis] - 1
                places[axis] = range(last - one[-1], last - one[0] + 1, one.step)
        return places[0], places[1]

    @property
    def _stored_bytes(self) -> int:
        """The size of a pixel with all of its samples."""
        return len(self.stored) * self.dtype.itemsize

    @property
    def _name(self) -> str:
        """The name of the scratch: it is the same for the same file."""
        return hashlib.sha256(repr((self.path, self.stamp)).encode()).hexdigest()[:24]

    @property
    def _scratch_bytes(self) -> int:
        """The size of the scratch, if nothing is compressed."""
        n_chunks = [-(-n // side) for n, side in zip(self.extent, self.tile, strict=True)]
        return math.prod(n_chunks) * math.prod(self.tile) * self._stored_bytes

    def _decode(self, folder: Path) -> None:
        """Decode the photo as it is stored into an array in an empty directory."""
        shape, (height, width) = _stored_shape(self.header), _stored_chunk(self.header)
        array = zarr.create_array(
            folder,
            shape=shape,
            chunks=(height, width, shape[2]),
            dtype=self.dtype,
            compressors=BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),
            config={"write_empty_chunks": True},
        )
        top = 0
        for strip in decode_strips(self.path, self.dtype, height):
            array[top : top + len(strip)] = strip
            top += len(strip)
            del strip
        self.check_unchanged()


@lru_cache(maxsize=4)
def _open_scratch(place: str) -> zarr.Array[Any]:
    return zarr.open_array(Path(place), mode="r")


def _check_memory(path: str, header: Header, error: ImportError) -> None:
    """Raise ImportError if a photo can't be decoded in memory."""
    needed = math.prod(header.shape) * (header.dtype.itemsize + header.memory)
    memory = psutil.virtual_memory().total
    if needed > memory:
        raise ImportError(
            f"{path} takes {needed / 2**30:.1f} GiB to be decoded in memory, and this machine has "
            f"{memory / 2**30:.1f} GiB. Install libvips, which decodes it to the disk: {VIPS_INSTALL}"
        ) from error


def _turned_pair(pair: tuple[_T, _T], header: Header) -> tuple[_T, _T]:
    """Return something of the rows and of the columns, exchanged if the photo is turned on its side."""
    return (pair[1], pair[0]) if header.orientation in TURNED else pair


def _stored_shape(header: Header) -> tuple[int, int, int]:
    """Return the shape as it is stored."""
    height, width, n_samples = header.shape
    return (*_turned_pair((height, width), header), n_samples)


def _stored_chunk(header: Header) -> tuple[int, int]:
    """Return height and width of a chunk as it is stored; the height is that of a strip."""
    _, width, n_samples = _stored_shape(header)
    side = _SIDE
    while side > _LEAST_SIDE and side * width * n_samples * header.dtype.itemsize > _STRIP_BYTES:
        side //= 2
    return side, _SIDE
