"""Distributions: their counts are those of the stored numbers, counted by another route."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from references import random_mixture
from summaries import TINY, check_distribution

from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.distribution import Distribution, dropped_bits, n_bins
from pipeline.models.encoding import Plain
from pipeline.models.mixture_quantities import Density, LogDensity
from pipeline.models.output import Output, make_outputs
from pipeline.models.packed import Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIXTURE = random_mixture(2, 3)
# The leading bits of each dtype.
BITS = {"float16": 16, "float32": 14, "float64": 17, "uint8": 8, "uint16": 16}
FLOATS = tuple(TINY)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 1.5, 2.0, np.inf, -np.inf, np.nan, -np.nan, 65504.0, -65504.0, 6e-8, -6e-8)


def output_of(dtype: str) -> Output:
    """Make an output of a quantity without bounds."""
    return Output("x", LogDensity(MIXTURE), Plain(np.dtype(dtype)))


def distribution(values: NDArray[Any], output: Output | None = None) -> Distribution:
    """Count the stored numbers of an output by their leading bits."""
    size = 8 * values.dtype.itemsize
    patterns = values.reshape(-1).view(f"u{values.dtype.itemsize}") >> (size - BITS[str(values.dtype)])
    bins, counts = np.unique(patterns, return_counts=True)
    output = output_of(str(values.dtype)) if output is None else output
    return Distribution.from_bins(bins.astype(np.int64), counts, output, values.size)


def numbers(dtype: str, n: int = 4000, seed: int = 0) -> NDArray[Any]:
    """Draw numbers of both signs and of all sizes, with what is special among floats."""
    random = np.random.default_rng(seed)
    info = np.finfo(dtype)
    exponents = random.uniform(np.log(float(info.smallest_subnormal)), np.log(float(info.max)), n)
    values = (np.exp(exponents) * random.choice([-1.0, 1.0], n)).astype(dtype)
    # Infinities and NaN, the ends of what is finite, denormals, and edges of bins beside their neighbors.
    edges = np.array([1, 1.5, 2, -1, -1.5], dtype)
    ends = np.array([info.max, -info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal])
    near = [np.nextafter(edges, np.dtype(dtype).type(end)) for end in (np.inf, -np.inf)]
    special = np.array(SPECIAL)
    special = special[~np.isfinite(special) | (np.abs(special) <= float(info.max))]
    parts = [values, random.choice(special, n).astype(dtype), np.repeat(ends, 3), edges, *near]
    return np.concatenate([part.astype(dtype) for part in parts])


@pytest.mark.parametrize("dtype", FLOATS)
def test_counts_are_those_between_the_edges(dtype: str) -> None:
    """Each bin counts the values between its edges, and no value is in two bins or in none."""
    values = numbers(dtype)
    found = distribution(values)
    assert found.n_missing == np.isnan(values).sum() > 0
    assert (found.counts > 0).all()
    check_distribution(found, values, None)
    assert (np.diff(found.lower) >= 0).all()
    assert (found.lower[1:] >= found.upper[:-1]).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_counts_are_those_of_a_histogram(dtype: str) -> None:
    """NumPy's histogram of positive values with the bins' own edges has the same counts, and gaps of 0."""
    values = np.exp(np.random.default_rng(1).normal(0, 2, 5000)).astype(dtype)
    found = distribution(values)
    if dtype == "float16":
        wanted = np.unique(values, return_counts=True)
        np.testing.assert_array_equal(found.lower, wanted[0].astype(np.float64))
        np.testing.assert_array_equal(found.upper, found.lower)
        np.testing.assert_array_equal(found.counts, wanted[1])
        return
    edges = np.unique([found.lower, found.upper])
    counts, _ = np.histogram(values.astype(np.float64), edges)
    np.testing.assert_array_equal(counts[np.searchsorted(edges, found.lower)], found.counts)
    assert counts.sum() == found.counts.sum() == 5000
    widths = found.upper - found.lower
    assert (widths <= found.lower / 32).all()
    assert (widths > found.lower / 65).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_labels_are_counted_one_by_one(dtype: str) -> None:
    """Each label is a bin of its own, and the highest integer is no data."""
    label = Label({"a": MIXTURE, "b": MIXTURE})
    labels = np.random.default_rng(0).integers(0, 9, 1000).astype(dtype)
    labels[:7] = np.iinfo(dtype).max
    labels[7] = np.iinfo(dtype).max - 1
    found = distribution(labels, make_outputs(label, dtype)[0])
    wanted, counts = np.unique(labels, return_counts=True)
    assert found.lower.tolist() == found.upper.tolist() == wanted[:-1].tolist()
    assert found.counts.tolist() == counts[:-1].tolist()
    assert (found.n_missing, found.n_pixels) == (7, 993)


@pytest.mark.parametrize(
    "packed",
    [
        Packed(LogDensity(MIXTURE), "uint8", -5.0, 5.0),
        Packed(LogDensity(MIXTURE), "uint16", -300.0, -1.0),
        Packed(Density(MIXTURE), "uint8", 1e-9, 1.0, "log"),
        Packed(Density(MIXTURE), "uint16", 1e-9, 1.0, "log"),
        Packed(Density(MIXTURE), "float16"),
    ],
    ids=["linear byte", "linear", "log byte", "log", "half"],
)
def test_packed_results_are_counted_as_the_values_they_stand_for(packed: Packed) -> None:
    """The bins are the decoded values, whose counts are those that NumPy finds."""
    random = np.random.default_rng(0)
    (output,) = make_outputs(packed)
    values = np.exp(random.normal(-9, 5, 3000)) if packed.scale == "log" else random.normal(-2, 4, 3000)
    values[:11] = np.nan
    stored = np.empty(3000, output.dtype)
    packed.encoding.encode(values, stored)
    found = distribution(stored, output)
    decoded = packed.encoding.decode(stored).astype(np.float64)
    wanted, counts = np.unique(decoded[~np.isnan(decoded)], return_counts=True)
    np.testing.assert_array_equal(found.lower, wanted)
    np.testing.assert_array_equal(found.upper, wanted)
    np.testing.assert_array_equal(found.counts, counts)
    assert found.n_missing == 11
    for share in (0.0, 0.1, 0.5, 1.0):
        assert found.quantile(share) == np.nanquantile(decoded, share, method="inverted_cdf")


def test_small_halves_are_told_apart() -> None:
    """Densities are so small that halves of them are denormals, each of which has a bin of its own."""
    values = np.array([0, 1, 2, 3, 15, 16, 17], np.uint16).view(np.float16)
    found = distribution(values)
    np.testing.assert_array_equal(found.lower, np.array([0, 1, 2, 3, 15, 16, 17]) * 2.0**-24)
    assert found.count_above(0) == 6
    assert found.count_above(float(values[2])) == 4


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_are_neither_above_nor_below_0(dtype: str) -> None:
    """Zeros of both signs have bins that hold 0 alone, so that a count above 0 leaves them out."""
    values = np.array([0, 0, 0, -0.0, -1, 1e-6, 2], dtype)
    found = distribution(values)
    assert found.count_above(0) == 2
    assert found.count_above(-0.0) == 2
    assert found.count_above(-1e-9) == 6
    assert found.quantile(0.5) == 0
    assert not np.signbit(found.lower[found.lower == 0]).any()
    assert repr(found).startswith("<Distribution: 7 pixels from -1")


def test_results_at_their_bounds() -> None:
    """A posterior of 1 isn't in a bin that goes on beyond 1, so that no quantile is beyond 1."""
    (output,) = make_outputs(Posterior({"a": MIXTURE, "b": MIXTURE}, only="a"))
    values = np.array([1, 1, 1, 1, 0.99, 0.25, 0, 0], np.float32)
    found = distribution(values, output)
    assert [found.quantile(share) for share in (0.0, 0.2, 0.6, 1.0)] == [0, 0, 1, 1]
    assert [found.count_above(threshold) for threshold in (0, 0.25, 0.5, 1)] == [6, 6, 5, 0]
    assert found.upper.max() == 1
    assert found != distribution(values)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_numbers(dtype: str, sign: int) -> None:
    """The outermost finite bin ends with the largest number, and counts above what is far below it."""
    largest = sign * float(np.finfo(dtype).max)
    found = distribution(np.array([largest, largest, sign], dtype))
    assert max(abs(found.lower).max(), abs(found.upper).max()) == abs(largest)
    for share in (0.0, 0.5, 0.9, 1.0):
        assert np.isfinite(found.quantile(share))
    assert found.quantile(1.0 if sign > 0 else 0.0) == largest
    assert found.count_above(0) == (3 if sign > 0 else 0)
    assert found.count_above(-np.inf) == 3
    assert found.count_above(np.inf) == found.count_above(np.nan) == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinities(dtype: str) -> None:
    """Infinities are values: the lowest and the highest of all."""
    values = np.array([np.inf, -np.inf, -np.inf, 3, np.nan], dtype)
    found = distribution(values)
    assert [found.quantile(share) for share in (0.0, 0.5, 1.0)] == [-np.inf, -np.inf, np.inf]
    assert [found.count_above(threshold) for threshold in (-np.inf, 0, np.inf)] == [2, 2, 0]
    assert (found.n_pixels, found.n_missing) == (4, 1)


