"""Samples of TIFFs of every kind, against other decoders and arrays that were packed here."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import PIL.Image as Pillow
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from images.examples import COLOR, HEIGHT, LAYOUTS, TILE, WIDTH, noise, set_tag, write_tiff

from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.reopening import reopen

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MORE = ("red", "green", "blue", "channel 3")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("kind", "extra", "channels", "numbers", "alpha"),
    [
        ("rgb", [0], MORE, [0, 1, 2, 3], None),
        ("rgb", [0, 2], MORE, [0, 1, 2, 3], 4),
        ("rgb", [2, 0], MORE, [0, 1, 2, 4], 3),
        ("rgb", [1], COLOR, [0, 1, 2], 3),
        ("rgb", [0, 0, 0, 0], (*MORE, "channel 4", "channel 5", "channel 6"), list(range(7)), None),
        ("minisblack", [2], ("gray",), [0], 1),
        ("minisblack", [0, 0, 0, 2], None, [0, 1, 2, 3], 4),
        ("minisblack", [2, 0], None, [0, 2], 1),
        ("minisblack", [0, 0], None, [0, 1, 2], None),
    ],
)
def test_extra_samples(
    tmp_path: Path,
    planar: str,
    kind: str,
    extra: list[int],
    channels: tuple[str, ...] | None,
    numbers: list[int],
    alpha: int | None,
) -> None:
    """All samples but alpha are channels, and alpha masks them, wherever it stands."""
    n_samples = len(extra) + (3 if kind == "rgb" else 1)
    pixels = noise(HEIGHT, WIDTH, n_samples, dtype="float32")
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, stored, photometric=kind, planarconfig=planar, extrasamples=extra, tile=TILE)
    image = open_image(path)
    assert image.channels == channels
    np.testing.assert_array_equal(image, pixels[..., numbers])
    last = open_image(path, channels=[len(numbers) - 1, 0])
    np.testing.assert_array_equal(last, pixels[..., [numbers[-1], 0]])
    if alpha is None:
        with pytest.raises(ValueError, match=r"x\.tif has no alpha channel"):
            open_image(path, mask="alpha")
        return
    masked = open_image(path, mask="alpha")
    assert masked.channels == channels
    np.testing.assert_array_equal(masked.source.read((slice(9), slice(9))), pixels[:9, :9, [*numbers, alpha]])
    np.testing.assert_array_equal(open_image(path, channels=["alpha"]), pixels[..., [alpha]])
    for opened in (masked, last, open_image(path, channels=["alpha", *(channels or ())])):
        assert reopen(opened.source.place() or {}).source.description == opened.source.description


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("layout", ["tiles", "one strip", "big-endian"])
def test_white_is_zero(tmp_path: Path, layout: str, dtype: str) -> None:
    """Gray whose 0 is white is turned round, with the value that stands for no data."""
    stored = noise(HEIGHT, WIDTH, dtype=dtype)
    tag = [(42113, "s", 0, "3", True)]
    path = write_tiff(tmp_path / "x.tif", stored, photometric="miniswhite", extratags=tag, **LAYOUTS[layout])
    image = open_image(path)
    highest = np.iinfo(dtype).max
    np.testing.assert_array_equal(image[..., 0], highest - stored)
    assert (image.channels, image.dtype) == (("gray",), np.dtype(dtype))
    assert image.no_data == NoData(highest - 3)
    if dtype == "uint8":
        np.testing.assert_array_equal(image[..., 0], np.asarray(Pillow.open(path)))


def test_white_is_zero_with_alpha(tmp_path: Path) -> None:
    """Alpha isn't turned round."""
    stored = noise(HEIGHT, WIDTH, 2)
    path = write_tiff(
        tmp_path / "x.tif", stored, photometric="miniswhite", planarconfig="contig", extrasamples=[2]
    )
    image = open_image(path, channels=["alpha", "gray"])
    np.testing.assert_array_equal(image, np.stack([stored[..., 1], 255 - stored[..., 0]], -1))


