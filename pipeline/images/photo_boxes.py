"""The headers of JPEG 2000 and AVIF, which are made of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.images.file import COPY_AGAIN
from pipeline.images.photo_facts import RefusalError, big, check_extent, decode_with, header_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header

JP2_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
J2K_MAGIC = b"\xff\x4f\xff\x51"
_AVIF_BRANDS = {b"avif", b"avis"}
# The orientation by the axis that is mirrored, after so many quarter turns counterclockwise.
_ORIENTATIONS: dict[int | None, tuple[int, ...]] = {
    None: (1, 8, 3, 6),
    0: (4, 5, 2, 7),
    1: (2, 7, 4, 5),
}
_SRGB, _GRAY = 16, 17
_MOST_BITS, _SHALLOW = 16, 8
# The most pixels that libavif decodes.
_MOST_AVIF = 2**28
# OpenJPEG decodes to 32 bits; libavif decodes to YUV first.
_JP2_MEMORY, _AVIF_MEMORY = 5.5, 1.5
_CONVERT_JP2 = "Convert it: opj_decompress -i IN -o OUT.tif -force-rgb -upsample"


class Box(NamedTuple):
    """A box, and where its content begins and ends."""

    name: bytes
    start: int
    end: int


def boxes(content: Content, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes in a range of bytes, whose ends lie within it."""
    while start + 8 <= end:
        length, first = big(content[start : start + 4]), start + 8
        if length == 1:
            length, first = big(content[start + 8 : start + 16]), start + 16
        stop = end if length == 0 else min(end, start + length)
        yield Box(content[start + 4 : start + 8], first, stop)
        start = max(stop, first)


def read_jp2(content: Content) -> Header:
    """Read the header of a JPEG 2000.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Colors of a palette count as red, green and blue.

    Raises
    ------
    RefusalError
        If its colors are neither gray nor RGB, its samples differ in size or have more than 16 bits, or it is
        truncated.
    IndexError
        If it is damaged.
    """
    start, n_palette = 0, 0
    if content[:4] != J2K_MAGIC:
        found = {box.name: box for box in boxes(content, 0, len(content))}
        if b"jp2c" not in found:
            raise RefusalError(f"is truncated: it has no pixels. {COPY_AGAIN}")
        start = found[b"jp2c"].start
        if b"jp2h" not in found:
            raise IndexError("a JPEG 2000 without a header")
        for box in boxes(content, found[b"jp2h"].start, found[b"jp2h"].end):
            if box.name == b"colr" and content[box.start] == 1:
                space = big(content[box.start + 3 : box.start + 7])
                if space not in {_SRGB, _GRAY}:
                    kind = {12: "CMYK", 18: "YCbCr"}.get(space, f"color space {space}")
                    raise RefusalError(f"stores {kind} samples; wanted RGB or gray. {_CONVERT_JP2}")
            n_palette = content[box.start + 2] if box.name == b"pclr" else n_palette
    size = start + 6
    width, height, left, top = (big(content[size + 2 + n : size + 6 + n]) for n in range(0, 16, 4))
    n_samples = big(content[size + 34 : size + 36])
    parts = [tuple(content[size + 36 + 3 * n : size + 39 + 3 * n]) for n in range(n_samples)]
    check_extent(content, height - top, width - left, float("inf"))
    bits = (parts[0][0] & 0x7F) + 1
    if any(part != parts[0] for part in parts) or parts[0][1:] != (1, 1) or bits > _MOST_BITS:
        raise RefusalError(
            f"is a JPEG 2000 whose samples are subsampled, differ in size, or have more than 16 bits; wanted "
            f"samples of one size. {_CONVERT_JP2}"
        )
    if not 1 <= (n_palette or n_samples) <= len("RGBA"):
        raise RefusalError(
            f"has {n_palette or n_samples} channels; wanted gray or RGB, with alpha or without"
        )
    kind = "i" if parts[0][0] & 0x80 else "u"
    dtype = f"{kind}{1 + (bits > _SHALLOW)}"
    extent = height - top, width - left
    return header_of(extent, n_palette or n_samples, dtype, memory=_JP2_MEMORY)