@pytest.mark.parametrize("dtype", FLOATS)
def test_quantiles_are_within_a_bin(dtype: str) -> None:
    """A quantile lies in the bin of the value that NumPy finds."""
    random = np.random.default_rng(3)
    values = np.concatenate([random.normal(-4, 3, 3000), [np.nan] * 50, np.zeros(200)]).astype(dtype)
    found, present = distribution(values), np.sort(values[~np.isnan(values)]).astype(np.float64)
    for share in [*np.linspace(0, 1, 33), 0.001, 0.999]:
        wanted = np.quantile(present, share, method="inverted_cdf")
        bin_of = (found.lower <= wanted) & (wanted <= found.upper)
        widths = found.upper[bin_of] - found.lower[bin_of]
        assert abs(found.quantile(share) - wanted) <= widths.max()
    quantiles = [found.quantile(share) for share in np.linspace(0, 1, 500)]
    assert (np.diff(quantiles) >= 0).all()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_are_from_0_to_1(share: float) -> None:
    """Another share is refused; without pixels there is no quantile."""
    with pytest.raises(ValueError, match=r"share is .*; wanted a number from 0 to 1"):
        distribution(np.ones(3, np.float32)).quantile(share)
    empty = distribution(np.full(4, np.nan, np.float32))
    assert np.isnan(empty.quantile(0.5))
    assert (empty.n_pixels, empty.n_missing, empty.count_above(0)) == (0, 4, 0)
    assert repr(empty).endswith("4 without data>")


