"""Datasets in HDF5 files: chosen by name, read by regions, refused where their numbers lie elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, write_hdf5

from pipeline.images import hdf5
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.testing.sources import Case

PIXELS = noise(HEIGHT, WIDTH, 3, dtype="uint16")


KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "gzip": {"chunks": (20, 30, 2), "compression": "gzip"},
    "lzf": {"chunks": (50, 50, 3), "compression": "lzf", "shuffle": True},
    "big-endian": {"dtype": ">u2", "chunks": (20, 30, 3)},
    "channels first": {"chunks": (1, 30, 30)},
    "gray": {"chunks": (30, 40)},
}


class TestContract(SourceContract):
    """The contract, for chunks and compressions, byte orders and axes."""

    @pytest.fixture(params=KINDS)
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write a dataset."""
        pixels = PIXELS[..., :1] if request.param == "gray" else PIXELS
        stored = {"gray": PIXELS[..., 0], "channels first": np.moveaxis(PIXELS, -1, 0)}
        write_hdf5(
            tmp_path / "x.h5", "group/image", stored.get(request.param, PIXELS), **KINDS[request.param]
        )
        axis = 0 if request.param == "channels first" else -1
        return open_source(f"{tmp_path / 'x.h5'}::/group/image", channel_axis=axis), pixels


def test_a_dataset_is_chosen(tmp_path: Path) -> None:
    """One that is alone is taken; of several one must be named, behind the path or as the series."""
    path = tmp_path / "x.h5"
    write_hdf5(path, "raw", PIXELS)
    np.testing.assert_array_equal(open_image(path), PIXELS)
    write_hdf5(path, "deep/gray", PIXELS[..., 0])
    write_hdf5(path, "times", np.arange(5))
    with pytest.raises(
        ValueError, match=r"holds several datasets; wanted one of them, as .*x.h5::/deep/gray: /deep/gray, sh"
    ):
        open_image(path)
    for image in (f"{path}::/deep/gray", f"{path}::deep/gray"):
        np.testing.assert_array_equal(open_image(image)[..., 0], PIXELS[..., 0])
    for series in ("deep/gray", "/deep/gray", 0):
        assert open_image(path, series=series).shape == (HEIGHT, WIDTH, 1)
    image = open_image(path, series=1)
    assert image.series == (
        "0: '/deep/gray', shape (101, 83), uint16",
        "1: '/raw', shape (101, 83, 3), uint16",
    )
    assert image.source.place() == {"image": f"{path}::/raw"}
    for wanted in ("none", "deep"):
        with pytest.raises(ValueError, match=f"has no dataset /{wanted}; its datasets of two or"):
            open_image(path, series=wanted)
    with pytest.raises(ValueError, match="holds no dataset 7; wanted one of them"):
        open_image(path, series=7)
    with pytest.raises(
        ValueError, match=r"series is 1, but .*x.h5::/raw names a dataset; wanted one of them"
    ):
        open_image(f"{path}::/raw", series=1)


def test_a_name_may_hold_the_separator(tmp_path: Path) -> None:
    """A file whose name holds two colons is itself, and only HDF5 files have datasets."""
    np.save(tmp_path / "x::y.npy", PIXELS)
    assert open_image(tmp_path / "x::y.npy").shape == PIXELS.shape
    np.save(tmp_path / "x.npy", PIXELS)
    with pytest.raises(ValueError, match=r"x.npy isn't an HDF5 file, and holds no datasets; wanted its path"):
        open_image(f"{tmp_path / 'x.npy'}::/raw")


@pytest.mark.parametrize("kind", ["labels", "axistags"])
def test_axes_are_named(tmp_path: Path, kind: str) -> None:
    """Labels of dimensions and ilastik's tags say which axis has the channels, and the place needs not."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("raw", data=np.moveaxis(PIXELS, -1, 0))
        for number, name in enumerate("cyx"):
            if kind == "labels":
                dataset.dims[number].label = name
        if kind == "axistags":
            dataset.attrs["axistags"] = json.dumps({"axes": [{"key": name} for name in "cyx"]})
    image = open_image(path)
    np.testing.assert_array_equal(image, PIXELS)
    assert image.source.place() == {"image": f"{path}::/raw"}
    assert reopen(image.source.place() or {}).description == image.description
    assert open_image(path, channel_axis=2).shape == (3, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("names", "message"),
    [("xyc", "has axes x, y, c; wanted y before x"), ("zyx", "has axes z, y, x; wanted y, x and perhaps c")],
)
def test_axes_that_are_refused(tmp_path: Path, names: str, message: str) -> None:
    """Axes of depth, and columns before rows, are refused by their names."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("raw", data=PIXELS)
        for number, name in enumerate(names):
            dataset.dims[number].label = name
    with pytest.raises(ValueError, match=message):
        open_image(tmp_path / "x.h5")


def test_tags_that_are_damaged(tmp_path: Path) -> None:
    """Tags of axes that aren't JSON name the dataset."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("raw", data=PIXELS).attrs["axistags"] = "{"
    with pytest.raises(ValueError, match=r"x.h5::/raw has axistags that can't be read: '\{'"):
        open_image(tmp_path / "x.h5")


def test_kinds_that_are_refused(tmp_path: Path) -> None:
    """A file without images, a dataset of other axes, and an option that isn't there are named."""
    write_hdf5(tmp_path / "x.h5", "times", np.arange(5))
    with pytest.raises(ValueError, match=r"x.h5 holds no dataset of two or three axes of numbers"):
        open_image(tmp_path / "x.h5")
    with pytest.raises(ValueError, match=r"x.h5::/times: image is an array of shape \(5,\); wanted"):
        open_image(f"{tmp_path / 'x.h5'}::/times")
    with pytest.raises(ValueError, match=r"level is 1, but .*x.h5 is an HDF5 file, which has none"):
        open_image(tmp_path / "x.h5", level=1)


def test_memory_of_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region takes its pixels, a strip and a chunk twice, and the library's cache."""
    monkeypatch.setattr(hdf5, "_STRIP", 1000)
    write_hdf5(tmp_path / "x.h5", "raw", PIXELS, chunks=(20, 30, 3))
    source = open_source(tmp_path / "x.h5")
    assert source.tile == (20, 30)
    chunk = 20 * 30 * 6
    assert source.region_bytes((10, 10)) == 600 + 2 * (20 * 10 * 6 + chunk) + 2**20
    places = (range(0, HEIGHT, 7), range(0, WIDTH, 7))
    assert source.region_bytes((10, 10), places) == 600 + 2 * (20 * 64 * 6 + chunk) + 2**20
    for step in (1, 7, 25, 40):
        region = (slice(3, 99, step), slice(1, 80, step))
        np.testing.assert_array_equal(source.read(region), PIXELS[region])
