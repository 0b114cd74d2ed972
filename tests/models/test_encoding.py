"""Packing: errors within half a step, recorded as they are, and nothing lost on the way through a record."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Density, Label, LogDensity, LogRatio, Mixture, Packed, Posterior
from pipeline.models.encoding import read_quantity
from pipeline.models.quantity import Quantity, no_data_value

MIXTURE, OTHER = random_mixture(2, 3), random_mixture(1, 3, full=True)
CLASSES = {"a": MIXTURE, "b": OTHER}
INTEGERS = st.sampled_from(["uint8", "uint16"])
STEPS = {"uint8": 254, "uint16": 65534}


def pack(packed: Packed, values: Any) -> tuple[Any, Any]:
    """Give what stands for the values, and the errors."""
    array = np.asarray(values, np.float64)
    codes = np.empty(array.shape, packed.output_dtype())
    return codes, packed.pack(array, codes)


@given(
    INTEGERS,
    st.floats(-1e30, 1e30),
    st.floats(1e-3, 1e30),
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
)
def test_linear_errors_are_within_half_a_step(
    dtype: str, low: float, span: float, shares: list[float]
) -> None:
    """Within the range, no value is farther than half a step from what stands for it."""
    high = low + span
    assume(low < high and span > abs(low) * 1e-6)
    packed = Packed(LogDensity(MIXTURE), dtype, low, high)
    values = np.clip(low + span * np.array(shares), low, high)
    codes, errors = pack(packed, values)
    half = (high - low) / STEPS[dtype] / 2
    rounding = max(abs(low), abs(high)) * 1e-15
    assert codes.max() <= STEPS[dtype]
    assert errors.max() <= half + 4 * rounding
    step, offset = packed.decoding["factor"], packed.decoding["offset"]
    np.testing.assert_allclose(
        np.abs(offset + step * codes.astype(float) - values), errors, rtol=0, atol=4 * rounding
    )
    float32 = max(abs(low), abs(high)) * 2.0**-23
    assert np.abs(packed.unpack(codes) - values).max() <= half + float32


@given(
    INTEGERS,
    st.floats(-300, 100),
    st.floats(1e-3, 200),
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
)
def test_logarithmic_errors_are_within_half_a_step(
    dtype: str, log_low: float, span: float, shares: list[float]
) -> None:
    """Within the range, the relative error is no more than half a step of the logarithm."""
    low, high = math.exp(log_low), math.exp(log_low + span)
    packed = Packed(Density(MIXTURE), dtype, low, high, "log")
    values = np.clip(np.exp(log_low + span * np.array(shares)), low, high)
    codes, errors = pack(packed, values)
    assert codes.min() >= 1
    assert codes.max() <= STEPS[dtype]
    step = span / (STEPS[dtype] - 1)
    assert errors.max() <= math.expm1(step / 2) + 1e-12
    decoding = packed.decoding
    decoded = np.exp(decoding["offset"] + decoding["factor"] * codes.astype(float))
    np.testing.assert_allclose(np.abs(decoded - values) / values, errors, rtol=0, atol=1e-11)


@given(st.sampled_from(["float16", *STEPS]), st.lists(st.floats(-1e6, 1e6), min_size=1), st.booleans())
def test_recorded_errors_are_true(dtype: str, values: list[float], missing: bool) -> None:
    """Within the range and beyond it, the error is the distance to what stands for a value."""
    ends = () if dtype == "float16" else (-100.0, 1e3)
    packed = Packed(LogRatio(MIXTURE, OTHER), dtype, *ends)
    given_values = np.array([*values, math.nan] if missing else values)
    codes, errors = pack(packed, given_values)
    unpacked = packed.unpack(codes).astype(float)
    np.testing.assert_array_equal(np.isnan(unpacked), np.isnan(given_values))
    distances = np.where(np.isnan(given_values), 0, np.abs(unpacked - given_values))
    np.testing.assert_allclose(errors, distances, rtol=1e-6, atol=1e-4)


def test_examples() -> None:
    """The ends, the middle and what lies beyond get the integers that the docstring tells."""
    linear = Packed(LogDensity(MIXTURE), "uint8", -127, 127)
    codes, errors = pack(linear, [-127, -1000, 0, 127, 128, 0.25, math.nan])
    assert codes.tolist() == [0, 0, 127, 254, 254, 127, 255]
    assert errors.tolist() == [0, 873, 0, 0, 1, 0.25, 0]
    np.testing.assert_array_equal(linear.unpack(codes), [-127, -127, 0, 127, 127, 0, math.nan])
    log = Packed(Density(MIXTURE), "uint8", 1e-12, 1e-3, "log")
    codes, errors = pack(log, [0, 1e-13, 1e-12, 1e-3, 1, math.nan])
    assert codes.tolist() == [0, 0, 1, 254, 254, 255]
    assert errors == pytest.approx([0, 0, 0, 0, 0.999, 0])
    unpacked = log.unpack(codes)
    assert unpacked[:5].tolist() == pytest.approx([0, 0, 1e-12, 1e-3, 1e-3])
    assert np.isnan(unpacked[5])
    half = Packed(LogDensity(MIXTURE), "float16")
    codes, errors = pack(half, [1e9, -1e9, 0.1, math.nan])
    assert codes[:2].tolist() == [65504, -65504]
    assert errors[:2].tolist() == [1e9 - 65504] * 2
    assert 0 < errors[2] < 5e-5
    assert np.isnan(codes[3])


@given(st.lists(st.floats(0, 6e4), min_size=1))
def test_errors_of_densities_in_float16_are_relative(values: list[float]) -> None:
    """A density may be small everywhere, and its absolute error says nothing then; 0 has no error."""
    packed = Packed(Density(MIXTURE), "float16")
    codes, errors = pack(packed, [*values, 0, math.nan])
    given_values, unpacked = np.array([*values, 0]), packed.unpack(codes)[:-1].astype(float)
    wanted = np.abs(unpacked - given_values) / np.where(given_values > 0, given_values, 1)
    np.testing.assert_allclose(errors[:-1], wanted, rtol=1e-12)
    assert errors[-1] == 0
    normal = given_values >= np.finfo(np.float16).tiny
    assert (errors[:-1][normal] <= 2.0**-11).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_chance_needs_no_range(dtype: str) -> None:
    """A posterior spans 0 to 1, whose ends are exact."""
    packed = Packed(Posterior(CLASSES), dtype)
    assert (packed.low, packed.high, packed.planes, packed.name) == (0, 1, ("a", "b"), "posterior")
    codes, errors = pack(packed, [0, 1])
    assert codes.tolist() == [0, STEPS[dtype]]
    assert errors.tolist() == [0, 0]
    assert Packed(Posterior(CLASSES, only="b"), dtype).planes is None


@pytest.mark.parametrize("dtype", ["float16", "uint8", "uint16"])
def test_no_data_is_kept(dtype: str) -> None:
    """What has no data has none when it is unpacked, and no error."""
    packed = Packed(Posterior(CLASSES), dtype)
    codes, errors = pack(packed, [math.nan, 0.5])
    np.testing.assert_equal(codes[0].item(), no_data_value(packed.output_dtype()))
    assert errors[0] == 0
    unpacked = packed.unpack(codes)
    assert unpacked.dtype == np.float32
    assert np.isnan(unpacked[0])
    assert unpacked[1] == pytest.approx(0.5, abs=0.003)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_order_is_kept(values: list[float]) -> None:
    """A larger value never gets a smaller integer."""
    ordered = np.sort(values)
    for packed in (
        Packed(Posterior(CLASSES), "uint8"),
        Packed(Density(MIXTURE), "uint16", 1e-9, 0.5, "log"),
    ):
        codes, _ = pack(packed, ordered)
        assert (np.diff(codes.astype(int)) >= 0).all()
        assert (np.diff(packed.unpack(codes)) >= 0).all()


RECORDED: list[Quantity] = [
    Density(MIXTURE),
    Density(OTHER, normalized=False),
    LogDensity(MIXTURE, normalized=False),
    LogRatio(MIXTURE, OTHER),
    Posterior(MIXTURE),
    Posterior(CLASSES, [3, 1], only="b"),
    Label(CLASSES, {"b": 0.1, "a": 0.7}),
    Packed(Density(MIXTURE), "float16"),
    Packed(Density(MIXTURE), "uint16", 1e-12, 1e-3, "log"),
    Packed(LogRatio(MIXTURE, OTHER), "uint8", -50, 50),
    Packed(LogRatio(MIXTURE, OTHER), "uint8", np.float32(-50), np.int64(50)),  # type: ignore[arg-type]
    Packed(Posterior(CLASSES, only="a"), np.dtype("uint8")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("quantity", RECORDED, ids=lambda q: f"{type(q).__name__} {q.name}")
def test_a_record_is_the_quantity(quantity: Quantity) -> None:
    """A quantity that went through a store's JSON, or between processes, is the same."""
    record = json.loads(json.dumps(quantity.to_dict()))
    again = read_quantity(record)
    assert again == quantity
    assert hash(again) == hash(quantity)
    assert again.to_dict() == quantity.to_dict()
    assert pickle.loads(pickle.dumps(quantity)) == quantity  # noqa: S301  made here


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "not the record of a quantity"),
        ({"quantity": "density"}, "not the record of a quantity: 'mixture'"),
        ({"quantity": "label", "classes": 3, "priors": []}, "not the record of a quantity"),
        ({"quantity": "entropy"}, "no quantity is named 'entropy'; upgrade mixture-pipeline"),
        ({"quantity": "label", "classes": {"a": {}}, "priors": [1]}, "not the record of a quantity"),
        ({**Density(MIXTURE).to_dict(), "packing": {"dtype": "int4"}}, "dtype is 'int4'"),
        ({**Density(MIXTURE).to_dict(), "packing": {"kind": 1}}, "not the record of a quantity"),
    ],
)
def test_records_that_are_refused(record: dict[str, Any], message: str) -> None:
    """What isn't a record of a quantity, or is one of a later version, is said to be so."""
    with pytest.raises(ValueError, match=message):
        read_quantity(record)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Label(CLASSES), "uint8"), TypeError, "can't be packed; wanted a quantity that gives floats"),
        ((Packed(Posterior(CLASSES), "uint8"), "uint8"), TypeError, "can't be packed"),
        ((MIXTURE, "uint8", 0, 1), TypeError, "<Mixture: .* can't be packed"),
        ((Density(MIXTURE), "int8", 0, 1), ValueError, "dtype is 'int8'; wanted 'float16', 'uint8' or 'uint"),
        ((Density(MIXTURE), "float32"), ValueError, "dtype is 'float32'"),
        (
            (Density(MIXTURE), "uint8", 0, 1, "cubic"),
            ValueError,
            "scale is 'cubic'; wanted one of linear, log",
        ),
        ((Density(MIXTURE), "float16", 0, 1), ValueError, "float16 takes no low, high or scale"),
        ((Density(MIXTURE), "float16", None, None, "log"), ValueError, "float16 takes no low"),
        ((Density(MIXTURE), "uint8"), ValueError, "uint8 of a density span None to None; wanted two finite"),
        ((Density(MIXTURE), "uint8", 0), ValueError, "span 0 to None"),
        ((Posterior(CLASSES), "uint8", None, 1), ValueError, "span None to 1"),
        ((Posterior(CLASSES), "uint8", None, None, "log"), ValueError, "low below high and above 0"),
        ((Density(MIXTURE), "uint8", 1, 1), ValueError, "low below high"),
        ((Density(MIXTURE), "uint8", 2, 1), ValueError, "low below high"),
        ((Density(MIXTURE), "uint8", 0, math.inf), ValueError, "two finite numbers"),
        ((Density(MIXTURE), "uint8", math.nan, 1), ValueError, "two finite numbers"),
        ((Density(MIXTURE), "uint8", -1e308, 1e308), ValueError, "two finite numbers"),
        ((Density(MIXTURE), "uint8", 0, 5e-324), ValueError, "low below high"),
        ((Density(MIXTURE), "uint8", 0, 1, "log"), ValueError, "low below high and above 0"),
        (
            (Density(MIXTURE), "uint8", 1e300, math.nextafter(1e300, 2e300), "log"),
            ValueError,
            "low below high",
        ),
    ],
)
def test_packings_that_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    """What can't be packed, and a range that is none, is refused by name."""
    with pytest.raises(error, match=message):
        Packed(*arguments)


def test_the_dtype_is_the_packings() -> None:
    """What is packed as one dtype isn't given as another."""
    packed = Packed(Posterior(CLASSES), "uint8")
    assert packed.output_dtype() == packed.output_dtype("uint8") == np.uint8
    with pytest.raises(ValueError, match="dtype float32 of what is packed as uint8; leave one out"):
        packed.output_dtype("float32")
    assert packed.mixtures == (MIXTURE, OTHER)
    assert isinstance(packed.mixtures[0], Mixture)
