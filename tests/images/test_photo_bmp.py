"""BMP: every uncompressed kind, made here byte by byte, and those that are refused by name."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from images.examples import noise
from PIL import Image as Pillow

from pipeline.images.opening import open_image
from pipeline.images.photo_bmp import decode_bmp, is_bmp, read_bmp
from pipeline.images.photo_facts import RefusalError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = 5, 7


def bmp(
    rows: NDArray[Any],
    bits: int,
    *,
    kind: int = 0,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
    size: int = 40,
    height: int = HEIGHT,
) -> bytes:
    """Make a BMP of rows of bytes."""
    if size == 12:
        header = struct.pack("<IHHHH", size, WIDTH, height, 1, bits)
    else:
        rest = (0, 0, 0, len(palette) // 4, 0)
        header = struct.pack("<IiiHHIIIIII", size, WIDTH, height, 1, bits, kind, *rest)
        header += struct.pack(f"<{len(masks)}I", *masks)
        header += bytes(max(0, size - len(header)))
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    start = 14 + len(header) + len(palette)
    return (
        struct.pack("<2sIHHI", b"BM", start + padded.size, 0, 0, start) + header + palette + padded.tobytes()
    )


def words(pixels: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return rows of words as rows of bytes, the last row first."""
    return pixels[::-1].astype(dtype).view("u1").reshape(HEIGHT, -1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_what_pil_writes(tmp_path: Path, mode: str) -> None:
    """Bits, gray, palettes, colors, and colors with alpha."""
    stored = Pillow.fromarray(noise(HEIGHT, WIDTH, 4 if mode == "RGBA" else 3)).convert(mode)
    stored.save(tmp_path / "x.bmp")
    image = open_image(tmp_path / "x.bmp")
    wanted = np.asarray(stored.convert("L" if mode in {"1", "L"} else "RGB"))
    np.testing.assert_array_equal(image, wanted.reshape(image.shape))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_opencv_writes(tmp_path: Path, channels: int) -> None:
    """Gray, colors, and colors with alpha."""
    pixels = noise(HEIGHT, WIDTH, channels)
    cv2.imwrite(str(tmp_path / "x.bmp"), pixels)
    order = {1: "gray", 3: ("blue", "green", "red"), 4: ("blue", "green", "red", "alpha")}[channels]
    np.testing.assert_array_equal(open_image(tmp_path / "x.bmp", channels=order), pixels)


@pytest.mark.parametrize(
    ("bits", "kind", "size", "masks"),
    [
        (16, 0, 40, (0x7C00, 0x3E0, 0x1F)),
        (16, 3, 40, (0xF800, 0x7E0, 0x1F)),
        (16, 3, 56, (0xF00, 0xF0, 0xF, 0xF000)),
        (32, 0, 40, (0xFF0000, 0xFF00, 0xFF)),
        (32, 3, 40, (0xFF, 0xFF00, 0xFF0000)),
        (32, 3, 124, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
        (32, 6, 40, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        (32, 3, 52, (0x3F00000, 0xF000, 0x1F)),
    ],
)
def test_masks(bits: int, kind: int, size: int, masks: tuple[int, ...]) -> None:
    """Samples are told apart by masks, and their highest value is white."""
    stored = noise(HEIGHT, WIDTH, dtype=f"uint{bits}").astype(np.int64)
    content = bmp(words(stored, f"<u{bits // 8}"), bits, kind=kind, size=size, masks=masks if kind else ())
    lowest = [mask & -mask for mask in masks]
    wanted = [
        np.rint((stored & mask) // low * 255 / (mask // low)) for mask, low in zip(masks, lowest, strict=True)
    ]
    np.testing.assert_array_equal(decode_bmp(content, 0), np.stack(wanted, axis=-1))
    assert read_bmp(content).shape == (HEIGHT, WIDTH, len(masks))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [12, 40, 64])
def test_palettes(bits: int, size: int) -> None:
    """Colors of a palette, in OS/2's and in Windows' headers, with rows from the top and the bottom."""
    colors = noise(1 << bits, 4)
    numbers = noise(HEIGHT, WIDTH) & (1 << bits) - 1
    digits = (numbers[..., None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8).reshape(HEIGHT, -1)
    rows = np.packbits(digits, axis=1)
    palette = np.ascontiguousarray(colors[:, : 3 if size == 12 else 4]).tobytes()
    content = bmp(rows[::-1], bits, palette=palette, size=size)
    np.testing.assert_array_equal(decode_bmp(content, 0), colors[numbers, 2::-1])
    if size == 40:
        from_top = bmp(rows, bits, palette=palette, height=-HEIGHT)
        np.testing.assert_array_equal(decode_bmp(from_top, 0), colors[numbers, 2::-1])


def test_a_gray_palette_in_any_order() -> None:
    """It is gray, with the values of the palette."""
    grays = np.array([200, 7], np.uint8)
    palette = np.repeat(grays, 4).tobytes()
    content = bmp(np.full((HEIGHT, 1), 0b10101010, np.uint8), 1, palette=palette)
    assert read_bmp(content).shape == (HEIGHT, WIDTH, 1)
    np.testing.assert_array_equal(
        decode_bmp(content, 0)[..., 0], np.tile(grays[[1, 0]], (HEIGHT, 4))[:, :WIDTH]
    )


@pytest.mark.parametrize(
    ("bits", "kind", "masks", "message"),
    [
        (8, 1, (), "is a run-length encoded BMP; wanted an uncompressed one. Convert it: magick"),
        (24, 4, (), "is a JPEG- or RLE-compressed BMP"),
        (24, 5, (), "is a PNG-compressed BMP"),
        (64, 0, (), "is a 64-bit BMP"),
        (32, 3, (0x3FF, 0xFFC00, 0x3FF00000), "more than 8 bits"),
    ],
)
def test_kinds_that_are_refused(bits: int, kind: int, masks: tuple[int, ...], message: str) -> None:
    """They are sound, and aren't called damaged."""
    with pytest.raises(RefusalError, match=message) as caught:
        read_bmp(bmp(noise(HEIGHT, WIDTH * bits // 8), bits, kind=kind, masks=masks, palette=bytes(4)))
    assert "damaged" not in str(caught.value)


def test_damage() -> None:
    """A cut file, a size that can't be, a color beyond the palette, a mask of no bits; no BMP at all."""
    whole = bmp(noise(HEIGHT, WIDTH * 3), 24)
    with pytest.raises(RefusalError, match="can't hold the 5 x 7 pixels"):
        read_bmp(whole[:-9])
    with pytest.raises(RefusalError, match="can't hold the 1000000 x 7 pixels"):
        read_bmp(bmp(noise(HEIGHT, WIDTH * 3), 24, height=1_000_000))
    for bits, masks in ((8, ()), (32, (0xFF, 0, 0xFF00))):
        broken = bmp(
            noise(HEIGHT, WIDTH * bits // 8), bits, kind=3 * bool(masks), masks=masks, palette=bytes(8)
        )
        with pytest.raises(IndexError):
            decode_bmp(broken, 0)
    assert is_bmp(whole)
    assert not is_bmp(b"BM is the beginning of a text")
