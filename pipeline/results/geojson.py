"""The regions of a label as polygons in GeoJSON, which QuPath and GIS read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.grid import Grid
from pipeline.models.palette import class_color
from pipeline.results.outlines import trace_regions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.geometry import Geometry
    from pipeline.images.grid import Block
    from pipeline.results.outlines import Region
    from pipeline.results.result import Result
    from pipeline.runs.progress import Reporter

# Tiles have about this height and width.
_SIDE = 1024


def write_geojson(result: Result, name: str, path: Path, *, reporter: Reporter) -> None:
    """Write the regions of a label to a file of GeoJSON, each when its outline is closed.

    Parameters
    ----------
    result : Result
        At level 0.
    name : str
        A label.
    path : Path
        A file that doesn't exist yet.
    reporter : Reporter
        It is told of each tile.

    Notes
    -----
    A feature is a region: pixels of one class that are connected by their sides. Its polygon follows the
    edges of the pixels, so that the areas of a class add up to the pixels that the label has of it.
    Coordinates are the columns and rows of corners of pixels, or those of the map if the result has a
    coordinate reference system, which is then named by the member ``crs``, as GDAL writes it
    (https://gdal.org/drivers/vector/geojson.html). RFC 7946 knows degrees only. Properties are those of
    QuPath: ``objectType``, ``classification`` with its name and color, and ``measurements`` with the area.
    """
    names = result.outputs[name].label_names or ()
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"type": "FeatureCollection",{_crs_member(result.geometry)} "features": [')
        regions = trace_regions(
            _tiles(result, name, reporter), result.levels[result.level], range(len(names))
        )
        for number, region in enumerate(regions):
            file.write(",\n" if number else "\n")
            file.write(json.dumps(_feature(region, names[region.label], result.geometry)))
        file.write("\n]}\n")


def count_label_tiles(result: Result) -> tuple[int, int]:
    """Return how many tiles :func:`write_geojson` reads, and how many pixels they have."""
    return _tiles_of(result).n_blocks, _tiles_of(result).n_pixels


def _tiles_of(result: Result) -> Grid:
    # Whole chunks, so that each is decoded once.
    side = tuple(max(1, _SIDE // chunk) * chunk for chunk in result.record.grid.chunk)
    sides = side[0], side[1]
    return Grid(result.levels[result.level], sides, sides)


def _tiles(result: Result, name: str, reporter: Reporter) -> Iterator[tuple[Block, NDArray[Any]]]:
    for block in _tiles_of(result).blocks():
        yield block, result.read(name, block)[0]
        reporter.advance(block.n_pixels)


def _feature(region: Region, name: str, geometry: Geometry) -> dict[str, Any]:
    """Return the feature of a region."""
    area = geometry.pixel_area
    measured = {"Area px^2": region.n_pixels}
    sized = {} if area is None else {"Area µm^2": region.n_pixels * area}
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [_ring(ring, geometry) for ring in (region.outer, *region.holes)],
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": list(class_color(region.label))},
            "measurements": {**measured, **sized},
        },
    }


def _ring(vertices: NDArray[np.int64], geometry: Geometry) -> list[list[float]]:
    """Return a closed ring, counterclockwise for an outline and clockwise for a hole."""
    rows, columns = vertices[:, 0], vertices[:, 1]
    if not _is_on_a_map(geometry):
        points: list[list[float]] = np.stack([columns, rows], axis=1).tolist()
    else:
        a, b, c, d, e, f = geometry.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        places = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=1)
        # Where rows go down the map, a ring that is clockwise in the image is so on the map.
        points = (places if a * e - b * d > 0 else places[::-1]).tolist()
    return [*points, points[0]]


def _crs_member(geometry: Geometry) -> str:
    """Return the member that names the coordinate reference system, if coordinates are those of a map."""
    if not _is_on_a_map(geometry):
        return ""
    crs = geometry.crs or ""
    authority, _, code = crs.partition(":")
    name = f"urn:ogc:def:crs:{authority}::{code}" if code.isdecimal() else crs
    return f' "crs": {json.dumps({"type": "name", "properties": {"name": name}})},'


def _is_on_a_map(geometry: Geometry) -> bool:
    return geometry.crs is not None and geometry.transform is not None
