"""QOI, Radiance, Sun raster and JPEG XL: what their headers state, and their decoders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.file import COPY_AGAIN
from pipeline.images.photo_boxes import boxes
from pipeline.images.photo_facts import (
    RefusalError,
    big,
    check_extent,
    check_rows,
    decode_with,
    header_of,
    little,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header

QOI_MAGIC = b"qoif"
HDR_MAGIC = (b"#?RADIANCE", b"#?RGBE")
SUN_MAGIC = b"\x59\xa6\x6a\x95"
JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
# A byte of QOI stands for up to 62 pixels; two of Radiance for up to 127 samples of four, in old files 255.
_QOI_SAMPLES, _QOI_MEMORY = {3, 4}, 1.5
_QOI_PIXELS, _QOI_END = 62, b"\0" * 7 + b"\1"
_HDR_MEMORY = 1.0
_HDR_PIXELS, _HDR_HEADER = 255 / 4, 2**14
_HDR_SIZE = re.compile(rb"\n\n([-+][XY]) +(\d{1,9}) +([-+][XY]) +(\d{1,9})\n")
_SUN_BGR, _SUN_RGB, _SUN_SAMPLES = {0, 1}, 3, {8: 1, 24: 3, 32: 3}
# JPEG XL: the widths by their ratio to the height, and the bits of a length by its class.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_LENGTHS = (9, 13, 18, 30)
_MOST_JXL = 2**28


def read_qoi(content: Content) -> Header:
    """Read the header of a QOI: red, green and blue, perhaps with alpha."""
    height, width = big(content[8:12]), big(content[4:8])
    check_extent(content, height, width, _QOI_PIXELS)
    if content[-8:] != _QOI_END:
        raise RefusalError(f"is truncated: it has no end marker. {COPY_AGAIN}")
    n_samples = content[12]
    if n_samples not in _QOI_SAMPLES:
        raise IndexError("a QOI of other samples")
    return header_of((height, width), n_samples, "u1", memory=_QOI_MEMORY)


def decode_qoi(content: Content, frame: int) -> NDArray[Any]:
    """Decode a QOI."""
    del frame
    return decode_with("qoi", content)


def read_hdr(content: Content) -> Header:
    """Read the header of a Radiance file: red, green and blue in float32, without its exposure applied."""
    head = content[:_HDR_HEADER]
    size = _HDR_SIZE.search(head)
    if size is None:
        raise IndexError("a Radiance file without a size")
    if b"32-bit_rle_xyze" in head[: size.start()] or (size[1], size[3]) != (b"-Y", b"+X"):
        raise RefusalError(
            "is a Radiance file in XYZ, or with its rows in another order; wanted RGB with rows from the "
            "top. Convert it: magick IN OUT.tif"
        )
    height, width = int(size[2]), int(size[4])
    check_extent(content, height, width, _HDR_PIXELS)
    return header_of((height, width), 3, "f4", memory=_HDR_MEMORY)


def decode_hdr(content: Content, frame: int) -> NDArray[Any]:
    """Decode a Radiance file."""
    del frame
    return decode_with("rgbe", content)


def read_sun(content: Content) -> Header:
    """Read the header of a Sun raster that isn't compressed: gray, or red, green and blue."""
    width, height, depth, _, kind, _, n_map = _sun_numbers(content)
    if kind not in {*_SUN_BGR, _SUN_RGB} or depth not in _SUN_SAMPLES:
        raise RefusalError(
            f"is a Sun raster of kind {kind} and {depth} bits; wanted an uncompressed one of 8, 24 or 32 "
            "bits. Convert it: magick IN OUT.png"
        )
    check_rows(content, height, width, 32 + n_map + height * _sun_row(width, depth))
    return header_of((height, width), 3 if n_map else _SUN_SAMPLES[depth], "u1")


def decode_sun(content: Content, frame: int) -> NDArray[Any]:
    """Decode a Sun raster."""
    del frame
    width, height, depth, _, kind, _, n_map = _sun_numbers(content)
    n_bytes = _sun_row(width, depth)
    rows = np.frombuffer(content, np.uint8, height * n_bytes, 32 + n_map).reshape(height, n_bytes)
    pixels = rows[:, : width * depth // 8].reshape(height, width, -1)
    if n_map:
        return np.frombuffer(content[32 : 32 + n_map], np.uint8).reshape(3, -1).T[pixels[..., 0]]
    # Of four samples, the first one has no meaning.
    pixels = pixels[..., -3:]
    return pixels.copy() if kind == _SUN_RGB else pixels[..., ::-1].copy()


def _sun_numbers(content: Content) -> list[int]:
    return [big(content[place : place + 4]) for place in range(4, 32, 4)]


def _sun_row(width: int, depth: int) -> int:
    """Return the bytes of a row, which are even."""
    return -(-width * depth // 16) * 2


def read_jxl(content: Content) -> None:
    """Check the size of a JPEG XL; its samples are known once it is decoded."""
    start = 0
    if content[:2] != JXL_MAGIC[0]:
        parts = [box for box in boxes(content, 0, len(content)) if box.name in {b"jxlc", b"jxlp"}]
        if not parts:
            raise RefusalError(f"is truncated: it has no pixels. {COPY_AGAIN}")
        start = parts[0].start + (4 if parts[0].name == b"jxlp" else 0)
    bits, place = little(content[start + 2 : start + 14]), 1

    def take(n: int) -> int:
        nonlocal place
        value = bits >> place & (1 << n) - 1
        place += n
        return value

    is_small = bool(bits & 1)
    height = (take(5) + 1) * 8 if is_small else take(_LENGTHS[take(2)]) + 1
    ratio = take(3)
    if ratio:
        width = height * _RATIOS[ratio][0] // _RATIOS[ratio][1]
    else:
        width = (take(5) + 1) * 8 if is_small else take(_LENGTHS[take(2)]) + 1
    if height * width > _MOST_JXL:
        raise RefusalError(
            f"is a JPEG XL of {height} x {width} pixels; wanted 2^28 at most. Convert it: vips tiffsave IN "
            "OUT.tif --tile --bigtiff --compression deflate"
        )


def decode_jxl(content: Content, frame: int) -> NDArray[Any]:
    """Decode a JPEG XL, turned as its orientation says."""
    del frame
    pixels = decode_with("jpegxl", content, numthreads=1)
    if pixels.ndim > len("HWC"):
        raise RefusalError(
            f"is an animated JPEG XL of {len(pixels)} frames; wanted one image. Convert it to images: ffmpeg "
            "-i IN OUT-%d.png"
        )
    return pixels
