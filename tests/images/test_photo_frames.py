"""GIF and WebP: their headers, with alpha and without, of one frame and of several."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth
from PIL import Image as Pillow

from pipeline.images.photo_facts import RefusalError
from pipeline.images.photo_frames import decode_gif, decode_webp, is_webp, read_gif, read_webp


def saved(kind: str, *frames: Pillow.Image, **options: Any) -> bytes:
    """Write frames."""
    file = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:]} if frames[1:] else {}
    frames[0].save(file, kind, **more, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("lossless", [False, True])
def test_webp(mode: str, lossless: bool) -> None:
    """The header states what is decoded, which is what PIL decodes."""
    content = saved("WEBP", Pillow.fromarray(noise(HEIGHT, WIDTH, 4)).convert(mode), lossless=lossless)
    decoded = np.asarray(Pillow.open(io.BytesIO(content)))
    header = read_webp(content)
    assert (header.shape, header.n_frames) == (decoded.shape, 1)
    np.testing.assert_array_equal(decode_webp(content, 0), decoded)
    assert is_webp(content)
    assert not is_webp(b"RIFF....WAVE")


@pytest.mark.parametrize("transparency", [None, 0])
def test_gif(transparency: int | None) -> None:
    """Of one frame, with a transparent color and without."""
    stored = Pillow.fromarray(smooth(1)[..., 0]).quantize(20)
    content = saved("GIF", stored, **({} if transparency is None else {"transparency": transparency}))
    decoded = np.asarray(Pillow.open(io.BytesIO(content)).convert("RGBA"))
    header = read_gif(content)
    assert header.shape == (HEIGHT, WIDTH, 3 if transparency is None else 4)
    pixels = decode_gif(content, 0)
    opaque = decoded[..., 3] > 0
    np.testing.assert_array_equal(pixels[opaque], decoded[opaque][:, : header.shape[2]])
    assert transparency is None or (pixels[~opaque][:, 3] == 0).all()


def test_a_transparent_color_that_no_pixel_has() -> None:
    """Alpha is opaque everywhere."""
    content = saved("GIF", Pillow.fromarray(np.ones((5, 7), np.uint8)).quantize(20), transparency=19)
    assert read_gif(content).shape == (5, 7, 4)
    assert (decode_gif(content, 0)[..., 3] == 255).all()


@pytest.mark.parametrize("disposal", [0, 1, 2, [1, 3, 3]])
def test_frames_show_what_former_ones_left(disposal: Any) -> None:
    """A frame isn't only its own piece of the image."""
    frames = [Pillow.fromarray(smooth())]
    for shift in (10, 40):
        pixels = smooth()
        pixels[shift : shift + 20, 5:30] = shift
        frames.append(Pillow.fromarray(pixels))
    content = saved("GIF", *(frame.quantize(64) for frame in frames), disposal=disposal)
    stored = Pillow.open(io.BytesIO(content))
    assert read_gif(content).n_frames == 3
    for number in range(3):
        stored.seek(number)
        decoded = decode_gif(content, number)
        wanted = np.asarray(stored.convert("RGBA"))
        opaque = wanted[..., 3] > 0
        np.testing.assert_array_equal(decoded[opaque][:, :3], wanted[opaque][:, :3])


def test_too_many_pixels_are_refused() -> None:
    """All frames of a GIF are decoded together."""
    content = bytearray(saved("GIF", Pillow.fromarray(np.resize(smooth(), (800, 800, 3)))))
    content[6:10] = struct.pack("<HH", 20000, 20000)
    with pytest.raises(RefusalError, match=r"is a GIF of 1 frames of 20000 x 20000 pixels; wanted 2\^28"):
        read_gif(bytes(content))
    content[6:10] = struct.pack("<HH", 60000, 60000)
    with pytest.raises(IndexError, match="much larger than its frames"):
        read_gif(bytes(content))
    frames = [Pillow.fromarray(noise(9, 9, 3, seed=seed)) for seed in range(2)]
    content = bytearray(saved("WEBP", *frames))
    content[24:30] = (16000).to_bytes(3, "little") * 2
    with pytest.raises(IndexError, match="much larger than its frames"):
        read_webp(bytes(content))
    content[24:30] = (8).to_bytes(3, "little") + (20000).to_bytes(3, "little")
    with pytest.raises(RefusalError, match="is a WebP of 20001 x 9 pixels; wanted sides of 16384 at most"):
        read_webp(bytes(content))


def test_damage() -> None:
    """Cut files are truncated; unknown blocks, and frames outside of the image, are damage."""
    gif, webp = (saved(kind, Pillow.fromarray(smooth())) for kind in ("GIF", "WEBP"))
    for read, content in ((read_gif, gif[:-1]), (read_gif, gif[:300]), (read_webp, webp[:-2])):
        with pytest.raises(RefusalError, match="is truncated"):
            read(content)
    small = gif[:6] + struct.pack("<HH", 10, 10) + gif[10:]
    for broken in (small, gif[:-1] + b"?"):
        with pytest.raises(IndexError):
            read_gif(broken)
    with pytest.raises(IndexError):
        read_webp(b"RIFF" + struct.pack("<I", 4) + b"WEBP")
