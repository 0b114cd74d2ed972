"""Summaries of blocks: the same sums by any counter, in any order, and those that NumPy finds."""

from __future__ import annotations

import math
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture
from summaries import check_mean, check_summary

from pipeline.compute import summarizing
from pipeline.compute.summarizing import Totals, check_zones, summarize_block
from pipeline.models.class_quantities import Entropy, Label, Posterior
from pipeline.models.encoding import Plain
from pipeline.models.mixture_quantities import Density, LogDensity, LogRatio
from pipeline.models.output import Output, make_outputs
from pipeline.models.packed import Packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.models.summary import Summary

ONE, OTHER = random_mixture(1, 3), random_mixture(2, 3)
CLASSES = {"a": ONE, "b": OTHER, "c": ONE}
# Floats of all sizes, both packings, a posterior of several classes, and two labels.
OUTPUTS = (
    *make_outputs(
        {
            "log": LogDensity(ONE),
            "label": Label(CLASSES),
            "chances": Posterior(CLASSES),
            "byte": Packed(Entropy(CLASSES), "uint8"),
            "half": Packed(LogRatio(ONE, OTHER), "float16"),
            "density": Packed(Density(ONE), "uint16", 1e-9, 1.0, "log"),
        }
    ),
    Output("double", LogDensity(OTHER), Plain(np.dtype("float64"))),
    Output("wide", Label({**CLASSES, "d": OTHER}), Plain(np.dtype("uint16"))),
)


def stored_numbers(shape: tuple[int, int], seed: int = 0, outputs: Sequence[Output] = OUTPUTS) -> list[Any]:
    """Draw stored numbers of outputs, a few of which are no data or infinite."""
    random = np.random.default_rng(seed)
    results = []
    for output in outputs:
        size = (output.n_results, *shape)
        if output.label_names is not None:
            stored = random.integers(0, len(output.label_names), size).astype(output.dtype)
        elif output.dtype.kind == "u":
            stored = random.integers(0, np.iinfo(output.dtype).max, size).astype(output.dtype)
        elif output.quantity.value_range is not None:
            stored = random.random(size).astype(output.dtype)
        else:
            stored = random.normal(-3, 5, size).astype(output.dtype)
            stored[random.random(size) < 0.02] = np.inf
            stored[random.random(size) < 0.02] = -np.inf
        stored[random.random(size) < 0.1] = output.no_data
        results.append(stored)
    return results


def total(blocks: Iterable[Any], n_pixels: int, names: dict[int, str] | None = None) -> Summary:
    """Add up the summaries of blocks."""
    totals = Totals(OUTPUTS, names)
    for block in blocks:
        totals.add(block)
    return totals.result(n_pixels, None)


def zones_of(shape: tuple[int, int], dtype: str = "uint8", seed: int = 9) -> NDArray[Any]:
    """Draw zones with gaps in their numbers."""
    numbers = np.array([0, 1, 4, 5, 11] if dtype != "bool" else [0, 1])
    return np.random.default_rng(seed).choice(numbers, shape).astype(dtype)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", [None, "bool", "uint8", "int16", "uint32", "int64", "uint64"])
def test_a_block_has_the_sums_of_its_pixels(dtype: str | None, *, compiled: bool) -> None:
    """Counts, means and classes are those of NumPy, for zones of any dtype, by either counter."""
    shape = (37, 41)
    results = stored_numbers(shape)
    zones = None if dtype is None else zones_of(shape, dtype)
    block = summarize_block(OUTPUTS, results, zones, compiled=compiled)
    check_summary(total([block], 37 * 41), OUTPUTS, results, zones)


def test_strips_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of many strips, whose zones lie in an array with other strides, has the same sums."""
    shape = (37, 41)
    results = stored_numbers(shape)
    zones = np.dstack([zones_of(shape, "uint32")] * 2)[..., 1]
    whole = summarize_block(OUTPUTS, results, zones, compiled=False)
    monkeypatch.setattr(summarizing, "_STRIP", 100)
    parts = summarize_block(OUTPUTS, results, zones, compiled=False)
    check_summary(total([parts], 37 * 41), OUTPUTS, results, zones)
    assert total([parts], 37 * 41).distributions == total([whole], 37 * 41).distributions


def test_high_numbers_of_zones_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zones that are numbered by millions, as cells are, are found by what occurs; 255 is a zone too."""
    shape = (37, 41)
    results = stored_numbers(shape)
    for highest in (2**31, 2**63 + 5):
        numbers = np.array([0, 3, 2**20, highest], np.uint64)
        zones = np.random.default_rng(2).choice(numbers, shape)
        for strip in (summarizing._STRIP, 100):
            monkeypatch.setattr(summarizing, "_STRIP", strip)
            found = total([summarize_block(OUTPUTS, results, zones, compiled=False)], 37 * 41)
            check_summary(found, OUTPUTS, results, zones)
    without = np.full(shape, 2**40)
    found = total([summarize_block(OUTPUTS, results, without, compiled=False)], 37 * 41)
    check_summary(found, OUTPUTS, results, without)
    byte = np.where(zones_of(shape) == 4, 255, 0).astype(np.uint8)
    check_summary(
        total([summarize_block(OUTPUTS, results, byte, compiled=False)], 37 * 41), OUTPUTS, results, byte
    )


