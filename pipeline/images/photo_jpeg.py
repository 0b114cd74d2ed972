"""The header of a JPEG or JPEG-LS, and its decoding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline.images.file import COPY_AGAIN
from pipeline.images.photo_facts import (
    RefusalError,
    big,
    check_extent,
    decode_with,
    exif_orientation,
    header_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header

JPEG_MAGIC = b"\xff\xd8"
# A marker other than a restart: the zero after 0xff in compressed data marks none.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_END, _SCAN, _EXIF = b"\xff\xd9", b"\xff\xda", b"\xff\xe1"
# The frames of baseline, extended, progressive, lossless and arithmetic JPEG: not DHT, JPG and DAC.
_FRAMES = {bytes((0xFF, code)) for code in range(0xC0, 0xD0) if code not in {0xC4, 0xC8, 0xCC}}
_LS_FRAME = b"\xff\xf7"
# Hierarchical frames need another one before them, and libjpeg-turbo has no arithmetic lossless decoder.
_UNKNOWN_FRAMES = {bytes((0xFF, code)) for code in (0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)}
_PROGRESSIVE = {b"\xff\xc2", b"\xff\xca"}
# A progressive one has all coefficients in memory, of 16 bits.
_MEMORY, _PROGRESSIVE_MEMORY = 0.25, 2.25
_ARITHMETIC = range(0xC9, 0xD0)
# A Huffman code has a bit for each block of 8 x 8 pixels at least.
_MOST_PER_BYTE = 8 * 64
_SHALLOW = 8
_COLORS = {1: 1, 3: 3}


def read_jpeg(content: Content) -> Header:
    """Read the header of a JPEG.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Samples of 9 to 16 bits are stored in uint16 as they are: those of 12 bits are at most 4095.

    Raises
    ------
    RefusalError
        If it holds CMYK samples, is of a kind that isn't decoded, has no end, or is too small for its size.
    IndexError
        If it is damaged.
    """
    place, orientation = 2, 1
    while marker := _MARKER.search(content, place):
        start, name = marker.end(), marker[0]
        length = big(content[start : start + 2])
        if name in _FRAMES or name == _LS_FRAME:
            return _read_frame(content, start, name, orientation)
        if name in {_SCAN, _END}:
            break
        if name == _EXIF and content[start + 2 : start + 6] == b"Exif":
            orientation = exif_orientation(content[start + 2 : start + length])
        place = start + length
    raise IndexError("a JPEG without a frame")


def decode_jpeg(content: Content, frame: int) -> NDArray[Any]:
    """Decode a JPEG, or a JPEG-LS, to gray or to red, green and blue."""
    del frame
    place = 2
    while (marker := _MARKER.search(content, place)) and marker[0] not in {_SCAN, _LS_FRAME}:
        place = marker.end() + big(content[marker.end() : marker.end() + 2])
    is_ls = marker is not None and marker[0] == _LS_FRAME
    return decode_with("jpegls" if is_ls else "jpeg8", content)


def _read_frame(content: Content, start: int, name: bytes, orientation: int) -> Header:
    """Read the frame header: bits, height, width and the number of components."""
    bits, n_components = content[start + 2], content[start + 7]
    height, width = big(content[start + 3 : start + 5]), big(content[start + 5 : start + 7])
    if name in _UNKNOWN_FRAMES:
        raise RefusalError(
            f"is a hierarchical or an arithmetic lossless JPEG (frame 0x{name[1]:X}), which is decoded by no "
            "known library. Export it as PNG or TIFF from the program that wrote it."
        )
    if n_components not in _COLORS:
        kind = "CMYK" if n_components == len("CMYK") else f"{n_components}"
        raise RefusalError(
            f"stores {kind} samples; wanted RGB or gray. Convert it: vips colourspace IN OUT.tif srgb"
        )
    if not height:
        raise RefusalError(
            "is a JPEG that states its height only behind its pixels, which isn't supported. Export it as "
            "PNG or TIFF from the program that wrote it."
        )
    if not _ends(content, start):
        raise RefusalError(f"is truncated: it has no end marker. {COPY_AGAIN}")
    if name[1] not in _ARITHMETIC and name != _LS_FRAME:
        check_extent(content, height, width, _MOST_PER_BYTE)
    dtype = "u1" if bits <= _SHALLOW else "u2"
    memory = _PROGRESSIVE_MEMORY if name in _PROGRESSIVE else _MEMORY
    return header_of((height, width), n_components, dtype, orientation=orientation, memory=memory)


def _ends(content: Content, place: int) -> bool:
    """Walk the segments by their lengths, since a thumbnail within one has an end marker of its own."""
    while marker := _MARKER.search(content, place):
        if marker[0] == _END:
            return True
        place = marker.end() + big(content[marker.end() : marker.end() + 2])
    return False
