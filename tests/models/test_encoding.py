"""Tests of encodings: errors are within half a step and recorded as they are, and records keep everything."""

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

from pipeline import Density, LogDensity, LogRatio, Packed, Posterior
from pipeline.models.encoding import Encoding, Half, Linear, Logarithmic, Plain, read_encoding
from pipeline.models.quantity import no_data_value

MIXTURE, OTHER = random_mixture(2, 3), random_mixture(1, 3, full=True)
CLASSES = {"a": MIXTURE, "b": OTHER}
INTEGERS = st.sampled_from(["uint8", "uint16"])
STEPS = {"uint8": 254, "uint16": 65534}


def pack(packed: Packed, values: Any) -> tuple[Any, Any]:
    """Return the stored numbers of values, and the errors."""
    array = np.asarray(values, np.float64)
    stored = np.empty(array.shape, packed.dtype)
    return stored, packed.encoding.encode(array, stored)


@given(
    INTEGERS,
    st.floats(-1e30, 1e30),
    st.floats(1e-3, 1e30),
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
)
def test_linear_errors_are_within_half_a_step(
    dtype: str, low: float, span: float, shares: list[float]
) -> None:
    """Within the range, the error of a value is at most half a step."""
    high = low + span
    assume(low < high and span > abs(low) * 1e-6)
    packed = Packed(LogDensity(MIXTURE), dtype, low, high)
    values = np.clip(low + span * np.array(shares), low, high)
    codes, errors = pack(packed, values)
    half = (high - low) / STEPS[dtype] / 2
    rounding = max(abs(low), abs(high)) * 1e-15
    assert codes.max() <= STEPS[dtype]
    assert errors.max() <= half + 4 * rounding
    step, offset = packed.encoding.attributes["scale_factor"], packed.encoding.attributes["add_offset"]
    np.testing.assert_allclose(
        np.abs(offset + step * codes.astype(float) - values), errors, rtol=0, atol=4 * rounding
    )
    float32 = max(abs(low), abs(high)) * 2.0**-23
    assert np.abs(packed.encoding.decode(codes) - values).max() <= half + float32


@given(
    INTEGERS,
    st.floats(-300, 100),
    st.floats(1e-3, 200),
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
)
def test_logarithmic_errors_are_within_half_a_step(
    dtype: str, log_low: float, span: float, shares: list[float]
) -> None:
    """Within the range, the relative error is at most half a step of the logarithm."""
    low, high = math.exp(log_low), math.exp(log_low + span)
    packed = Packed(Density(MIXTURE), dtype, low, high, "log")
    values = np.clip(np.exp(log_low + span * np.array(shares)), low, high)
    codes, errors = pack(packed, values)
    assert codes.min() >= 1
    assert codes.max() <= STEPS[dtype]
    step = span / (STEPS[dtype] - 1)
    assert errors.max() <= math.expm1(step / 2) + 1e-12
    decoding = packed.encoding.attributes
    decoded = np.exp(decoding["add_offset"] + decoding["scale_factor"] * codes.astype(float))
    np.testing.assert_allclose(np.abs(decoded - values) / values, errors, rtol=0, atol=1e-11)


@given(st.sampled_from(["float16", *STEPS]), st.lists(st.floats(-1e6, 1e6), min_size=1), st.booleans())
def test_recorded_errors_are_true(dtype: str, values: list[float], missing: bool) -> None:
    """Within the range and beyond it, the error is the distance from the value to the decoded number."""
    ends = () if dtype == "float16" else (-100.0, 1e3)
    packed = Packed(LogRatio(MIXTURE, OTHER), dtype, *ends)
    given_values = np.array([*values, math.nan] if missing else values)
    codes, errors = pack(packed, given_values)
    unpacked = packed.encoding.decode(codes).astype(float)
    np.testing.assert_array_equal(np.isnan(unpacked), np.isnan(given_values))
    distances = np.where(np.isnan(given_values), 0, np.abs(unpacked - given_values))
    np.testing.assert_allclose(errors, distances, rtol=1e-6, atol=1e-4)


def test_examples() -> None:
    """The ends, the middle and values beyond the range get the documented integers."""
    linear = Packed(LogDensity(MIXTURE), "uint8", -127, 127)
    codes, errors = pack(linear, [-127, -1000, 0, 127, 128, 0.25, math.nan])
    assert codes.tolist() == [0, 0, 127, 254, 254, 127, 255]
    assert errors.tolist() == [0, 873, 0, 0, 1, 0.25, 0]
    np.testing.assert_array_equal(linear.encoding.decode(codes), [-127, -127, 0, 127, 127, 0, math.nan])
    log = Packed(Density(MIXTURE), "uint8", 1e-12, 1e-3, "log")
    codes, errors = pack(log, [0, 1e-13, 1e-12, 1e-3, 1, math.nan])
    assert codes.tolist() == [0, 0, 1, 254, 254, 255]
    assert errors == pytest.approx([0, 0, 0, 0, 0.999, 0])
    unpacked = log.encoding.decode(codes)
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
    """The error of a density is relative, because a density may be small everywhere. 0 has no error."""
    packed = Packed(Density(MIXTURE), "float16")
    codes, errors = pack(packed, [*values, 0, math.nan])
    given_values, unpacked = np.array([*values, 0]), packed.encoding.decode(codes)[:-1].astype(float)
    wanted = np.abs(unpacked - given_values) / np.where(given_values > 0, given_values, 1)
    np.testing.assert_allclose(errors[:-1], wanted, rtol=1e-12)
    assert errors[-1] == 0
    normal = given_values >= np.finfo(np.float16).tiny
    assert (errors[:-1][normal] <= 2.0**-11).all()


