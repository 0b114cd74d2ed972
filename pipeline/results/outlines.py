"""The outlines of the regions of a label, traced along the edges of pixels, band by band.

A region is a set of pixels of one class that are connected by their sides. Its outline is made of runs, which
go straight along the edges of its pixels with the region at their right. Where a run ends, the two pixels
ahead decide where the outline goes on. A run starts where another one ends, so that runs are linked by their
first vertex and their direction. Outlines that reach beyond a band go on in the next one. A region is
finished, and forgotten, when the last row of a band has no pixel of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from pipeline.results.rings import area_of, split_ring

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

# The directions of runs, and so the sides of the pixels at their right.
_RIGHT, _DOWN, _LEFT, _UP = range(4)
# Where the row and the column ahead of a pixel are, for each direction, and the two to the left of that.
_AHEAD = ((0, 1), (1, 0), (0, -1), (-1, 0))
_AHEAD_LEFT = ((-1, 1), (1, 1), (1, -1), (-1, -1))
# Where a run starts, from the row and the column of its first pixel.
_CORNER = ((0, 0), (0, 1), (1, 1), (1, 0))
# Of no class: what lies beyond the image, and pixels of classes that aren't wanted.
_OUTSIDE = -1


class Region(NamedTuple):
    """A region and its outline.

    Attributes
    ----------
    label : int
        The number of its class.
    n_pixels : int
    outer : ndarray of int, shape (n, 2)
        The rows and columns of the vertices of the outline, clockwise where rows go down.
    holes : tuple of ndarray
        The outlines of its holes, counterclockwise.
    """

    label: int
    n_pixels: int
    outer: NDArray[np.int64]
    holes: tuple[NDArray[np.int64], ...]


class _Runs(NamedTuple):
    """Runs of a band: the first pixel of each, its key, the key of the run after it, and its first vertex.

    A key is the place of the first vertex and the direction.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    nexts: NDArray[np.int64]
    vertices: NDArray[np.int64]


@dataclass
class _Open:
    """A part of an outline, of which both ends go on in another band."""

    head: int
    tail: int
    direction: int
    component: int
    pieces: deque[NDArray[np.int64]]


@dataclass
class _Tracing:
    """What is known of the regions that aren't finished."""

    heads: dict[int, _Open] = field(default_factory=dict)
    tails: dict[int, _Open] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    pixels: dict[int, int] = field(default_factory=dict)
    rings: dict[int, list[NDArray[np.int64]]] = field(default_factory=dict)

    def root(self, component: int) -> int:
        """Return the component that stands for all that are connected with this one."""
        parents = self.parents
        while parents[component] != component:
            parents[component] = parents[parents[component]]
            component = parents[component]
        return component

    def unite(self, one: int, other: int) -> None:
        """Note that two components are connected."""
        one, other = self.root(one), self.root(other)
        if one != other:
            self.parents[other] = one
            self.pixels[one] += self.pixels.pop(other)
            self.rings.setdefault(one, []).extend(self.rings.pop(other, []))

    def add_ring(self, component: int, ring: NDArray[np.int64]) -> None:
        """Take a closed outline."""
        self.rings.setdefault(self.root(component), []).extend(split_ring(ring))

    def add_open(self, part: _Open) -> None:
        """Take a part of an outline, and join it with those that it goes on with."""
        before = self.tails.pop(part.head, None)
        if before is not None:
            del self.heads[before.head]
            part = _join(before, part)
        if part.head == part.tail:
            self._close(part)
            return
        after = self.heads.pop(part.tail, None)
        if after is not None:
            del self.tails[after.tail]
            part = _join(part, after)
            if part.head == part.tail:
                self._close(part)
                return
        self.heads[part.head], self.tails[part.tail] = part, part

    def _close(self, part: _Open) -> None:
        vertices = np.concatenate(list(part.pieces))
        # Where the outline goes straight on there is no vertex.
        self.add_ring(part.component, vertices[1:] if part.direction == part.head % 4 else vertices)

    def finished(self, active: Collection[int]) -> Iterator[Region]:
        """Yield, and forget, the regions that aren't among the active components."""
        roots = {self.root(component) for component in active}
        for component in [one for one in self.pixels if one not in roots]:
            rings = self.rings.pop(component)
            areas = [area_of(ring) for ring in rings]
            (outer,) = (ring for ring, area in zip(rings, areas, strict=True) if area > 0)
            holes = tuple(ring for ring, area in zip(rings, areas, strict=True) if area < 0)
            yield Region(self.labels[component], self.pixels.pop(component), outer, holes)


