"""GeoJSON gives the polygons of a file as arrays, and what isn't GeoJSON of polygons is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images.examples import box, feature, write_geojson

from pipeline.images.geojson import Feature, is_geojson, read_geojson

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = box(1, 2, 4, 6)
GEOMETRY = {"type": "Polygon", "coordinates": [SQUARE]}


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ({"type": "FeatureCollection", "features": [feature(SQUARE), feature(SQUARE)]}, 2),
        (feature(SQUARE), 1),
        (GEOMETRY, 1),
        ([feature(SQUARE), GEOMETRY, feature(SQUARE)], 3),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}, 1),
    ],
    ids=["collection", "feature", "geometry", "list", "multipolygon"],
)
def test_every_form(tmp_path: Path, content: Any, count: int) -> None:
    """A collection, a feature, a geometry and a list are read, with a byte order mark too."""
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "x.geojson").write_text(json.dumps(content), encoding=encoding)
        shapes = read_geojson(str(tmp_path / "x.geojson"))
        assert len(shapes.features) == count
        np.testing.assert_array_equal(shapes.boxes, [[2, 1, 6, 4]] * len(shapes.numbers))


def test_edges_of_polygons(tmp_path: Path) -> None:
    """Edges go downward, in the order of the polygons; those between the centers of rows are left out."""
    hole, sliver = box(2, 3, 3, 4), [(0, 0.6), (9, 0.6), (9, 1.4)]
    path = write_geojson(tmp_path / "x.geojson", feature(sliver), feature(SQUARE[:-1], hole), feature(hole))
    shapes = read_geojson(str(path))
    right, left = [4, 2, 4, 6], [1, 2, 1, 6]
    inner = [[3, 3, 3, 4], [2, 3, 2, 4]]
    np.testing.assert_array_equal(shapes.edges, [right, left, *inner, *inner])
    assert shapes.ends.tolist() == [0, 0, 4, 6]
    assert shapes.numbers.tolist() == [0, 1, 2]


def test_positions_may_have_heights(tmp_path: Path) -> None:
    """Numbers behind the second one of a position are ignored, in all positions or in some."""
    plain = read_geojson(str(write_geojson(tmp_path / "plain.geojson", feature(SQUARE))))
    for heights in (["7"] * 5, ["7", "", "", "7,8", ""]):
        positions = ",".join(
            f"[{x},{y}{',' if h else ''}{h}]" for (x, y), h in zip(SQUARE, heights, strict=True)
        )
        (tmp_path / "x.json").write_text(f'{{"type": "Polygon", "coordinates": [[{positions}]]}}')
        np.testing.assert_array_equal(read_geojson(str(tmp_path / "x.json")).edges, plain.edges)


@pytest.mark.parametrize(
    ("properties", "wanted"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 0]}, "name": "left"}, ("Tumor", "left")),
        ({"classification": {"names": ["Tumor", "Positive"]}}, ("Tumor: Positive", None)),
        ({"classification": "Stroma", "class": "other"}, ("Stroma", None)),
        ({"classification": None, "class": "Stroma", "label": "x"}, ("Stroma", None)),
        ({"class": 3, "label": "Fat", "name": "x"}, ("Fat", "x")),
        ({"class": "", "name": "x"}, ("x", "x")),
        ({"name": 3}, ("unclassified", None)),
        ({}, ("unclassified", None)),
    ],
)
def test_classes_and_names(
    tmp_path: Path, properties: dict[str, Any], wanted: tuple[str, str | None]
) -> None:
    """The class is QuPath's, or else the first property of a short list that is a text."""
    path = write_geojson(tmp_path / "x.geojson", feature(SQUARE, **properties))
    assert read_geojson(str(path)).features == [Feature(*wanted)]


def test_ids_are_told_from_names(tmp_path: Path) -> None:
    """A feature has its id besides its name; one without properties is unclassified."""
    items = [{**feature(SQUARE), "id": "a1"}, {**feature(SQUARE), "id": 7, "properties": None}]
    path = write_geojson(tmp_path / "x.geojson", *items, {**feature(SQUARE, name="n"), "id": 8})
    features = read_geojson(str(path)).features
    assert [(one.name, one.identifier) for one in features] == [(None, "a1"), (None, "7"), ("n", "8")]
    assert read_geojson(str(path)).features[1].class_name == "unclassified"


