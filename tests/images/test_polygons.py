"""Polygons are drawn by the centers of pixels: as another library says, without seams, overlaps or gaps."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.examples import HEIGHT, WIDTH, box, feature, write_geojson
from matplotlib.path import Path as Outline

from pipeline.images import polygons as module
from pipeline.images.grid import choose_grid
from pipeline.images.lazy import read_whole
from pipeline.images.polygons import open_polygons
from pipeline.images.reopening import reopen
from pipeline.images.view import view
from pipeline.testing.sources import SourceContract, regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.polygons import Numbering, PolygonSource
    from pipeline.images.source import Source
    from pipeline.testing.sources import Case


def draw(
    *features: dict[str, Any], extent: tuple[int, int] = (HEIGHT, WIDTH), by: Numbering = "class"
) -> NDArray[Any]:
    """Draw features, shape (H, W)."""
    with TemporaryDirectory() as folder:
        path = write_geojson(Path(folder, "x.geojson"), *features)
        return read_whole(open_polygons(path, extent, by=by))[..., 0]


def centers(extent: tuple[int, int]) -> NDArray[np.float64]:
    """Return the centers of pixels, shape (H * W, 2): columns and rows."""
    rows, columns = np.indices(extent) + 0.5
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def contains(ring: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which points are inside of a ring, by Matplotlib."""
    return Outline(np.concatenate([ring, ring[:1]])).contains_points(points)


