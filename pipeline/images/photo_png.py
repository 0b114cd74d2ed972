"""The header of a PNG."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pipeline.images.file import COPY_AGAIN
from pipeline.images.photo_facts import RefusalError, big, check_extent, exif_orientation, header_of

if TYPE_CHECKING:
    from pipeline.images.photo_facts import Content, Header

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_DEPTHS, _DEEP = {1, 2, 4, 8, 16}, 16
# Samples by color type: gray, RGB, palette, gray and RGB with alpha.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE, _WITH_ALPHA = 3, {4, 6}
# Deflate's most: it can't make more bytes of one.
_MOST_INFLATED = 1032
# EXIF data that follow the pixels are looked for in so many last bytes.
_TAIL = 2**16


def read_png(content: Content) -> Header:
    """Read the header of a PNG.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Colors of a palette count as red, green and blue, and a transparent color as alpha. Samples of fewer
        than 8 bits are scaled to 8 bits.

    Raises
    ------
    RefusalError
        If it holds several frames, has no end, or is too small for its size.
    IndexError, KeyError
        If it is damaged.
    """
    width, height = big(content[16:20]), big(content[20:24])
    depth, kind = content[24], content[25]
    n_stored = _SAMPLES[kind]
    if depth not in _DEPTHS:
        raise IndexError("a PNG of another depth")
    check_extent(content, height, width, 8 * _MOST_INFLATED / (n_stored * depth))
    if content.rfind(_END) < 0:
        raise RefusalError(f"is truncated: it has no end marker. {COPY_AGAIN}")
    has_alpha, orientation, place = kind in _WITH_ALPHA, _orientation_behind(content), 8
    while (name := content[place + 4 : place + 8]) not in {b"IDAT", b""}:
        length = big(content[place : place + 4])
        data = slice(place + 8, place + 8 + length)
        if name == b"tRNS":
            has_alpha = True
        elif name == b"eXIf":
            orientation = exif_orientation(content[data])
        elif name == b"acTL" and big(content[data][:4]) > 1:
            raise RefusalError(
                f"is an animated PNG of {big(content[data][:4])} frames; wanted one image. Convert it to "
                "images: ffmpeg -f apng -i IN OUT-%d.png"
            )
        place += length + 12
    if not name:
        raise IndexError("a PNG without pixels")
    n_colors = 3 if kind == _PALETTE else n_stored - (kind in _WITH_ALPHA)
    dtype = "u2" if depth == _DEEP else "u1"
    return header_of((height, width), n_colors + has_alpha, dtype, orientation=orientation)


def _orientation_behind(content: Content) -> int:
    """Return the orientation of EXIF data that follow the pixels."""
    tail = content[max(0, len(content) - _TAIL) :]
    place = tail.rfind(b"eXIf")
    if place < len("size"):
        return 1
    end = place + 4 + big(tail[place - 4 : place])
    is_chunk = zlib.crc32(tail[place:end]) == big(tail[end : end + 4])
    return exif_orientation(tail[place + 4 : end]) if is_chunk else 1
