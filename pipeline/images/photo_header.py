"""The headers of PNG and JPEG: the size of a photo, known before it is decoded."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"
# A marker of a JPEG other than a restart: the zero after 0xff in compressed data marks none.
JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_JPEG_SCAN, _JPEG_EXIF = b"\xff\xda", b"\xff\xe1"
# The frames of baseline, extended, progressive and lossless JPEG, without the markers DHT, JPG and DAC.
_JPEG_FRAMES = {bytes((0xFF, code)) for code in range(0xC0, 0xD0) if code not in {0xC4, 0xC8, 0xCC}}
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
# These exchange rows and columns.
_TURNED = range(5, 9)
_GRAY, _ALPHA = 1, 4
_DEEP = 16
# Samples of a PNG by its color type: gray, RGB, palette, gray and RGB with alpha.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_GRAY, _PNG_ALPHA = 0, {4, 6}
# Deflate's most: it can't make more bytes of one.
_MOST_INFLATED = 1032


class Header(NamedTuple):
    """The shape and the depth of a photo, as OpenCV decodes it."""

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]

    @property
    def n_bytes(self) -> int:
        """The size of the decoded photo."""
        height, width, n_samples = self.shape
        return height * width * n_samples * self.dtype.itemsize


def read_header(path: str, *, alpha: bool) -> Header | None:
    """Read the header of a PNG or JPEG.

    Parameters
    ----------
    path : str
    alpha : bool
        Whether the photo is decoded as it is stored: with its alpha channel, without its EXIF orientation.

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
                return _read_png(path, content, alpha=alpha)
            if content[: len(JPEG_MAGIC)] == JPEG_MAGIC:
                return _read_jpeg(content, alpha=alpha)
    except (IndexError, KeyError):
        return None
    return None


def _read_png(path: str, content: mmap.mmap, *, alpha: bool) -> Header | None:
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
            transparent = transparent or kind != _PNG_GRAY
        elif name == b"eXIf":
            orientation = _orientation(content[place + 8 : place + 8 + length])
        place += length + 12
    n_samples = _GRAY if kind == _PNG_GRAY else _ALPHA if alpha and transparent else 3
    return Header(
        _turned(height, width, n_samples, 1 if alpha else orientation),
        np.dtype("uint16" if depth == _DEEP else "uint8"),
    )


def _read_jpeg(content: mmap.mmap, *, alpha: bool) -> Header | None:
    place, orientation = 2, 1
    while marker := JPEG_MARKER.search(content, place):
        start = marker.end()
        length = _big(content[start : start + 2])
        if marker[0] in _JPEG_FRAMES:
            height, width = _big(content[start + 3 : start + 5]), _big(content[start + 5 : start + 7])
            n_samples = _GRAY if content[start + 7] == 1 else 3
            if content[start + 2] != 8 or not height:  # noqa: PLR2004  bits; the height may follow the scan
                return None
            return Header(_turned(height, width, n_samples, 1 if alpha else orientation), np.dtype("uint8"))
        if marker[0] == _JPEG_SCAN:
            return None
        if marker[0] == _JPEG_EXIF and content[start + 2 : start + 8] == _EXIF:
            orientation = _orientation(content[start + 8 : start + length])
        place = start + length
    return None


def _turned(height: int, width: int, n_samples: int, orientation: int) -> tuple[int, int, int]:
    return (width, height, n_samples) if orientation in _TURNED else (height, width, n_samples)


def _orientation(exif: bytes) -> int:
    """Return the orientation that the first directory of EXIF data states, and 1 if it states none."""
    if exif[:2] not in {b"II", b"MM"}:
        return 1

    def number(start: int, size: int) -> int:
        return int.from_bytes(exif[start : start + size], "little" if exif[:2] == b"II" else "big")

    first = number(4, 4)
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, 2)
    return 1


def _big(content: bytes) -> int:
    return int.from_bytes(content, "big")
