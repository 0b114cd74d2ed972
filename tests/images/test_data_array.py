"""Arrays of xarray: channels by name, with labels, georeference and no-data value, and never loaded whole."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import xarray
import zarr
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images.data_array import is_loaded, open_data_array
from pipeline.images.geometry import UNKNOWN
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.source import Source

PIXELS = noise(HEIGHT, WIDTH, 3)
NAMES = ["red", "green", "blue"]
WKT = 'PROJCS["UTM",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32633"]]'


def scene(*, transform: bool = True, crs: str = WKT, **coords: Any) -> xarray.DataArray:
    """Return an array as rioxarray gives it: bands first, centers of pixels as coordinates."""
    attributes = {"crs_wkt": crs}
    if transform:
        attributes["GeoTransform"] = "500000.0 10.0 0.0 4000000.0 0.0 -10.0"
    return xarray.DataArray(
        np.moveaxis(PIXELS, -1, 0),
        dims=("band", "y", "x"),
        coords={
            "band": [1, 2, 3],
            "x": 500005 + 10.0 * np.arange(WIDTH),
            "y": 3999995 - 10.0 * np.arange(HEIGHT),
            "spatial_ref": ((), 0, attributes),
            **coords,
        },
        attrs={"_FillValue": np.uint8(7), "long_name": tuple(NAMES)},
    )


def lazily(array: xarray.DataArray, folder: Path) -> xarray.DataArray:
    """Return the array as it is opened from a file, unloaded."""
    group = zarr.create_group(folder / "x.zarr")
    for name in ("image", "x", "y"):
        one = array if name == "image" else array[name]
        chunks = (1, 50, 40) if name == "image" and array.dims[0] == "band" else one.shape
        group.create_array(name, data=one.to_numpy(), dimension_names=list(map(str, one.dims)), chunks=chunks)
    opened = xarray.open_dataset(folder / "x.zarr", engine="zarr", chunks=None, consolidated=False)
    return opened["image"]


class TestDataArray(SourceContract):
    """Arrays of xarray keep the contract, in memory, lazy and in a file, in any order of dimensions."""

    @pytest.fixture(params=["NumPy", "Dask", "file", "turned", "turned file", "gray"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Source, NDArray[Any]]:
        """Return an array of xarray."""
        kind, array = request.param, scene()
        if "turned" in kind:
            array = array.transpose("x", "band", "y")
        if "file" in kind:
            array = lazily(array, tmp_path)
            assert not is_loaded(array)
        elif kind == "Dask":
            array = array.copy(data=da.from_array(array.data, chunks=(3, 40, 50)))
        elif kind == "gray":
            return open_source(array[1].T), PIXELS[..., 1:2]
        return open_source(array), PIXELS


def test_names_of_dimensions_win_over_the_default() -> None:
    """Bands come first or last, and columns before rows, without a word of the caller's."""
    array = scene()
    for dims in (("band", "y", "x"), ("y", "x", "band"), ("x", "y", "band")):
        image = open_image(array.transpose(*dims))
        np.testing.assert_array_equal(image, PIXELS)
        assert image.channels == tuple(NAMES)
    np.testing.assert_array_equal(open_image(array, channel_axis=0), PIXELS)
    with pytest.raises(ValueError, match="channel_axis is 1, the dimension 'y', but the channels are"):
        open_image(array, channel_axis=1)
    plain = xarray.DataArray(PIXELS)
    np.testing.assert_array_equal(open_image(plain), PIXELS)
    np.testing.assert_array_equal(open_image(plain.transpose(), channel_axis=0), PIXELS.transpose(1, 0, 2))
    mask = xarray.DataArray(PIXELS[..., 0].T > 9, dims=("x", "y"))
    valid = open_image(array, mask=mask).part((slice(0, HEIGHT), slice(0, WIDTH))).read()[1]
    np.testing.assert_array_equal(valid, (PIXELS[..., 0] > 9) & (PIXELS != 7).any(axis=-1))


def test_labels_are_channels() -> None:
    """Labels that are texts name the channels, and else the names that rasterio gives; numbers don't."""
    array = scene(band=["a", "b", "c"])
    assert open_image(array).channels == ("a", "b", "c")
    assert open_image(array, channels=("c", "a")).channels == ("c", "a")
    np.testing.assert_array_equal(open_image(array, channels=("c", "a")), PIXELS[..., [2, 0]])
    for name in ("reflectance", ("one", "two"), ("one", "one", "two")):
        assert open_image(scene().assign_attrs(long_name=name)).channels is None
    dataset = array.to_dataset("band")
    assert open_image(dataset.to_array("band")).channels == ("a", "b", "c")