@pytest.mark.parametrize("dtype", FLOATS)
def test_counts_above_an_edge_are_exact(dtype: str) -> None:
    """At an edge the count is exact, with equal values if it is positive; elsewhere it interpolates."""
    values = np.random.default_rng(4).normal(0, 2, 3000).astype(dtype)
    values[:300] = values[300:600] = np.round(values[:300] * 2) / 2
    found, exact = distribution(values), values.astype(np.float64)
    spans = found.lower < found.upper
    for edge in np.unique([found.lower, found.upper])[::5]:
        is_edge = edge > 0 and not (found.lower[~spans] == edge).any()
        wanted = (exact >= edge).sum() if is_edge else (exact > edge).sum()
        assert found.count_above(edge) == wanted
    for low, high, count in zip(found.lower[spans], found.upper[spans], found.counts[spans], strict=True):
        middle = low + (high - low) / 4
        got, least = found.count_above(middle), (exact > high).sum()
        assert least <= got <= (exact >= low).sum()
        assert abs(got - (exact > middle).sum()) <= count
        assert got == pytest.approx(found.count_above(high) + 0.75 * count)


ARRAYS = st.sampled_from(FLOATS).flatmap(
    lambda dtype: npst.arrays(
        dtype, st.integers(1, 60), elements=npst.from_dtype(np.dtype(dtype)) | st.sampled_from([0.0, 1.0])
    )
)


