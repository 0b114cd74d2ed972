"""Coarser levels agree with a loop over pixels, and are made of values."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.compute import coarsening
from pipeline.compute.coarsening import coarsen
from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_quantities import Density, LogDensity, LogRatio
from pipeline.models.output import Output, make_outputs
from pipeline.models.packed import Packed

A = Mixture([1.0], [[10.0, 20.0, 30.0]], [[100.0, 200.0, 300.0]])
B = Mixture([1.0], [[50.0, 60.0, 70.0]], [[400.0, 500.0, 600.0]])
CLASSES = {"a": A, "b": B}
FLOATS = make_outputs(
    {"density": Density(A), "log-density": LogDensity(A), "log-ratio": LogRatio(A, B)}, "float64"
)
PACKED = make_outputs(
    {
        "half": Packed(LogRatio(A, B), "float16"),
        "bytes": Packed(Posterior(CLASSES, only="a"), "uint8"),
        "log": Packed(Density(A), "uint16", 1e-12, 1.0, "log"),
    }
)
(LABEL,) = make_outputs(Label(CLASSES))
SHAPES = st.tuples(st.just(1), st.integers(1, 7), st.integers(1, 7))


def quarters(block: Any) -> Any:
    """Yield the place of each coarser pixel, and the values that it stands for."""
    height, width = block.shape
    for row in range(-(-height // 2)):
        for column in range(-(-width // 2)):
            yield (row, column), block[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel()


def mean_of(output: Output, values: Any) -> float:
    """Return the value of a coarser pixel, as the standard library computes it."""
    present = [float(value) for value in values if not math.isnan(value)]
    if not present:
        return math.nan
    if output.quantity.coarsening == "log-mean-exp":
        top = max(present)
        return top + math.log(math.fsum(math.exp(value - top) for value in present) / len(present))
    return float(sum(map(Fraction, present)) / len(present))


@pytest.mark.parametrize("output", FLOATS, ids=lambda output: output.name)
@given(st.data())
def test_means_are_those_of_a_loop(output: Output, data: st.DataObject) -> None:
    """Values without data don't count, and the largest numbers don't overflow."""
    top = float(np.finfo(np.float64).max)
    elements = st.one_of(st.just(math.nan), st.floats(-50, 50), st.sampled_from([-top, top, 0.0]))
    stored = data.draw(arrays.arrays(np.float64, SHAPES, elements=elements))
    coarse = coarsen(output, stored)
    assert coarse.dtype == stored.dtype
    for place, values in quarters(stored[0]):
        wanted = mean_of(output, values)
        scale = np.nanmax(np.abs(values), initial=1.0)
        np.testing.assert_allclose(coarse[0][place], wanted, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("output", PACKED, ids=lambda output: output.name)
def test_packed_results_are_averaged_as_values(output: Output) -> None:
    """Integers and halves are decoded, averaged, and encoded again."""
    random = np.random.default_rng(3)
    values = random.choice([np.nan, 1e-9, 1e-3, 0.5, 1.0], (1, 9, 12))
    stored = np.empty(values.shape, output.dtype)
    output.encoding.encode(values, stored)
    decoded, coarse = output.encoding.decode(stored)[0], coarsen(output, stored)[0]
    for place, quarter in quarters(decoded):
        wanted = np.empty((1,), output.dtype)
        output.encoding.encode(np.array([mean_of(output, quarter)]), wanted)
        if output.dtype.kind == "u":
            assert abs(int(coarse[place]) - int(wanted[0])) <= 1
        else:
            np.testing.assert_equal(coarse[place], wanted[0])


@given(arrays.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 2, 3, 255])))
def test_a_label_is_the_most_frequent_one(stored: Any) -> None:
    """Of equally frequent classes it is the first, and no data only where there is nothing else."""
    coarse = coarsen(LABEL, stored)
    for place, numbers in quarters(stored[0]):
        present = [int(number) for number in numbers if number != 255]
        # A counter keeps the order in which its keys came.
        wanted = Counter(present).most_common(1)[0][0] if present else 255
        assert coarse[0][place] == wanted


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result doesn't depend on how many rows are made at once, and each plane is by itself."""
    stored = np.random.default_rng(5).normal(size=(2, 33, 21))
    whole = coarsen(FLOATS[0], stored)
    monkeypatch.setattr(coarsening, "_STRIP", 1)
    np.testing.assert_array_equal(coarsen(FLOATS[0], stored), whole)
    np.testing.assert_array_equal(coarsen(FLOATS[0], stored[1:]), whole[1:])
    assert coarsen(FLOATS[0], stored[:, :0]).shape == (2, 0, 11)


def test_single_precision_suffices() -> None:
    """The mean of floats of 32 bits is right to their last digits."""
    stored = np.random.default_rng(6).normal(size=(1, 64, 64)).astype(np.float32)
    (output,) = make_outputs(LogDensity(A))
    wanted = coarsen(FLOATS[1], stored.astype(np.float64))
    np.testing.assert_allclose(coarsen(output, stored), wanted, atol=1e-6)
