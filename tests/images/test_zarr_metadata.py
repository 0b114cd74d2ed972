"""Tests of attributes of Zarr arrays, as xarray writes them and as the conventions have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr

from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.zarr_metadata import axis_names, map_geometry, no_data_of

if TYPE_CHECKING:
    from pathlib import Path


def make(version: Any = 3, dtype: str = "uint8", **options: Any) -> zarr.Array[Any]:
    """Make an array in memory."""
    return zarr.create_array({}, shape=(3, 4, 5), dtype=dtype, zarr_format=version, **options)


def geometry(attributes: dict[str, Any], **others: dict[str, Any]) -> Geometry:
    """Return what attributes say of the map."""
    return map_geometry(attributes, others.get)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("dtype", "value"), [("float32", -9999.0), ("uint8", 255), ("int16", -1)])
def test_what_xarray_writes(tmp_path: Path, version: Any, dtype: str, value: float) -> None:
    """Names of axes, the value without data, the map: an independent library writes them."""
    pixels = np.random.default_rng(0).integers(0, 99, (3, 20, 30)).astype(dtype)
    mapping = {"crs_wkt": 'PROJCS["a"]', "GeoTransform": "500000.0 10.0 0.0 4100000.0 0.0 -10.0"}
    data = xr.Dataset({"v": (("band", "y", "x"), pixels), "spatial_ref": ((), 0, mapping)})
    data["v"].encoding.update(_FillValue=value, grid_mapping="spatial_ref")
    data.to_zarr(tmp_path / "x", zarr_format=version, consolidated=False)
    image = open_image(tmp_path / "x" / "v")
    np.testing.assert_array_equal(image, np.moveaxis(pixels, 0, -1))
    assert image.no_data == NoData(value)
    assert (image.crs, image.transform) == ('PROJCS["a"]', (10, 0, 500000, 0, -10, 4100000))


def test_names_of_axes() -> None:
    """They are in the metadata, or in an attribute of version 2."""
    assert axis_names(make(dimension_names=("c", None, "x"))) == ("c", None, "x")
    assert axis_names(make()) is axis_names(make(2)) is None
    assert axis_names(make(2, attributes={"_ARRAY_DIMENSIONS": ["c", "y", "x"]})) == ("c", "y", "x")
    assert axis_names(make(2, attributes={"_ARRAY_DIMENSIONS": ["y", "x"]})) is None
    places = {"spatial:dimensions": ["north", "east"]}
    assert axis_names(make(dimension_names=("b", "north", "east"), attributes=places)) == ("b", "y", "x")
    odd = {"_ARRAY_DIMENSIONS": ["c", [1], 7], "spatial:dimensions": [[], {}]}
    assert axis_names(make(2, attributes=odd)) == ("c", "[1]", "7")


def test_values_without_data() -> None:
    """The attribute counts; a fill value alone says nothing, unless xarray has written it."""
    assert no_data_of(make(fill_value=7)) is no_data_of(make(2, fill_value=7)) is None
    assert no_data_of(make(attributes={"no_data": 255})) == NoData(255)
    assert no_data_of(make(attributes={"no_data": 255, "_FillValue": 3})) == NoData(3)
    axes = {"_ARRAY_DIMENSIONS": ["c", "y", "x"]}
    assert no_data_of(make(2, fill_value=7, attributes=axes)) == NoData(7)
    for value in ("NaN", "AAAAAAAA+H8=", "AAA=", [1], None):
        assert no_data_of(make(dtype="float32", attributes={"_FillValue": value})) is None


def test_maps_by_convention() -> None:
    """The transform has its corner at the first pixel's, unless it says that its places are centers."""
    code = {"proj:code": "EPSG:32633", "spatial:transform": [10, 0, 500, 0, -20, 700]}
    assert geometry(code) == Geometry(crs="EPSG:32633", transform=(10, 0, 500, 0, -20, 700))
    centers = geometry({**code, "spatial:registration": "node"})
    assert centers.transform == (10, 0, 495, 0, -20, 710)
    assert geometry({"proj:wkt2": "WKT"}) == Geometry(crs="WKT")
    assert geometry({"proj:code": 7, "spatial:transform": [1, 2]}) == UNKNOWN


def test_maps_of_cf() -> None:
    """The variable of the grid mapping is named, perhaps with its coordinates, or has the usual name."""
    crs = {"spatial_ref": "WKT", "GeoTransform": [5, 1, 0, 6, 0, -1]}
    wanted = Geometry(crs="WKT", transform=(1, 0, 5, 0, -1, 6))
    assert geometry({}, spatial_ref=crs) == geometry({"grid_mapping": "crs: x y"}, crs=crs) == wanted
    assert geometry({"grid_mapping": ""}, crs=crs) == geometry({}) == UNKNOWN
    damaged = {"crs_wkt": 7, "GeoTransform": "a b c d e f"}
    infinite = {"GeoTransform": "inf 1 0 0 0 1"}
    assert geometry({}, spatial_ref=damaged) == geometry({}, spatial_ref=infinite) == UNKNOWN
