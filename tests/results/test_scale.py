"""Scales of color."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import LogNorm, Normalize

from pipeline import Confidence, Density, Entropy, LogDensity, LogRatio, Mixture, Packed, Posterior
from pipeline.models.distribution import Distribution
from pipeline.models.output import Output, make_outputs
from pipeline.results.scale import Scale, choose_scale

ONE, TWO = (Mixture([1.0], [[mean]], [[1.0]]) for mean in (0.0, 3.0))
CLASSES = {"one": ONE, "two": TWO}
NONE = np.full((2, 2), np.nan, np.float32)


def output_of(quantity: object) -> Output:
    """Return the output of a quantity."""
    (output,) = make_outputs({"result": quantity})  # type: ignore[dict-item]
    return output


def distribution_of(output: Output, values: list[float]) -> Distribution:
    """Return the distribution of some values, each of which occurs equally often."""
    bins = np.unique(np.array(values, output.dtype).view("uint32") >> 18)
    return Distribution.from_bins(bins.astype(np.int64), np.full(len(bins), 10**6), output, 10**9)


def test_bounded_quantities_have_their_bounds() -> None:
    """Whatever the values are, probabilities span 0 to 1, and an entropy 0 to log 2."""
    for quantity in (Posterior(CLASSES), Confidence(CLASSES), Packed(Posterior(CLASSES), "uint8")):
        assert choose_scale(output_of(quantity), None, NONE) == Scale(0, 1)
    assert choose_scale(output_of(Entropy(CLASSES)), None, NONE) == Scale(0, np.log(2))


def test_densities_are_logarithmic() -> None:
    """The scale lies between quantiles, spans twelve powers of ten at most, and isn't empty."""
    output = output_of(Density(ONE))
    values = np.geomspace(1e-6, 1, 1001, dtype=np.float32)
    found = choose_scale(output, None, values)
    assert found == Scale(*np.quantile(values.astype(float), [0.01, 0.99]), is_logarithmic=True)
    wide = choose_scale(output, distribution_of(output, [1e-30, 2.0]), values)
    assert (wide.high, wide.low) == pytest.approx((2, 2e-12), rel=1 / 16)
    for values in (NONE, np.zeros(3), np.ones(3)):
        found = choose_scale(output, None, values)
        assert 0 < found.low < found.high == 1


def test_ratios_diverge_from_zero() -> None:
    """Both sides of 0 have the same reach, that of the wider one; it is never empty."""
    output = output_of(LogRatio(ONE, TWO))
    values = np.linspace(-8, 2, 10001)
    found = choose_scale(output, None, values)
    assert (found.low, found.high, found.neutral) == (pytest.approx(-7.9), pytest.approx(7.9), 0.0)
    assert choose_scale(output, None, np.zeros(3)) == Scale(-1, 1, neutral=0.0)
    with_summary = choose_scale(output, distribution_of(output, [-4.0, 16.0]), values)
    assert with_summary.high == pytest.approx(16, rel=1 / 16)


def test_other_values_lie_between_quantiles() -> None:
    """Infinite values and missing ones aren't asked, and equal ones have a scale too."""
    output = output_of(LogDensity(ONE))
    values = np.array([*range(101), np.inf, -np.inf, np.nan], np.float32)
    assert choose_scale(output, None, values) == Scale(1, 99)
    assert choose_scale(output, None, np.array([5.0])) == Scale(5, 6)
    assert choose_scale(output, None, NONE) == Scale(0, 1)
    assert choose_scale(output, None, np.array([-1.7e308, 1.7e308])).high < np.inf


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1), st.booleans())
def test_places_are_those_of_matplotlib(values: list[float], is_logarithmic: bool) -> None:
    """Pictures with and without Matplotlib have the same colors."""
    array = np.array(values)
    norm = (LogNorm if is_logarithmic else Normalize)(0.25, 1000, clip=True)
    expected = norm(np.maximum(array, 0.25))
    found = Scale(0.25, 1000, is_logarithmic).shares(array)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.isnan(Scale(0, 1).shares(np.array([np.nan]))).all()


def test_edges_are_even_in_the_map() -> None:
    """Edges have equal distances, or equal ratios."""
    assert Scale(-1.0, 1.0).edges(4) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert Scale(1e-4, 1.0, is_logarithmic=True).edges(2) == pytest.approx([1e-4, 1e-2, 1.0])


@pytest.mark.parametrize(
    ("low", "high", "is_logarithmic", "message"),
    [
        (1.0, 1.0, False, "the range is 1 to 1; wanted two finite numbers, the lower first"),
        (np.nan, 1.0, False, "the range is nan to 1; wanted two finite numbers"),
        (0.0, np.inf, False, "the range is 0 to inf; wanted two finite numbers"),
        (0.0, 1.0, True, "begins at 0; wanted a positive number"),
    ],
)
def test_scales_that_are_none(low: float, high: float, is_logarithmic: bool, message: str) -> None:
    """A range that is empty, infinite or not positive is refused."""
    with pytest.raises(ValueError, match=message):
        Scale(low, high, is_logarithmic)


@given(st.lists(st.floats(allow_nan=True), min_size=1), st.sampled_from([Density, LogDensity]))
def test_whatever_the_values_are_there_is_a_scale(values: list[float], quantity: type[Density]) -> None:
    """Equal, huge, tiny and missing values have a scale, whose shares lie between 0 and 1."""
    for one in (quantity(ONE), LogRatio(ONE, TWO)):
        array = np.abs(values) if quantity is Density and one.error_is_relative else np.array(values)
        shares = choose_scale(output_of(one), None, array).shares(array)
        np.testing.assert_array_equal(np.isnan(shares), np.isnan(array))
        assert ((shares >= 0) & (shares <= 1))[~np.isnan(shares)].all()