def decode_jp2(content: Content, frame: int) -> NDArray[Any]:
    """Decode a JPEG 2000."""
    del frame
    return decode_with("jpeg2k", content, numthreads=1)


def is_avif(content: Content) -> bool:
    """Return whether a file is an AVIF, by its first box."""
    return content[4:8] == b"ftyp" and any(
        content[place : place + 4] in _AVIF_BRANDS for place in (8, *range(16, min(64, big(content[:4])), 4))
    )


def read_avif(content: Content) -> Header:
    """Read the header of an AVIF.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        The orientation is that of its boxes irot and imir. Samples of 10 and 12 bits are stored in uint16 as
        they are, at most 1023 and 4095.

    Raises
    ------
    RefusalError
        If it is a sequence of frames, or is truncated.
    IndexError, KeyError
        If it is damaged.
    """
    if content[8:12] == b"avis":
        raise RefusalError(
            "is an animated AVIF; wanted one image. Convert it to images: ffmpeg -i IN OUT-%d.png"
        )
    top = list(boxes(content, 0, len(content)))
    meta = next(box for box in (*top, Box(b"", 0, 0)) if box.name in {b"meta", b""})
    inner = {box.name: box for box in boxes(content, meta.start + 4, meta.end)}
    primary = big(content[inner[b"pitm"].start + 4 : inner[b"pitm"].end])
    parts = {box.name: box for box in boxes(content, inner[b"iprp"].start, inner[b"iprp"].end)}
    properties = list(boxes(content, parts[b"ipco"].start, parts[b"ipco"].end))
    own = {
        box.name: content[box.start : box.end]
        for number in _associated(content, parts[b"ipma"], primary)
        for box in properties[number - 1 : number]
    }
    width, height = big(own[b"ispe"][4:8]), big(own[b"ispe"][8:12])
    if height * width > _MOST_AVIF:
        raise RefusalError(
            f"is an AVIF of {height} x {width} pixels; wanted 2^28 at most. Convert it: vips tiffsave IN "
            "OUT.tif --tile --bigtiff --compression deflate"
        )
    check_extent(content, height, width, float("inf"))
    turns, axis = own.get(b"irot", b"\0")[0] & 3, own[b"imir"][0] & 1 if b"imir" in own else None
    has_alpha = any(
        b"auxiliary:alpha" in content[box.start : box.end] for box in properties if box.name == b"auxC"
    )
    if b"pixi" in own:
        bits, n_colors = own[b"pixi"][5], own[b"pixi"][4]
    else:
        flags = own[b"av1C"][2]
        bits, n_colors = _SHALLOW + 2 * bool(flags & 0x40), 1 if flags & 0x10 else 3
    return header_of(
        (height, width),
        n_colors + has_alpha,
        "u1" if bits <= _SHALLOW else "u2",
        orientation=_ORIENTATIONS[axis][turns],
        memory=_AVIF_MEMORY * (1 + (bits > _SHALLOW)),
    )


def decode_avif(content: Content, frame: int) -> NDArray[Any]:
    """Decode an AVIF."""
    del frame
    return decode_with("avif", content, numthreads=1)


def _associated(content: Content, box: Box, item: int) -> list[int]:
    """Return the numbers of an item's properties, from 1."""
    version, flags = content[box.start], content[box.start + 3]
    place, id_size, size = box.start + 8, 4 if version else 2, 2 if flags & 1 else 1
    for _ in range(big(content[box.start + 4 : box.start + 8])):
        number, count = big(content[place : place + id_size]), content[place + id_size]
        place += id_size + 1
        if number == item:
            mask = (1 << 8 * size - 1) - 1
            return [big(content[place + size * n : place + size * (n + 1)]) & mask for n in range(count)]
        place += size * count
    raise IndexError("an item without properties")