def test_very_many_zones() -> None:
    """A block with a hundred thousand zones has the pixels and the mean of each."""
    zones = np.random.default_rng(0).permutation(400 * 500).reshape(400, 500) // 2 + 7_000_000
    outputs = OUTPUTS[:2]
    results = stored_numbers((400, 500), outputs=outputs)
    totals = Totals(outputs)
    totals.add(summarize_block(outputs, results, zones, compiled=False))
    summary = totals.result(200_000, None)
    assert len(summary.zones) == 100_000
    assert {zone.pixels for zone in summary.zones} == {2}
    for zone in summary.zones[::9973]:
        here = zones == int(zone.name)
        check_mean(zone.means["log"], results[0][0][here].astype(np.float64))
        assert list(zone.classes["label"].values()) == [
            int((results[1][0][here] == n).sum()) for n in range(3)
        ]


def test_negative_zones_are_refused() -> None:
    """A zone below 0 is an error that says so."""
    zones = zones_of((5, 6), "int16")
    zones[2, 3] = -7
    with pytest.raises(ValueError, match="the zones hold -7; wanted positive integers, and 0 for"):
        summarize_block(OUTPUTS, stored_numbers((5, 6)), zones, compiled=False)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_compiled_and_plain_counters_agree(output: Output) -> None:
    """Every pattern of bits gets the same bin, whether the loop is compiled or not."""
    raw = np.random.default_rng(5).integers(
        0, 256, (output.n_results, 30, 31 * output.dtype.itemsize), np.uint8
    )
    stored = raw.view(output.dtype)
    one, other = (summarize_block((output,), [stored], None, compiled=way) for way in (True, False))
    assert one.bins.keys() == other.bins.keys()
    assert one.zones == other.zones == {}
    for name, (bins, counts) in one.bins.items():
        np.testing.assert_array_equal(bins, other.bins[name][0])
        np.testing.assert_array_equal(counts, other.bins[name][1])
        assert counts.sum() == 30 * 31
        assert counts.dtype == np.int64


CUTS = st.lists(st.integers(1, 23), max_size=4, unique=True).map(sorted)


@settings(max_examples=10)
@given(CUTS, CUTS, st.randoms(use_true_random=False), st.booleans())
def test_any_division_and_order_give_the_same_summary(
    rows: list[int], columns: list[int], random: Any, compiled: bool
) -> None:
    """However an image is divided, counts are the same, and means but for rounding; in any order."""
    shape = (24, 24)
    results, zones = stored_numbers(shape, seed=3), zones_of(shape)
    blocks = []
    for top, bottom in zip([0, *rows], [*rows, 24], strict=True):
        for left, right in zip([0, *columns], [*columns, 24], strict=True):
            part = (slice(top, bottom), slice(left, right))
            pieces = [result[:, *part] for result in results]
            blocks.append(summarize_block(OUTPUTS, pieces, zones[part], compiled=compiled))
    summary = total(blocks, 24 * 24)
    check_summary(summary, OUTPUTS, results, zones)
    shuffled = random.sample(blocks, len(blocks))
    assert total(shuffled, 24 * 24) == summary
    assert total([pickle.loads(pickle.dumps(block)) for block in blocks], 24 * 24) == summary  # noqa: S301  made here
    whole = total([summarize_block(OUTPUTS, results, zones, compiled=compiled)], 24 * 24)
    assert whole.distributions == summary.distributions


