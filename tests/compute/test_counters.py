"""The loops of summaries: NumPy's and the compiled ones give the same numbers, which are the right ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Label, LogDensity, Mixture
from pipeline.compute import counters
from pipeline.compute.counters import LANES, is_worth_compiling, loops_of
from pipeline.models.distribution import dropped_bits, n_bins
from pipeline.models.output import make_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compute.counters import Loops

ONE = Mixture([1], [[0.0]], [[1.0]])
BOTH = [pytest.param(loops_of(compiled=False), id="NumPy"), pytest.param(loops_of(compiled=True), id="Numba")]


@pytest.mark.parametrize("loops", BOTH)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "uint16"])
@pytest.mark.parametrize("n", [0, 1, 6, 200_003])
def test_bins_are_counted(loops: Loops, dtype: str, n: int) -> None:
    """Each number counts in the bin of its leading bits, in arrays shorter and longer than a strip."""
    patterns = np.random.default_rng(n).integers(0, 256, n * np.dtype(dtype).itemsize, np.uint8)
    values = patterns.view(dtype)
    leading = values.view(f"u{values.itemsize}") >> dropped_bits(values.dtype)
    wanted = np.bincount(leading.astype(np.intp), minlength=n_bins(values.dtype))
    np.testing.assert_array_equal(loops.count_bins(values), wanted)


@pytest.mark.parametrize("highest", [1, 3, 8, 254])
def test_labels_are_counted(highest: int) -> None:
    """Few classes and many, with pixels without data, count the same."""
    labels = np.random.default_rng(highest).integers(0, highest, 300_000, np.uint8)
    labels[::7] = 255
    for loops in (loops_of(compiled=False), loops_of(compiled=True)):
        np.testing.assert_array_equal(loops.count_bins(labels), np.bincount(labels, minlength=256))


@given(
    values=st.lists(st.floats(width=32), max_size=40),
    places=st.lists(st.integers(0, 4), min_size=40, max_size=40),
)
def test_sums_are_the_same_to_the_last_bit(values: Sequence[float], places: Sequence[int]) -> None:
    """Both loops add finite values in the same order, and leave the others out."""
    stored, where = np.array(values, np.float32), np.array(places[: len(values)], np.intp)
    found = []
    for loops in (loops_of(compiled=False), loops_of(compiled=True)):
        pixels, counts, totals = np.ones(5, np.int64), np.zeros((LANES, 5), np.int64), np.ones((LANES, 5))
        loops.add_places(where, pixels)
        loops.add_values(where, stored, counts, totals)
        found.append((pixels, counts.sum(axis=0), totals))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    finite = np.isfinite(stored)
    np.testing.assert_array_equal(found[0][0] - 1, np.bincount(where, minlength=5))
    np.testing.assert_array_equal(found[0][1], np.bincount(where[finite], minlength=5))
    for lane in range(LANES):
        here = finite & (np.arange(len(stored)) % LANES == lane)
        for place in range(5):
            total = 0.0
            for value in stored[here & (where == place)]:
                total += float(value)
            assert found[0][2][lane, place] == 1 + total


@pytest.mark.parametrize("loops", BOTH)
def test_halves_are_summed(loops: Loops) -> None:
    """Numbers of 16 bits are summed as those of 32 bits are."""
    values, places = np.array([1.5, 2.5, np.nan], np.float16), np.array([1, 1, 1])
    counts, totals = np.zeros((LANES, 2), np.int64), np.zeros((LANES, 2))
    loops.add_values(places, values, counts, totals)
    assert (counts.sum(), totals.sum()) == (2, 4)


def test_a_compiled_loop_is_worth_it_where_there_is_much_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run gains if it loads Numba anyway, if it is long, or if it sums zones; never without Numba."""
    label, density = make_outputs({"label": Label({"a": ONE, "b": ONE}), "log": LogDensity(ONE)})
    assert is_worth_compiling([density], ["numpy", "numba"], 10, has_zones=False)
    assert not is_worth_compiling([density], ["numpy"], 10, has_zones=True)
    assert not is_worth_compiling([density], ["table"], 3 * 10**8, has_zones=False)
    assert is_worth_compiling([density], ["table"], 3 * 10**8, has_zones=True)
    assert is_worth_compiling([label, density], ["table"], 3 * 10**8, has_zones=False)
    assert is_worth_compiling([density], ["table"], 5 * 10**9, has_zones=False)
    monkeypatch.setattr(counters, "find_spec", lambda _: None)
    assert not is_worth_compiling([density], ["numba"], 2**40, has_zones=True)
