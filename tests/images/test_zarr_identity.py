"""Tests of the identity of Zarr arrays."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import zarr
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(HEIGHT, WIDTH, 3, dtype="uint16")


def test_the_identity_follows_the_files(tmp_path: Path) -> None:
    """Another content, or other files, are another image."""
    array = zarr.create_array(tmp_path / "x.zarr", data=PIXELS, chunks=(20, 30, 3))
    source = open_source(tmp_path / "x.zarr")
    before = source.identity()
    assert before == open_source(array).identity()
    assert re.search(r"\d+ files of \d+ bytes, modified \d{4}-\d\d-\d\d [\d:.]+ UTC, digest", before or "")
    array[0, 0] = 1
    assert source.identity() != before


def test_the_identity_of_what_isnt_in_a_directory(tmp_path: Path) -> None:
    """In memory the chunks count, in a ZIP file its size and time; of unknown stores nothing is known."""
    one, same, other = (
        open_source(zarr.create_array({}, data=pixels, chunks=(20, 30, 3)))
        for pixels in (PIXELS, PIXELS, 255 - PIXELS)
    )
    assert one.identity() == same.identity() != other.identity()
    with zarr.storage.ZipStore(tmp_path / "x.zip", mode="w") as store:
        zarr.create_array(store, name="x", data=PIXELS, chunks=(20, 30, 3))
    zipped = zarr.open_array(zarr.storage.ZipStore(tmp_path / "x.zip", mode="r"), path="x")
    before = open_source(zipped).identity()
    assert f"{(tmp_path / 'x.zip').stat().st_size} bytes, modified " in (before or "")
    os.utime(tmp_path / "x.zip", (1, 1))
    assert open_source(zipped).identity() != before
    wrapped = zarr.storage.WrapperStore(zarr.storage.MemoryStore())
    assert open_source(zarr.create_array(wrapped, data=PIXELS, chunks=(20, 30, 3))).identity() is None
    assert open_source(zarr.create_array(wrapped, data=PIXELS, overwrite=True))  # it can be read
