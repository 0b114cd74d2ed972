"""BMP, uncompressed: the header, and the pixels, which lie in the file as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.photo_facts import RefusalError, check_rows, header_of, little

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header

BMP_MAGIC = b"BM"
# The kinds of compression: none, and masks that tell samples apart, without alpha and with it.
_PLAIN, _MASKED, _MASKED_ALPHA = 0, 3, 6
_COMPRESSED = {
    1: "run-length encoded",
    2: "run-length encoded",
    4: "JPEG- or RLE-compressed",
    5: "PNG-compressed",
}
# Sizes of headers: OS/2's first one, OS/2's second one, Windows' first one, and those that hold masks.
_OS2, _OS2_2, _WINDOWS, _WITH_MASKS, _WITH_ALPHA = 12, 64, 40, 52, 56
_SIZES = {_OS2, 16, _OS2_2, _WINDOWS, _WITH_MASKS, _WITH_ALPHA, 108, 124}
_BITS, _DEEP, _MOST_PALETTE = {1, 2, 4, 8, 16, 24, 32}, 64, 8
_USUAL = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}
_WHITE = 255
_CONVERT = "Convert it: magick IN OUT.png"


class _Layout(NamedTuple):
    """How the pixels of a BMP lie in the file."""

    height: int
    width: int
    is_upside_down: bool
    bits: int
    start: int
    # Colors of a palette, shape (n, 3), or the masks of samples.
    palette: NDArray[np.uint8] | None
    masks: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """The bytes of a row, which are padded to fours."""
        return -(-self.width * self.bits // 32) * 4

    @property
    def is_gray(self) -> bool:
        """Whether all colors of the palette are gray."""
        return self.palette is not None and bool((self.palette == self.palette[:, :1]).all())


def is_bmp(content: Content) -> bool:
    """Return whether a file is a BMP, by its first letters and the size of its header."""
    return content[:2] == BMP_MAGIC and little(content[14:18]) in _SIZES


def read_bmp(content: Content) -> Header:
    """Read the header of a BMP.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Gray if all colors of its palette are gray; with alpha if it has a mask of alpha.

    Raises
    ------
    RefusalError
        If it is compressed, has more than 8 bits a sample, or is too small for its size.
    IndexError
        If it is damaged.
    """
    bmp = _read_layout(content)
    n_samples = 1 if bmp.is_gray else max(3, len(bmp.masks))
    return header_of((bmp.height, bmp.width), n_samples, "u1")


def decode_bmp(content: Content, frame: int) -> NDArray[Any]:
    """Decode a BMP to gray, or to red, green and blue, perhaps with alpha."""
    del frame
    bmp = _read_layout(content)
    rows = np.empty((bmp.height, bmp.row_bytes), np.uint8)
    # The last row may lack its padding.
    stored = np.frombuffer(content, np.uint8, min(rows.size, len(content) - bmp.start), bmp.start)
    rows.reshape(-1)[: stored.size] = stored
    rows = rows[::-1] if bmp.is_upside_down else rows
    if bmp.palette is not None:
        return _look_up(bmp, rows)
    if not bmp.masks:
        return rows[:, : 3 * bmp.width].reshape(bmp.height, bmp.width, 3)[..., ::-1]
    words = np.ascontiguousarray(rows[:, : bmp.width * bmp.bits // 8]).view(f"<u{bmp.bits // 8}")
    pixels = np.empty((bmp.height, bmp.width, len(bmp.masks)), np.uint8)
    for sample, mask in enumerate(bmp.masks):
        most = mask // (mask & -mask)
        # The highest value of a mask's bits is white.
        scaled = np.rint(np.arange(most + 1) * (_WHITE / most)).astype(np.uint8)
        pixels[..., sample] = scaled[(words & mask) // (mask & -mask)]
    return pixels


def _look_up(bmp: _Layout, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colors of a palette that the pixels have."""
    palette = bmp.palette
    if palette is None:
        raise TypeError("a BMP without a palette")
    if bmp.bits < _MOST_PALETTE:
        # As many bits of each byte as a pixel has, the highest first.
        shifts = np.arange(8 - bmp.bits, -1, -bmp.bits, dtype=np.uint8)
        rows = (rows[..., np.newaxis] >> shifts & np.uint8((1 << bmp.bits) - 1)).reshape(bmp.height, -1)
    numbers = rows[:, : bmp.width]
    if int(numbers.max()) >= len(palette):
        raise IndexError("a pixel's color isn't in the palette")
    return palette[numbers, :1] if bmp.is_gray else palette[numbers]


def _read_layout(content: Content) -> _Layout:
    """Read the header of any version, the palette and the masks."""
    start, size = little(content[10:14]), little(content[14:18])
    if size == _OS2:
        width, height, bits = (little(content[place : place + 2]) for place in (18, 20, 24))
        kind = n_colors = 0
    else:
        places = ((18, 4), (22, 4), (28, 2), (30, 4), (46, 4))
        width, height, bits, kind, n_colors = (little(content[place : place + n]) for place, n in places)
        n_colors = n_colors if size >= _WINDOWS else 0
    if len(content) < 14 + size or (not kind and bits not in {*_BITS, _DEEP}):
        raise IndexError("a BMP without a whole header")
    if kind not in {_PLAIN, _MASKED, _MASKED_ALPHA} or (kind and size == _OS2_2) or bits not in _BITS:
        name = _COMPRESSED.get(kind, "compressed") if kind else f"{bits}-bit"
        raise RefusalError(f"is a {name} BMP; wanted an uncompressed one. {_CONVERT}")
    # A negative height is that of rows from the top.
    is_upside_down = size == _OS2 or height < 1 << 31
    height = height if is_upside_down else (1 << 32) - height
    palette = _read_palette(content, size, start, n_colors or 1 << bits) if bits <= _MOST_PALETTE else None
    bmp = _Layout(height, width, is_upside_down, bits, start, palette, _read_masks(content, size, kind, bits))
    check_rows(content, height, width, start + (height - 1) * bmp.row_bytes + -(-width * bits // 8))
    return bmp


def _read_palette(content: Content, size: int, start: int, n_colors: int) -> NDArray[np.uint8]:
    """Return the palette's colors as red, green and blue; the pixels begin behind it."""
    n_bytes = 3 if size == _OS2 else 4
    colors = content[14 + size : min(14 + size + n_bytes * min(n_colors, 256), start)]
    if len(colors) < n_bytes:
        raise IndexError("a BMP without a palette")
    stored = np.frombuffer(colors, np.uint8, len(colors) // n_bytes * n_bytes)
    return stored.reshape(-1, n_bytes)[:, 2::-1].copy()


def _read_masks(content: Content, size: int, kind: int, bits: int) -> tuple[int, ...]:
    """Return the masks of red, green, blue and perhaps alpha of pixels of 16 or 32 bits."""
    if bits not in _USUAL:
        return ()
    if not kind:
        return _USUAL[bits]
    has_alpha = kind == _MASKED_ALPHA or size >= _WITH_ALPHA
    masks = tuple(little(content[place : place + 4]) for place in range(54, 70 if has_alpha else 66, 4))
    masks = masks if masks[-1] else masks[:3]
    if any(not mask or mask >= 1 << bits for mask in masks):
        raise IndexError("a BMP with a mask of no bits")
    most = [mask // (mask & -mask) for mask in masks]
    if any(n & (n + 1) or n > _WHITE for n in most):
        raise RefusalError(f"is a BMP whose samples have more than 8 bits, or none in a row. {_CONVERT}")
    return masks
