"""Dask arrays, of which a task takes a part of the graph."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest
import zarr
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images.dask_array import open_dask
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.testing.sources import Case

PIXELS = noise(HEIGHT, WIDTH, 3)


class TestDaskArray(SourceContract):
    """The contract, on arrays of different chunks and axes."""

    @pytest.fixture(params=["last", "first", "computed"])
    def case(self, request: pytest.FixtureRequest) -> Case:
        """Return an array as a source."""
        if request.param == "first":
            return open_source(
                da.from_array(np.moveaxis(PIXELS, -1, 0), chunks=(2, 40, 30)), channel_axis=0
            ), PIXELS
        array = da.from_array(PIXELS, chunks=(40, 30, 2))
        return open_source(array if request.param == "last" else 255 - (255 - array)), PIXELS


def test_other_things_are_left_to_others() -> None:
    """An object that isn't a Dask array isn't opened here."""
    assert open_dask(PIXELS, "image", -1) is None


def test_gray_arrays_have_one_channel() -> None:
    """An array of two axes is an image of one channel."""
    np.testing.assert_array_equal(open_image(da.from_array(PIXELS[..., 0])), PIXELS[..., :1])


def test_a_task_takes_no_more_than_its_chunks() -> None:
    """A part holds the chunks that it needs, not the arrays that they are of."""
    lazy = da.from_array(np.tile(PIXELS, (8, 8, 1)), chunks=(20, 30, 3)) + np.uint8(1)
    sent = pickle.dumps(open_image(lazy[..., ::-1])[::2].source.part((slice(10, 20), slice(95, 120))))
    assert len(sent) < 30_000 < lazy.nbytes
    np.testing.assert_array_equal(
        pickle.loads(sent).read(),  # noqa: S301  made here
        (np.tile(PIXELS, (8, 8, 1)) + np.uint8(1))[20:40:2, 95:120, ::-1],
    )


def test_the_name_is_the_identity_and_chunks_are_tiles() -> None:
    """A Dask array is told by its name, and read by its chunks."""
    array = da.from_array(PIXELS, chunks=(40, 30, 2))
    source = open_source(array)
    assert source.identity() == array.name
    assert open_source(da.from_array(PIXELS, chunks=40, name="mine") + 0).identity() is None
    assert open_source(da.from_array(PIXELS, chunks=40, name=False)).identity() is None
    for inline in (False, True):
        stored = [zarr.create_array({}, data=pixels, chunks=(40, 40, 3)) for pixels in (PIXELS, 255 - PIXELS)]
        one, other = (open_source(da.from_array(array, inline_array=inline)[::2]) for array in stored)
        assert one.identity() is not None
        assert one.identity() != other.identity()
    assert source.tile == (40, 30)
    assert source.unit == (40, 30)
    assert open_image(array).to_dask() is not None
    assert open_image(array).to_dask().chunks == array.chunks
    assert open_image(array).to_dask(block=16).chunksize == (16, 16, 3)


def test_memory_of_chunks() -> None:
    """However small a region, its chunks are computed whole, from something as large."""
    source, chunk = open_source(da.zeros((500, 900, 3), chunks=(50, 100, 2), dtype="uint16")), 50 * 100 * 6
    assert source.region_bytes((1, 1)) == 6 + 4 * chunk
    assert source.region_bytes((50, 100)) == 2 * chunk + 3 * chunk
    assert source.region_bytes((52, 102)) == 52 * 102 * 6 + 2 * 2 * chunk + 3 * chunk
    assert source.region_bytes((53, 101)) == 53 * 101 * 6 + 3 * 2 * chunk + 3 * chunk
    assert open_source(da.zeros((500, 900, 3), chunks=((100, 30, 370), -1, 3))).region_bytes((1, 900)) == (
        3 * 8 * (900 + 500 * 900 + 3 * 370 * 900)
    )
    whole = open_source(da.zeros((8192, 8192, 3), chunks=-1, dtype="uint8"))
    assert whole.region_bytes((256, 256)) >= 8192 * 8192 * 3


def test_pixels_on_a_cluster(processes: Client) -> None:
    """An array that is persisted on a cluster says so, and so does a view of it; a lazy one doesn't."""
    lazy = da.from_array(PIXELS, chunks=(40, 30, 3))
    assert not open_image(lazy).is_held_by_cluster
    held = processes.persist(lazy)
    assert open_image(held).is_held_by_cluster
    assert open_image(held)[::2, :, :1].is_held_by_cluster
    assert open_image(PIXELS, mask=held[..., 0]).is_held_by_cluster


def test_a_large_endian_array() -> None:
    """Samples come in this machine's byte order."""
    image = open_image(da.from_array(PIXELS.astype(">u2")))
    assert image.dtype == np.dtype("uint16")
    assert image.dtype.isnative
    read = image.source.part((slice(5), slice(6))).read()
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, PIXELS[:5, :6])
