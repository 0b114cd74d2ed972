"""Tests of histograms, against np.unique and sorted priorities."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compute import histogram as module
from pipeline.compute.histogram import (
    Histogram,
    count_colors_of,
    counting_bytes,
    is_countable,
    merge_histograms,
    merging_bytes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTABLE = [("uint8", 1), ("uint8", 2), ("uint8", 3), ("uint16", 1), (">u2", 1)]


def draw(dtype: str, n_channels: int, n: int, seed: int = 0) -> NDArray[Any]:
    """Draw pixels of which many are equal, with the lowest and the highest number among them."""
    random = np.random.default_rng(seed)
    top = np.iinfo(np.dtype(dtype)).max
    pixels = random.integers(0, 6, (n, n_channels)) * (top // 5)
    return pixels.astype(dtype)


def in_order(histogram: Histogram) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return colors and counts in the order of np.unique."""
    order = np.lexsort(histogram.colors.T[::-1])
    return histogram.colors[order], histogram.counts[order]


def check_same(one: Histogram, other: Histogram) -> None:
    """Compare everything that two histograms hold."""
    for name in ("colors", "counts", "priorities"):
        first, second = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(first, second, err_msg=name)
        assert getattr(first, "dtype", None) == getattr(second, "dtype", None)
    assert (one.n_pixels, one.channels) == (other.n_pixels, other.channels)


@pytest.mark.parametrize("way", ["sorted", "counters"])
@pytest.mark.parametrize(("dtype", "n_channels"), COUNTABLE)
@pytest.mark.parametrize("n", [0, 1, 7000, 2**16 + 5])
def test_counts_are_those_of_unique(
    monkeypatch: pytest.MonkeyPatch, dtype: str, n_channels: int, n: int, way: str
) -> None:
    """Colors and counts are NumPy's, whichever way they are counted, and across strips."""
    monkeypatch.setattr(module, "_MANY", 2**60 if way == "sorted" else 0)
    pixels = draw(dtype, n_channels, n)
    histogram = count_colors_of(pixels, None, tuple("abc"[:n_channels]))
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    got = in_order(histogram)
    np.testing.assert_array_equal(got[0], colors)
    np.testing.assert_array_equal(got[1], counts)
    assert got[0].shape == colors.shape
    assert got[0].dtype == np.dtype(dtype).newbyteorder("=")
    assert got[1].dtype == np.int64
    assert (histogram.n_pixels, histogram.n_colors) == (n, len(colors))
    assert histogram.is_exact
    assert histogram.priorities is None
    assert histogram.channels == tuple("abc"[:n_channels])
    assert histogram.distinct[0] is histogram.colors
    assert histogram.distinct[1] is histogram.counts


def test_both_ways_of_counting_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting and counters give the same arrays in the same order."""
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 3), np.uint8)
    ways = []
    for many in (0, 2**60):
        monkeypatch.setattr(module, "_MANY", many)
        ways.append(count_colors_of(pixels, None))
    check_same(*ways)


def test_pixels_need_not_be_contiguous() -> None:
    """A view of every other channel and row is counted like its copy."""
    pixels = draw("uint8", 6, 3000)[::2, ::2]
    check_same(count_colors_of(pixels, None), count_colors_of(pixels.copy(), None))


def test_few_colors_are_countable() -> None:
    """Unsigned pixels of at most 24 bits are counted exactly, and others aren't."""
    assert all(is_countable(np.dtype(dtype), n) for dtype, n in COUNTABLE)
    others = [("uint8", 4), ("uint16", 2), ("int8", 1), ("float32", 1), ("uint32", 1), ("bool", 1)]
    assert not any(is_countable(np.dtype(dtype), n) for dtype, n in others)