def distances(ring: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances of points from the nearest edge of a ring."""
    starts, ends = ring, np.roll(ring, -1, axis=0)
    along = ends - starts
    lengths = np.maximum((along**2).sum(axis=1), 1e-30)
    places = ((points[:, np.newaxis] - starts) * along).sum(axis=2) / lengths
    nearest = starts + np.clip(places, 0, 1)[..., np.newaxis] * along
    return np.asarray(np.hypot(*np.moveaxis(points[:, np.newaxis] - nearest, -1, 0)).min(axis=1))


def random_ring(random: np.random.Generator, extent: tuple[int, int]) -> NDArray[np.float64]:
    """Make a ring that crosses itself, and the sides of the image."""
    count = int(random.integers(3, 12))
    return np.asarray(random.uniform(-0.3, 1.3, (count, 2)) * extent[::-1])


class TestPolygons(SourceContract):
    """The contract, on polygons with holes over each other."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        """Write GeoJSON, and draw it by another library."""
        random, extent = np.random.default_rng(0), (HEIGHT, WIDTH)
        pixels = np.zeros((*extent, 1), np.uint8)
        features = []
        for label in range(1, 7):
            rings = [random_ring(random, extent) for _ in range(1 + label % 2)]
            features.append(feature(*rings, name=f"{label % 3}"))
            inside = np.logical_xor.reduce([contains(ring, centers(extent)) for ring in rings])
            pixels[inside.reshape(extent)] = (label - 1) % 3 + 1
        return open_polygons(write_geojson(tmp_path / "x.geojson", *features), extent), pixels


@settings(derandomize=True, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), n_rings=st.integers(1, 3))
def test_another_library_says_the_same(seed: int, n_rings: int) -> None:
    """Rings of any shape hold the centers of pixels that Matplotlib finds inside of an odd number of them."""
    random, extent = np.random.default_rng(seed), (23, 31)
    rings = [random_ring(random, extent) for _ in range(n_rings)]
    # Whole numbers at times: then edges pass through corners of pixels.
    rings = [np.round(ring) if random.integers(2) else ring for ring in rings]
    rings = [ring for ring in rings if len(np.unique(ring, axis=0)) >= 3]
    points = centers(extent)
    clear = np.min([distances(ring, points) for ring in rings], axis=0) > 1e-9
    wanted = np.logical_xor.reduce([contains(ring, points) for ring in rings])
    try:
        drawn = draw(feature(*rings), extent=extent).ravel()
    except ValueError as error:
        assert "outside" in str(error)  # noqa: PT017  drawing may succeed too
        drawn = np.zeros(len(points))
    np.testing.assert_array_equal(drawn[clear] != 0, wanted[clear])


@settings(derandomize=True)
@given(
    sides=st.tuples(*[st.integers(0, 40)] * 4),
    half=st.sampled_from([0.0, 0.25, -0.25, 0.5]),
    flip=st.booleans(),
)
def test_rectangles(sides: tuple[int, int, int, int], half: float, flip: bool) -> None:
    """A rectangle has as many pixels as its area says; a center on its left or upper side belongs to it."""
    left, top, width, height = sides
    ring = box(left + half, top + half, left + width + 1 + half, top + height + 1 + half)
    drawn = draw(feature(ring[::-1] if flip else ring), extent=(50, 60))
    wanted = np.zeros((50, 60), bool)
    wanted[top : top + height + 1, left : left + width + 1] = True
    np.testing.assert_array_equal(drawn != 0, wanted)


@settings(derandomize=True, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), steps=st.sampled_from([None, 1, 2, 4]))
def test_a_partition_covers_each_pixel_once(seed: int, steps: int | None) -> None:
    """Polygons that share their edges have no pixel in common and leave none out, in either order."""
    random, (height, width) = np.random.default_rng(seed), (29, 37)
    rows, columns = np.meshgrid(np.linspace(0, height, 5), np.linspace(0, width, 6), indexing="ij")
    nodes = np.stack([columns, rows], axis=-1)
    moved = nodes + random.uniform(-1.2, 1.2, nodes.shape)
    # Whole, half and quarter numbers put many centers of pixels on edges.
    nodes = moved if steps is None else np.round(moved * steps) / steps
    nodes[0, :, 1], nodes[-1, :, 1], nodes[:, 0, 0], nodes[:, -1, 0] = 0, height, 0, width
    rings = []
    for row in range(4):
        for column in range(5):
            a, b = nodes[row, column], nodes[row, column + 1]
            c, d = nodes[row + 1, column + 1], nodes[row + 1, column]
            rings += [[a, b, c], [c, a, d]] if random.integers(2) else [[b, c, d], [b, a, d]]
    features = [feature(ring) for ring in rings]
    over = draw(*features, extent=(height, width), by="feature")
    under = draw(*features[::-1], extent=(height, width), by="feature")
    assert over.all()
    np.testing.assert_array_equal(over, len(features) + 1 - under)


@settings(derandomize=True, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_regions_have_no_seams(seed: int) -> None:
    """Any region equals the same region of the whole, and a part is small and travels."""
    random, extent = np.random.default_rng(seed), (120, 130)
    features = [feature(random_ring(random, extent)) for _ in range(4)]
    with TemporaryDirectory() as folder:
        source = open_polygons(write_geojson(Path(folder, "x.json"), *features), extent, by="feature")
    whole = read_whole(source)
    for region in regions(extent, 15, seed):
        part = pickle.loads(pickle.dumps(source.part(region)))  # noqa: S301  made here
        np.testing.assert_array_equal(part.read(), whole[region])


def test_a_crossing_that_is_rounded_beyond_its_edge() -> None:
    """Polygons leave no gap where the rounded place of a crossing lies on the right of the edge's end."""
    bottom = np.nextafter(15.5, 16)
    assert 1.3 + (15.5 - 3.7) * (28.5 - 1.3) / (bottom - 3.7) > 28.5
    left = feature([(1.3, 3.7), (28.5, bottom), (1.3, bottom)], name="left")
    right = feature([(1.3, 3.7), (60, 3.7), (60, bottom), (28.5, bottom)], name="right")
    both = draw(left, right, extent=(20, 70))
    np.testing.assert_array_equal(both != 0, draw(feature(box(1.3, 3.7, 60, bottom)), extent=(20, 70)) != 0)
    np.testing.assert_array_equal(both[both != 0], 3 - draw(right, left, extent=(20, 70))[both != 0])


def test_holes_and_order() -> None:
    """A hole shows what lies below; polygons of one feature don't cut holes into each other."""
    first = feature(box(0, 0, 10, 10), name="below")
    second = feature(box(2, 2, 8, 8), box(4, 4, 6, 6), name="above")
    wanted = np.zeros((12, 12), np.uint8)
    wanted[:10, :10] = 1
    wanted[2:8, 2:8] = 2
    wanted[4:6, 4:6] = 1
    np.testing.assert_array_equal(draw(first, second, extent=(12, 12)), wanted)
    several = feature(name="both")
    several["geometry"] = {"type": "MultiPolygon", "coordinates": [[box(0, 0, 5, 5)], [box(3, 3, 7, 7)]]}
    wanted = np.zeros((12, 12), np.uint8)
    wanted[:5, :5] = wanted[3:7, 3:7] = 1
    np.testing.assert_array_equal(draw(several, extent=(12, 12)), wanted)


def test_labels_of_classes_and_features(tmp_path: Path) -> None:
    """Classes are numbered as they first appear; features as they come, by names that are unique."""
    names = ["b", "a", "b", "", "b", "b (2)"]
    features = [feature(box(n, 0, n + 1, 1), name=name) for n, name in enumerate(names)]
    path = write_geojson(tmp_path / "x.json", *features)
    by_class, by_feature = open_polygons(path, (1, 6)), open_polygons(path, (1, 6), by="feature")
    assert by_class.names == {1: "b", 2: "a", 3: "unclassified", 4: "b (2)"}
    assert read_whole(by_class).ravel().tolist() == [1, 2, 1, 3, 1, 4]
    assert by_feature.names == {1: "b", 2: "a", 3: "b (2)", 4: "zone 4", 5: "b (3)", 6: "b (2) (2)"}
    assert read_whole(by_feature).ravel().tolist() == [1, 2, 3, 4, 5, 6]
    assert by_class.identity() != by_feature.identity()


def test_features_without_names(tmp_path: Path) -> None:
    """They are named by their class and label, since programs make up ids; without a class by their id."""
    tumor = {**feature(box(0, 0, 1, 1), classification={"name": "tumor"}), "id": "5c0f"}
    items = [tumor, {**feature(box(1, 0, 2, 1)), "id": "5c10"}, feature(box(2, 0, 3, 1)), tumor]
    source = open_polygons(write_geojson(tmp_path / "x.json", *items), (1, 3), by="feature")
    assert source.names == {1: "tumor 1", 2: "5c10", 3: "zone 3", 4: "tumor 4"}


@pytest.mark.parametrize(("count", "dtype"), [(255, "uint8"), (256, "uint16"), (65_536, "uint32")])
def test_the_smallest_dtype_holds_the_labels(tmp_path: Path, count: int, dtype: str) -> None:
    """The labels of many features need more bytes."""
    ring = json.dumps({"type": "Polygon", "coordinates": [box(0, 0, 1, 1)]})
    (tmp_path / "x.json").write_text(f"[{','.join([ring] * count)}]")
    source = open_polygons(tmp_path / "x.json", (2, 2), by="feature")
    assert source.dtype == np.dtype(dtype)
    assert read_whole(source).ravel().tolist() == [count, 0, 0, 0]


def test_polygons_outside_of_the_image(tmp_path: Path) -> None:
    """A polygon outside is allowed beside one inside; if all are outside, their unit is wrong."""
    outside = [
        feature(ring) for ring in (box(-9, 0, 0, 9), box(20, 0, 30, 9), box(0, 10, 9, 19), box(0, -3, 9, 0))
    ]
    between = feature(box(3.6, 3.6, 4.4, 4.4))
    assert not draw(*outside, between, extent=(10, 20)).any()
    path = write_geojson(tmp_path / "x.json", *outside)
    with pytest.raises(
        ValueError,
        match=r"all polygons of .*x\.json lie outside the image of 10 x 20 pixels; wanted .* full resolution",
    ):
        open_polygons(path, (10, 20))


def test_arguments_that_are_refused(tmp_path: Path) -> None:
    """Another numbering, and a file that isn't there, are refused."""
    path = write_geojson(tmp_path / "x.json", feature(box(0, 0, 1, 1)))
    with pytest.raises(ValueError, match="by is 'name'; wanted one of class, feature"):
        open_polygons(path, (10, 20), by="name")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"none\.json is not there; wanted a GeoJSON file"):
        open_polygons(tmp_path / "none.json", (10, 20))


