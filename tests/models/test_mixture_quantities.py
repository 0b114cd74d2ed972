"""Tests of the quantities of one mixture or of two."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import Density, Kernel, LogDensity, LogRatio, Mixture, load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.models.quantity import Quantity


def test_quantities_travel_and_compare(skin: Mixture) -> None:
    """A pickled quantity equals the original."""
    quantity = Density(skin, normalized=False)
    assert pickle.loads(pickle.dumps(quantity)) == quantity  # noqa: S301  made here
    assert hash(quantity) == hash(Density(skin, normalized=False))
    assert quantity != Density(skin)
    assert quantity.channels == ("red", "green", "blue")
    assert quantity.n_channels == 3


def test_record_of_a_quantity(skin: Mixture) -> None:
    """The record of a quantity suffices to make the quantity again."""
    record = Density(skin, normalized=False).to_dict()
    assert record["quantity"] == "density"
    assert Density(Mixture.from_dict(record["mixture"]), normalized=record["normalized"]) == Density(
        skin, normalized=False
    )


def test_log_quantities(skin: Mixture) -> None:
    """Quantities of the same mixture are told apart, and ratios have mixtures over the same channels."""
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


@pytest.mark.parametrize(
    "wrong", ["x", None, [Kernel([1, 2, 3], [1, 1, 1], 1)]], ids=["text", "None", "kernels"]
)
def test_other_things_than_mixtures_are_refused(skin: Mixture, wrong: Any) -> None:
    """A quantity of something else gets an error that says how to make a mixture."""
    made: list[Callable[[], Quantity]] = [
        lambda: Density(wrong),
        lambda: LogDensity(wrong),
        lambda: LogRatio(skin, wrong),
        lambda: LogRatio(wrong, skin),
    ]
    for make in made:
        message = r"got .*; wanted a Mixture, for example Mixture.from_kernels\(kernels\)"
        with pytest.raises(TypeError, match=message):
            make()
