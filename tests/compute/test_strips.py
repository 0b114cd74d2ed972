"""Tests of strips: they cover every pixel once, and results are filled through views."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compute.strips import compute_strips, cut_strips, flat_strip

if TYPE_CHECKING:
    from collections.abc import Iterable


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100), st.integers(1, 3))
def test_strips_cover_every_pixel_once(n_rows: int, width: int, length: int, n_results: int) -> None:
    """No strip has more pixels than allowed, and the views of all strips are the whole array."""
    results = np.zeros((n_results, n_rows, width))
    for strip in cut_strips((n_rows, width, 3), length):
        flat = flat_strip(results, strip)
        assert flat.shape == (n_results, np.zeros((n_rows, width))[strip].size)
        assert 1 <= flat.shape[1] <= length
        assert np.shares_memory(flat, results)
        flat += 1
    assert (results == 1).all()


@pytest.mark.parametrize(("n_rows", "serial"), [(1, False), (40, False), (40, True)])
def test_many_strips_are_shared_by_threads(numexpr_threads: int, n_rows: int, serial: bool) -> None:
    """Every strip is computed once, in the calling thread alone if that is wanted or there are few strips."""
    counts, threads = np.zeros((n_rows, 50), int), set()

    def compute(strips: Iterable[tuple[slice, slice]]) -> list[float]:
        threads.add(threading.get_ident())
        rows = []
        for strip in strips:
            counts[strip] += 1
            rows.append(float(strip[0].stop))
        return [max(rows), 0.5]

    assert compute_strips(compute, (n_rows, 50, 3), 100, serial=serial) == [max(n_rows, 2), 0.5]
    assert (counts == 1).all()
    is_shared = n_rows > 1 and not serial and numexpr_threads > 1
    assert (threads == {threading.get_ident()}) is not is_shared
