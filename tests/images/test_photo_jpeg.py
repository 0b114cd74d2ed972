"""JPEG and JPEG-LS: every kind that is decoded, and those that are refused by name."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, smooth
from PIL import Image as Pillow

from pipeline.images.opening import open_image
from pipeline.images.photo_facts import RefusalError
from pipeline.images.photo_jpeg import decode_jpeg, read_jpeg

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_gray_and_color(tmp_path: Path, mode: str, progressive: bool) -> None:
    """Baseline and progressive, with PIL's pixels."""
    path = tmp_path / "x.jpg"
    Pillow.fromarray(smooth()).convert(mode).save(path, progressive=progressive)
    image = np.asarray(open_image(path))
    np.testing.assert_array_equal(image, np.asarray(Pillow.open(path)).reshape(image.shape))
    assert read_jpeg(path.read_bytes()).memory == (2.25 if progressive else 0.25)


@pytest.mark.parametrize("codec", ["jpeg8", "jpegls"])
@pytest.mark.parametrize(("n_samples", "dtype"), [(1, "uint8"), (3, "uint8"), (1, "uint16")])
def test_lossless(codec: str, n_samples: int, dtype: str) -> None:
    """Lossless JPEG and JPEG-LS hold the pixels that were written."""
    pixels = smooth(n_samples).squeeze().astype(dtype)
    pixels *= 257 if dtype == "uint16" else 1
    options = {"lossless": True, "bitspersample": pixels.itemsize * 8} if codec == "jpeg8" else {}
    content = getattr(imagecodecs, f"{codec}_encode")(pixels, **options)
    np.testing.assert_array_equal(decode_jpeg(content, 0), pixels)
    header = read_jpeg(content)
    assert (header.shape, header.dtype) == ((HEIGHT, WIDTH, n_samples), pixels.dtype)


def test_twelve_bits_are_kept() -> None:
    """They are stored in uint16, at most 4095."""
    pixels = smooth(1)[..., 0].astype(np.uint16) * 16
    content = imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12)
    assert read_jpeg(content).dtype == np.dtype("uint16")
    assert np.abs(decode_jpeg(content, 0).astype(int) - pixels).max() < 16


def test_a_thumbnail_is_passed_over(tmp_path: Path) -> None:
    """The frame of a thumbnail within a segment isn't the photo's."""
    Pillow.fromarray(smooth()).save(tmp_path / "x.jpg")
    Pillow.fromarray(smooth()[:16, :16]).save(tmp_path / "small.jpg")
    content, thumbnail = (tmp_path / "x.jpg").read_bytes(), (tmp_path / "small.jpg").read_bytes()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert read_jpeg(content[:2] + segment + content[2:]).shape == (HEIGHT, WIDTH, 3)


def test_cmyk_is_refused(tmp_path: Path) -> None:
    """Its colors depend on inks, so that they aren't converted silently."""
    Pillow.fromarray(smooth()).convert("CMYK").save(tmp_path / "x.jpg")
    with pytest.raises(ValueError, match=r"x.jpg stores CMYK samples; wanted RGB or gray. Convert it: vips "):
        open_image(tmp_path / "x.jpg")


def altered(content: bytes, frame: int, height: int | None = None) -> bytes:
    """Return a baseline JPEG with another kind of frame, or another height."""
    place = content.index(b"\xff\xc0")
    stated = content[place + 5 : place + 7] if height is None else struct.pack(">H", height)
    return (
        content[:place]
        + bytes((0xFF, frame))
        + content[place + 2 : place + 5]
        + stated
        + content[place + 7 :]
    )


def test_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    """They are sound, and aren't called damaged, except where the file is too small."""
    Pillow.fromarray(smooth()).save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    for other, message in (
        (altered(content, 0xC5), "is a hierarchical or an arithmetic lossless JPEG"),
        (altered(content, 0xC0, 0), "states its height only behind its pixels"),
        (altered(content, 0xC0, 65000), "can't hold the 65000 x 83 pixels"),
        (content[:-2], "is truncated: it has no end marker"),
    ):
        with pytest.raises(RefusalError, match=message):
            read_jpeg(other)
    for cut in (content[: content.index(b"\xff\xc0")], content[:2] + content[content.index(b"\xff\xda") :]):
        with pytest.raises(IndexError):
            read_jpeg(cut)
