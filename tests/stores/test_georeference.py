"""Georeferences say where each level lies, so that other readers place all of them alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio.crs
import rasterio.transform
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine
from stores.kinds import KINDS, ON_A_MAP, Kind, write

from pipeline.images.geometry import Geometry
from pipeline.images.grid import Grid
from pipeline.images.opening import open_image
from pipeline.models.mixture_quantities import Density
from pipeline.stores import georeference, layout
from pipeline.stores.layers import arrange
from pipeline.testing.filling import CLASSES, GRID

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.images.geometry import Transform

WKT = rasterio.crs.CRS.from_epsg(3035).to_wkt()
ROTATED: Transform = (0.5, 0.25, 100.0, 0.25, -0.5, 200.0)
numbers = st.floats(-1e6, 1e6)
transforms = st.tuples(*[numbers] * 6)


def attributes_of(geometry: Geometry, path: str) -> Any:
    """Return the attributes of a group or array of a store of one output."""
    record = Kind({"density": Density(CLASSES["b"])}, geometry).record
    files = {layout.METADATA: layout.encode_root(record), **layout.encode_metadata(record)}
    return json.loads(files[f"{path}/{layout.METADATA}".removeprefix("/")])["attributes"]


def test_an_image_that_isnt_on_a_map_has_no_georeference() -> None:
    """Neither its groups nor its arrays say where it lies, and it has no variable for that."""
    geometry = Geometry((0.5, 0.5), (1.0, 1.0), "EPSG:32633")
    assert not georeference.is_on_a_map(geometry)
    assert georeference.level_attributes(geometry, GRID) == {}
    assert georeference.image_attributes(geometry, GRID, "mean") == {}
    assert set(attributes_of(geometry, "")) == {"ome", layout.ATTRIBUTE}
    assert attributes_of(geometry, "0") == {}
    assert not any("spatial_ref" in path for path in layout.encode_metadata(KINDS["all"].record))


def test_conventions_have_names_and_identifiers() -> None:
    """GDAL finds a convention by its identifier, and rioxarray by its name."""
    wanted = {
        "proj:": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "spatial:": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    }
    for path in ("0", "0/image"):
        found = attributes_of(ON_A_MAP, path)["zarr_conventions"]
        assert {one["name"]: one["uuid"] for one in found} == wanted
    found = attributes_of(ON_A_MAP, "")["zarr_conventions"]
    wanted["multiscales"] = "d35379db-88df-4056-af3a-620245f8e347"
    assert {one["name"]: one["uuid"] for one in found} == wanted


@pytest.mark.parametrize("path", ["", "0", "0/image", "2", "2/image"])
def test_the_place_is_beside_the_pixels(path: str) -> None:
    """The image, each level and each array have the system, the transform, the shape and the bounds."""
    found = attributes_of(ON_A_MAP, path)
    factor = 4 if path.startswith("2") else 1
    assert found["proj:code"] == "EPSG:32633"
    assert found["spatial:dimensions"] == ["y", "x"]
    assert found["spatial:shape"] == ([13, 18] if factor == 4 else [50, 70])
    assert found["spatial:transform"] == [10.0 * factor, 0.0, 5e5, 0.0, -10.0 * factor, 49e5]
    # The last pixels of a coarser level reach beyond the image.
    bottom, right = (49e5 - 520, 5e5 + 720) if factor == 4 else (49e5 - 500, 5e5 + 700)
    assert found["spatial:bbox"] == [5e5, bottom, right, 49e5]


def test_levels_are_overviews_of_one_another() -> None:
    """Each level is derived from the one before it, and says where it lies."""
    multiscales = attributes_of(ON_A_MAP, "")["multiscales"]
    assert multiscales["resampling_method"] == "average"
    first, second, *_ = multiscales["layout"]
    assert [one["asset"] for one in multiscales["layout"]] == ["0", "1", "2", "3"]
    assert "derived_from" not in first
    assert second == {
        "asset": "1",
        "derived_from": "0",
        "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]},
        "spatial:shape": [25, 35],
        "spatial:transform": [20.0, 0.0, 5e5, 0.0, -20.0, 49e5],
    }
    modes = georeference.image_attributes(ON_A_MAP, GRID, "mode")
    assert modes["multiscales"]["resampling_method"] == "mode"


@given(transforms, st.integers(0, 3))
def test_any_transform(transform: Transform, level: int) -> None:
    """The corners of a level are those of rasterio, and the CF variable has GDAL's order, exactly."""
    grid = GRID.level(level)
    geometry = Geometry(None, (0.0, 0.0), WKT, transform).coarser(2**level, 2**level)
    found = georeference.level_attributes(geometry, grid)
    scale = [2.0**level, 2.0**level, 1.0]
    matrix = np.reshape(transform, (2, 3)) * scale
    assert found["spatial:transform"] == pytest.approx(matrix.ravel())
    height, width = grid.shape
    corners = np.array([(x, y, 1) for x in (0, width) for y in (0, height)]) @ matrix.T
    assert found["spatial:bbox"] == pytest.approx([*corners.min(axis=0), *corners.max(axis=0)], abs=1e-6)
    if transform[1] == transform[3] == 0 and transform[0] > 0 > transform[4]:
        bounds = rasterio.transform.array_bounds(height, width, Affine(*matrix.ravel()))
        assert found["spatial:bbox"] == pytest.approx(bounds)
    text = georeference.spatial_ref(geometry)["GeoTransform"]
    assert Affine.from_gdal(*map(float, text.split())) == Affine(*found["spatial:transform"])


