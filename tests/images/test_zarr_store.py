"""Stores that tifffile makes of TIFFs are read in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from images.examples import TILE, noise, write_tiff

from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.zarr_store import open_zarr_store
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.source import Source

pytest.importorskip("tifffile.zarr", reason="stores of older tifffile are those of Zarr 2")

PIXELS = noise(70, 90, 3)


class TestTiffStore(SourceContract):
    """The store of a TIFF keeps the contract, but for travelling."""

    pickles = False

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[tuple[Source, NDArray[Any]]]:
        """Return the array in the store of a TIFF."""
        write_tiff(tmp_path / "x.tif", PIXELS, tile=TILE, compression="zlib")
        with tifffile.imread(tmp_path / "x.tif", aszarr=True) as store:
            yield open_source(store), PIXELS


def test_stores_and_their_arrays(tmp_path: Path) -> None:
    """A store, and the array that zarr opens in it, are the same image."""
    write_tiff(tmp_path / "x.tif", PIXELS)
    with tifffile.imread(tmp_path / "x.tif", aszarr=True) as store:
        np.testing.assert_array_equal(open_image(store), PIXELS)
        array = open_image(zarr.open(store, mode="r"))
        np.testing.assert_array_equal(array, PIXELS)
        assert (array.source.identity(), array.source.place()) == (None, None)
    stored = zarr.create_array(tmp_path / "x.zarr", data=PIXELS)
    assert open_source(stored.store).travels
    assert open_zarr_store(stored, "image", -1) is None


def test_groups_are_refused(tmp_path: Path) -> None:
    """The store of a pyramid holds several arrays, one of which is to be chosen."""
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(PIXELS, subifds=1, photometric="rgb")
        file.write(PIXELS[::2, ::2], subfiletype=1, photometric="rgb")
    with tifffile.imread(tmp_path / "x.tif", aszarr=True) as store:
        with pytest.raises(
            ValueError, match=r"image is a Zarr store of a group with the arrays 0, 1; wanted one"
        ):
            open_image(store)
        chosen: Any = zarr.open(store, mode="r")["1"]
        np.testing.assert_array_equal(open_image(chosen), PIXELS[::2, ::2])