@given(st.data(), st.sampled_from(COUNTABLE), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_merged_parts_are_the_whole(data: Any, kind: tuple[str, int], sizes: list[int]) -> None:
    """Histograms of parts have the whole's sum, in any order and in any grouping."""
    pixels = draw(*kind, sum(sizes), seed=data.draw(st.integers(0, 1000)))
    whole = count_colors_of(pixels, None)
    parts = [count_colors_of(part, None) for part in np.split(pixels, np.cumsum(sizes)[:-1])]
    parts = data.draw(st.permutations(parts))
    check_same(merge_histograms(parts), whole)
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    check_same(total, whole)


def test_both_ways_of_merging_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting and counters merge to the same arrays, of any numbers of channels and bits."""
    for kind in COUNTABLE:
        whole = count_colors_of(draw(*kind, 900), None)
        parts = [count_colors_of(part, None) for part in np.split(draw(*kind, 900), [100, 100, 600])]
        for many in (0, 2**60):
            monkeypatch.setattr(module, "_MANY", many)
            check_same(merge_histograms(parts), whole)


@pytest.mark.parametrize("kind", [("uint8", 3), ("uint8", 1), ("uint16", 1), ("float32", 3), ("uint8", 4)])
@pytest.mark.parametrize("n", [300_000, 3_000_000])
def test_the_memory_of_counting_and_merging(kind: tuple[str, int], n: int) -> None:
    """Noise, which has the most colors, takes no more memory than is projected."""
    dtype, n_channels = np.dtype(kind[0]), kind[1]
    random = np.random.default_rng(0)
    pixels = np.frombuffer(random.bytes(n * n_channels * dtype.itemsize), dtype).reshape(n, n_channels)
    if dtype.kind == "f":
        pixels = np.abs(np.nan_to_num(pixels))
    priorities = None if is_countable(dtype, n_channels) else random.integers(0, 2**63, n).astype(np.uint64)
    parts = []
    for one in range(2):
        tracemalloc.start()
        parts.append(count_colors_of(pixels if one == 0 else pixels[::-1].copy(), priorities))
        peak = tracemalloc.get_traced_memory()[1] - one * pixels.nbytes
        tracemalloc.stop()
        assert peak <= counting_bytes(dtype, n_channels, n) * 1.05 + 2**20
    tracemalloc.start()
    merge_histograms(parts)
    peak = tracemalloc.get_traced_memory()[1] + sum(
        part.colors.nbytes + part.counts.nbytes + (0 if part.priorities is None else part.priorities.nbytes)
        for part in parts
    )
    tracemalloc.stop()
    assert peak <= merging_bytes(dtype, n_channels, 2 * n) * 1.05 + 2**20


@given(st.data(), st.lists(st.integers(0, 40), min_size=1, max_size=6), st.sampled_from(["<f4", "<u2"]))
def test_a_sample_has_the_lowest_priorities(data: Any, sizes: list[int], dtype: str) -> None:
    """A sample has the pixels of the lowest priorities, whatever the parts and their order are."""
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    n = sum(sizes)
    pixels = random.integers(0, 50, (n, 2)).astype(dtype)
    priorities = random.permutation(n).astype(np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SAMPLE", 30)
        whole = count_colors_of(pixels, priorities)
        edges = np.cumsum(sizes)[:-1]
        pairs = zip(np.split(pixels, edges), np.split(priorities, edges), strict=True)
        parts = data.draw(st.permutations([count_colors_of(*pair) for pair in pairs]))
        check_same(merge_histograms(parts), whole)
    lowest = np.argsort(priorities)[:30]
    np.testing.assert_array_equal(whole.colors, pixels[lowest])
    np.testing.assert_array_equal(whole.priorities, np.arange(min(n, 30)))
    np.testing.assert_array_equal(whole.counts, 1)
    assert whole.n_pixels == n
    assert whole.is_exact == (n <= 30)


def test_the_limit_of_a_sample() -> None:
    """A sample has 2^20 pixels, and a smaller image is in it as a whole."""
    priorities = np.random.default_rng(0).permutation(2**20 + 3).astype(np.uint64)
    pixels = priorities[:, np.newaxis].astype(np.float32)
    sample = count_colors_of(pixels, priorities)
    assert sample.n_colors == 2**20
    assert sample.n_pixels == 2**20 + 3
    assert not sample.is_exact
    np.testing.assert_array_equal(sample.priorities, np.arange(2**20))
    assert count_colors_of(pixels[: 2**20], priorities[: 2**20]).is_exact


def test_only_finite_pixels_are_counted() -> None:
    """A pixel with NaN or infinity in any channel isn't in the sample, and isn't counted."""
    pixels = np.ones((6, 2))
    pixels[1, 0], pixels[3, 1], pixels[4, 0] = np.nan, np.inf, -np.inf
    sample = count_colors_of(pixels, np.arange(6, dtype=np.uint64)[::-1].copy())
    assert (sample.n_pixels, sample.n_colors, sample.is_exact) == (3, 3, True)
    np.testing.assert_array_equal(sample.priorities, [0, 3, 5])


@given(st.integers(0, 1000), st.integers(1, 4))
def test_the_different_colors_of_a_sample(seed: int, n_channels: int) -> None:
    """Equal pixels of a sample are taken together, as np.unique takes them."""
    random = np.random.default_rng(seed)
    pixels = random.integers(-2, 2, (60, n_channels)) / 3
    sample = count_colors_of(pixels, random.permutation(60).astype(np.uint64))
    colors, counts = sample.distinct
    order = np.lexsort(colors.T[::-1])
    wanted = np.unique(pixels, axis=0, return_counts=True)
    np.testing.assert_array_equal(colors[order], wanted[0])
    np.testing.assert_array_equal(counts[order], wanted[1])
    assert counts.dtype == np.int64


def test_pickling() -> None:
    """Histograms travel between processes, exact ones and samples."""
    pixels = draw("uint8", 3, 100)
    for priorities in (None, np.arange(100, dtype=np.uint64)):
        histogram = count_colors_of(pixels, priorities, ("red", "green", "blue"))
        check_same(pickle.loads(pickle.dumps(histogram)), histogram)  # noqa: S301  made here


def test_a_sample_among_more_pixels() -> None:
    """Only the number of pixels changes, and with it whether all are counted."""
    sample = count_colors_of(np.ones((3, 1)), np.arange(3, dtype=np.uint64))
    more = sample.among(10)
    assert (more.n_pixels, more.is_exact, more.n_colors) == (10, False, 3)
    assert more.priorities is sample.priorities


@pytest.mark.parametrize(
    "other",
    [
        count_colors_of(draw("uint8", 2, 9), None, ("red", "green")),
        count_colors_of(draw("uint16", 1, 9), None, ("red",)),
        count_colors_of(draw("uint8", 1, 9), None, ("gray",)),
        count_colors_of(draw("uint8", 1, 9), None),
        count_colors_of(draw("uint8", 1, 9), np.arange(9, dtype=np.uint64), ("red",)),
    ],
    ids=["channels", "dtype", "names", "no names", "sample"],
)
def test_histograms_of_other_pixels_are_refused(other: Histogram) -> None:
    """Pixels of other kinds can't be summed, and the message shows both kinds."""
    one = count_colors_of(draw("uint8", 1, 9), None, ("red",))
    with pytest.raises(ValueError, match=r"different kinds of pixels: <Histogram.*<Histogram"):
        one.plus(other)


def test_what_it_shows() -> None:
    """The text says how many colors and pixels there are, and of which kind."""
    histogram = count_colors_of(np.array([[1, 2], [1, 2], [3, 4]], np.uint8), None, ("red", "green"))
    assert repr(histogram) == "<Histogram: 2 colors of 3 pixels, uint8, red, green>"
    sample = count_colors_of(np.ones((3, 4)), np.arange(3, dtype=np.uint64)).among(10)
    assert repr(sample) == "<Histogram: 3 pixels as a sample of 10 pixels, float64, 4 channels>"
