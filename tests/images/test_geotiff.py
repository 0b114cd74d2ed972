"""Georeferences of TIFFs, against those that rasterio reads."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from pipeline.images.geotiff import read_georeference

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.images.geometry import Geometry

NORTH_UP = Affine(10, 0, 500_000, 0, -20, 4_000_000)
ROTATED = Affine(8.5, -3.25, 500_000, 2.75, -9.5, 4_000_000)
SOUTH_UP = Affine(10, 0, 500_000, 0, 20, 4_000_000)
LAEA = "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=m"
SPHERE = "+proj=longlat +a=6378000 +b=6356000"


def _read(path: Path) -> Geometry:
    with tifffile.TiffFile(path) as file:
        return read_georeference(file.pages.first, str(path))


def _write(path: Path, crs: Any, transform: Affine | None, *, is_point: bool = False) -> Path:
    """Write an image with rasterio, whose coordinates in the file are those of the centers or the corners."""
    size = {"width": 30, "height": 20, "count": 1, "dtype": "uint8"}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **size) as file,
    ):
        if is_point:
            file.update_tags(AREA_OR_POINT="Point")
        file.write(np.ones((1, 20, 30), np.uint8))
    return path


@pytest.mark.parametrize("is_point", [False, True])
@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, SOUTH_UP, None])
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:2263", "EPSG:4326", LAEA, SPHERE, None])
def test_it_lies_where_rasterio_says(
    tmp_path: Path, crs: str | None, transform: Affine | None, *, is_point: bool
) -> None:
    """Projected, geographic and user-defined systems, and any transform, are those that rasterio reads."""
    path = _write(tmp_path / "x.tif", crs, transform, is_point=is_point)
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(path) as file,
    ):
        wanted = (file.crs, None if transform is None else tuple(file.transform)[:6])
        is_code = crs is not None and crs.startswith("EPSG")
    found = _read(path)
    assert found.transform == (None if wanted[1] is None else pytest.approx(wanted[1], rel=1e-12))
    assert (found.crs is None) == (crs is None)
    if found.crs is not None:
        assert CRS.from_user_input(found.crs) == wanted[0]
        assert (found.crs == crs) == is_code
    assert found.pixel_size is None


def test_points_are_half_a_pixel_away(tmp_path: Path) -> None:
    """Coordinates of the centers of pixels are turned to those of their corners."""
    path = _write(tmp_path / "x.tif", "EPSG:32633", NORTH_UP)
    area = _read(path)
    with tifffile.TiffFile(path, mode="r+") as file:
        tag = file.pages.first.tags[34735]
        keys = list(tag.value)
        keys[keys.index(1025) + 3] = 2
        tag.overwrite(keys)
    found = _read(path).transform
    assert (area.transform, found) == (tuple(NORTH_UP)[:6], (10, 0, 499_995, 0, -20, 4_000_010))
    with rasterio.open(path) as moved:
        assert found == tuple(moved.transform)[:6]


def test_a_vertical_system_is_left_out(tmp_path: Path) -> None:
    """A compound system is its horizontal part."""
    assert _read(_write(tmp_path / "x.tif", "EPSG:5698", NORTH_UP)).crs == "EPSG:2154"


def test_control_points_are_no_transform(tmp_path: Path) -> None:
    """Several tie points without a scale are as many places, not an affine transform."""
    path = tmp_path / "x.tif"
    points = [GroundControlPoint(row, col, col * 2.0, row * 3.0) for row, col in ((0, 0), (0, 9), (9, 0))]
    size = {"width": 30, "height": 20, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", gcps=points, crs="EPSG:32633", **size) as file:
        file.write(np.ones((1, 20, 30), np.uint8))
    assert (_read(path).transform, _read(path).crs) == (None, "EPSG:32633")


def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a code isn't known, and the transform is."""
    path = _write(tmp_path / "x.tif", LAEA, NORTH_UP)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    found = _read(path)
    assert (found.crs, found.transform) == (None, tuple(NORTH_UP)[:6])


@pytest.mark.parametrize(
    "tags",
    [
        [(34735, "H", 3, (1, 1, 0), True)],
        [(34735, "H", 9, (1, 1, 0, 5, 1024, 0, 1, 1, 3072), True)],
        [(33550, "d", 1, 10.0, True), (33922, "d", 1, 0.0, True)],
        [(33550, "d", 3, (0.0, 0.0, 0.0), True), (33922, "d", 6, (0.0,) * 6, True)],
        [(34264, "d", 16, (0.0,) * 16, True)],
        [(33550, "d", 3, (1.0, 1.0, 0.0), True), (33922, "d", 6, (0.0, 0, 0, np.nan, 0, 0), True)],
        [(34735, "s", 0, "text", True)],
    ],
)
def test_tags_that_say_nothing(tmp_path: Path, tags: list[Any]) -> None:
    """Keys that are cut off, scales and matrices of zeros, and NaN are no georeference and no error."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), extratags=tags)
    found = _read(path)
    assert (found.crs, found.transform) == (None, None)


@pytest.mark.parametrize(
    ("keys", "crs"),
    [
        ({3072: 32633}, "EPSG:32633"),
        ({2048: 4258}, "EPSG:4258"),
        ({2048: 4326, 3072: 32633}, "EPSG:32633"),
        ({1024: 2, 2048: 4326, 3072: 32633}, "EPSG:4326"),
        ({1025: 1}, None),
    ],
)
def test_keys_of_few_words(tmp_path: Path, keys: dict[int, int], crs: str | None) -> None:
    """Codes count without the kind of model too, of which one is projected if both are there."""
    path = tmp_path / "x.tif"
    numbers = [1, 1, 0, len(keys)]
    for key, value in keys.items():
        numbers += [key, 0, 1, value]
    tags = [(34735, "H", len(numbers), tuple(numbers), True)]
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), extratags=tags)
    assert _read(path).crs == crs


def test_a_projection_isnt_taken_for_its_base(tmp_path: Path) -> None:
    """The base of a projected system of no code isn't the system."""
    path = tmp_path / "x.tif"
    numbers = (1, 1, 0, 2, 1024, 0, 1, 1, 2048, 0, 1, 4326)
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), extratags=[(34735, "H", 12, numbers, True)])
    assert _read(path).crs != "EPSG:4326"
