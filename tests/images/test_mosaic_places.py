"""Places of tiles by their names and georeferences, with refusals that name two files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.examples import Plain

from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.mosaic_places import (
    place_names,
    place_transforms,
    read_names,
    transform_at,
    whole_geometry,
)

UTM = (10.0, 0.0, 500000.0, 0.0, -10.0, 4100000.0)


def sources(*extents: tuple[int, int]) -> list[Plain]:
    """Return sources of some heights and widths."""
    return [Plain(np.zeros((*extent, 3), "uint8")) for extent in extents]


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["a_r003_c012.tif", "a_r004_c011.tif"], [(0, 30), (20, 0)]),
        (["r1c1.png", "r1c3.png"], [(0, 0), (0, 60)]),
        (["row_2-col_7.tif", "row_2-col_8.tif"], [(0, 0), (0, 30)]),
        (["s_x1024_y2048.tif", "s_x0_y7.ome.tif"], [(2048, 1024), (7, 0)]),
        (["s [x=1024,y=2048].tif", "s [x=0,y=7,w=30,h=20].tif"], [(2048, 1024), (7, 0)]),
        (["s [d=4,x=1024,y=2048,w=120,h=80].tif", "s [d=4,x=0,y=8,w=120,h=80].tif"], [(512, 256), (2, 0)]),
    ],
)
def test_names(names: list[str], places: list[tuple[int, int]]) -> None:
    """Numbers of rows and columns begin at the smallest ones; pixels are those of the image."""
    named = read_names(names)
    assert named is not None
    assert place_names(named, names, sources(*[(20, 30)] * 2)) == places


@pytest.mark.parametrize(
    "names", [["a.tif"], ["a_r1_c2.tif", "b.tif"], ["arc3.tif"], ["a [x=3].tif"], ["x1.5_y2.tif"]]
)
def test_names_without_places(names: list[str]) -> None:
    """All names must have places of one pattern."""
    assert read_names(names) is None


def test_tiles_at_the_edge_may_be_smaller() -> None:
    """Tiles of the last row and the last column may be cut; others are refused by name."""
    names = ["r1c1.tif", "r1c2.tif", "r2c1.tif"]
    named = read_names(names)
    assert named is not None
    assert place_names(named, names, sources((20, 30), (20, 9), (7, 30))) == [(0, 0), (0, 30), (20, 0)]
    with pytest.raises(
        ValueError, match=r"r1c1\.tif has 20 x 29 pixels, and others have 20 x 30; wanted equal"
    ):
        place_names(named, names, sources((20, 29), (20, 30), (20, 30)))


def test_planes_and_parts_of_pixels_in_names() -> None:
    """Files of several planes or resolutions, and places between pixels, are refused by name."""
    with pytest.raises(ValueError, match=r"s \[x=0,y=0,z=1\].tif and s \[x=0,y=0,z=2\].tif differ in z="):
        read_names(["s [x=0,y=0,z=1].tif", "s [x=0,y=0,z=2].tif"])
    names = ["s [d=3,x=10,y=0].tif"]
    named = read_names(names)
    assert named is not None
    with pytest.raises(
        ValueError, match=r"lies at row 0 and column 3\.33333 by its name; wanted whole pixels"
    ):
        place_names(named, names, sources((9, 9)))


def test_numbers_of_tiles_are_not_taken_for_pixels() -> None:
    """Tiles that would overlap by more than half are refused, and others not."""
    names = ["t_x0_y0.tif", "t_x1_y0.tif"]
    named = read_names(names)
    assert named is not None
    with pytest.raises(ValueError, match=r"t_x0_y0\.tif and t_x1_y0\.tif overlap by more than half, if the"):
        place_names(named, names, sources((20, 30), (20, 30)))
    names = ["t_x0_y0.tif", "t_x16_y0.tif", "t_x3_y12.tif", "t_x3_y9999.tif"]
    named = read_names(names)
    assert named is not None
    assert place_names(named, names, sources(*[(20, 30)] * 4)) == [(0, 0), (0, 16), (12, 3), (9999, 3)]


@given(
    st.tuples(st.floats(0.1, 100), st.floats(-3, 3), st.floats(-1e6, 1e6)),
    st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999)), min_size=1, max_size=5),
)
@settings(max_examples=50)
def test_transforms(grid: tuple[float, float, float], places: list[tuple[int, int]]) -> None:
    """Tiles of any grid, turned ones too, are found at their places, and the whole has their transform."""
    size, turn, corner = grid
    base = (size, turn, corner, turn, -size, -corner)
    views = [
        Geometry(crs="EPSG:32633", transform=base).view(range(r, r + 5), range(c, c + 5)) for r, c in places
    ]
    top, left = np.min(places, axis=0)
    transforms = [one.transform for one in views if one.transform is not None]
    found = place_transforms(transforms, ["x"] * len(places), sources(*[(5, 5)] * len(places)))
    assert found == [(row - top, column - left) for row, column in places]
    whole = whole_geometry(views, found)
    first = Geometry(transform=base).view(range(top, 10**4), range(left, 10**4))
    assert whole.crs == "EPSG:32633"
    assert whole.transform == pytest.approx(first.transform, abs=1e-3 * size)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            (20.0, 0, 500000, 0, -20, 4100000),
            "a and b have pixels of another size or direction, 10 x -10 and 20 x",
        ),
        ((10.0, 1, 500000, 1, -10, 4100000), r"a and b have pixels of another size .* and \(10, 1, 1, -10\)"),
        (
            (10.0, 0, 500100.5, 0, -10, 4100000),
            r"a and b lie apart by parts of pixels: \+0 rows and \+0.05 col",
        ),
        ((10.000009, 0, 500000, 0, -10, 4100000), "a and b lie apart by parts of pixels: "),
    ],
)
def test_tiles_of_other_grids(other: tuple[float, float, float, float, float, float], message: str) -> None:
    """Tiles of another grid are refused with both names and the offset."""
    with pytest.raises(ValueError, match=message):
        place_transforms([UTM, other], ["a", "b"], sources(*[(2000, 2000)] * 2))


def test_coordinates_of_a_table() -> None:
    """Coordinates move the transform of a file, or count micrometers without a transform."""
    assert transform_at("a", Geometry(transform=UTM), 7, 8) == (10, 0, 7, 0, -10, 8)
    assert transform_at("a", Geometry((0.5, 0.25)), 7, 8) == (0.25, 0, 7, 0, 0.5, 8)
    with pytest.raises(ValueError, match="a has coordinates in the table, but states neither"):
        transform_at("a", UNKNOWN, 7, 8)


def test_the_geometry_of_the_whole() -> None:
    """It says what all tiles say alike."""
    size = Geometry((0.5, 0.5))
    assert whole_geometry([size, size], [(0, 0), (9, 9)]) == size
    assert whole_geometry([size, UNKNOWN], [(0, 0), (9, 9)]) == UNKNOWN
    placed = Geometry(transform=UTM)
    assert whole_geometry([placed, placed], [(0, 0), (9, 9)]) == UNKNOWN
    assert whole_geometry([placed, Geometry(crs="EPSG:1", transform=UTM)], [(0, 0), (0, 0)]) == UNKNOWN
    assert whole_geometry([placed], [(2, 3)]).transform == (10, 0, 499970, 0, -10, 4100020)
