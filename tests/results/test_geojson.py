"""GeoJSON: QuPath's properties, places on the map, and this package's own reader."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio.features

from pipeline.images.labels import open_labels
from pipeline.results import geojson
from pipeline.results.export import export
from pipeline.results.geojson import write_geojson
from pipeline.results.result import open_result
from pipeline.runs.progress import Progress, Reporter

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def write(store: Path, path: Path) -> Any:
    """Write the label of a store, and read the file."""
    write_geojson(open_result(store), "label", path, reporter=Reporter(lambda _: None, 1, 1))
    return json.loads(path.read_text(encoding="utf-8"))


def test_areas_are_the_counts_of_the_summary(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The areas of each class add up to its pixels, in pixels and in square micrometers."""
    monkeypatch.setattr(geojson, "_SIDE", 1)
    content = write(results, tmp_path / "out.geojson")
    summary = open_result(results).summary
    assert summary is not None
    assert "crs" not in content
    for zone, color in zip(summary.classes["label"], ([230, 159, 0], [86, 180, 233]), strict=True):
        found = [
            feature["properties"]
            for feature in content["features"]
            if feature["properties"]["classification"] == {"name": zone.name, "color": color}
        ]
        assert sum(one["measurements"]["Area px^2"] for one in found) == zone.pixels > 0
        assert sum(one["measurements"]["Area µm^2"] for one in found) == zone.pixels / 4
        assert {one["objectType"] for one in found} == {"annotation"}


def test_this_package_reads_the_labels_back(results: Path, tmp_path: Path) -> None:
    """As labels of an image of the same size, the polygons are the pixels of the classes."""
    write(results, tmp_path / "out.geojson")
    label = np.asarray(open_result(results)["label"])
    read = open_labels(tmp_path / "out.geojson", label.shape, by="class", role="labels")
    names = dict(read.names or {})
    numbers = read.source.part((slice(0, label.shape[0]), slice(0, label.shape[1]))).read()[..., 0]
    for number, name in enumerate(["tumor & edge", "b"]):
        (known,) = [key for key, value in names.items() if value == name]
        np.testing.assert_array_equal(numbers == known, label == number)


def test_polygons_lie_on_the_map(mapped: Path, tmp_path: Path) -> None:
    """Coordinates are those of the map, the CRS is named, and outlines are counterclockwise."""
    content = write(mapped, tmp_path / "out.geojson")
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    label = np.asarray(open_result(mapped)["label"])
    shapes = [
        (feature["geometry"], 1 + (feature["properties"]["classification"]["name"] == "b"))
        for feature in content["features"]
    ]
    place = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    filled = rasterio.features.rasterize(shapes, out_shape=label.shape, transform=place)
    np.testing.assert_array_equal(filled, label + 1)
    for feature in content["features"]:
        areas = []
        for ring in feature["geometry"]["coordinates"]:
            x, y = np.array(ring).T
            areas.append(((x[:-1] - x[0]) @ (y[1:] - y[0]) - (x[1:] - x[0]) @ (y[:-1] - y[0])) / 2)
        assert areas[0] > 0 > max(areas[1:], default=-1)


def test_an_export_counts_its_tiles(results: Path, tmp_path: Path) -> None:
    """The only label of a store is exported by the end of the name, with progress to the last row."""
    events: list[Progress] = []
    path = export(results, tmp_path / "out.geojson", progress=events.append)
    assert json.loads(path.read_text(encoding="utf-8"))["type"] == "FeatureCollection"
    assert (events[-1].blocks, events[-1].pixels) == (events[-1].total_blocks, 301 * 430)
