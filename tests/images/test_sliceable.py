"""Objects that are sliced as arrays are: read by regions, from any thread, and never whole."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.sliceable import open_sliceable
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.source import Source

PIXELS = noise(HEIGHT, WIDTH, 5, dtype="uint16")


class Sliced:
    """The least that such an object has; it notes the shapes that it gave."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.given: list[tuple[int, ...]] = []

    def __getitem__(self, key: Any) -> Any:
        self.given.append(self.array[key].shape)
        return self.array[key]


class _Known(Sliced):
    """An object that is made again where it is unpickled, as those of tensorstore are."""

    def __init__(self, axis: int | None) -> None:
        super().__init__(PIXELS[..., 0] if axis is None else np.moveaxis(PIXELS, -1, axis))
        self.axis = axis

    def __reduce__(self) -> tuple[Any, ...]:
        return _Known, (self.axis,)


class _OneAtATime(Sliced):
    """An object that two threads can't read at once."""

    n_readers = 0

    def __getitem__(self, key: Any) -> Any:
        self.n_readers += 1
        assert self.n_readers == 1
        time.sleep(0.002)
        self.n_readers -= 1
        return self.array[key]


class _Dtype:
    """A dtype of another library, as tensorstore has it."""

    numpy_dtype = np.dtype("uint16")


class TestSliced(SourceContract):
    """Objects of unknown libraries keep the contract, with their channels on any axis."""

    @pytest.fixture(params=[-1, 0, 1, None])
    def case(self, request: pytest.FixtureRequest) -> tuple[Source, NDArray[Any]]:
        """Return an object that holds an array."""
        axis = request.param
        return open_source(_Known(axis), channel_axis=axis), PIXELS[..., : 1 if axis is None else None]


class TestHdf5(SourceContract):
    """Datasets of h5py keep the contract, but for travelling: the file is open in one process."""

    pickles = False

    @pytest.fixture(params=["contiguous", "chunks", "bands first", "big-endian"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Source, NDArray[Any]]]:
        """Return a dataset in a file that is open."""
        kind = request.param
        array = np.moveaxis(PIXELS, -1, 0) if kind == "bands first" else PIXELS
        options = {"chunks": (1, 30, 40) if kind == "bands first" else (30, 40, 5), "compression": "gzip"}
        with h5py.File(tmp_path / "x.h5", "w") as file:
            stored = array.astype(">u2") if kind == "big-endian" else array
            dataset = file.create_dataset("x", data=stored, **(options if kind != "contiguous" else {}))
            yield open_source(dataset, channel_axis=0 if kind == "bands first" else -1), PIXELS


def test_no_more_is_read_than_needed() -> None:
    """A region, its steps and adjacent channels are sliced; opening reads nothing."""
    held = Sliced(PIXELS)
    image = open_image(held, channels=(3, 2), region=((10, 30), (20, 60)))
    assert held.given == []
    np.testing.assert_array_equal(image[::3, ::4], PIXELS[10:30:3, 20:60:4, [3, 2]])
    assert held.given == [(7, 10, 2)]
    assert (image.source.identity(), image.source.place()) == (None, None)


def test_it_can_be_stored_for_a_cluster(tmp_path: Path) -> None:
    """What can't be sent to a cluster can be stored in this process, as the message there says."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        image = open_image(file.create_dataset("x", data=PIXELS, chunks=(32, 32, 5)))
        assert not image.source.travels
        image.to_dask().to_zarr(tmp_path / "x.zarr")
    np.testing.assert_array_equal(open_image(tmp_path / "x.zarr"), PIXELS)


def test_one_thread_at_a_time_reads_an_unknown_object() -> None:
    """An object whose library isn't known to be safe is locked."""
    source = open_source(_OneAtATime(PIXELS))
    with ThreadPoolExecutor(4) as pool:
        region = (slice(0, 5), slice(0, 5))
        for read in pool.map(source.read, [region] * 12):
            np.testing.assert_array_equal(read, PIXELS[:5, :5])


def test_chunks_and_memory(tmp_path: Path) -> None:
    """Chunks are the tiles, however an object says them, and count in the memory."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        source = open_source(file.create_dataset("x", data=PIXELS, chunks=(16, 32, 5)))
        assert source.tile == (16, 32)
        assert source.region_bytes((16, 32)) == 16 * 32 * 5 * 2 * 3
    held: Any = Sliced(PIXELS)
    assert open_source(held).tile == (1, 1)
    held.chunking = lambda: [20, 30, 5]
    assert open_source(held).tile == (20, 30)
    held.chunking = lambda: "contiguous"
    held.encoding = {"chunksizes": (40, 10, 1)}
    assert open_source(held).tile == (40, 10)
    held.chunks = ((50, 51), (83,), (5,))
    assert open_source(held).tile == (40, 10)
    held.dtype = _Dtype()
    np.testing.assert_array_equal(open_image(held), PIXELS)


@pytest.mark.parametrize(
    "other", ["x", {}, 3, [1], np.dtype, threading, type("x", (), {"shape": 3, "dtype": "u1"})]
)
def test_other_things_are_no_arrays(other: object) -> None:
    """What lacks a shape, a dtype or slicing isn't taken."""
    assert open_sliceable(other, "image", -1) is None


def test_masks_are_not_lost() -> None:
    """Masked pixels are refused when they are met, and so is what isn't as it was said to be."""
    held = Sliced(np.ma.masked_equal(PIXELS, PIXELS[50, 50, 0]))
    source = open_source(held)
    masked = np.argwhere(held.array.mask.any(axis=-1)).tolist()
    assert [50, 50] in masked
    with pytest.raises(TypeError, match=r"masks some of its pixels, .*set_auto_maskandscale\(False\)"):
        source.read((slice(50, 51), slice(50, 51)))
    clear = next(row for row in range(HEIGHT) if not held.array.mask[row, :9].any())
    np.testing.assert_array_equal(
        source.read((slice(clear, clear + 1), slice(0, 9))), PIXELS[clear : clear + 1, :9]
    )
    held = Sliced(PIXELS)
    source = open_source(held)
    held.array = PIXELS.astype("float64")
    with pytest.raises(
        TypeError, match=r"has uint16 pixels, but slicing it gave .* of float64; wanted shape \(3, 4, 5\)"
    ):
        source.read((slice(0, 3), slice(0, 4)))
    held.array = PIXELS[:2]
    with pytest.raises(TypeError, match=r"shape \(2, 4, 5\) of uint16; wanted shape \(3, 4, 5\)"):
        source.read((slice(0, 3), slice(0, 4)))
    with pytest.raises(ValueError, match="image is an array of shape"):
        open_source(Sliced(PIXELS[..., np.newaxis]))
