"""libvips gives the strips of a photo."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth
from PIL import Image as Pillow

from pipeline.images.vips import decode_strips, import_vips, read_streamed

if TYPE_CHECKING:
    from pathlib import Path


def encoded(format_: str, **options: Any) -> bytes:
    """Encode gradients."""
    file = io.BytesIO()
    Pillow.fromarray(smooth()).save(file, format_, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format_", "options", "held"), [("PNG", {}, 0), ("JPEG", {}, 0), ("JPEG", {"progressive": True}, 2)]
)
def test_strips_are_the_photo(tmp_path: Path, format_: str, options: dict[str, Any], held: int) -> None:
    """Strips from the top to the bottom are the pixels that Pillow decodes."""
    path = tmp_path / "x"
    path.write_bytes(encoded(format_, **options))
    streamed = read_streamed(str(path))
    assert streamed is not None
    assert streamed == ((HEIGHT, WIDTH, 3), np.dtype("u1"), held * HEIGHT * WIDTH * 3)
    strips = list(decode_strips(str(path), np.dtype("u1"), 64))
    assert [len(strip) for strip in strips] == [64, HEIGHT - 64]
    np.testing.assert_array_equal(np.concatenate(strips), Pillow.open(path))


def test_other_files_are_told(tmp_path: Path) -> None:
    """A file that isn't an image, and samples that no photo has."""
    path = tmp_path / "x"
    path.write_bytes(b"no image at all")
    assert read_streamed(str(path)) is None
    Pillow.fromarray(noise(9, 9, dtype="float32")).save(path, "TIFF")
    streamed = read_streamed(str(path))
    assert streamed is not None
    assert streamed.dtype is None


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_a_cut_photo_is_refused(tmp_path: Path, format_: str) -> None:
    """The message names the file, and is one line."""
    path = tmp_path / "cut"
    content = encoded(format_)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cut can't be decoded by libvips: .* is damaged") as caught:
        list(decode_strips(str(path), np.dtype("u1"), 64))
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which extra to install."""
    monkeypatch.setitem(sys.modules, "pyvips", None)
    with pytest.raises(ImportError, match=r"pip install 'mixture-pipeline\[vips\]'"):
        import_vips()