def geometry(kind: str, coordinates: Any) -> dict[str, Any]:
    """Make a collection whose second feature has this geometry."""
    second = {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": {}}
    return {"type": "FeatureCollection", "features": [feature(SQUARE), second]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"x\.geojson isn't JSON: Expecting"),
        ("[" * 200_000, "isn't JSON: "),
        ("3", "isn't GeoJSON: it has no type; wanted a FeatureCollection"),
        ({"features": []}, "isn't GeoJSON: it has no type"),
        ({"type": "FeatureCollection", "features": 3}, "its features are 3; wanted a list"),
        ({"type": "FeatureCollection", "features": []}, r"x\.geojson holds no feature; wanted one polygon"),
        ([], "holds no feature"),
        ([feature(SQUARE), 3], r"feature 2 of .*x\.geojson is 3; wanted a Feature or a geometry"),
        ([[feature(SQUARE)]], "feature 1 of .* wanted a Feature or a geometry"),
        (
            geometry("Point", [1, 2]),
            "feature 2 of .* is a Point; wanted a Polygon or a MultiPolygon. Leave it",
        ),
        (geometry("LineString", SQUARE), "feature 2 of .* is a LineString"),
        ({**feature(SQUARE), "geometry": None}, "feature 1 of .* has no geometry"),
        ([{"type": "FeatureCollection", "features": []}], "feature 1 of .* is a FeatureCollection"),
        (geometry("Polygon", []), "feature 2 of .* has a polygon that isn't a list of rings"),
        (geometry("MultiPolygon", [[]]), "feature 2 of .* has a polygon that isn't a list of rings"),
        (geometry("Polygon", None), "feature 2 of .* has a polygon that isn't a list of rings"),
        (geometry("MultiPolygon", 3), "feature 2 of .* has a polygon that isn't a list of rings"),
        (geometry("Polygon", SQUARE), "feature 2 of .* has a polygon that isn't a list of rings"),
        (geometry("Polygon", [[]]), "feature 2 of .* has a polygon that isn't a list of rings"),
        (geometry("Polygon", [SQUARE, []]), "feature 2 of .* has a ring of fewer than 3 distinct points"),
        (geometry("MultiPolygon", []), "feature 2 of .* has a polygon that isn't a list of rings"),
        ({"type": []}, "isn't GeoJSON: it has no type"),
        (geometry("Polygon", [[[1, 2], [3, 4], [1, 2]]]), "a ring of fewer than 3 distinct points"),
        (geometry("Polygon", [SQUARE, [[1, 1]] * 5]), "a ring of fewer than 3 distinct points"),
        (geometry("Polygon", [[[1, 2], [3, 4], [1, float("nan")]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[[1, 2], [3, 4], [1, float("inf")]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[[1, 2], [3, 4], [1, 1e16]]]), r"finite numbers up to 1e\+15"),
        (geometry("Polygon", [[[1, 2], [3, 4], [1, 10**400]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[["1", "2"], ["3", "4"], ["1", "5"]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[[1, 2], [3, 4], [1, None]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[[1, 2], [3, 4], [5]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[[1], [3], [5], [7], [8], [9]]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[1, 2, 3]]), "has a polygon that isn't a list of rings"),
        (geometry("Polygon", [SQUARE, 3]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [{"a": 1}]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[SQUARE]]), "aren't pairs of finite numbers"),
        (geometry("Polygon", [[[True, False], [True, True], [False, False]]]), "aren't pairs of finite"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    """A file that holds anything else than polygons is refused by a message that says where it is wrong."""
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "x.geojson").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_geojson(str(tmp_path / "x.geojson"))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file in another encoding is refused."""
    (tmp_path / "x.json").write_bytes(b'{"type": "\xff"}')
    with pytest.raises(ValueError, match=r"x\.json isn't JSON: .*decode"):
        read_geojson(str(tmp_path / "x.json"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["Polygon", "MultiPolygon", "Feature"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "coordinates", "geometry", "properties", "classification"]), inner
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    kind=st.sampled_from(["Polygon", "MultiPolygon"]),
    coordinates=ANYTHING,
    properties=ANYTHING,
    item=ANYTHING,
)
def test_nothing_but_a_refusal(
    tmp_path: Path, kind: str, coordinates: Any, properties: Any, item: Any
) -> None:
    """Whatever a file holds, it is read or refused."""
    shape = {"type": kind, "coordinates": coordinates}
    for content in ([{"type": "Feature", "geometry": shape, "properties": properties}], item, [item]):
        (tmp_path / "x.json").write_text(json.dumps(content))
        try:
            shapes = read_geojson(str(tmp_path / "x.json"))
        except ValueError as error:
            assert "x.json" in str(error)  # noqa: PT017  reading may succeed too
        else:
            assert len(shapes.ends) == len(shapes.boxes) + 1


def test_which_files_are_geojson(tmp_path: Path) -> None:
    """A file is taken for GeoJSON by its first bracket, whatever its name, or by its name."""
    for name, content in {
        "a.txt": b'\n {"type":',
        "b": b"\xef\xbb\xbf[3",
        "c.GeoJSON": b"",
        "d.json": b"x",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert is_geojson(tmp_path / name)
        assert is_geojson(str(tmp_path / name))
    (tmp_path / "e.png").write_bytes(b"\x89PNG{")
    (tmp_path / "f.txt").write_bytes(b"")
    for other in (tmp_path / "e.png", tmp_path / "f.txt", tmp_path, tmp_path / "none.json", 3, None, [[1]]):
        assert not is_geojson(other)
