"""Tests of counting a region: by label and group, with and without a sample, whatever the regions are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compute import counting as module
from pipeline.compute import histogram
from pipeline.compute.counting import ALL, TRAINING, Counting
from pipeline.compute.histogram import Histogram, merge_histograms
from pipeline.compute.places import groups_of, priorities_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXTENT = (70, 50)
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 4, EXTENT).astype(np.uint8)
VALID = RANDOM.random(EXTENT) < 0.7
IMAGES: dict[str, NDArray[Any]] = {
    "exact": RANDOM.integers(0, 4, (*EXTENT, 3), np.uint8),
    "sample": RANDOM.normal(size=(*EXTENT, 2)).astype(np.float32),
}
IMAGES["sample"][5, 7, 1] = np.nan
WHOLE = slice(0, EXTENT[0]), slice(0, EXTENT[1])


def counting_of(kind: str, n_held: int = 0) -> Counting:
    """Return how an image of a kind is counted."""
    return Counting(EXTENT, None, kind == "exact", 5, n_held)


def count(
    counting: Counting,
    image: NDArray[Any],
    region: tuple[slice, slice],
    labels: NDArray[Any] | None,
    valid: NDArray[np.bool_] | None,
) -> dict[tuple[int, int], Histogram]:
    """Count a region of an image."""
    parts = (None if array is None else array[region] for array in (valid, labels))
    return counting.count(image[region], *parts, region)


def check(
    counting: Counting,
    counted: dict[tuple[int, int], Histogram],
    image: NDArray[Any],
    labels: NDArray[Any] | None,
    valid: NDArray[np.bool_] | None,
) -> None:
    """Compare histograms with pixels that are chosen by masks over the whole image."""
    has_data = np.isfinite(image).all(axis=-1)
    if valid is not None:
        has_data &= valid
    kinds = np.full(EXTENT, ALL) if labels is None else labels.astype(int)
    groups = groups_of(*WHOLE, EXTENT, counting.seed).astype(int)
    groups[groups >= counting.n_held] = TRAINING
    priorities = priorities_of(*WHOLE, EXTENT[1], counting.seed)
    wanted = {}
    for label in np.unique(kinds[kinds != 0]):
        for group in np.unique(groups):
            here = has_data & (kinds == label) & (groups == group)
            if here.any():
                wanted[int(label), int(group)] = here
    assert counted.keys() == wanted.keys()
    for key, here in wanted.items():
        got = counted[key]
        assert got.n_pixels == here.sum()
        if counting.is_exact:
            colors, counts = np.unique(image[here], axis=0, return_counts=True)
            order = np.lexsort(got.colors.T[::-1])
            np.testing.assert_array_equal(got.colors[order], colors)
            np.testing.assert_array_equal(got.counts[order], counts)
        else:
            lowest = np.argsort(priorities[here])[: histogram.SAMPLE]
            np.testing.assert_array_equal(got.colors, image[here][lowest])
            np.testing.assert_array_equal(got.priorities, priorities[here][lowest])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n_held", [0, 7, 20])
@pytest.mark.parametrize("labeled", [False, True])
@pytest.mark.parametrize("kind", IMAGES)
def test_pixels_are_counted_by_label_and_group(kind: str, labeled: bool, n_held: int, masked: bool) -> None:
    """Each histogram holds the pixels with data of its label and group, and none is empty."""
    labels, valid = LABELS if labeled else None, VALID if masked else None
    counting = counting_of(kind, n_held)
    counted = count(counting, IMAGES[kind], WHOLE, labels, valid)
    check(counting, counted, IMAGES[kind], labels, valid)


@given(st.data(), st.sampled_from(list(IMAGES)), st.sampled_from([0, 7]), st.booleans())
def test_regions_don_t_matter(data: Any, kind: str, n_held: int, labeled: bool) -> None:
    """The regions of any grid together have the histograms of the whole, samples of any size too."""
    edges = [
        sorted({0, length, *data.draw(st.lists(st.integers(1, length - 1), max_size=3))}) for length in EXTENT
    ]
    regions = [
        (slice(top, bottom), slice(left, right))
        for top, bottom in pairwise(edges[0])
        for left, right in pairwise(edges[1])
    ]
    labels = LABELS if labeled else None
    counting = counting_of(kind, n_held)
    with pytest.MonkeyPatch.context() as patch:
        for one in (module, histogram):
            patch.setattr(one, "SAMPLE", 100)
        parts: dict[tuple[int, int], list[Histogram]] = {}
        for region in data.draw(st.permutations(regions)):
            for key, part in count(counting, IMAGES[kind], region, labels, VALID).items():
                parts.setdefault(key, []).append(part)
        merged = {key: merge_histograms(several) for key, several in parts.items()}
        check(counting, merged, IMAGES[kind], labels, VALID)


def test_a_mask_may_hide_most_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few pixels have data, the sample may be smaller, but it has the lowest priorities of those."""
    for one in (module, histogram):
        monkeypatch.setattr(one, "SAMPLE", 20)
    valid = np.zeros(EXTENT, bool)
    valid[:, ::10] = True
    (sample,) = count(counting_of("sample"), IMAGES["sample"], WHOLE, None, valid).values()
    priorities = np.sort(priorities_of(*WHOLE, EXTENT[1], 5)[valid])
    assert sample.n_pixels == valid.sum() == 350
    limit = 8 * 20 / (70 * 50) * 2**64
    wanted = priorities[priorities <= limit][:20]
    assert 0 < len(wanted) < 20
    np.testing.assert_array_equal(sample.priorities, wanted)


@pytest.mark.parametrize("kind", IMAGES)
def test_nothing_to_count(kind: str) -> None:
    """Without data or without labels there is no histogram."""
    nowhere = np.zeros(EXTENT, bool)
    assert not count(counting_of(kind), IMAGES[kind], WHOLE, None, nowhere)
    assert not count(counting_of(kind, 3), IMAGES[kind], WHOLE, LABELS, nowhere)
    assert not count(counting_of(kind), IMAGES[kind], WHOLE, np.zeros(EXTENT, np.uint8), None)


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "int64"])
def test_labels_of_any_integers(dtype: str) -> None:
    """Labels are the numbers of their images, as ints."""
    top = 1 if dtype == "bool" else np.iinfo(dtype).max
    labels = (LABELS > 1).astype(dtype) * np.array(top, dtype)
    counted = count(counting_of("exact"), IMAGES["exact"], WHOLE, labels, None)
    ((label, group),) = counted
    assert (label, group) == (top, TRAINING)
    assert type(label) is int