def test_sums_are_exact() -> None:
    """A sum doesn't lose what is small beside what is large, in whatever order blocks are added."""
    outputs, sums = OUTPUTS[-2:-1], [1e16, 1.0, -1e16, 1.0]
    blocks = [
        summarize_block(outputs, [np.full((1, 1, 1), value)], np.ones((1, 1), int), compiled=False)
        for value in sums
    ]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 1, 3, 0]):
        totals = Totals(outputs)
        for number in order:
            totals.add(blocks[number])
        assert totals.result(4, None).zones[0].means == {"double": 0.5}


def test_pixels_that_were_not_added_have_no_data() -> None:
    """Blocks that are missing count as pixels without data; without any block there is a summary too."""
    results = stored_numbers((10, 10))
    block = summarize_block(OUTPUTS, results, None, compiled=False)
    alone, among = total([block], 100), total([block], 250)
    for name, one in alone.distributions.items():
        assert among.distributions[name].n_missing == one.n_missing + 150
        assert among.distributions[name].n_pixels == one.n_pixels
    assert among.classes == alone.classes
    for n_pixels in (0, 5):
        none = total([], n_pixels)
        assert {one.n_missing for one in none.distributions.values()} == {n_pixels}
        assert [zone.pixels for zone in none.classes["wide"]] == [0] * 4
        assert none.zones == ()


def test_pixels_without_data_are_in_zones_and_not_in_means() -> None:
    """A zone without data has its pixels, no mean and no class."""
    results = [np.full((output.n_results, 4, 5), output.no_data, output.dtype) for output in OUTPUTS]
    with warnings.catch_warnings(action="error"):
        block = summarize_block(OUTPUTS, results, np.ones((4, 5), np.uint8), compiled=False)
        summary = total([block], 20)
    check_summary(summary, OUTPUTS, results, np.ones((4, 5), np.uint8))
    (zone,) = summary.zones
    assert zone.pixels == 20
    assert all(math.isnan(mean) for mean in zone.means.values())
    assert set(zone.classes["label"].values()) == {0}


def test_named_zones_without_pixels_are_there() -> None:
    """Each zone with a name is in the summary, in the order of the numbers, even if no block has it."""
    zones = np.zeros((6, 7), np.uint8)
    zones[:2] = 3
    block = summarize_block(OUTPUTS, stored_numbers((6, 7)), zones, compiled=False)
    summary = total([block], 42, {1: "first", 2: "second", 3: "third"})
    assert [(zone.name, zone.pixels) for zone in summary.zones] == [
        ("first", 0),
        ("second", 0),
        ("third", 14),
    ]
    assert summary.zones[0].means.keys() == summary.zones[2].means.keys()
    assert summary.zones[0].classes["label"] == {"a": 0, "b": 0, "c": 0}


@pytest.mark.parametrize("n_classes", [254, 255, 300])
def test_many_classes(n_classes: int) -> None:
    """The highest label below the mark of no data is a class like any other."""
    classes = {f"c{n}": ONE for n in range(n_classes)}
    outputs = make_outputs({"label": Label(classes), "log": LogDensity(ONE)})
    labels = np.arange(n_classes).repeat(3).reshape(1, 3, -1).astype(outputs[0].dtype)
    labels[0, 0, :2] = np.iinfo(labels.dtype).max
    values = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    totals = Totals(outputs)
    totals.add(summarize_block(outputs, [labels, values], None, compiled=False))
    summary = totals.result(labels.size, None)
    assert [zone.pixels for zone in summary.classes["label"]] == [1, *[3] * (n_classes - 1)]
    assert summary.distributions["label"].n_missing == 2
    for number in (0, 1, n_classes - 1):
        check_mean(summary.classes["label"][number].means["log"], values[labels == number].astype(np.float64))


def test_too_many_zones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zones whose summary wouldn't fit a record are refused by their names, or as soon as they are found."""
    outputs = make_outputs({"label": Label({"a": ONE, "b": ONE}), "log": LogDensity(ONE)})
    check_zones(outputs, 166_666)
    with pytest.raises(ValueError, match=r"166667 zones with 3 numbers each is too large .* at most 500000"):
        check_zones(outputs, 166_667)
    monkeypatch.setattr(summarizing, "_MOST_NUMBERS", 6)
    zones = np.array([[1, 2, 0], [7, 7, 2]])
    results = [np.zeros((1, 2, 3), output.dtype) for output in outputs]
    totals = Totals(outputs)
    totals.add(summarize_block(outputs, results, np.minimum(zones, 2), compiled=False))
    with pytest.raises(ValueError, match="3 zones with 3 numbers each"):
        totals.add(summarize_block(outputs, results, zones, compiled=False))
