"""JPEG 2000 and AVIF: depth, palettes, tiles, orientation, and kinds that are refused by name."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth
from PIL import Image as Pillow

from pipeline.images.opening import open_image
from pipeline.images.photo_boxes import boxes, decode_avif, decode_jp2, is_avif, read_avif, read_jp2
from pipeline.images.photo_facts import RefusalError

if TYPE_CHECKING:
    from pathlib import Path


def box(name: bytes, content: bytes) -> bytes:
    """Make a box."""
    return struct.pack(">I", len(content) + 8) + name + content


def jp2(pixels: np.ndarray, **options: object) -> bytes:
    """Write a JPEG 2000 without loss."""
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", **options))


def with_palette(content: bytes, palette: np.ndarray) -> bytes:
    """Put a palette of three columns into the header of a gray JPEG 2000."""
    start = content.index(b"jp2h") - 4
    end = start + int.from_bytes(content[start : start + 4], "big")
    colors = box(b"pclr", struct.pack(">HB", len(palette), 3) + b"\7\7\7" + palette.tobytes())
    columns = box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3)))
    inner = content[start + 8 : end].replace(struct.pack(">I", 17), struct.pack(">I", 16))
    return content[:start] + box(b"jp2h", inner + colors + columns) + content[end:]


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_jpeg_2000(n_samples: int, dtype: str) -> None:
    """Samples of 8 and 16 bits, signed too, with alpha and without."""
    pixels = noise(HEIGHT, WIDTH, n_samples, dtype="uint8").astype(dtype).squeeze()
    content = jp2(pixels)
    header = read_jp2(content)
    assert (header.shape, header.dtype) == ((HEIGHT, WIDTH, n_samples), pixels.dtype)
    np.testing.assert_array_equal(decode_jp2(content, 0), pixels)


def test_a_palette_of_jpeg_2000() -> None:
    """Its colors are looked up."""
    palette, numbers = noise(4, 3), noise(HEIGHT, WIDTH) % 4
    content = with_palette(jp2(numbers), palette)
    assert read_jp2(content).shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(decode_jp2(content, 0), palette[numbers])


def test_tiles_and_codestreams_of_jpeg_2000(tmp_path: Path) -> None:
    """Several tiles, in a file of boxes and in a bare codestream."""
    for name in ("x.jp2", "x.j2k"):
        Pillow.fromarray(smooth()).save(tmp_path / name, "JPEG2000", tile_size=(32, 32), irreversible=False)
        np.testing.assert_array_equal(open_image(tmp_path / name), smooth())


def test_other_kinds_of_jpeg_2000_are_refused() -> None:
    """CMYK, YCbCr, samples of unlike sizes, too many of them; a cut file is truncated."""
    content = jp2(smooth())
    space = content.index(b"colr") + 7
    size = content.index(b"\xff\x4f\xff\x51") + 6
    for number, name in ((12, "CMYK"), (18, "YCbCr"), (14, "color space 14")):
        other = content[:space] + struct.pack(">I", number) + content[space + 4 :]
        with pytest.raises(
            RefusalError, match=f"stores {name} samples; wanted RGB or gray. Convert it: opj_"
        ):
            read_jp2(other)
    subsampled = bytearray(content)
    subsampled[size + 40] = 2
    with pytest.raises(RefusalError, match="whose samples are subsampled"):
        read_jp2(bytes(subsampled))
    with pytest.raises(RefusalError, match="has 5 channels; wanted gray or RGB"):
        read_jp2(bytes(imagecodecs.jpeg2k_encode(noise(HEIGHT, WIDTH, 5), level=0, codecformat="j2k")))
    with pytest.raises(RefusalError, match="is truncated"):
        read_jp2(content[:60])


@pytest.mark.parametrize("n_samples", [1, 4])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif(n_samples: int, bits: int) -> None:
    """Samples of 10 and 12 bits stay as they are, in uint16."""
    pixels = noise(32, 48, n_samples).squeeze()
    if bits > 8:
        pixels = pixels.astype(np.uint16) * 4
    content = bytes(imagecodecs.avif_encode(pixels, level=100, speed=10, bitspersample=bits))
    header = read_avif(content)
    assert is_avif(content)
    assert (header.shape, header.dtype) == ((32, 48, n_samples), pixels.dtype)
    assert decode_avif(content, 0).max() == pixels.max()


def test_frames_and_sizes_of_avif_are_refused() -> None:
    """A sequence, and more pixels than libavif decodes."""
    file = io.BytesIO()
    frames = [Pillow.fromarray(noise(16, 16, 3, seed=seed)) for seed in range(2)]
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:])
    with pytest.raises(RefusalError, match=r"is an animated AVIF; wanted one image. .* ffmpeg"):
        read_avif(file.getvalue())
    content = bytearray(imagecodecs.avif_encode(smooth()))
    place = content.index(b"ispe") + 8
    content[place : place + 8] = struct.pack(">II", 20000, 20000)
    with pytest.raises(RefusalError, match=r"is an AVIF of 20000 x 20000 pixels; wanted 2\^28 at most"):
        read_avif(bytes(content))


def test_boxes_end_within_the_file() -> None:
    """Lengths of 64 bits, a last box without a length, and one that is too long."""
    content = (
        box(b"abcd", b"12")
        + struct.pack(">I4sQ", 1, b"long", 18)
        + b"34"
        + struct.pack(">I4s", 0, b"last")
        + b"5"
    )
    found = [(each.name, content[each.start : each.end]) for each in boxes(content, 0, len(content))]
    assert found == [(b"abcd", b"12"), (b"long", b"34"), (b"last", b"5")]
    (only,) = boxes(struct.pack(">I4s", 2**31, b"much") + b"6", 0, 9)
    assert (only.start, only.end) == (8, 9)
