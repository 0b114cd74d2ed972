"""Quantities: small, frozen, comparable, and clear about dtypes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pipeline import Density, Mixture


def test_quantities_travel_and_compare(skin: Mixture) -> None:
    """A quantity that travelled equals the one that was sent."""
    quantity = Density(skin, normalized=False)
    assert pickle.loads(pickle.dumps(quantity)) == quantity  # noqa: S301  made here
    assert hash(quantity) == hash(Density(skin, normalized=False))
    assert quantity != Density(skin)
    assert quantity.channels == ("red", "green", "blue")
    assert quantity.n_channels == 3


def test_output_dtypes(skin: Mixture) -> None:
    """Results are float32 unless float64 is asked for."""
    assert Density(skin).output_dtype() == np.float32
    assert Density(skin).output_dtype("f8") == np.float64
    with pytest.raises(ValueError, match="dtype int16 can't hold a density; wanted float32 or float64"):
        Density(skin).output_dtype("int16")


def test_record_of_a_quantity(skin: Mixture) -> None:
    """What a store records of a quantity is enough to make it again."""
    record = Density(skin, normalized=False).to_dict()
    assert record["quantity"] == "density"
    assert Density(Mixture.from_dict(record["mixture"]), normalized=record["normalized"]) == Density(
        skin, normalized=False
    )