def trace_regions(bands: Iterable[NDArray[Any]], wanted: Collection[int]) -> Iterator[Region]:
    """Trace the regions of a label.

    Parameters
    ----------
    bands : iterable of ndarray of int, shape (h, W)
        The label from top to bottom, some rows at a time. A band and the first row of the next one are held
        in memory, and the outlines of regions that reach the last row.
    wanted : collection of int
        The numbers of the classes whose regions are traced.

    Yields
    ------
    Region
        In the order in which they end. Their vertices are corners of pixels, where the outline turns. No ring
        meets a vertex twice.
    """
    tracing, top, above, before = _Tracing(), 0, None, np.zeros(0, np.int64)
    held: NDArray[np.int32] | None = None
    numbers = np.array(sorted(wanted))
    last: Iterable[NDArray[Any] | None] = [None]
    for band in chain(bands, last):
        below = None if band is None else np.where(np.isin(band, numbers), band.astype(np.int32), _OUTSIDE)
        if held is not None:
            before = _trace_band(tracing, held, top, above, None if below is None else below[0], before)
            yield from tracing.finished(set(before[before >= 0].tolist()))
            top, above = top + len(held), held[-1]
        held = below
    yield from tracing.finished(())


def _trace_band(  # noqa: PLR0917  a band, and what lies around it
    tracing: _Tracing,
    band: NDArray[np.int32],
    top: int,
    above: NDArray[np.int32] | None,
    below: NDArray[np.int32] | None,
    before: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Trace a band, and return the components of its last row."""
    padded = np.full((band.shape[0] + 2, band.shape[1] + 2), _OUTSIDE, np.int32)
    padded[1:-1, 1:-1] = band
    if above is not None:
        padded[0, 1:-1] = above
    if below is not None:
        padded[-1, 1:-1] = below
    components = _find_components(tracing, band)
    if above is not None:
        same = (above == band[0]) & (above != _OUTSIDE)
        for one, other in np.unique(np.stack([before[same], components[0][same]]), axis=1).T.tolist():
            tracing.unite(one, other)
    runs = _find_runs(padded, top)
    _link(tracing, runs, components)
    last: NDArray[np.int64] = components[-1]
    return last


def _find_components(tracing: _Tracing, band: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the number of the component of each pixel, -1 for none, and note their sizes."""
    components: NDArray[np.int64] = np.full(band.shape, -1, np.int64)
    for label in np.unique(band).tolist():
        if label == _OUTSIDE:
            continue
        inside = band == label
        count, numbered = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
        first = len(tracing.parents)
        # Number 0 is what is outside of the class.
        components[inside] = numbered[inside] + (first - 1)
        sizes = np.bincount(numbered[inside], minlength=count)[1:]
        tracing.parents.extend(range(first, first + count - 1))
        tracing.labels.extend([label] * (count - 1))
        tracing.pixels.update(zip(range(first, first + count - 1), sizes.tolist(), strict=True))
    return components


def _find_runs(padded: NDArray[np.int32], top: int) -> _Runs:
    """Find all runs of a band."""
    across = padded.shape[1] - 1
    found = [_find_runs_of(padded, top, across, direction) for direction in range(4)]
    rows, columns, starts, nexts, vertices = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _Runs(rows, columns, starts, nexts, vertices)


def _find_runs_of(padded: NDArray[np.int32], top: int, across: int, direction: int) -> tuple[Any, ...]:
    """Find the runs of a direction, and return the fields of :class:`_Runs`."""
    inner = padded[1:-1, 1:-1]
    # The pixel on the other side of the edge.
    beyond = _shifted(padded, *_AHEAD[(direction - 1) % 4])
    edges = (inner != _OUTSIDE) & (inner != beyond)
    joined = np.zeros_like(edges)
    if direction in {_RIGHT, _LEFT}:
        joined[:, 1:] = edges[:, 1:] & edges[:, :-1] & (inner[:, 1:] == inner[:, :-1])
    else:
        # Runs that go up and down lie beside one another in memory too.
        joined[1:] = edges[1:] & edges[:-1] & (inner[1:] == inner[:-1])
        edges, joined = edges.T, joined.T
    first = np.argwhere(edges & ~joined)
    follows = np.zeros_like(joined)
    follows[:, :-1] = joined[:, 1:]
    last = np.argwhere(edges & ~follows)
    if direction in {_DOWN, _UP}:
        first, last = first[:, ::-1], last[:, ::-1]
    if direction in {_LEFT, _UP}:
        first, last = last, first
    rows, columns = first[:, 0], first[:, 1]
    end_rows, end_columns = last[:, 0], last[:, 1]
    here = inner[end_rows, end_columns]
    ahead = padded[end_rows + 1 + _AHEAD[direction][0], end_columns + 1 + _AHEAD[direction][1]]
    left = padded[end_rows + 1 + _AHEAD_LEFT[direction][0], end_columns + 1 + _AHEAD_LEFT[direction][1]]
    turns = np.where(
        ahead != here, (direction + 1) % 4, np.where(left == here, (direction - 1) % 4, direction)
    )
    vertices = np.stack([rows + top + _CORNER[direction][0], columns + _CORNER[direction][1]], axis=1)
    # A run ends at the corner at which a run of the next side of the same pixel starts.
    end = _CORNER[(direction + 1) % 4]
    ends = (end_rows + top + end[0]) * across + end_columns + end[1]
    starts = (vertices[:, 0] * across + vertices[:, 1]) * 4 + direction
    return rows, columns, starts, ends * 4 + turns, vertices


def _shifted(padded: NDArray[np.int32], down: int, right: int) -> NDArray[np.int32]:
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]