@pytest.mark.parametrize(
    ("crs", "wanted", "variable"),
    [
        ("EPSG:32633", {"proj:code": "EPSG:32633"}, {"spatial_ref": "EPSG:32633"}),
        ("ESRI:54009", {"proj:code": "ESRI:54009"}, {"spatial_ref": "ESRI:54009"}),
        (WKT, {"proj:wkt2": WKT}, {"crs_wkt": WKT, "spatial_ref": WKT}),
        (None, {}, {}),
    ],
    ids=["EPSG", "ESRI", "WKT", "none"],
)
def test_reference_systems(crs: str | None, wanted: dict[str, str], variable: dict[str, str]) -> None:
    """A name of a registry is a code, other text is WKT; a transform without a system is one, too."""
    geometry = Geometry(None, (0.0, 0.0), crs, ROTATED)
    found = georeference.level_attributes(geometry, GRID)
    assert {key: value for key, value in found.items() if key.startswith("proj:")} == wanted
    described = georeference.spatial_ref(geometry)
    assert described == {**variable, "GeoTransform": "100.0 0.5 0.25 200.0 0.25 -0.5"}


@pytest.mark.parametrize("kind", ["label on a map", "one pixel"])
def test_xarray_finds_the_variable(tmp_path: Path, kind: str) -> None:
    """The variable of the CF conventions is a coordinate of each level, with what the array has."""
    chosen = KINDS[kind]
    write(tmp_path / "out.zarr", chosen)
    for layer in arrange(chosen.outputs):
        for level in range(chosen.grid.n_levels):
            group, _, name = layer.array_path(level).rpartition("/")
            with xarray.open_zarr(
                tmp_path / "out.zarr", group=group, consolidated=False, decode_coords="all"
            ) as found:
                assert list(found.data_vars) == [name]
                variable = found[name].coords["spatial_ref"]
                assert variable.attrs["spatial_ref"] == "EPSG:32633"
                transform = Affine.from_gdal(*map(float, variable.attrs["GeoTransform"].split()))
                assert list(transform)[:6] == found[name].attrs["spatial:transform"]
                assert list(transform)[:2] == [10.0 * 2**level, 0.0]


def test_this_package_reads_it_back(tmp_path: Path) -> None:
    """A level that is opened as an image lies where it was written."""
    geometry = Geometry(None, (0.0, 0.0), "EPSG:32633", ROTATED)
    kind = Kind({"density": Density(CLASSES["b"])}, geometry, Grid((40, 40), (16, 16), (16, 16)))
    write(tmp_path / "out.zarr", kind)
    with xarray.open_zarr(tmp_path / "out.zarr", group="1", consolidated=False) as found:
        assert zarr.open_array(tmp_path / "out.zarr", path="1/spatial_ref", mode="r").shape == ()
        image = open_image(found["image"].assign_coords(spatial_ref=found["spatial_ref"]))
    assert image.crs == "EPSG:32633"
    assert image.transform == (1.0, 0.5, 100.0, 0.5, -1.0, 200.0)
