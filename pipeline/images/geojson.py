"""GeoJSON: the polygons of a file, which QuPath and geographic information systems write, as arrays."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from typing_extensions import TypeIs

    # The points of a ring, and the rings of a polygon: its outline and its holes.
    _Ring = NDArray[np.float64]
    _Rings = list[_Ring]

UNCLASSIFIED = "unclassified"
_SUFFIXES = {".geojson", ".json"}
_BOM = b"\xef\xbb\xbf"
# So many bytes of white space may stand before the first bracket.
_HEAD = 4096
_EXPORT = "Export the annotations as GeoJSON."
# The properties that may hold a feature's class, beside QuPath's own.
_CLASS_PROPERTIES = ("class", "label", "name")
# Products of two coordinates stay far from the largest float64.
_LARGEST = 1e15
_FEWEST_POINTS = 3


class Feature(NamedTuple):
    """What a file says of one feature, beside its polygons.

    Attributes
    ----------
    class_name : str
        The class, or "unclassified".
    name : str or None
        The name; None if it has none.
    identifier : str or None
        The id, which programs make up; None if it has none.
    """

    class_name: str
    name: str | None = None
    identifier: str | None = None


@dataclass(frozen=True, eq=False)
class Shapes:
    """The polygons of a GeoJSON file, in its order.

    Attributes
    ----------
    features : sequence of Feature
    numbers : ndarray of int64, shape (P,)
        The number of the feature that each polygon belongs to, from 0.
    boxes : ndarray of float64, shape (P, 4)
        The smallest row, the smallest column, the largest row and the largest column of each polygon.
    edges : ndarray of float64, shape (E, 4)
        Column and row of the upper end of each edge, then those of its lower end. Edges that no center of a
        row of pixels meets aren't among them.
    ends : ndarray of int64, shape (P + 1,)
        The edges of polygon p are those from ``ends[p]`` up to ``ends[p + 1]``.
    """

    features: Sequence[Feature]
    numbers: NDArray[np.int64]
    boxes: NDArray[np.float64]
    edges: NDArray[np.float64]
    ends: NDArray[np.int64]


def is_geojson(path: object) -> TypeIs[str | os.PathLike[str]]:
    """Return whether something is the path of a file of JSON, by its content or by its name.

    Parameters
    ----------
    path : object
        Anything that a caller may pass as an image.

    Returns
    -------
    bool
        Whether there is a file whose name ends in .geojson or .json, or whose text begins with a bracket.
    """
    if not isinstance(path, str | os.PathLike):
        return False
    file = Path(path)
    if not file.is_file():
        return False
    if file.suffix.lower() in _SUFFIXES:
        return True
    with file.open("rb") as opened:
        return opened.read(_HEAD).removeprefix(_BOM).lstrip()[:1] in {b"{", b"["}


def read_geojson(path: str) -> Shapes:
    """Read the polygons of a GeoJSON file.

    Parameters
    ----------
    path : str
        A file that holds a FeatureCollection, a Feature, a geometry, or a list of features or geometries
        (RFC 7946). Coordinates behind the second one of a position are ignored.

    Returns
    -------
    Shapes

    Raises
    ------
    ValueError
        If the file isn't JSON or isn't GeoJSON, or holds no feature; if a feature isn't a Polygon or a
        MultiPolygon, has a ring of fewer than 3 distinct points, or coordinates that aren't finite numbers.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_hook=_pack_geometry)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} isn't JSON: {error}. {_EXPORT}") from error
    items = _list_features(content, path)
    if not items:
        raise ValueError(f"{path} holds no feature; wanted one polygon or more. {_EXPORT}")
    features, numbers, polygons = [], [], []
    for number, item in enumerate(items):
        where = f"feature {number + 1} of {path}"
        geometry, feature = _read_feature(item, where)
        features.append(feature)
        for rings in _read_polygons(geometry, where):
            numbers.append(number)
            polygons.append(rings)
    return _join(features, numbers, polygons)


