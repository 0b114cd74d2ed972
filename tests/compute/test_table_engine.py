"""Tests of the engine that looks results up; the contract of engines is in test_engine.py."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import output_of
from references import random_mixture

from pipeline import Density, Label, Packed, Posterior
from pipeline.compute.table_engine import TableEngine

ENGINE = TableEngine()


@pytest.mark.parametrize(
    ("dtype", "n_channels", "reason"),
    [
        ("uint8", 1, None),
        ("uint8", 3, None),
        ("uint16", 1, None),
        (">u2", 1, None),
        ("uint8", 4, "4 channels of uint8 have too many colors for a table; wanted 1 to 3 channels of uint8"),
        ("uint16", 2, "2 channels of uint16 have too many colors"),
        ("int8", 1, "1 channel of int8 have too many colors"),
        ("bool", 1, "1 channel of bool"),
        ("float32", 1, "1 channel of float32"),
    ],
)
def test_pixels_that_are_refused(dtype: str, n_channels: int, reason: str | None) -> None:
    """Only pixels of at most 24 bits have a table."""
    output = output_of(Density(random_mixture(2, n_channels)))
    refusal = ENGINE.refusal(output, np.dtype(dtype))
    assert refusal is None if reason is None else (refusal or "").startswith(reason)
    if reason is not None:
        pixels = np.zeros((1, 1, n_channels), dtype)
        with pytest.raises(ValueError, match=r"the engine 'table' can't be used: .* have too many colors"):
            ENGINE.evaluate(pixels, [output], [np.empty((1, 1, 1), np.float32)], serial=True)


def test_tables_that_are_too_large_are_refused() -> None:
    """The results of all colors must fit 256 MiB."""
    dtype = np.dtype("uint8")
    assert ENGINE.refusal(output_of(Posterior(random_mixture(4, 3))), dtype) is None
    refusal = ENGINE.refusal(output_of(Posterior(random_mixture(5, 3))), dtype)
    assert refusal == "a table of 5 results for each color has more than 256 MiB"
    assert ENGINE.refusal(output_of(Posterior(random_mixture(500, 2))), dtype) is None


def test_the_memory_is_that_of_the_tables() -> None:
    """Outputs of 16 bytes together share a table; larger ones have their own."""
    dtype = np.dtype("uint8")
    density = output_of(Density(random_mixture(2, 3)))
    assert ENGINE.process_bytes([density], dtype) == 2**26
    assert ENGINE.process_bytes([density] * 4, dtype) == 2**28
    assert ENGINE.process_bytes([density] * 5, dtype) == 2**28 + 2**26
    assert ENGINE.process_bytes([output_of(Label(random_mixture(2, 1)))], dtype) == 2**8
    packed = output_of(Packed(Posterior(random_mixture(3, 1)), "uint8"))
    assert ENGINE.process_bytes([packed], np.dtype("uint16")) == 2**16 * 8


def test_the_time_is_that_of_the_table_and_the_pixels() -> None:
    """Making a table of all colors takes most of the time for a small image."""
    output = output_of(Density(random_mixture(2, 3)))
    assert ENGINE.seconds(output, np.dtype("uint8"), 0) == pytest.approx(2**24 * 3e-9)
    assert ENGINE.seconds(output, np.dtype("uint8"), 10**9) == pytest.approx(2**24 * 3e-9 + 2)
