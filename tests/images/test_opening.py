"""Opening: every kind of path and array becomes a source, and the rest is refused with a remedy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import numpy as np
import pytest
import tifffile
import xarray
import zarr
from images.examples import HEIGHT, WIDTH, Plain, box, feature, noise, write_geojson
from PIL import Image as Pillow

from pipeline.images.image import Image
from pipeline.images.opening import open_image, open_layer
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(HEIGHT, WIDTH, 3)


class _FromDlpack:
    """An array of another library, as PyTorch and JAX give it."""

    def __init__(self, array: Any, error: Exception | None = None) -> None:
        self._array, self._error = array, error
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack__(self, **options: Any) -> Any:
        if self._error is not None:
            raise self._error
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._array.__dlpack_device__()
        return device


class _FromHdf5:
    """An array as h5py gives it: a shape and a dtype, and regions when they are indexed."""

    shape, dtype = (70, 90, 3), np.dtype("uint8")

    def __array__(self, *given: Any, **options: Any) -> Any:
        raise AssertionError("all of it is read")


def kinds(folder: Path) -> dict[str, Any]:
    """Return the same image in every kind."""
    tifffile.imwrite(folder / "x.tif", PIXELS, photometric="rgb")
    cv2.imwrite(os.fspath(folder / "x.png"), PIXELS[..., ::-1])
    zarr.create_array(folder / "x.zarr", data=PIXELS, chunks=(64, 64, 3))
    return {
        "TIFF": folder / "x.tif",
        "text": os.fspath(folder / "x.png"),
        "directory": folder / "x.zarr",
        "NumPy": PIXELS,
        "memory map": np.memmap(folder / "x.raw", mode="w+", shape=PIXELS.shape),
        "Dask": da.from_array(PIXELS, chunks=(50, 50, 1)),
        "Zarr": zarr.create_array({}, data=PIXELS),
        "xarray": xarray.DataArray(PIXELS, dims=["y", "x", "band"]),
        "lazy xarray": xarray.DataArray(da.from_array(PIXELS), dims=["y", "x", "band"]),
        "list": PIXELS.tolist(),
        "PIL": Pillow.fromarray(PIXELS),
        "DLPack": _FromDlpack(PIXELS.copy()),
        "source": Plain(PIXELS),
        "image": open_image(PIXELS),
    }


def test_every_kind_is_opened(tmp_path: Path) -> None:
    """Paths, arrays of every library, sources and images are opened alike."""
    for kind, image in kinds(tmp_path).items():
        if kind == "memory map":
            image[...] = PIXELS
        opened = open_image(image)
        assert opened.shape == PIXELS.shape
        np.testing.assert_array_equal(opened, PIXELS, err_msg=kind)


@pytest.mark.parametrize("kind", ["NumPy", "Dask", "Zarr", "directory", "xarray", "list"])
@pytest.mark.parametrize("axis", [0, 1, 2, -3])
def test_channels_are_on_any_axis(tmp_path: Path, kind: str, axis: int) -> None:
    """Arrays of every kind have their channels where the caller says."""
    array = np.ascontiguousarray(np.moveaxis(PIXELS, -1, axis))
    stored = zarr.create_array(tmp_path / "x.zarr", data=array)
    arrays = {"NumPy": array, "Dask": da.from_array(array), "Zarr": stored, "directory": tmp_path / "x.zarr"}
    arrays |= {"xarray": xarray.DataArray(array), "list": array.tolist()}
    np.testing.assert_array_equal(open_image(arrays[kind], channel_axis=axis), PIXELS)


@pytest.mark.parametrize("kind", ["NumPy", "Dask", "Zarr", "directory", "xarray", "list", "PIL"])
def test_gray_arrays(tmp_path: Path, kind: str) -> None:
    """An array of rows and columns is an image of one channel."""
    gray = PIXELS[..., 0].copy()
    stored = zarr.create_array(tmp_path / "x.zarr", data=gray)
    arrays = {"NumPy": gray, "Dask": da.from_array(gray), "Zarr": stored, "directory": tmp_path / "x.zarr"}
    arrays |= {"xarray": xarray.DataArray(gray), "list": gray.tolist(), "PIL": Pillow.fromarray(gray)}
    for axis in (-1, None):
        image = open_image(arrays[kind], channel_axis=axis)
        np.testing.assert_array_equal(image, gray[..., np.newaxis])
        assert image.fitted(1, ("DAPI",)).shape == (HEIGHT, WIDTH, 1)


def test_files_have_their_channels_last(tmp_path: Path) -> None:
    """A file, or an image that is open, is taken with the axes that it has, and others are refused."""
    tifffile.imwrite(tmp_path / "x.tif", PIXELS[..., 0], photometric="minisblack")
    for axis in (-1, 2, None):
        assert open_image(tmp_path / "x.tif", channel_axis=axis).shape == (HEIGHT, WIDTH, 1)
    with pytest.raises(
        ValueError, match=r"channel_axis is 0, but .*x\.tif is a file, whose channels are always"
    ):
        open_image(tmp_path / "x.tif", channel_axis=0)
    with pytest.raises(ValueError, match="channel_axis is 1, but the image is open"):
        open_image(open_image(PIXELS), channel_axis=1)


def test_no_file_is_an_error(tmp_path: Path) -> None:
    """A path where nothing is, is named in a FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match=r"none\.tif is not there; wanted an image file"):
        open_image(tmp_path / "none.tif")
    with pytest.raises(ValueError, match="is a directory, but not a Zarr array's"):
        open_image(tmp_path)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
