"""Sources as Dask arrays: small, lazy, and named after the file."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import tifffile
import zarr
from images.examples import HEIGHT, WIDTH, names, noise

from pipeline.images.lazy import as_dask_array, read_whole
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path


def test_names_follow_the_file(tmp_path: Path) -> None:
    """The Dask name is the same each time and in each process, and another once the file or order is."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise(HEIGHT, WIDTH, 3), photometric="rgb")
    name = open_image(path).to_dask().name
    assert open_image(path).to_dask().name == name
    code = "import sys, pipeline; print(pipeline.open_image(sys.argv[1]).to_dask().name)"
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == name
    assert open_image(path, channels=names("BGR")).to_dask().name != name
    assert open_image(path).to_dask(32).name != name
    os.utime(path, ns=(1, 1))
    assert open_image(path).to_dask().name != name


def test_chunks_suit_the_tiles(tmp_path: Path) -> None:
    """Chunks are whole tiles, all channels are in one, and the caller may want others."""
    tifffile.imwrite(
        tmp_path / "x.tif", noise(300, 200, 3), photometric="rgb", tile=(48, 48), compression="zlib"
    )
    image = open_image(tmp_path / "x.tif")
    assert image.to_dask().chunksize == (300, 200, 3)
    assert image.to_dask(96).chunksize == (96, 96, 3)
    np.testing.assert_array_equal(image.to_dask(96)[5:290:3, ::-1, 1], np.asarray(image)[5:290:3, ::-1, 1])
    np.testing.assert_array_equal(image.to_dask(96)[7, [3, 1, 150]], np.asarray(image)[7, [3, 1, 150]])


def test_arrays_in_memory_have_names_of_their_own() -> None:
    """Two Zarr arrays in memory, which nothing tells apart, don't share a name."""
    arrays = [zarr.create_array({}, data=noise(20, 30, 3, seed=seed)) for seed in (0, 1)]
    lazy = [as_dask_array(open_source(array), (16, 16)) for array in arrays]
    assert lazy[0].name != lazy[1].name
    for seed, array in enumerate(lazy):
        np.testing.assert_array_equal(array.compute(), noise(20, 30, 3, seed=seed))


def test_a_chunk_in_memory_travels_alone() -> None:
    """The tasks of a NumPy array hold their own chunks, not the array."""
    image = open_image(noise(5000, 50, 3))[::-1, :, ::-1]
    lazy = image.to_dask(256)
    np.testing.assert_array_equal(lazy.compute(), noise(5000, 50, 3)[::-1, :, ::-1])
    assert len(pickle.dumps(lazy[:256])) < 2 * lazy.nbytes


def test_all_of_a_source_is_read() -> None:
    """Reading the whole makes a new array."""
    array = noise(20, 30, 3)
    read = read_whole(open_source(array))
    np.testing.assert_array_equal(read, array)
    assert not np.shares_memory(read, array)