def test_an_alpha_channel_has_its_name() -> None:
    """The last channel is alpha if it is named so, or no channel has a name."""
    four = xarray.DataArray(noise(9, 9, 4) // 200, dims=("y", "x", "c"))
    for names in (None, ["r", "g", "b", "alpha"]):
        array = four if names is None else four.assign_coords(c=names)
        assert open_image(array, mask="alpha").shape == (9, 9, 3)
    with pytest.raises(ValueError, match="has no alpha channel"):
        open_image(four.assign_coords(c=list("rgbn")), mask="alpha")


def test_georeferences() -> None:
    """The reference system and the transform come along, through slices of xarray's too."""
    array = scene()
    image = open_image(array)
    assert (image.crs, image.transform) == ("EPSG:32633", (10, 0, 5e5, 0, -10, 4e6))
    # xarray's slices keep the transform of the whole, which is no longer right.
    cut = open_image(array[:, 4:, 3::2])
    assert cut.transform == pytest.approx((20, 0, 500025, 0, -10, 3999960))
    assert open_image(scene(transform=False)).transform == pytest.approx(image.transform)
    assert open_image(scene(crs="LOCAL")).crs == "LOCAL"
    assert open_image(scene(x=np.arange(WIDTH) ** 2.0)).transform is None
    assert open_image(scene(x=[str(place) for place in range(WIDTH)])).transform is None
    assert open_image(array[:, :1]).transform is None
    assert open_image(array.drop_vars(["x", "y"])).transform == image.transform
    bare = array.drop_vars(["x", "y", "spatial_ref"])
    assert open_source(bare).geometry == UNKNOWN
    assert open_image(array[:, ::-1]).transform == pytest.approx((10, 0, 5e5, 0, 10, 4e6 - 10 * HEIGHT))


def test_no_data_values() -> None:
    """The attributes state a value; NaN and texts state none."""
    assert open_image(scene()).no_data == NoData(7)
    assert open_image(scene(), no_data="any").no_data == NoData(7, "any")
    for value in (np.nan, "7", None):
        assert open_image(scene().assign_attrs(_FillValue=value)).no_data is None
    assert open_image(scene().assign_attrs(_FillValue=None, missing_value=3)).no_data == NoData(3)


def test_a_file_is_not_loaded(tmp_path: Path) -> None:
    """Reading a region of an array in a file loads nothing else, and a part is small."""
    array = lazily(scene(), tmp_path)
    source = open_source(array)
    part = source.part((slice(3, 50, 2), slice(0, 9)))
    np.testing.assert_array_equal(part.read(), PIXELS[3:50:2, :9])
    assert not is_loaded(array)
    assert len(pickle.dumps(part)) < 10_000
    assert source.identity() is None
    array.load()
    assert is_loaded(array)
    assert open_source(array).identity() == open_source(np.array(PIXELS)).identity()


def test_datasets_are_refused() -> None:
    """A Dataset has several arrays; the advice that is given works."""
    dataset = scene(band=list("abc")).to_dataset("band")
    with pytest.raises(
        ValueError, match=r"image is an xarray.Dataset of 'a', 'b', 'c'; .*to_array\('band'\)"
    ):
        open_image(dataset)
    np.testing.assert_array_equal(open_image(dataset.to_array("band")), PIXELS)


def test_other_things() -> None:
    """Arrays of other libraries are left to other readers, and masked ones are refused as before."""
    assert open_data_array(da.from_array(PIXELS), "image", -1) is None
    with pytest.raises(ValueError, match=r"image is an array of shape \(101, 83, 3, 1\)"):
        open_image(xarray.DataArray(PIXELS[..., np.newaxis], dims=("y", "x", "c", "t")))


def test_the_chunks_of_a_file_are_tiles(tmp_path: Path) -> None:
    """The chunks that a backend prefers, by the names of dimensions, are the tiles of an array in a file."""
    array = lazily(scene(), tmp_path)
    assert open_source(array).tile == (50, 40)
    array.encoding = {"preferred_chunks": {"x": 20, "band": 1, "y": 30}}
    assert open_source(array).tile == (30, 20)
