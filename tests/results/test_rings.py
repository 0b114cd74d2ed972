"""Rings: areas by sides, and rings that touch themselves."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.results.rings import area_of, split_ring

SQUARE = np.array([[0, 0], [0, 2], [2, 2], [2, 0]])


@pytest.mark.parametrize("n_steps", [1, 20])
def test_areas_have_signs(n_steps: int) -> None:
    """A staircase has the area below it, whatever its length, and a hole a negative one."""
    stairs = [corner for step in range(n_steps) for corner in ([step, step], [step, step + 1])]
    ring = np.array([*stairs, [n_steps, n_steps], [n_steps, 0]])
    area = n_steps * (n_steps + 1) // 2
    assert area_of(ring) == area
    assert area_of(ring[::-1]) == -area
    assert area_of(SQUARE) == 4


def test_a_ring_that_touches_itself_is_two() -> None:
    """Two squares that meet at a corner, passed in one go, are a ring each."""
    ring = np.array([[0, 0], [0, 2], [2, 2], [2, 4], [4, 4], [4, 2], [2, 2], [2, 0]])
    rings = split_ring(ring)
    assert sorted(len(one) for one in rings) == [4, 4]
    assert [area_of(one) for one in rings] == [4, 4]
    assert all(len(np.unique(one, axis=0)) == len(one) for one in rings)
    assert split_ring(SQUARE)[0] is SQUARE