@pytest.mark.parametrize("dtype", ["float16", "uint8", "uint16"])
def test_no_data_is_kept(dtype: str) -> None:
    """A pixel without data is decoded to NaN and has no error."""
    packed = Packed(Posterior(CLASSES), dtype)
    codes, errors = pack(packed, [math.nan, 0.5])
    np.testing.assert_equal(codes[0].item(), no_data_value(packed.encoding.dtype))
    assert errors[0] == 0
    unpacked = packed.encoding.decode(codes)
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
        assert (np.diff(packed.encoding.decode(codes)) >= 0).all()


ENCODINGS: list[Encoding] = [
    *(Plain(np.dtype(name)) for name in ("float16", "float32", "float64", "uint8", "uint16")),
    *(Half(np.dtype("float16"), relative=relative) for relative in (False, True)),
    *(Linear(np.dtype(name), -3.0, 5.0) for name in ("uint8", "uint16")),
    *(Logarithmic(np.dtype(name), 1e-9, 5.0) for name in ("uint8", "uint16")),
]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_a_record_is_the_encoding(encoding: Encoding) -> None:
    """An encoding that went through JSON or between processes is equal."""
    again = read_encoding(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    assert hash(again) == hash(encoding)
    assert pickle.loads(pickle.dumps(encoding)) == encoding  # noqa: S301  made here
    assert [other == encoding for other in ENCODINGS].count(True) == 1


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_every_encoding_keeps_missing_values(encoding: Encoding) -> None:
    """Stored numbers without data are marked by the highest integer or NaN, and are decoded to it or NaN."""
    values = np.array([0.0, 1.0, np.nan])
    stored = np.zeros(3, encoding.dtype)
    errors = encoding.encode(values, stored)
    np.testing.assert_equal(stored[2].item(), no_data_value(encoding.dtype))
    assert errors[2] == 0
    assert stored[:2].tolist() != [no_data_value(encoding.dtype)] * 2
    decoded = encoding.decode(stored)
    assert decoded.dtype == encoding.decoded_dtype
    np.testing.assert_allclose(decoded[:2], [0, 1], atol=0.05)
    assert np.isnan(decoded[2]) or (not encoding.is_lossy and decoded[2] == stored[2])


def test_values_are_computed_in_float64_only_for_lossy_encodings() -> None:
    """Values that are stored as they are need no second array."""
    for encoding in ENCODINGS:
        assert encoding.computed_dtype == (np.float64 if encoding.is_lossy else encoding.dtype)
        assert encoding.is_lossy is not isinstance(encoding, Plain)


def test_attributes_suffice_to_decode() -> None:
    """Another reader gets the values from the stored numbers and the attributes."""
    for encoding in ENCODINGS:
        attributes = json.loads(json.dumps(encoding.attributes))
        if not isinstance(encoding, Linear | Logarithmic):
            assert attributes == {}
            continue
        stored = np.arange(255, dtype=encoding.dtype)
        values = attributes["add_offset"] + attributes["scale_factor"] * stored.astype(float)
        if attributes["exponential"]:
            values = np.exp(values)
        if "below_low" in attributes:
            values[stored == attributes["below_low"]] = 0
        np.testing.assert_allclose(encoding.decode(stored), values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "not the record of an encoding"),
        (3, "not the record of an encoding"),
        ({"kind": "cubic", "dtype": "uint8"}, "no encoding is named 'cubic'. Upgrade mixture-pipeline"),
        ({"kind": [1], "dtype": "uint8"}, "not the record of an encoding"),
        ({"kind": "plain", "dtype": "object"}, "dtype is object; wanted float16 or float32"),
        ({"kind": "plain", "dtype": "nonsense"}, "not the record of an encoding"),
        ({"kind": "half", "dtype": "float32", "relative": True}, "dtype is float32; wanted float16"),
        ({"kind": "half", "dtype": "float16"}, "not the record of an encoding: 'relative'"),
        ({"kind": "linear", "dtype": "int8", "low": 0, "high": 1}, "dtype is int8; wanted uint8 or uint16"),
        ({"kind": "linear", "dtype": "uint8", "low": 0}, "not the record of an encoding: 'high'"),
        ({"kind": "linear", "dtype": "uint8", "low": 1, "high": 0}, "the range is 1.0 to 0.0; wanted two"),
        ({"kind": "linear", "dtype": "uint8", "low": None, "high": 0}, "not the record of an encoding"),
        ({"kind": "linear", "dtype": "uint8", "low": 0, "high": 10**400}, "not the record of an encoding"),
        ({"kind": "log", "dtype": "uint8", "low": 0, "high": 1}, "the range is 0.0 to 1.0; .* above 0"),
    ],
)
def test_records_that_are_refused(record: Any, message: str) -> None:
    """A record that isn't one of an encoding, or is one of a later version, gets an error that says so."""
    with pytest.raises(ValueError, match=message):
        read_encoding(record)