@given(ARRAYS)
@example(np.array([np.inf, np.nan, -np.inf, 0.0, -0.0, 5e-324, 1e308]))
@example(np.array([np.nan], np.float32))
def test_any_numbers(values: NDArray[Any]) -> None:
    """Of any numbers, counts, quantiles and counts above thresholds agree with NumPy's."""
    # A signaling NaN, which no engine computes, may share its bin with infinity.
    values = np.where(np.isnan(values), np.nan, values).astype(values.dtype)
    found = distribution(values)
    present = np.sort(values[~np.isnan(values)]).astype(np.float64)
    assert found.n_pixels == len(present)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    assert Distribution.from_dict(found.to_dict(), output_of(str(values.dtype))) == found
    tiny = TINY[str(values.dtype)]
    present[np.abs(present) < tiny] = 0
    for share in (0.0, 0.25, 0.5, 0.9, 1.0) if len(present) else ():
        wanted, got = np.quantile(present, share, method="inverted_cdf"), found.quantile(share)
        assert any(
            low <= min(wanted, got) <= max(wanted, got) <= high
            for low, high in zip(found.lower, found.upper, strict=True)
        )
    for threshold in (0.0, -1.0, float(present[0]) if len(present) else 1.0):
        low, high = (present > threshold).sum(), (present >= threshold).sum()
        spanning = found.counts[(found.lower <= threshold) & (threshold <= found.upper)].sum()
        assert low - spanning <= found.count_above(threshold) <= high + spanning


@pytest.mark.parametrize(
    "change",
    [
        {"bins": "8192 8192"},
        {"bins": "8191"},
        {"bins": "8192 8191"},
        {"bins": "8191 -1"},
        {"bins": f"8191 {2**14}"},
        {"bins": "8191 8160"},
        {"bins": f"8191 {2**70}"},
        {"bins": "8191 x"},
        {"bins": "08000 8192"},
        {"bins": [8000, 8100]},
        {"bins": None},
        {"counts": "3 0"},
        {"counts": "3"},
        {"counts": "3 1.5"},
        {"counts": "3 -4"},
        {"missing": -1},
        {"missing": 1.5},
        {"missing": None},
        {"more": 1},
    ],
    ids=repr,
)
def test_damaged_content_is_refused(change: dict[str, Any]) -> None:
    """What isn't the content of a distribution of this dtype raises; each key is needed."""
    output = output_of("float32")
    content = {"bins": "8000 8100", "counts": "3 4", "missing": 5}
    assert Distribution.from_dict(content, output).n_missing == 5
    with pytest.raises((ValueError, TypeError, AttributeError, OverflowError)):
        Distribution.from_dict({**content, **change}, output)
    for key in content:
        with pytest.raises(KeyError):
            Distribution.from_dict({name: content[name] for name in content if name != key}, output)


def test_distributions_are_values() -> None:
    """Equal counts of equal bins are equal; other ones, and other pixels without data, aren't."""
    values = np.array([1, 2, 2, np.nan], np.float32)
    one = distribution(values)
    assert one == distribution(values[::-1].copy())
    assert hash(one) == hash(distribution(values[::-1].copy()))
    for other in (values[:3], values[1:], np.append(values, 7).astype(np.float32)):
        assert one != distribution(other)
    assert one != "x"


@pytest.mark.parametrize("dtype", BITS)
def test_bins_of_a_dtype(dtype: str) -> None:
    """Each pattern of the leading bits is a bin."""
    kind = np.dtype(dtype)
    assert n_bins(kind) == 2 ** BITS[dtype]
    assert dropped_bits(kind) == 8 * kind.itemsize - BITS[dtype]
