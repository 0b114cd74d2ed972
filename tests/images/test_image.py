"""Images: indexed as NumPy arrays are, read as far as needed, cut for tasks, fitted to models."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import matplotlib as mpl
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from images.examples import HEIGHT, LAYOUTS, WIDTH, names, noise

from pipeline.images.image import Image
from pipeline.images.masking import Masking
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(HEIGHT, WIDTH, 3)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Open the image in every way."""
    folder = tmp_path_factory.mktemp("images")
    tifffile.imwrite(folder / "x.tif", PIXELS, photometric="rgb", **LAYOUTS["tiles"])
    cv2.imwrite(os.fspath(folder / "x.png"), PIXELS[..., ::-1])
    zarr.create_array(folder / "x.zarr", data=PIXELS, chunks=(10, 10, 3), shards=(30, 20, 3))
    images = {
        "TIFF": folder / "x.tif",
        "PNG": folder / "x.png",
        "NumPy": PIXELS,
        "Dask": da.from_array(PIXELS, chunks=(20, 30, 2)),
        "Zarr": folder / "x.zarr",
    }
    return {kind: open_image(image) for kind, image in images.items()}


@settings(max_examples=60)
@given(data=st.data())
def test_indexing_is_numpys(opened: dict[str, Image], data: st.DataObject) -> None:
    """Any basic index of any image, and one behind it, gives NumPy's shape and pixels."""
    image, wanted = opened[data.draw(st.sampled_from(list(opened)))], PIXELS
    for _ in range(2):
        key = data.draw(hnp.basic_indices(wanted.shape, allow_newaxis=True, max_dims=5))
        image, wanted = image[key], wanted[key]
        assert (image.shape, image.ndim, image.size) == (np.shape(wanted), np.ndim(wanted), np.size(wanted))
        computed = image.compute()
        assert computed.dtype == np.uint8
        np.testing.assert_array_equal(computed, wanted)
        np.testing.assert_array_equal(image.to_dask(block=48), wanted)


def test_the_first_slices_that_anyone_tries(opened: dict[str, Image]) -> None:
    """A thumbnail, a channel, a row, a pixel and a crop are images that NumPy and matplotlib take."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  after its backend is chosen

    for image in opened.values():
        np.testing.assert_array_equal(image[::16, ::16].compute(), PIXELS[::16, ::16])
        np.testing.assert_array_equal(image[..., 0], PIXELS[..., 0])
        np.testing.assert_array_equal(image[100], PIXELS[100])
        assert int(image[5, 6, 1].compute()) == PIXELS[5, 6, 1]
        shown = plt.imshow(image[::16, ::16]).get_array()
        np.testing.assert_array_equal(shown, PIXELS[::16, ::16])
        assert np.asarray(image, float).dtype == float
        assert np.mean(image) == PIXELS.mean()
        assert len(image) == HEIGHT
        np.testing.assert_array_equal(np.stack(list(image[:3, :4])), PIXELS[:3, :4])
    plt.close()


def test_what_an_image_is_not(opened: dict[str, Image]) -> None:
    """A pixel has no length, an array can't be had without reading, and other indices are refused."""
    with pytest.raises(TypeError, match="has no length"):
        len(opened["TIFF"][0, 0, 0])
    assert float(opened["TIFF"][0, 0, 0]) == np.asarray(opened["TIFF"])[0, 0, 0]
    with pytest.raises(TypeError, match="is no number; wanted an image of one number"):
        float(opened["TIFF"])
    with pytest.raises(ValueError, match="read into a new array"):
        np.array(opened["TIFF"], copy=False)
    with pytest.raises(IndexError, match=r"indexed with \[0, 1\]"):
        opened["TIFF"][[0, 1]]


def test_computing_makes_an_array_of_its_own(opened: dict[str, Image]) -> None:
    """Writing to a computed array changes neither the image nor the array that it was opened from."""
    for image in opened.values():
        image[:9].compute()[...] = 0
        np.testing.assert_array_equal(image[:9], PIXELS[:9])


def test_large_images_are_read_by_blocks(tmp_path: Path) -> None:
    """An image of many tiles is decoded block by block, at steps too."""
    pixels = noise(1500, 1200, 3)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", tile=(128, 128), compression="lzw")
    image = open_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_array_equal(image[::-2, 7::3, 1], pixels[::-2, 7::3, 1])