def _link(tracing: _Tracing, runs: _Runs, components: NDArray[np.int64]) -> None:
    """Follow the runs of a band to closed outlines, and to parts of outlines that go on elsewhere."""
    n_runs = len(runs.starts)
    if not n_runs:
        return
    order = np.argsort(runs.starts)
    ordered = runs.starts[order]
    places = np.minimum(np.searchsorted(ordered, runs.nexts), n_runs - 1)
    is_here = ordered[places] == runs.nexts
    after = np.where(is_here, order[places], -1)
    is_head = np.ones(n_runs, bool)
    is_head[after[is_here]] = False
    following, of_run = after.tolist(), components[runs.rows, runs.columns].tolist()
    seen = bytearray(n_runs)
    for head in np.flatnonzero(is_head).tolist():
        path = _follow(following, head, seen)
        last = path[-1]
        part = _Open(
            int(runs.starts[head]),
            int(runs.nexts[last]),
            int(runs.starts[last]) % 4,
            of_run[head],
            deque([runs.vertices[path]]),
        )
        tracing.add_open(part)
    for run in range(n_runs):
        if not seen[run]:
            tracing.add_ring(of_run[run], runs.vertices[_follow(following, run, seen)])


def _follow(following: list[int], run: int, seen: bytearray) -> list[int]:
    """Return a run and those after it, until one that has been seen or that ends in another band."""
    path = []
    while run >= 0 and not seen[run]:
        seen[run] = 1
        path.append(run)
        run = following[run]
    return path


def _join(one: _Open, other: _Open) -> _Open:
    """Return two parts of an outline as one."""
    if one.direction == other.head % 4:
        # The outline goes straight on, so that there is no vertex.
        other.pieces[0] = other.pieces[0][1:]
    if len(one.pieces) < len(other.pieces):
        other.pieces.extendleft(reversed(one.pieces))
        pieces = other.pieces
    else:
        one.pieces.extend(other.pieces)
        pieces = one.pieces
    return _Open(one.head, other.tail, other.direction, one.component, pieces)
