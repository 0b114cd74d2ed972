"""The compiled loops count leading bits, and sum values, as NumPy does."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.compute.fused_counts import count_bins, sum_values


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("kept", [8, 3])
def test_leading_bits_are_counted(dtype: str, kept: int) -> None:
    """Patterns are added to the counters of their leading bits, the highest bit among them."""
    info = np.iinfo(dtype)
    patterns = np.random.default_rng(0).integers(0, info.max, 5000, dtype, endpoint=True)
    patterns[:2] = 0, info.max
    counters = np.ones(2**kept, np.int64)
    count_bins(patterns, info.bits - kept, counters)
    wanted = np.bincount((patterns // dtype_power(dtype, info.bits - kept)).astype(int), minlength=2**kept)
    np.testing.assert_array_equal(counters, wanted + 1)


def dtype_power(dtype: str, exponent: int) -> np.unsignedinteger:
    """Return a power of two of a dtype."""
    power: np.unsignedinteger = np.dtype(dtype).type(2**exponent)
    return power


def test_nothing_is_counted_of_nothing() -> None:
    """No pattern changes no counter."""
    counters = np.zeros(256, np.int64)
    count_bins(np.zeros(0, np.uint8), 0, counters)
    assert not counters.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_summed_by_their_places(dtype: str) -> None:
    """Finite values are added to the row of their turn, and counted there."""
    values = np.random.default_rng(0).normal(size=1003).astype(dtype)
    values[5:9] = np.nan, np.inf, -np.inf, 1
    places = np.random.default_rng(1).integers(0, 3, 1003)
    counts, totals = np.zeros((4, 3), np.int64), np.zeros((4, 3))
    sum_values(places, values, counts, totals)
    turns, finite = np.arange(1003) % 4, np.isfinite(values)
    for turn in range(4):
        for place in range(3):
            here = finite & (turns == turn) & (places == place)
            assert counts[turn, place] == here.sum()
            assert totals[turn, place] == pytest.approx(values[here].astype(np.float64).sum(), rel=1e-12)