@pytest.mark.parametrize("content", [b"", b"Dear reader,\n" * 9])
def test_a_file_of_no_image_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    """Text and emptiness are refused whatever the name, with the path in the message."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is empty" if not content else rf"{name} isn't an image"):
        open_image(tmp_path / name)


def test_a_name_with_a_colon_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is a file, whatever its name looks like."""
    (tmp_path / "scan:").mkdir()
    tifffile.imwrite(tmp_path / "scan:" / "x.tif", PIXELS, photometric="rgb")
    monkeypatch.chdir(tmp_path)
    assert open_image("scan:/x.tif").paths == (tmp_path / "scan:" / "x.tif",)


@pytest.mark.parametrize("what", ["image", "mask"])
def test_arrays_that_tasks_cannot_read(what: str) -> None:
    """A lazy array of another library is refused, unread, with a remedy."""
    arguments: dict[str, Any] = {"image": PIXELS, what: _FromHdf5()}
    with pytest.raises(
        TypeError, match=rf"{what} is of .*_FromHdf5.*; wanted a path, .* Pass dask.array.from_array"
    ):
        open_image(**arguments)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (3, ValueError, r"image is 3; wanted a path or an array of shape \(H, W, C\)"),
        (None, ValueError, "image is None; wanted a path"),
        (b"x.tif", ValueError, "image is b'x.tif'; wanted a path"),
        ([[1, 2], [3]], ValueError, "image is a list whose rows differ in length"),
        ([[[1]], 2], ValueError, "image is a list whose rows differ in length"),
        ([["a"]], ValueError, "image has pixels of dtype <U1; wanted integers or floating point"),
        (Pillow.new("P", (4, 4)), ValueError, "image holds indices into a palette; .* Pass image.convert"),
        (
            _FromDlpack(PIXELS, BufferError("on a GPU")),
            TypeError,
            r"NumPy can't use \(on a GPU\); wanted .* Copy it",
        ),
        (np.ma.masked_less(np.ones((2, 2, 3)), 2), TypeError, "image is a masked array"),
    ],
)
def test_other_things_are_refused(image: Any, error: type[Exception], message: str) -> None:
    """An object that is no image is refused by a message that says so."""
    with pytest.raises(error, match=message):
        open_image(image)


def test_geojson_is_a_mask_alone(tmp_path: Path) -> None:
    """A file of polygons has no colors, and its coordinates are those of the image that it masks."""
    path = write_geojson(tmp_path / "x.geojson", feature(box(5, 5, 60, 90)))
    with pytest.raises(ValueError, match=r"x\.geojson isn't an image that can be read"):
        open_image(path)
    view = open_image(PIXELS)[10:60, 20:]
    valid = open_image(view, mask=path).part((slice(0, 50), slice(0, 63))).read()[1]
    wanted = np.zeros((50, 63), bool)
    wanted[5:, 5:60] = True
    np.testing.assert_array_equal(valid, wanted)


def test_a_layer_is_as_it_is() -> None:
    """An image, a source and an array give a source; pixels without data are 0 in it."""
    source = Plain(PIXELS)
    assert open_layer(source, "mask") is source
    assert open_layer(open_image(source), "mask") is source
    assert open_layer(PIXELS[..., 0], "labels").shape == (HEIGHT, WIDTH, 1)
    masked = open_layer(open_image(PIXELS[..., 0], no_data=3), "labels")
    np.testing.assert_array_equal(Image.of(masked), np.where(PIXELS == 3, 0, PIXELS)[..., :1])


def test_options_of_an_image_that_is_open() -> None:
    """Options are applied to the selected pixels of an image."""
    image = open_image(PIXELS)[::2, 10:]
    mask = noise(51, 73)
    masked = open_image(image, channels=(2, 0), mask=mask, no_data=3)
    np.testing.assert_array_equal(masked, PIXELS[::2, 10:, [2, 0]])
    valid = masked.part((slice(0, 51), slice(0, 73))).read()[1]
    np.testing.assert_array_equal(valid, (mask != 0) & (PIXELS[::2, 10:, [2, 0]] != 3).any(axis=-1))
    assert open_image(image) is image
    for options in ({"channels": 0}, {"mask": mask[0]}, {"no_data": 1}):
        with pytest.raises(ValueError, match=r"shape \(73, 3\) after indexing; wanted rows, columns"):
            open_image(image[0], **options)


def test_a_source_is_its_own_source() -> None:
    """A source of a third party is taken as it is."""
    source = Plain(PIXELS)
    assert open_source(source) is source
    assert isinstance(open_image(source), Image)
