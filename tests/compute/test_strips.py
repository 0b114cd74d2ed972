"""Tests of strips: they cover every pixel once, and results are filled through views."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compute.strips import cut_strips, flat_strip


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
