"""Tests of the public spelling of encodings."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from references import random_mixture

from pipeline import Confidence, Density, Entropy, Label, LogDensity, LogRatio, Packed, Posterior
from pipeline.models.encoding import Half, Linear, Logarithmic

MIXTURE, OTHER = random_mixture(2, 3), random_mixture(1, 3, full=True)
CLASSES = {"a": MIXTURE, "b": OTHER}


def test_encodings() -> None:
    """Each scale and dtype has its encoding, and only a density has relative errors in half precision."""
    byte = np.dtype("uint8")
    assert Packed(LogDensity(MIXTURE), "uint8", -9, 9).encoding == Linear(byte, -9.0, 9.0)
    assert Packed(Density(MIXTURE), "uint8", 1e-9, 1, "log").encoding == Logarithmic(byte, 1e-9, 1.0)
    assert Packed(LogDensity(MIXTURE), "float16").encoding == Half(np.dtype("float16"), relative=False)
    assert Packed(Density(MIXTURE), "float16").encoding == Half(np.dtype("float16"), relative=True)


@pytest.mark.parametrize(
    "packed",
    [
        Packed(Density(MIXTURE), "float16"),
        Packed(Density(MIXTURE), "uint16", 1e-12, 1e-3, "log"),
        Packed(LogRatio(MIXTURE, OTHER), "uint8", -50, 50),
        Packed(LogRatio(MIXTURE, OTHER), "uint8", np.float32(-50), np.int64(50)),  # type: ignore[arg-type]
        Packed(Posterior(CLASSES, only="a"), np.dtype("uint8")),  # type: ignore[arg-type]
    ],
)
def test_packed_quantities_travel_and_compare(packed: Packed) -> None:
    """A pickled one is equal, and its parameters are plain numbers and strings."""
    again = pickle.loads(pickle.dumps(packed))  # noqa: S301  made here
    assert again == packed
    assert hash(again) == hash(packed)
    assert again.encoding == packed.encoding
    assert type(packed.dtype) is str
    assert {type(packed.low), type(packed.high)} <= {float, type(None)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_probability_needs_no_range(dtype: str) -> None:
    """A posterior has the range 0 to 1, whose ends are exact."""
    packed = Packed(Posterior(CLASSES), dtype)
    assert (packed.low, packed.high) == (0, 1)
    stored = np.zeros(2, dtype)
    errors = packed.encoding.encode(np.array([0.0, 1.0]), stored)
    assert stored.tolist() == [0, {"uint8": 254, "uint16": 65534}[dtype]]
    assert errors.tolist() == [0, 0]
    assert Packed(Confidence(CLASSES), dtype).encoding == packed.encoding
    assert Packed(Entropy(CLASSES), dtype).high == math.log(2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Label(CLASSES), "uint8"), TypeError, "can't be packed; wanted a quantity that gives floats"),
        ((Packed(Posterior(CLASSES), "uint8"), "uint8"), TypeError, "can't be packed"),
        ((MIXTURE, "uint8", 0, 1), TypeError, "<Mixture: .* can't be packed"),
        ((Density(MIXTURE), "int8", 0, 1), ValueError, "dtype is 'int8'; wanted 'float16', 'uint8' or 'uint"),
        ((Density(MIXTURE), "small"), ValueError, "dtype is 'small'"),
        ((Density(MIXTURE), "float32"), ValueError, "dtype is 'float32'"),
        (
            (Density(MIXTURE), "uint8", 0, 1, "cubic"),
            ValueError,
            "scale is 'cubic'; wanted one of linear, log",
        ),
        ((Density(MIXTURE), "float16", 0, 1), ValueError, "float16 takes no low, high or scale"),
        ((Density(MIXTURE), "float16", None, None, "log"), ValueError, "float16 takes no low"),
        ((Density(MIXTURE), "uint8"), ValueError, "uint8 for a density has no range; wanted two finite"),
        ((Density(MIXTURE), "uint8", 0), ValueError, "the range 0 to None"),
        ((Posterior(CLASSES), "uint8", None, 1), ValueError, "the range None to 1"),
        ((Posterior(CLASSES), "uint8", None, None, "log"), ValueError, "low below high and above 0"),
        ((Entropy({"all": MIXTURE}), "uint8"), ValueError, "uint8 for an entropy has no range; wanted two"),
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
def test_arguments_that_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    """A quantity that can't be packed, and a range that isn't one, are refused by name."""
    with pytest.raises(error, match=message):
        Packed(*arguments)
