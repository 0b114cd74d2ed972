"""PBM, PGM, PPM, PAM and PFM, made here byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from images.examples import noise
from PIL import Image as Pillow

from pipeline.images.opening import open_image
from pipeline.images.photo_facts import RefusalError
from pipeline.images.photo_pnm import decode_pnm, is_pnm, read_pnm

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 5, 7


def text(samples: np.ndarray) -> bytes:
    """Write samples as numbers."""
    return b" ".join(b"%d" % value for value in samples.ravel().tolist())


def pam(kind: bytes, samples: np.ndarray, most: int) -> bytes:
    """Make a PAM."""
    lines = b"P7\n# a comment\nWIDTH 7\nHEIGHT 5\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    return lines % (samples.shape[2], most, kind) + samples.tobytes()


@pytest.mark.parametrize("most", [100, 255, 1000, 65535])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_gray_and_color(most: int, n_samples: int) -> None:
    """Samples are those that are stored, as bytes and as text, whatever their highest value is."""
    dtype = "u1" if most < 256 else ">u2"
    pixels = (noise(HEIGHT, WIDTH, n_samples, dtype="uint16").astype(int) % (most + 1)).astype(dtype)
    for letter, samples in (
        (5 if n_samples == 1 else 6, pixels.tobytes()),
        (2 if n_samples == 1 else 3, text(pixels)),
    ):
        content = b"P%d\n# a comment\n7 5\n%d\n" % (letter, most) + samples
        header = read_pnm(content)
        assert (header.shape, header.dtype) == (pixels.shape, np.dtype(dtype).newbyteorder("="))
        decoded = decode_pnm(content, 0)
        assert decoded.dtype == header.dtype
        np.testing.assert_array_equal(decoded, pixels)


def test_bits() -> None:
    """A bit of 0 is white; as text, bits need no space between them."""
    bits = noise(HEIGHT, WIDTH) % 2
    wanted = 255 - 255 * bits[..., np.newaxis]
    packed = b"P4 7 5\n" + np.packbits(bits, axis=1).tobytes()
    close = b"P1\n7 5\n" + b"\n".join(b"".join(b"%d" % bit for bit in row) for row in bits)
    for content in (packed, close, b"P1 7 5 # a comment 1 0\n" + text(bits)):
        np.testing.assert_array_equal(decode_pnm(content, 0), wanted)
        assert read_pnm(content).shape == wanted.shape


@pytest.mark.parametrize(
    ("kind", "n_samples"), [(b"GRAYSCALE", 1), (b"GRAYSCALE_ALPHA", 2), (b"RGB", 3), (b"RGB_ALPHA", 4)]
)
@pytest.mark.parametrize("most", [255, 65535])
def test_pam(kind: bytes, n_samples: int, most: int) -> None:
    """With alpha and without, of 8 and of 16 bits."""
    dtype = "u1" if most == 255 else ">u2"
    pixels = noise(HEIGHT, WIDTH, n_samples, dtype="uint16").astype(dtype)
    content = pam(kind, pixels, most)
    np.testing.assert_array_equal(decode_pnm(content, 0), pixels)
    assert read_pnm(content).shape == pixels.shape


@pytest.mark.parametrize(("scale", "dtype"), [(b"-1.0", "<f4"), (b"1", ">f4"), (b"-2e0", "<f4")])
def test_floats(scale: bytes, dtype: str) -> None:
    """The sign of the scale is the byte order; rows begin at the bottom."""
    pixels = noise(HEIGHT, WIDTH, 3, dtype="float32")
    content = b"PF\n7 5\n%b\n" % scale + pixels[::-1].astype(dtype).tobytes()
    np.testing.assert_array_equal(decode_pnm(content, 0), pixels)
    gray = b"Pf\n7 5\n%b\n" % scale + pixels[::-1, :, 0].astype(dtype).tobytes()
    np.testing.assert_array_equal(decode_pnm(gray, 0), pixels[..., :1])


@pytest.mark.parametrize("name", ["x.ppm", "x.pgm", "x.pbm"])
def test_what_others_write(tmp_path: Path, name: str) -> None:
    """PIL's files hold the pixels that PIL and OpenCV read."""
    mode = {"x.ppm": "RGB", "x.pgm": "L", "x.pbm": "1"}[name]
    stored = Pillow.fromarray(noise(HEIGHT, WIDTH, 3)).convert(mode)
    stored.save(tmp_path / name)
    image = np.asarray(open_image(tmp_path / name))
    np.testing.assert_array_equal(
        image, np.asarray(stored.convert("L" if mode == "1" else mode)).reshape(image.shape)
    )
    other = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    assert other is not None
    np.testing.assert_array_equal(image, other.reshape(image.shape)[..., ::-1])


def test_other_samples_are_refused() -> None:
    """A PAM of five samples is sound, and isn't called damaged."""
    with pytest.raises(RefusalError, match="is a PAM of 5 samples of type 'BANDS'; wanted GRAYSCALE or RGB"):
        read_pnm(pam(b"BANDS", noise(HEIGHT, WIDTH, 5), 255))


@pytest.mark.parametrize(
    "content",
    [
        b"P5 7 5 255\n" + bytes(34),
        b"P6 7 5 65535\n" + bytes(200),
        b"P4 7 5\n" + bytes(4),
        b"PF 7 5 -1\n" + bytes(419),
        b"P2 7 5 255\n" + b"1 " * 34,
        b"P1 7 5\n" + b"1" * 34,
    ],
)
def test_too_few_bytes_are_refused(content: bytes) -> None:
    """Before anything is allocated."""
    with pytest.raises(RefusalError, match="can't hold the 5 x 7 pixels"):
        read_pnm(content)


@pytest.mark.parametrize(
    "content",
    [b"P5 7", b"P5 7 5 x", b"P5 7 5 70000\n", b"PF 7 5 x\n", b"P7\nWIDTH 7\n", b"P7\nWIDTH 7\nENDHDR\n"],
)
def test_damaged_headers(content: bytes) -> None:
    """They say so in one of the ways that the reader of headers knows."""
    assert is_pnm(content)
    with pytest.raises((IndexError, KeyError, ValueError)):
        read_pnm(content)


def test_damaged_text() -> None:
    """Numbers beyond the samples' dtype, or too few of them."""
    for numbers in (b"256 " * 35, b"1     " * 20):
        with pytest.raises((IndexError, ValueError)):
            decode_pnm(b"P2 7 5 255\n" + numbers, 0)
    assert not is_pnm(b"P9 7 5")
    assert not is_pnm(b"Plain text")