def test_what_is_known_of_images(opened: dict[str, Image]) -> None:
    """Tiles, extents, names and paths are those of the file or the array."""
    tiles = {"TIFF": (32, 48), "PNG": (HEIGHT, WIDTH), "NumPy": (1, 1), "Dask": (20, 30), "Zarr": (30, 20)}
    assert {kind: image.tile for kind, image in opened.items()} == tiles
    suffixes = {"TIFF": "tif", "PNG": "png", "Zarr": "zarr"}
    for kind, image in opened.items():
        assert (image.extent, image.n_channels, image.dtype) == ((HEIGHT, WIDTH), 3, np.dtype("uint8"))
        assert image.channels == (names("RGB") if kind in {"TIFF", "PNG"} else None)
        assert [path.name for path in image.paths] == ([f"x.{suffixes[kind]}"] if kind in suffixes else [])
        assert image.name == (str(image.paths[0]) if image.paths else "the image")
        assert image.masking.is_empty
        assert image.source.shape == PIXELS.shape
        assert not image.is_held_by_cluster
    view = opened["TIFF"][10:50:2, 3, 1:]
    assert (view.extent, view.channels, view.n_channels) == ((20, 1), ("green", "blue"), 2)


def test_an_image_is_shown_in_words(opened: dict[str, Image], tmp_path: Path) -> None:
    """The repr says the size, the channels, the dtype, the tiles, the masks and the path."""
    path = opened["TIFF"].paths[0]
    assert repr(opened["TIFF"]) == (
        f"<Image: 101 x 83 pixels, 3 channels (red, green, blue), uint8, tiles of 32 x 48, {path}>"
    )
    cv2.imwrite(os.fspath(tmp_path / "m.png"), PIXELS[..., 0])
    masked = open_image(PIXELS, mask=tmp_path / "m.png", no_data=0)
    assert repr(masked) == (
        f"<Image: 101 x 83 pixels, 3 channels, uint8, masked by {tmp_path}/m.png, no data where 0>"
    )
    assert repr(open_image(PIXELS, mask="alpha")[..., 0]) == (
        "<Image: shape (101, 83) of 101 x 83 pixels, 1 channel, uint8, masked by alpha>"
    )
    assert "masked by an array>" in repr(open_image(PIXELS, mask=PIXELS[..., 0]))


def test_a_task_gets_its_part_alone(opened: dict[str, Image]) -> None:
    """A worker is sent no more than the block, and reads the block's pixels."""
    region = (slice(10, 20), slice(5, 30))
    for kind, image in opened.items():
        sent = pickle.dumps(image.part(region))
        assert len(sent) < 5000, kind
        pixels, valid = pickle.loads(sent).read()  # noqa: S301  made here
        assert valid is None
        np.testing.assert_array_equal(pixels, PIXELS[region], err_msg=kind)
        pixels, valid = image[::-1, ::2, :2].part(region).read()
        np.testing.assert_array_equal(pixels, PIXELS[::-1, ::2, :2][region], err_msg=kind)
        pixels, valid = image[..., 1].part(region).read()
        np.testing.assert_array_equal(pixels, PIXELS[..., [1]][region], err_msg=kind)


def test_a_task_gets_its_part_of_the_mask_alone() -> None:
    """A worker is sent the chunks of a lazy image and mask that it needs, not the whole arrays."""
    image, mask = noise(70, 90, 3), noise(70, 90, seed=1) // 128
    lazy = da.from_array(np.tile(image, (8, 8, 1)), chunks=(20, 30, 3)) + np.uint8(1)
    lazy_mask = da.from_array(np.tile(mask, (8, 8)), chunks=(20, 30))
    opened = open_image(lazy, mask=lazy_mask)
    sent = pickle.dumps(opened.part((slice(110, 130), slice(95, 120))))
    assert len(sent) < 20_000 < lazy.nbytes
    pixels, valid = pickle.loads(sent).read()  # noqa: S301  made here
    np.testing.assert_array_equal(valid, mask[40:60, 5:30] != 0)
    np.testing.assert_array_equal(pixels[valid], (image[40:60, 5:30] + np.uint8(1))[valid])


@pytest.mark.parametrize("key", [5, np.s_[:, 5], np.s_[..., None], np.s_[None], np.s_[3, 4, 0]])
def test_rows_and_columns_are_wanted(key: Any) -> None:
    """A row, a column, a pixel and a stack can be computed, but not cut for tasks or fitted."""
    image = open_image(PIXELS)[key]
    np.testing.assert_array_equal(image, PIXELS[key])
    for call in (lambda: image.part((slice(1), slice(1))), lambda: image.fitted(3)):
        with pytest.raises(
            ValueError, match=r"after indexing; wanted rows, columns and channels. Select with"
        ):
            call()


