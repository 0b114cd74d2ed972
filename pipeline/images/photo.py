"""Photos: the formats that OpenCV decodes.

They have no random access: an image is decoded whole, and each process keeps the last two that it decoded. A
giant PNG or JPEG is decoded when its first pixel is read, a small one when it is opened.
"""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.file import COPY_AGAIN, ImageFile, file_stamp, name_samples
from pipeline.images.kept import GIANT, KEPT
from pipeline.images.opencv import import_opencv
from pipeline.images.photo_header import JPEG_MAGIC, JPEG_MARKER, PNG_MAGIC, Header, read_header, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Places, Region

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# The decoded samples by their number.
_STORED = ("", "L", "LA", "BGR", "BGRA")
# OpenCV's decoders take so many times the decoded photo, with the photo itself.
_DECODING = 2
# OpenCV refuses larger photos, unless its variable says otherwise.
_MOST_PIXELS, _CAP = 2**30, "OPENCV_IO_MAX_IMAGE_PIXELS"


def open_photo(path: str, choice: Choice = WHOLE) -> Photo | None:
    """Open a photo, or return None if OpenCV has no decoder for it.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        A photo is one image: nothing can be chosen.

    Returns
    -------
    Photo or None
        Gray as one channel, else red, green and blue; alpha is left out.

    Raises
    ------
    ValueError
        If the photo is truncated, or is damaged so that its decoder notices; of a giant one only the header
        is read.
    """
    photo = _open(path)
    if photo is not None:
        choice.check(path, "a photo")
    return photo


def _open(path: str) -> Photo | None:
    """Open a photo; a giant one isn't decoded if its header is understood."""
    if not import_opencv().haveImageReader(path):
        return None
    stamp = file_stamp(path)
    _check_whole(path)
    header = read_header(path)
    if header is None or header.n_bytes <= GIANT:
        pixels = _decode(path, stamp)
        header = Header(pixels.shape, pixels.dtype)
    height, width, n_samples = header.shape
    if height * width > _MOST_PIXELS and _CAP not in os.environ:
        raise _too_many(path)
    stored = _STORED[n_samples]
    samples, channels = name_samples(stored)
    return Photo(
        path=path,
        stamp=stamp,
        shape=(height, width, len(samples)),
        dtype=header.dtype,
        channels=channels,
        tile=(height, width),
        stored=stored,
        samples=samples,
    )


@dataclass(frozen=True, kw_only=True)
class Photo(ImageFile):
    """A photo, which each process that reads it decodes whole, with all of its samples."""

    @property
    def held_bytes(self) -> int:
        """The memory of the decoded photo."""
        height, width = self.extent
        return height * width * len(self.stored) * self.dtype.itemsize

    @property
    def present_bytes(self) -> int:
        """The memory of the decoded photo, if this process has it."""
        return self.held_bytes if KEPT.holds((self.path, self.stamp)) else 0

    @property
    def opening_bytes(self) -> int:
        """The memory that the decoder takes beside the photo."""
        return (_DECODING - 1) * self.held_bytes

    @property
    def unit(self) -> tuple[int, int]:
        """A pixel, since the photo is kept."""
        return (1, 1)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory of the pixels, which are copied from the photo."""
        del places
        return math.prod(extent) * self.pixel_bytes

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        self.check_unchanged()
        whole = _decode(self.path, self.stamp)
        if whole.shape != (*self.extent, len(self.stored)) or whole.dtype != self.dtype:
            raise ValueError(
                f"{self.path} has another size than its header states: {whole.shape} of {whole.dtype}; it is "
                f"damaged. {COPY_AGAIN}"
            )
        pixels = whole[region]
        return np.ascontiguousarray(pixels[..., self.samples])


def _decode(path: str, stamp: tuple[int, int]) -> NDArray[Any]:
    """Return a decoded photo, which is kept; other threads that want it wait until it is decoded."""
    return KEPT.get((path, stamp), 0, lambda: _decode_whole(path), 1)


def _decode_whole(path: str) -> NDArray[Any]:
    """Decode a photo to (H, W, samples), at the depth that is stored, turned as its header says."""
    cv2 = import_opencv()
    _check_whole(path)
    header = read_header(path)
    level = cv2.utils.logging.getLogLevel()
    try:
        # OpenCV's own lines are kept off the terminal: the exceptions below name the damage.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        pixels: NDArray[Any] | None = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise _too_many(path) from error
        raise ValueError(f"{path} can't be decoded: {' '.join(str(error).split())}") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        raise ValueError(f"{path} can't be decoded: it is truncated or damaged. {COPY_AGAIN}")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if header is not None and header.shape[2] == len("LA"):
        pixels = pixels[..., 2:]
    return pixels if header is None else turned(pixels, header.orientation)


def _too_many(path: str) -> ValueError:
    advice = "Convert it: vips tiffsave IN OUT.tif --tile --bigtiff --compression deflate"
    return ValueError(f"{path} has more than the 2^30 pixels that OpenCV decodes. {advice}")


def _check_whole(path: str) -> None:
    """Raise unless a JPEG or PNG is whole: OpenCV fills the missing part of a JPEG with gray, silently."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        cut_jpeg = content[: len(JPEG_MAGIC)] == JPEG_MAGIC and not _jpeg_ends(content)
        if cut_jpeg or (content[: len(PNG_MAGIC)] == PNG_MAGIC and content.rfind(_PNG_END) < 0):
            raise ValueError(f"{path} is truncated: it has no end marker. {COPY_AGAIN}")


def _jpeg_ends(content: mmap.mmap) -> bool:
    """Walk the segments by their lengths, since a thumbnail within one has an end marker of its own."""
    place = 2
    while marker := JPEG_MARKER.search(content, place):
        if marker[0] == b"\xff\xd9":
            return True
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return False
