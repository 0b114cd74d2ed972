"""Pieces of outlines in one tile: where they enter and leave, and which belong together."""

from __future__ import annotations

import numpy as np

from pipeline.results.tile_outlines import trace

OUTSIDE = -1


def padded(rows: list[list[int]]) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """Return labels with pixels of no class around them."""
    return np.pad(np.array(rows, np.int32), 1, constant_values=OUTSIDE)


def test_a_pixel_has_four_corners() -> None:
    """The outline goes round to the right, in rows and columns of the image."""
    found = trace(padded([[OUTSIDE, 3]]), (10, 20), 100)
    assert found.points.tolist() == [[10, 21], [10, 22], [11, 22], [11, 21]]
    assert (found.ends.tolist(), found.labels.tolist()) == ([4], [3])
    assert len(found.entries) == len(found.exits) == len(found.pairs) == 0
    assert found.leaving.tolist() == [-1]


def test_a_tile_without_classes_has_no_outline() -> None:
    """Nothing is found, and nothing leaves."""
    found = trace(padded([[OUTSIDE] * 2] * 3), (0, 0), 9)
    assert found.points.shape == (0, 2)
    assert len(found.ends) == len(found.labels) == 0
    assert found.leaving.tolist() == [-1, -1, -1]


def test_a_hole_belongs_to_the_outline_on_its_left() -> None:
    """Pixels that meet at a corner of the hole stay apart from one another."""
    found = trace(padded([[1, 1, 1], [1, 2, 1], [1, 1, 1]]), (0, 0), 9)
    assert sorted(found.labels.tolist()) == [1, 1, 2]
    assert len(found.pairs) > 0
    assert (found.labels[found.pairs] == 1).all()
    assert [len(part) for part in np.split(found.points, found.ends[:-1])] == [4, 4, 4]


def test_what_leaves_a_tile_enters_the_next_one() -> None:
    """Exits have the numbers of entries, and the region on the left is known by its row."""
    labels = padded([[5, 5, 5, 5]])
    left, right = trace(labels[:, :4], (0, 0), 5), trace(labels[:, 2:], (0, 2), 5)
    assert set(left.exits.tolist()) == set(right.entries.tolist())
    assert set(right.exits.tolist()) == set(left.entries.tolist())
    assert left.is_straight.all()
    assert right.is_straight.all()
    assert left.leaving.tolist() == [0]
    assert left.pairs.tolist() == []
    # Number 1 is the region that enters row 0: there is one piece, number 0.
    assert right.pairs.tolist() == [[1, 0]]
    assert right.leaving.tolist() == [-1]