def test_fitted_images_are_whole_images(opened: dict[str, Image]) -> None:
    """A fitted image has rows, columns and the model's channels, whatever was selected before."""
    image = opened["TIFF"][5:60, ::-1]
    fitted = image.fitted(3, ("blue", "red", "green"))
    np.testing.assert_array_equal(fitted, PIXELS[5:60, ::-1, [2, 0, 1]])
    assert fitted.channels == ("blue", "red", "green")
    assert fitted.fitted(3, ("blue", "red", "green")).description == fitted.description
    assert opened["TIFF"][..., 0].fitted(1).shape == (HEIGHT, WIDTH, 1)
    for kind in ("NumPy", "Dask", "Zarr"):
        image = open_image(opened[kind], channels=[0, 1, 2] if kind == "Zarr" else None)
        np.testing.assert_array_equal(image.fitted(3, ("blue", "green", "red")), PIXELS)


def test_descriptions_tell_images_apart(opened: dict[str, Image]) -> None:
    """The same image is described alike when it is opened again, and another one otherwise."""
    assert open_image(opened["TIFF"].paths[0]).description == opened["TIFF"].description
    assert open_image(PIXELS.copy()).description == opened["NumPy"].description
    other = PIXELS.copy()
    other[0, 0] ^= 1
    mask = np.ones(PIXELS.shape[:2])
    images = [
        open_image(PIXELS),
        open_image(other),
        open_image(PIXELS.astype("u2")),
        open_image(PIXELS[:-1]),
        open_image(PIXELS)[:-1],
        open_image(PIXELS)[::-1],
        open_image(PIXELS, channels=(0, 2, 1)),
        open_image(PIXELS, mask=mask),
        open_image(PIXELS, mask=mask * 2),
        open_image(PIXELS, mask=mask * 2, no_data=3),
        open_image(PIXELS, mask="alpha"),
    ]
    records = [
        (
            image.description,
            [mask.description for mask in image.masking.masks],
            image.masking.has_alpha,
            image.no_data,
        )
        for image in images
    ]
    assert all(one not in records[:number] for number, one in enumerate(records))
    assert images[-1].masking.has_alpha
    assert images[-1].description.shape == PIXELS.shape
    assert images[-1].shape == (HEIGHT, WIDTH, 2)


def test_the_mask_follows_the_selection() -> None:
    """The mask is described and read for the rows and columns that are selected of the image."""
    mask = noise(HEIGHT, WIDTH)
    image = open_image(PIXELS, mask=mask)[::3, 5:]
    (source,) = image.masking.masks
    np.testing.assert_array_equal(source.read((slice(99), slice(99)))[..., 0], mask[::3, 5:])
    assert image.sources[1].description == source.description


def test_memory_counts_what_is_read(opened: dict[str, Image], tmp_path: Path) -> None:
    """Reading takes the source's memory; a mask takes its own, a copy of the pixels and two bytes a pixel."""
    for kind, image in opened.items():
        assert image.footprint((10, 10)).region == image.source.region_bytes((10, 10)) >= 300
        assert image.unit == image.source.unit
        assert [source.held_bytes for source in image.sources] == [PIXELS.nbytes if kind == "PNG" else 0]
    assert open_image(PIXELS, no_data=3).footprint((10, 10)).region == 300 + 500
    assert open_image(PIXELS, mask="alpha").footprint((10, 10)).region == 300 + 500
    cv2.imwrite(os.fspath(tmp_path / "m.png"), PIXELS[..., 0])
    masked = open_image(opened["PNG"], mask=tmp_path / "m.png")
    assert masked.footprint((10, 10)).region == 300 + 100 + 500
    assert [source.held_bytes for source in masked.sources] == [PIXELS.nbytes, PIXELS[..., 0].nbytes]
    assert masked.paths == (*opened["PNG"].paths, tmp_path / "m.png")


def test_an_image_of_a_source() -> None:
    """A source is an image, the last channel of which may be alpha."""
    assert Image.of(open_source(PIXELS)).shape == PIXELS.shape
    assert Image.of(open_source(PIXELS), Masking(has_alpha=True)).shape == (HEIGHT, WIDTH, 2)


def test_an_empty_image() -> None:
    """An image without rows has nothing to read."""
    image = open_image(np.zeros((0, 5, 3), np.uint8))
    assert image.compute().shape == (0, 5, 3)
    assert image.to_dask().compute().shape == (0, 5, 3)
    assert image.fitted(3).shape == (0, 5, 3)


def test_no_channels_are_an_empty_image(opened: dict[str, Image]) -> None:
    """A selection without channels has the rows and columns, and no pixels."""
    for image in opened.values():
        assert image[..., :0].compute().shape == (HEIGHT, WIDTH, 0)
        assert image[::-1, :9, 2:1].to_dask(block=48).compute().shape == (HEIGHT, 9, 0)
        assert image.source.shape == PIXELS.shape
