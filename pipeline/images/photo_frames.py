"""The headers of GIF and WebP, which may hold several frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import COPY_AGAIN
from pipeline.images.photo_facts import (
    RefusalError,
    check_extent,
    decode_with,
    exif_orientation,
    header_of,
    little,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header

GIF_MAGIC = (b"GIF87a", b"GIF89a")
WEBP_MAGIC = b"RIFF"
_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9
_WEBP_ALPHA = 0x10
_OPAQUE = 255
# No frame of a WebP is longer.
_LONGEST_WEBP = 2**14
# An image has at most so many times the pixels of its frames.
_MOST_EMPTY = 1024
# The bytes that both decoders take for each sample, beside the decoded image.
_MEMORY = 1.75
# The most pixels of all frames of a GIF, which are decoded together.
_MOST_GIF = 2**28


def is_webp(content: Content) -> bool:
    """Return whether a file is a WebP: other formats begin with RIFF too."""
    return content[:4] == WEBP_MAGIC and content[8:12] == b"WEBP"


def read_gif(content: Content) -> Header:
    """Read the header of a GIF, and count its frames.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Red, green and blue, and alpha if a frame has a transparent color.

    Raises
    ------
    RefusalError
        If it is truncated, or has more than 2^28 pixels.
    IndexError
        If it is damaged.
    """
    width, height = little(content[6:8]), little(content[8:10])
    # A frame may be smaller than the image.
    check_extent(content, height, width, float("inf"))
    n_frames, area, has_alpha, place = 0, 0, False, 13 + _n_colors(content[10])
    while (code := _at(content, place)) != _TRAILER:
        if code == _EXTENSION:
            has_alpha |= content[place + 1] == _CONTROL and bool(content[place + 3] & 1)
            place += 2
        elif code == _FRAME:
            n_frames += 1
            places = range(place + 1, place + 9, 2)
            left, top, across, down = (little(content[n : n + 2]) for n in places)
            if left + across > width or top + down > height:
                raise IndexError("a GIF with a frame outside of the image")
            area += across * down
            place += 11 + _n_colors(content[place + 9])
        else:
            raise IndexError("a GIF with an unknown block")
        while n_bytes := _at(content, place):
            place += n_bytes + 1
        place += 1
    _check_area((height, width), area)
    if height * width * n_frames > _MOST_GIF:
        raise RefusalError(
            f"is a GIF of {n_frames} frames of {height} x {width} pixels; wanted 2^28 pixels at most. "
            "Convert it to images: ffmpeg -i IN OUT-%d.png"
        )
    return header_of((height, width), 3 + has_alpha, "u1", n_frames=n_frames, memory=_MEMORY * n_frames)


def decode_gif(content: Content, frame: int) -> NDArray[Any]:
    """Decode a GIF: all of its frames, since a frame shows what former ones left."""
    frames = decode_with("gif", content)
    pixels = frames[frame] if frames.ndim > len("HWC") else frames
    if pixels.shape[2] == read_gif(content).shape[2]:
        return pixels.copy()
    # A frame may have a transparent color of which it has no pixel.
    return np.concatenate((pixels, np.full_like(pixels[..., :1], _OPAQUE)), axis=2)


def read_webp(content: Content) -> Header:
    """Read the header of a WebP, and count its frames.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Red, green and blue, and alpha if the header says so.

    Raises
    ------
    RefusalError
        If it is truncated.
    IndexError
        If it is damaged.
    """
    if len(content) < little(content[4:8]) + 8:
        raise RefusalError(f"is truncated: it is smaller than its header states. {COPY_AGAIN}")
    extent, has_alpha, orientation, n_frames, area = None, False, 1, 0, 0
    for name, start, length in _chunks(content):
        data = content[start : start + min(length, 12)]
        if name == b"VP8X":
            extent = little(data[7:10]) + 1, little(data[4:7]) + 1
            has_alpha = bool(data[0] & _WEBP_ALPHA)
        elif name == b"VP8 " and extent is None:
            extent = little(data[8:10]) & 0x3FFF, little(data[6:8]) & 0x3FFF
        elif name == b"VP8L" and extent is None:
            bits = little(data[1:5])
            extent, has_alpha = ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1), bool(bits >> 28 & 1)
        elif name == b"EXIF":
            orientation = exif_orientation(content[start : start + length])
        elif name == b"ANMF":
            n_frames += 1
            area += (little(data[6:9]) + 1) * (little(data[9:12]) + 1)
    if extent is None:
        raise IndexError("a WebP without an image")
    _check_webp(content, extent, n_frames, area)
    return header_of(
        extent, 3 + has_alpha, "u1", orientation=orientation, n_frames=max(1, n_frames), memory=_MEMORY
    )


def decode_webp(content: Content, frame: int) -> NDArray[Any]:
    """Decode a frame of a WebP, over what former ones left."""
    return decode_with("webp", content, frame, hasalpha=read_webp(content).shape[2] > len("RGB"))


def _chunks(content: Content) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the place and the length of each chunk of a WebP."""
    place, end = 12, little(content[4:8]) + 8
    while place + 8 <= end:
        length = little(content[place + 4 : place + 8])
        yield content[place : place + 4], place + 8, length
        place += 8 + length + length % 2


def _check_area(extent: tuple[int, int], area: int) -> None:
    """Raise IndexError if frames fill so little of an image that its size can't be meant."""
    if math.prod(extent) > _MOST_EMPTY * area:
        raise IndexError("an image that is much larger than its frames")


def _check_webp(content: Content, extent: tuple[int, int], n_frames: int, area: int) -> None:
    """Raise RefusalError or IndexError for a size that no WebP has, or that its frames don't fill."""
    check_extent(content, *extent, float("inf"))
    if max(extent) > _LONGEST_WEBP:
        raise RefusalError(
            f"is a WebP of {extent[0]} x {extent[1]} pixels; wanted sides of {_LONGEST_WEBP} at most. "
            "Convert it to images: ffmpeg -i IN OUT-%d.png"
        )
    if n_frames:
        _check_area(extent, area)


def _n_colors(flags: int) -> int:
    """Return the size in bytes of a GIF's table of colors."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _at(content: Content, place: int) -> int:
    if place >= len(content):
        raise RefusalError(f"is truncated: it has no end marker. {COPY_AGAIN}")
    return content[place]