def _pack_geometry(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object of JSON with arrays for the rings of a geometry: lists take ten times as much."""
    if "coordinates" in item:
        item["coordinates"] = _pack(item["coordinates"])
    return item


def _pack(coordinates: Any) -> Any:  # noqa: ANN401  a file may hold anything
    """Return nested lists with an array for each list of positions, but for those that can't be arrays."""
    if not isinstance(coordinates, list) or not coordinates or not isinstance(coordinates[0], list):
        return coordinates
    if any(isinstance(one, list) for one in coordinates[0]):
        return [_pack(one) for one in coordinates]
    try:
        return np.array(coordinates)
    except ValueError:
        return coordinates


def _list_features(content: Any, path: str) -> list[Any]:  # noqa: ANN401  a file may hold anything
    """Return the features, or the geometries, that a file holds."""
    if isinstance(content, list):
        return content
    kind = content.get("type") if isinstance(content, dict) else None
    if kind != "FeatureCollection":
        if isinstance(kind, str):
            return [content]
        raise ValueError(
            f"{path} isn't GeoJSON: it has no type; wanted a FeatureCollection, a Feature, a geometry or a "
            f"list of features. {_EXPORT}"
        )
    features = content.get("features")
    if not isinstance(features, list):
        raise ValueError(  # noqa: TRY004  it is the file that is wrong, not the type of an argument
            f"{path} isn't GeoJSON: its features are {features!r:.80}; wanted a list. {_EXPORT}"
        )
    return features


def _read_feature(item: Any, where: str) -> tuple[Any, Feature]:  # noqa: ANN401  a file may hold anything
    """Return the geometry of a feature, which may be a geometry itself, and what the file says of it."""
    if not isinstance(item, dict):
        raise ValueError(  # noqa: TRY004  it is the file that is wrong, not the type of an argument
            f"{where} is {item!r:.80}; wanted a Feature or a geometry. {_EXPORT}"
        )
    if item.get("type") != "Feature":
        return item, Feature(UNCLASSIFIED)
    properties = item.get("properties")
    told = properties if isinstance(properties, dict) else {}
    found = item.get("id")
    texts = (told.get("name"), str(found) if isinstance(found, int) else found)
    name, identifier = (text if isinstance(text, str) and text else None for text in texts)
    return item.get("geometry"), Feature(_name_class(told), name, identifier)


def _name_class(properties: dict[str, Any]) -> str:
    """Return the class of a feature: QuPath's, or the first of some properties that is a text."""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        # QuPath writes the names of a class that is derived from another one as a list.
        names = classification.get("names")
        joined = ": ".join(map(str, names)) if isinstance(names, list) else None
        classification = classification.get("name", joined)
    for name in (classification, *(properties.get(key) for key in _CLASS_PROPERTIES)):
        if isinstance(name, str) and name:
            return name
    return UNCLASSIFIED


def _read_polygons(geometry: Any, where: str) -> list[_Rings]:  # noqa: ANN401  a file may hold anything
    """Return the polygons of a geometry, each of which is a list of rings."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind != "Polygon" and kind != "MultiPolygon":  # noqa: PLR1714  a set can't be asked for a list
        found = f"is a {kind}" if isinstance(kind, str) else "has no geometry"
        raise ValueError(
            f"{where} {found}; wanted a Polygon or a MultiPolygon. Leave it out, or draw it as an area."
        )
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    is_list = isinstance(polygons, list) and bool(polygons)
    if not is_list or not all(isinstance(rings, list) and rings for rings in polygons):
        raise ValueError(
            f"{where} has a polygon that isn't a list of rings; wanted its outline and its holes. Remove it."
        )
    return [[_read_ring(ring, where) for ring in rings] for rings in polygons]


def _read_ring(ring: Any, where: str) -> _Ring:  # noqa: ANN401  a file may hold anything
    """Return the points of a ring, shape (n, 2): columns and rows."""
    try:
        # Positions may have different lengths.
        points = ring[:, :2] if isinstance(ring, np.ndarray) else np.array([one[:2] for one in ring])
    except (TypeError, ValueError, KeyError):
        points = np.array([None])
    is_pairs = points.shape[1:] == (2,) and points.dtype.kind in "iuf"
    if len(points) and not (is_pairs and (np.abs(points) <= _LARGEST).all()):
        raise ValueError(
            f"{where} has coordinates that aren't pairs of finite numbers up to {_LARGEST:g}; wanted columns "
            f"and rows in pixels. {_EXPORT}"
        )
    if len(set(map(tuple, points.tolist()))) < _FEWEST_POINTS:
        raise ValueError(
            f"{where} has a ring of fewer than {_FEWEST_POINTS} distinct points; wanted an area. Remove it."
        )
    return points.astype(np.float64)


def _join(features: list[Feature], numbers: list[int], polygons: list[_Rings]) -> Shapes:
    """Return the polygons as arrays of all of their edges."""
    rings = [ring for rings in polygons for ring in rings]
    points = np.concatenate(rings)
    ring_ends = np.cumsum([len(ring) for ring in rings])
    # The point that follows on the last one of a ring is its first one.
    following = np.arange(1, len(points) + 1)
    following[ring_ends - 1] = np.concatenate([[0], ring_ends[:-1]])
    edges = np.hstack([points, points[following]])
    # Two polygons that share an edge have it in the same direction, so that they compute the same crossings.
    upward = edges[:, 1] > edges[:, 3]
    edges[upward] = edges[upward][:, [2, 3, 0, 1]]
    met = np.ceil(edges[:, 1] - 0.5) < np.ceil(edges[:, 3] - 0.5)
    n_points = [sum(map(len, rings)) for rings in polygons]
    point_ends = np.concatenate([[0], np.cumsum(n_points)])
    # Columns and rows change places: a box has rows first.
    low = np.minimum.reduceat(points, point_ends[:-1])[:, ::-1]
    high = np.maximum.reduceat(points, point_ends[:-1])[:, ::-1]
    ends = np.concatenate([[0], np.cumsum(met)])[point_ends]
    return Shapes(features, np.array(numbers, np.int64), np.hstack([low, high]), edges[met], ends)
