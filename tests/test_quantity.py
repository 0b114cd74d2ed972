"""Quantities: small, frozen, comparable, and clear about dtypes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pipeline import Density, LogDensity, LogRatio, Mixture, load_model


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


def test_log_quantities(skin: Mixture) -> None:
    """Quantities of the same mixture are told apart, and ratios are of mixtures over the same channels."""
    other = load_model("jones-rehg-nonskin")
    assert len({Density(skin), LogDensity(skin), LogDensity(skin, normalized=False)}) == 3
    ratio = LogRatio(skin, other)
    assert pickle.loads(pickle.dumps(ratio)) == ratio  # noqa: S301  made here
    assert ratio != LogRatio(other, skin)
    assert (ratio.name, ratio.n_channels, ratio.channels) == ("log-ratio", 3, ("red", "green", "blue"))
    assert ratio.to_dict()["denominator"] == other.to_dict()
    unnamed = Mixture(skin.weights, skin.means, skin.covariances)
    assert LogRatio(unnamed, skin).channels == ("red", "green", "blue")
    bgr = Mixture(skin.weights, skin.means, skin.covariances, ["blue", "green", "red"])
    for wrong in (bgr, Mixture([1], [[1, 2]], [[1, 2]])):
        with pytest.raises(ValueError, match="have different channels; wanted the same"):
            LogRatio(skin, wrong)
