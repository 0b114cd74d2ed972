"""Directories of TIFFs that don't end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
import tifffile
from images.examples import noise

from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path


def _write(path: Path, n_pages: int, **options: Any) -> list[int]:
    """Write pages, and return the places of their directories."""
    with tifffile.TiffWriter(path, **options) as writer:
        for number in range(n_pages):
            writer.write(noise(16, 16, seed=number), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        return [page.offset for page in file.pages]


def _point(path: Path, directory: int, then: int, *, is_big: bool) -> None:
    """Write the place of the next directory into one."""
    content = bytearray(path.read_bytes())
    (n_tags,) = struct.unpack_from("<Q" if is_big else "<H", content, directory)
    place = directory + (8 + 20 * n_tags if is_big else 2 + 12 * n_tags)
    struct.pack_into("<Q" if is_big else "<I", content, place, then)
    path.write_bytes(content)


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("end", [(0, 0), (1, 0), (2, 1), (2, 2)])
def test_directories_that_point_back(tmp_path: Path, end: tuple[int, int], *, is_big: bool) -> None:
    """A directory that names one before it, or itself, is damage, and ends nevertheless."""
    path = tmp_path / "x.tif"
    places = _write(path, 3, bigtiff=is_big)
    assert open_image(path, pages="channels").shape == (16, 16, 3)
    _point(path, places[end[0]], places[end[1]], is_big=is_big)
    message = (
        r"x\.tif is damaged: a directory names the next one at byte \d+, which is one before it, or none"
    )
    with pytest.raises(ValueError, match=message):
        open_image(path, pages="channels")


def test_directories_beyond_the_file(tmp_path: Path) -> None:
    """Pages that are cut off are missed; one page may name no next one in any way."""
    path = tmp_path / "x.tif"
    places = _write(path, 3)
    _point(path, places[1], 10**6, is_big=False)
    with pytest.raises(ValueError, match=r"x\.tif is truncated: its directory 2 lies at byte 1000000"):
        open_image(path, pages=0)
    _point(path, places[0], 10**6, is_big=False)
    assert open_image(path).shape == (16, 16, 1)


def test_a_directory_that_is_cut_off(tmp_path: Path) -> None:
    """A file that ends within a directory is truncated."""
    path = tmp_path / "x.tif"
    (place,) = _write(path, 1)
    content = path.read_bytes()
    (n_tags,) = struct.unpack_from("<H", content, place)
    # The directory moves behind the pixels.
    tags = content[place : place + 2 + 12 * n_tags]
    path.write_bytes(content[:4] + struct.pack("<I", len(content)) + content[8:] + tags)
    with pytest.raises(ValueError, match=r"x\.tif is truncated: it ends within its directory 0"):
        open_image(path)
