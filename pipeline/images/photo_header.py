"""The headers of PNG and JPEG: the size of a photo, known before it is decoded."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"
# A marker of a JPEG other than a restart: the zero after 0xff in compressed data marks none.
JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_JPEG_SCAN, _JPEG_EXIF = b"\xff\xda", b"\xff\xe1"
# The frames of baseline, extended, progressive and lossless JPEG, without the markers DHT, JPG and DAC.
_JPEG_FRAMES = {bytes((0xFF, code)) for code in range(0xC0, 0xD0) if code not in {0xC4, 0xC8, 0xCC}}
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
_ORIENTATIONS = range(1, 9)
# These exchange rows and columns.
_TURNED = range(5, 9)
# After that, these have the last row first, and these the last column.
_UPSIDE_DOWN, _MIRRORED = {3, 4, 7, 8}, {2, 3, 6, 7}
_DEEP = 16
# Samples of a PNG by its color type: gray, RGB, palette, gray and RGB with alpha.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PALETTE, _PNG_ALPHA = 3, {4, 6}
# Deflate's most: it can't make more bytes of one.
_MOST_INFLATED = 1032


class Header(NamedTuple):
    """What a photo holds.

    Attributes
    ----------
    shape : tuple of int
        Height, width and number of samples, after the photo is turned as its orientation says. The samples
        are gray, gray and alpha, red, green and blue, or these and alpha.
    dtype : dtype
        The dtype of the samples.
    orientation : int
        EXIF's, from 1 to 8: how the stored rows and columns are to be turned. It is 1 if they stay.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    orientation: int = 1

    @property
    def n_bytes(self) -> int:
        """The size of the decoded photo."""
        height, width, n_samples = self.shape
        return height * width * n_samples * self.dtype.itemsize


def read_header(path: str) -> Header | None:
    """Read the header of a PNG or JPEG.

    Parameters
    ----------
    path : str

    Returns
    -------
    Header or None
        None if the file is of another format, or its header isn't understood.

    Raises
    ------
    ValueError
        If the file is too small for the size that its header states.
    """
    try:
        with (
            Path(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if content[: len(PNG_MAGIC)] == PNG_MAGIC:
                return _read_png(path, content)
            if content[: len(JPEG_MAGIC)] == JPEG_MAGIC:
                return _read_jpeg(content)
    except (IndexError, KeyError):
        return None
    return None


def _read_png(path: str, content: mmap.mmap) -> Header | None:
    width, height = _big(content[16:20]), _big(content[20:24])
    depth, kind = content[24], content[25]
    row = -(-width * _PNG_SAMPLES[kind] * depth // 8) + 1
    if height * row > _MOST_INFLATED * len(content):
        raise ValueError(
            f"{path} can't hold the {height} x {width} pixels that its header states: it is damaged. Copy or "
            "download it again."
        )
    transparent, orientation, place = kind in _PNG_ALPHA, 1, 8
    while (name := content[place + 4 : place + 8]) not in {b"IDAT", b""}:
        length = _big(content[place : place + 4])
        if name == b"tRNS":
            transparent = True
        elif name == b"eXIf":
            orientation = _orientation(content[place + 8 : place + 8 + length])
        place += length + 12
    n_colors = 3 if kind == _PNG_PALETTE else _PNG_SAMPLES[kind] - (kind in _PNG_ALPHA)
    dtype = np.dtype("uint16" if depth == _DEEP else "uint8")
    return _turned(height, width, n_colors + transparent, dtype, orientation)


def _read_jpeg(content: mmap.mmap) -> Header | None:
    place, orientation = 2, 1
    while marker := JPEG_MARKER.search(content, place):
        start = marker.end()
        length = _big(content[start : start + 2])
        if marker[0] in _JPEG_FRAMES:
            height, width = _big(content[start + 3 : start + 5]), _big(content[start + 5 : start + 7])
            n_samples = 1 if content[start + 7] == 1 else 3
            if content[start + 2] != 8 or not height:  # noqa: PLR2004  bits; the height may follow the scan
                return None
            return _turned(height, width, n_samples, np.dtype("uint8"), orientation)
        if marker[0] == _JPEG_SCAN:
            return None
        if marker[0] == _JPEG_EXIF and content[start + 2 : start + 8] == _EXIF:
            orientation = _orientation(content[start + 8 : start + length])
        place = start + length
    return None


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of a photo's stored pixels whose rows and columns are turned as EXIF's orientation says.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
    orientation : int
        From 1 to 8.

    Returns
    -------
    ndarray, shape (H, W, C)
    """
    if orientation in _TURNED:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if orientation in _UPSIDE_DOWN else 1, :: -1 if orientation in _MIRRORED else 1]


def _turned(height: int, width: int, n_samples: int, dtype: np.dtype[np.generic], orientation: int) -> Header:
    if orientation in _TURNED:
        height, width = width, height
    return Header((height, width, n_samples), dtype, orientation)


def _orientation(exif: bytes) -> int:
    """Return the orientation that the first directory of EXIF data states, and 1 if it states none."""
    if exif[:2] not in {b"II", b"MM"}:
        return 1

    def number(start: int, size: int) -> int:
        return int.from_bytes(exif[start : start + size], "little" if exif[:2] == b"II" else "big")

    first = number(4, 4)
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            stated = number(entry + 8, 2)
            return stated if stated in _ORIENTATIONS else 1
    return 1


def _big(content: bytes) -> int:
    return int.from_bytes(content, "big")