@pytest.mark.parametrize("n_bits", [1, 2, 4, 8])
def test_palettes(tmp_path: Path, n_bits: int) -> None:
    """Numbers of a palette come as its colors, as Pillow and OpenCV give them."""
    path = tmp_path / "x.tif"
    numbers = noise(HEIGHT, WIDTH) >> (8 - n_bits)
    colors = noise(2**n_bits, 3)
    image = Pillow.fromarray(numbers.astype(np.uint8), "P")
    image.putpalette(colors.tobytes())
    image.save(path)
    if n_bits < 8:
        _pack(path, numbers, n_bits, photometric=3, colormap=colors.astype(np.uint16) * 257)
    opened = open_image(path)
    assert (opened.channels, opened.dtype) == (COLOR, np.dtype("uint8"))
    np.testing.assert_array_equal(opened, colors[numbers])
    np.testing.assert_array_equal(opened, np.asarray(Pillow.open(path).convert("RGB")))
    if n_bits == 8:
        np.testing.assert_array_equal(opened, cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
    np.testing.assert_array_equal(opened[3:50:2, ::5, 1:], colors[numbers][3:50:2, ::5, 1:])
    np.testing.assert_array_equal(open_image(path, channels=["blue"]), colors[numbers][..., [2]])


def test_a_palette_of_8_bits(tmp_path: Path) -> None:
    """Some programs write colors from 0 to 255, where the standard wants them to 65535."""
    numbers, colors = noise(HEIGHT, WIDTH), noise(256, 3)
    path = write_tiff(tmp_path / "x.tif", numbers, photometric="palette", colormap=colors.T.astype(np.uint16))
    np.testing.assert_array_equal(open_image(path), colors[numbers])
    set_tag(path, ColorMap=tuple(range(300)))
    with pytest.raises(ValueError, match="palette samples, 1 of 8 bits for each pixel, with 100 colors"):
        open_image(path)


def _pack(
    path: Path,
    samples: NDArray[Any],
    n_bits: int,
    *,
    byteorder: str = "<",
    photometric: int = 1,
    colormap: NDArray[np.uint16] | None = None,
    predictor: int = 1,
) -> None:
    """Write a TIFF of one strip, whose rows of samples are packed here, the highest bit first."""
    height, width, n_samples = samples.reshape(*samples.shape[:2], -1).shape
    bits = (samples.reshape(height, -1, 1) >> np.arange(n_bits - 1, -1, -1)) & 1
    strip = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1).tobytes()
    map_bytes = b"" if colormap is None else colormap.T.astype(f"{byteorder}u2").tobytes()
    deep = struct.pack(f"{byteorder}{n_samples}H", *[n_bits] * n_samples)
    start = 8
    map_start, deep_start = start + len(strip), start + len(strip) + len(map_bytes)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, n_samples, deep_start), (259, 3, 1, 1)]
    tags += [(262, 3, 1, photometric), (273, 4, 1, start), (277, 3, 1, n_samples), (278, 4, 1, height)]
    tags += [(279, 4, 1, len(strip))]
    tags += [(317, 3, 1, predictor)]
    tags += [] if colormap is None else [(320, 3, len(map_bytes) // 2, map_start)]
    directory = struct.pack(f"{byteorder}H", len(tags))
    for code, kind, count, value in tags:
        is_short = kind == 3 and count == 1
        held = n_bits if is_short and code == 258 else value
        pad = struct.pack(f"{byteorder}HH", held, 0) if is_short else struct.pack(f"{byteorder}I", held)
        directory += struct.pack(f"{byteorder}HHI", code, kind, count) + pad
    head = (b"II*\0" if byteorder == "<" else b"MM\0*") + struct.pack(f"{byteorder}I", deep_start + len(deep))
    path.write_bytes(head + strip + map_bytes + deep + directory + bytes(4))


@settings(max_examples=60)
@given(
    n_bits=st.sampled_from([1, 2, 3, 4, 6, 9, 10, 12, 14]),
    byteorder=st.sampled_from("<>"),
    width=st.integers(1, 19),
    is_color=st.booleans(),
)
def test_packed_samples(
    tmp_path_factory: pytest.TempPathFactory, n_bits: int, byteorder: str, width: int, *, is_color: bool
) -> None:
    """Samples of any number of bits come as they are stored, in rows of any width and both byte orders."""
    path = tmp_path_factory.mktemp("packed") / "x.tif"
    samples = noise(7, width, 3 if is_color else 1, dtype="uint16", seed=width) % 2**n_bits
    _pack(path, samples, n_bits, byteorder=byteorder, photometric=2 if is_color else 1)
    image = open_image(path)
    assert image.dtype == np.dtype("uint8" if n_bits < 9 else "uint16")
    np.testing.assert_array_equal(image, samples)
    np.testing.assert_array_equal(image[1:6:2, ::-1], samples[1:6:2, ::-1])
    if not is_color:
        _pack(path, samples, n_bits, byteorder=byteorder, photometric=0)
        np.testing.assert_array_equal(open_image(path), 2**n_bits - 1 - samples)


@pytest.mark.parametrize("n_bits", [10, 12, 14])
def test_packed_differences(tmp_path: Path, n_bits: int) -> None:
    """Differences of packed samples are added up modulo the number of their bits."""
    samples = noise(9, 13, dtype="uint16") % 2**n_bits
    differences = np.diff(samples.astype(int), axis=1, prepend=0) % 2**n_bits
    _pack(tmp_path / "x.tif", differences, n_bits, predictor=2)
    np.testing.assert_array_equal(open_image(tmp_path / "x.tif")[..., 0], samples)


def test_a_palette_with_alpha(tmp_path: Path) -> None:
    """Alpha and other samples beside the numbers of a palette stay what they are."""
    path, pixels, colors = tmp_path / "x.tif", noise(20, 30, 3), noise(256, 3)
    options = {"planarconfig": "contig", "extrasamples": [2, 0], "metadata": None}
    write_tiff(path, pixels, photometric="minisblack", **options)
    # tifffile writes no palette with other samples.
    _add_palette(path, colors)
    image = open_image(path)
    assert image.channels == MORE
    wanted = np.concatenate([colors[pixels[..., 0]], pixels[..., [2, 1]]], axis=-1)
    np.testing.assert_array_equal(image, wanted[..., :4])
    chosen = open_image(path, channels=["alpha", "blue", "channel 3"])
    np.testing.assert_array_equal(chosen, wanted[..., [4, 2, 3]])


def _add_palette(path: Path, colors: NDArray[np.uint8]) -> None:
    """Put a palette into a TIFF in place of another tag, whose code is next to it."""
    numbers = (colors.T.astype("<u2") * 257).tobytes()
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags["Software"].offset
    content[place : place + 12] = struct.pack("<HHII", 320, 3, len(numbers) // 2, len(content))
    path.write_bytes(content + numbers)
    set_tag(path, PhotometricInterpretation=3)


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_lzw", "tiff_deflate", "packbits"])
def test_bits(tmp_path: Path, compression: str | None) -> None:
    """Images of one bit are 0 and 1, as Pillow reads them, and mask other images."""
    path, bits = tmp_path / "x.tif", noise(HEIGHT, WIDTH) > 150
    Pillow.fromarray(bits).save(path, compression=compression)
    for photometric in (1, 0):
        set_tag(path, PhotometricInterpretation=photometric)
        image = open_image(path)
        assert image.dtype == np.dtype("uint8")
        np.testing.assert_array_equal(image[..., 0], np.asarray(Pillow.open(path)))
    set_tag(path, PhotometricInterpretation=1)
    wanted = np.asarray(Pillow.open(path))
    valid = open_image(noise(HEIGHT, WIDTH, 3), mask=path).part((slice(0, 50), slice(3, 60))).read()[1]
    np.testing.assert_array_equal(valid, wanted[:50, 3:60])


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float16", "float64"])
@pytest.mark.parametrize("layout", ["tiles", "one strip", "predicted", "big-endian tiles"])
def test_other_dtypes(tmp_path: Path, layout: str, dtype: str) -> None:
    """Signed, wide and floating point samples come as they are stored, with and without a predictor."""
    pixels = noise(HEIGHT, WIDTH, 3, dtype=dtype)
    image = open_image(write_tiff(tmp_path / "x.tif", pixels, **LAYOUTS[layout]))
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image, pixels)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_wide_integers(tmp_path: Path, dtype: str) -> None:
    """Integers of 64 bits come as they are stored; programs write no predictor for them."""
    pixels = noise(HEIGHT, WIDTH, 3, dtype=dtype)
    image = open_image(write_tiff(tmp_path / "x.tif", pixels, compression="lzw", byteorder=">"))
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image, pixels)


def test_floats_of_24_bits(tmp_path: Path) -> None:
    """These come as float32."""
    pixels = noise(HEIGHT, WIDTH, dtype="float32").astype(np.float16).astype(np.float32)
    path = write_tiff(tmp_path / "x.tif", pixels)
    held = pixels.view(np.uint32)
    # A bit of the sign, 7 of the exponent, which is 63 where that of float32 is 127, 16 of the fraction.
    packed = (held >> 31 << 23) | ((((held >> 23) & 255) - 64) << 16) | ((held >> 7) & 0xFFFF)
    content = np.where(pixels == 0, 0, packed).astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[0]
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(content)] = content
    path.write_bytes(whole)
    set_tag(path, BitsPerSample=24, StripByteCounts=len(content))
    image = open_image(path)
    assert image.dtype == np.dtype("float32")
    np.testing.assert_array_equal(image[..., 0], pixels)


