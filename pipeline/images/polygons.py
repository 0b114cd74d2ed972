"""Polygons of a GeoJSON file as an image of labels, which is drawn region by region."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from pipeline.images.file import file_stamp, show_time
from pipeline.images.geojson import UNCLASSIFIED, read_geojson
from pipeline.images.source import Source

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.images.geojson import Feature, Shapes
    from pipeline.images.source import Places, Region

# How features get their labels.
Numbering = Literal["class", "feature"]
# Crossings of edges and rows that are computed at once, and the bytes that each of them takes meanwhile.
_CROSSINGS = 2**16
_CROSSING_BYTES = 96
# The bytes that an edge takes while those of a region are chosen and drawn.
_EDGE_BYTES = 80
# The least height and width in pixels of the pieces by which edges are counted.
_PIECE = 256


def open_polygons(
    path: str | os.PathLike[str], extent: tuple[int, int], *, by: Numbering = "class"
) -> PolygonSource:
    """Open the polygons of a GeoJSON file as an image of labels.

    A pixel belongs to a polygon if its center lies inside by the even-odd rule: a line from it leftward
    meets the edges of the rings an odd number of times. Of a pixel whose center lies on an edge, the polygon
    on the right or below has it, so that polygons with a common edge, between the same two points, have no
    pixel in common and leave none out. Later features lie over earlier ones.

    Parameters
    ----------
    path : path
        Coordinates are pixels of the image, to the right and downward. (0, 0) is the upper left corner of
        the first pixel, so that the center of the pixel at row r and column c is (c + 0.5, r + 0.5).
    extent : tuple of int
        Height and width of the image in pixels.
    by : {"class", "feature"}
        With "class", labels 1, 2, ... are the classes in order of their first appearance. The class of a
        feature is QuPath's ``properties.classification.name``, or else the first text among its properties
        ``classification``, ``class``, ``label`` and ``name``, or else "unclassified". With "feature", labels
        1, 2, ... are the features in order, named by ``properties.name``, or else by their class and label,
        or else by their id, or else "zone" and the label; a name that was taken gets a number.

    Returns
    -------
    PolygonSource, shape (H, W, 1), of uint8, uint16 or uint32
        0 where there is no polygon.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file isn't GeoJSON of polygons, or if all of them lie outside the image.
    """
    if by not in get_args(Numbering):
        raise ValueError(f"by is {by!r:.80}; wanted one of {', '.join(get_args(Numbering))}")
    absolute = Path(path).absolute()
    if not absolute.is_file():
        raise FileNotFoundError(f"{path} is not there; wanted a GeoJSON file")
    stamp = file_stamp(str(absolute))
    shapes = read_geojson(str(absolute))
    top, left, bottom, right = shapes.boxes.T
    if not ((top < extent[0]) & (left < extent[1]) & (bottom > 0) & (right > 0)).any():
        raise ValueError(
            f"all polygons of {path} lie outside the image of {extent[0]} x {extent[1]} pixels; wanted "
            "coordinates in pixels of the image at full resolution. Export them so."
        )
    return PolygonSource(str(absolute), stamp, extent, shapes, by)


class PolygonSource(Source):
    """Polygons as an image of labels, of which a task is sent those that meet its region.

    A process that draws regions holds no more than their polygons. The process that opened the file has all
    of them in memory by then, as it has an array.

    Parameters
    ----------
    path : str
        The absolute path of the file.
    stamp : tuple of int
        The file's time and size when it was read.
    extent : tuple of int
        Height and width of the image in pixels.
    shapes : Shapes
    by : {"class", "feature"}
        As for :func:`open_polygons`.

    Attributes
    ----------
    names : dict of int to str
        The name of each label.
    """

    def __init__(
        self, path: str, stamp: tuple[int, int], extent: tuple[int, int], shapes: Shapes, by: Numbering
    ) -> None:
        self._path, self._stamp, self._shapes, self._by = path, stamp, shapes, by
        labels, self.names = _number(shapes.features, by)
        self.shape = (*extent, 1)
        self.dtype = np.min_scalar_type(len(self.names))
        self._labels = np.array(labels, self.dtype)[shapes.numbers]

    def identity(self) -> str:
        """Return the file's size, the time of its last change, and what labels stand for."""
        changed, size = self._stamp
        return f"{size} bytes, modified {show_time(changed)}, by {self._by}"

    def place(self) -> dict[str, Any]:
        """Return the path, the height and width, and what labels stand for."""
        return {"image": self._path, "extent": list(self.extent), "by": self._by}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (Path(self._path),)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that drawing takes: labels, a polygon's pixels, edges of the polygons met."""
        most = self._most_edges(extent, places or (range(self.shape[0]), range(self.shape[1])))
        crossings = _CROSSINGS + extent[0]
        return math.prod(extent) * (self.pixel_bytes + 1) + most * _EDGE_BYTES + crossings * _CROSSING_BYTES

    def part(self, region: Region) -> _PolygonPart:
        """Return the part with which a task draws a region: the edges of polygons that it needs."""
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        boxes = _index_boxes(self._shapes.boxes, rows, columns)
        chosen = np.flatnonzero((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))
        first, counts = self._shapes.ends[chosen], np.diff(self._shapes.ends)[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        edges = self._shapes.edges[np.arange(len(owner)) + (first - np.cumsum(counts) + counts)[owner]]
        # An edge on the right of the region doesn't change what lies on its own left.
        needed = _first_index(edges[:, 1], rows) < _first_index(edges[:, 3], rows)
        needed &= _first_index(np.minimum(edges[:, 0], edges[:, 2]), columns) < len(columns)
        kept = np.bincount(owner[needed], minlength=len(chosen))
        return _PolygonPart(rows, columns, self._labels[chosen], boxes[chosen], kept, edges[needed])

    def _most_edges(self, extent: tuple[int, int], places: Places) -> int:
        """Return the most edges of polygons that meet one of the regions into which places are divided."""
        # Small regions are counted together.
        sides = [length * -(-_PIECE // max(1, length)) for length in extent]
        rows, columns = (one if one.step > 0 else one[::-1] for one in places)
        boxes = _index_boxes(self._shapes.boxes, rows, columns)
        for axis, one in enumerate(places):
            if one.step < 0:
                boxes[:, [axis, axis + 2]] = len(one) - boxes[:, [axis + 2, axis]]
        counts = np.diff(self._shapes.ends) * ((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))
        top, left = boxes[:, 0] // sides[0], boxes[:, 1] // sides[1]
        bottom, right = -(-boxes[:, 2] // sides[0]), -(-boxes[:, 3] // sides[1])
        # The differences of the counts along both axes, whose sums are the counts.
        changes = np.zeros(
            [-(-len(one) // side) + 1 for one, side in zip(places, sides, strict=True)], np.int64
        )
        for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(changes, (row, column), sign * counts)
        return int(changes.cumsum(axis=0).cumsum(axis=1).max())


class _PolygonPart(NamedTuple):
    """The polygons that meet a region.

    Attributes
    ----------
    rows, columns : range
        The places of the region in the image.
    labels : ndarray, shape (P,)
    boxes : ndarray of int64, shape (P, 4)
        The first row and column of each polygon's box, and the ends of its rows and columns, as indices of
        the region.
    counts : ndarray of int64, shape (P,)
        The number of edges of each polygon.
    edges : ndarray of float64, shape (E, 4)
    """

    rows: range
    columns: range
    labels: NDArray[Any]
    boxes: NDArray[np.int64]
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]

    def read(self) -> NDArray[Any]:
        """Draw the pixels, shape (h, w, 1)."""
        out = np.zeros((len(self.rows), len(self.columns)), self.labels.dtype)
        ends = np.cumsum(self.counts)
        items = zip(self.labels, self.boxes.tolist(), self.counts.tolist(), ends.tolist(), strict=True)
        for label, (top, left, bottom, right), count, end in items:
            inside = _inside(self.edges[end - count : end], self.rows[top:bottom], self.columns[left:right])
            out[top:bottom, left:right][inside] = label
        return out[..., np.newaxis]


def _inside(edges: NDArray[np.float64], rows: range, columns: range) -> NDArray[np.bool_]:
    """Return which centers of pixels lie inside of a polygon by the even-odd rule.

    The center of a pixel is inside if an odd number of edges crosses its row at its own column or on its
    left. An edge crosses the rows whose centers lie at or below its upper end and above its lower end.

    Parameters
    ----------
    edges : ndarray, shape (n, 4)
        All edges that cross a row of the rows, but for those on the right of the columns.
    rows, columns : range

    Returns
    -------
    ndarray of bool, shape (h, w)
    """
    inside = np.zeros((len(rows), len(columns)), bool)
    first, stop = _first_index(edges[:, 1], rows), _first_index(edges[:, 3], rows)
    ends = np.cumsum(stop - first)
    n_crossings = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, range(_CROSSINGS, n_crossings, _CROSSINGS))
    for start, end in zip([0, *cuts], [*cuts, len(edges)], strict=True):
        counts = stop[start:end] - first[start:end]
        edge = np.repeat(np.arange(start, end), counts)
        row = np.arange(len(edge)) + np.repeat(first[start:end] - np.cumsum(counts) + counts, counts)
        start_x, upper, end_x, lower = edges[edge].T
        # The places of pixels in the image, not in the region: each region computes the same crossing.
        center = row * rows.step + (rows.start + 0.5)
        crossing = start_x + (center - upper) * (end_x - start_x) / (lower - upper)
        # Rounding may put it beyond the end of the edge, and so out of the box of one of two polygons.
        crossing = np.clip(crossing, np.minimum(start_x, end_x), np.maximum(start_x, end_x))
        column = _first_index(crossing, columns)
        met = column < len(columns)
        np.logical_xor.at(inside.reshape(-1), row[met] * len(columns) + column[met], True)
    return np.logical_xor.accumulate(inside, axis=1, out=inside)


def _first_index(coordinates: NDArray[np.float64], places: range) -> NDArray[np.int64]:
    """Return the index of the first place whose pixel's center lies at a coordinate or beyond it."""
    start, step, length = places.start, places.step, len(places)
    pixels = np.clip(np.ceil(coordinates - 0.5), start, start + step * length).astype(np.int64)
    return -((start - pixels) // step)


def _index_boxes(boxes: NDArray[np.float64], rows: range, columns: range) -> NDArray[np.int64]:
    """Return the boxes of polygons as indices of rows and columns."""
    axes = (rows, columns, rows, columns)
    return np.stack([_first_index(boxes[:, n], places) for n, places in enumerate(axes)], axis=1)


def _number(features: Sequence[Feature], by: Numbering) -> tuple[list[int], dict[int, str]]:
    """Return the label of each feature, and the name of each label."""
    if by == "class":
        labels: dict[str, int] = {}
        numbers = [labels.setdefault(feature.class_name, len(labels) + 1) for feature in features]
        return numbers, {label: name for name, label in labels.items()}
    taken: dict[str, None] = {}
    counts: dict[str, int] = {}
    for label, feature in enumerate(features, 1):
        classified = f"{feature.class_name} {label}" if feature.class_name != UNCLASSIFIED else None
        name = wanted = feature.name or classified or feature.identifier or f"zone {label}"
        while name in taken:
            counts[wanted] = counts.get(wanted, 1) + 1
            name = f"{wanted} ({counts[wanted]})"
        taken[name] = None
    return list(range(1, len(features) + 1)), dict(enumerate(taken, 1))