def test_a_changed_file_has_another_identity(tmp_path: Path) -> None:
    """The file's time and size tell two files apart; the place opens the file again."""
    path = write_geojson(tmp_path / "x.json", feature(box(0, 0, 1, 1)))
    before = open_polygons(path, (10, 20), by="feature")
    assert before.place() == {"image": str(path), "extent": [10, 20], "by": "feature"}
    assert before.paths == (path,)
    os.utime(path, ns=(0, 10**9))
    after = reopen(before.place())
    assert after.description.identity != before.identity()
    assert after.description.place == before.place()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="not there"):
        reopen(before.place())


def scattered(path: Path, side: int, count: int) -> PolygonSource:
    """Write many small hexagons, and open them."""
    random = np.random.default_rng(0)
    angles = np.arange(6) * np.pi / 3
    around = random.uniform(0, side, (count, 1, 2))
    rings = around + random.uniform(5, 20, (count, 1, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return open_polygons(write_geojson(path, *map(feature, rings)), (side, side), by="feature")


def test_many_polygons_in_a_large_image(tmp_path: Path) -> None:
    """An image of 20,000 polygons is read by blocks, in the memory of a block."""
    source = scattered(tmp_path / "x.json", 20_000, 20_000)
    grid = choose_grid(source.extent, tile=source.tile, length=4096)
    found = np.zeros(20_001, np.int64)
    tracemalloc.start()
    for rows in range(0, 20_000, grid.block[0]):
        for columns in range(0, 20_000, grid.block[1]):
            drawn = source.part(
                (slice(rows, rows + grid.block[0]), slice(columns, columns + grid.block[1]))
            ).read()
            found += np.bincount(drawn[drawn != 0], minlength=20_001)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * 2 * grid.block[0] * grid.block[1]
    assert (found[1:] > 0).mean() > 0.99
    # Hexagons have 2.6 times the square of their radius; few of them overlap.
    assert 0.9 < found.sum() / (20_000 * 2.598 * np.mean(np.linspace(5, 20, 1000) ** 2)) < 1.05


@pytest.mark.parametrize("kind", ["small", "outline"])
def test_memory_of_a_region(tmp_path: Path, kind: str) -> None:
    """A region takes no more memory than the source says, and not much less."""
    if kind == "small":
        source = scattered(tmp_path / "x.json", 2000, 5000)
    else:
        angles = np.linspace(0, 2 * np.pi, 200_000, endpoint=False)
        radii = np.random.default_rng(0).uniform(300, 1000, len(angles))
        ring = 1000 + np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
        source = open_polygons(write_geojson(tmp_path / "x.json", feature(ring)), (2000, 2000))
    tracemalloc.start()
    drawn = source.part((slice(0, 2000), slice(0, 2000))).read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn.any()
    assert 0.3 * source.region_bytes(source.extent) < peak <= source.region_bytes(source.extent)


@settings(derandomize=True, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    extent=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    steps=st.tuples(*[st.sampled_from([1, 2, 3, -1, -3])] * 2),
)
def test_edges_are_counted_by_regions(seed: int, extent: tuple[int, int], steps: tuple[int, int]) -> None:
    """The most edges of a region are those of the polygons that meet one, whatever places are divided."""
    random, size = np.random.default_rng(seed), (50, 55)
    rings = [random.uniform(0, 1, (7, 2)) * 15 + random.uniform(-9, 50, 2) for _ in range(12)]
    rings.append(np.array(box(3, 3, 9, 9)))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", 1)
        source = open_polygons(write_geojson(Path(folder, "x.json"), *map(feature, rings)), size)
        places = tuple(range(length)[::step] for length, step in zip(size, steps, strict=True))
        most = source._most_edges(extent, (places[0], places[1]))
    seen: Source = view(source, *places)
    counts = np.diff(source._shapes.ends)
    wanted = 0
    for top in range(0, seen.shape[0], extent[0]):
        for left in range(0, seen.shape[1], extent[1]):
            rows, columns = (
                one[start : start + length]
                for one, start, length in zip(places, (top, left), extent, strict=True)
            )
            boxes = module._index_boxes(
                source._shapes.boxes, rows[:: np.sign(rows.step)], columns[:: np.sign(columns.step)]
            )
            met = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
            wanted = max(wanted, int(counts[met].sum()))
    assert most == wanted