@pytest.mark.parametrize("codec", ["lzma", "zstd", "packbits", "jpeg2000", "jpegxl", "webp", "png", "lerc"])
def test_other_codecs(tmp_path: Path, codec: str) -> None:
    """Codecs of every kind that loses nothing give the pixels that were written."""
    pixels = noise(HEIGHT, WIDTH, 3)
    options: dict[str, Any] = {"compressionargs": {"lossless": True}} if codec in {"jpegxl", "webp"} else {}
    if codec == "jpeg2000":
        options = {"compressionargs": {"level": 0}}
    path = write_tiff(tmp_path / "x.tif", pixels, compression=codec, tile=(32, 48), **options)
    np.testing.assert_array_equal(open_image(path), pixels)


def test_without_a_photometric_tag(tmp_path: Path) -> None:
    """Samples that aren't called anything are RGB if there are three, and gray if there is one."""
    for n_samples, channels in ((1, ("gray",)), (3, COLOR)):
        pixels = noise(HEIGHT, WIDTH, n_samples)
        path = write_tiff(tmp_path / "x.tif", pixels[..., 0] if n_samples == 1 else pixels)
        with tifffile.TiffFile(path) as file:
            place = file.pages.first.tags[262].offset
        content = bytearray(path.read_bytes())
        # The tag of a private code takes its place, in the order of codes as before.
        content[place : place + 2] = (261).to_bytes(2, "little")
        path.write_bytes(content)
        image = open_image(path)
        assert image.channels == channels
        np.testing.assert_array_equal(image, pixels)
