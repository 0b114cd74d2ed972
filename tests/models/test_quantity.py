"""The contract of quantities, which every kind passes: they travel, compare, and know their results."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from references import random_mixture

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Posterior,
)
from pipeline.models import quantity as quantity_module
from pipeline.models.quantity import (
    Quantity,
    check_mixture,
    check_same_channels,
    no_data_value,
    quantity_kinds,
    read_quantity,
)

MIXTURE, OTHER = random_mixture(2, 3), random_mixture(1, 3, full=True)
CLASSES = {"a": MIXTURE, "b": OTHER}
QUANTITIES: list[Quantity] = [
    Density(MIXTURE),
    Density(OTHER, normalized=False),
    LogDensity(MIXTURE, normalized=False),
    LogRatio(MIXTURE, OTHER),
    Posterior(MIXTURE),
    Posterior(CLASSES, [3, 1], only="b"),
    Label(CLASSES, {"b": 0.1, "a": 0.7}),
    Confidence(MIXTURE),
    Confidence(CLASSES, [3, 1]),
    Entropy(CLASSES),
    Entropy(MIXTURE, [1, 2]),
]


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: q.name)
def test_a_record_is_the_quantity(quantity: Quantity) -> None:
    """A quantity that went through JSON or between processes is equal."""
    record = json.loads(json.dumps(quantity.to_dict()))
    again = read_quantity(record)
    assert again == quantity
    assert hash(again) == hash(quantity)
    assert again.to_dict() == quantity.to_dict()
    assert pickle.loads(pickle.dumps(quantity)) == quantity  # noqa: S301  made here


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: q.name)
def test_labels_alone_have_names_of_labels(quantity: Quantity) -> None:
    """The numbers of a label stand for classes, whose names are in the order of their numbers."""
    assert quantity.label_names == (("a", "b") if quantity.name == "label" else None)


def test_quantities_are_told_apart() -> None:
    """Kinds and parameters make quantities different."""
    assert len(set(QUANTITIES)) == len(QUANTITIES)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: q.name)
def test_every_quantity_has_all_properties(quantity: Quantity) -> None:
    """The properties agree with each other."""
    assert quantity.n_channels == 3
    assert quantity.channels is None
    assert quantity.mixtures
    assert quantity.n_results == (len(quantity.class_names) if quantity.class_names else 1)
    assert quantity.summary.endswith(".")
    assert quantity.operands in {"mixture", "pair", "classes"}
    if quantity.value_range is not None:
        assert quantity.value_range[0] < quantity.value_range[1]
    assert quantity.error_is_relative is isinstance(quantity, Density)


def test_kinds_are_listed_by_their_operands() -> None:
    """All kinds are known by name, those of one mixture first."""
    kinds = [kind for kind in quantity_kinds() if kind.__module__.startswith("pipeline.")]
    assert kinds == [Density, LogDensity, LogRatio, Posterior, Label, Confidence, Entropy]
    names = ["density", "log-density", "log-ratio", "posterior", "label", "confidence", "entropy"]
    assert [kind.name for kind in kinds] == names


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "not the record of a quantity"),
        (None, "not the record of a quantity"),
        ({"quantity": ["density"]}, "not the record of a quantity"),
        ({"quantity": "density"}, "not the record of a quantity: 'mixture'"),
        ({"quantity": "label", "classes": 3, "priors": []}, "not the record of a quantity"),
        ({"quantity": "variance"}, "no quantity is named 'variance'. Upgrade mixture-pipeline"),
        ({"quantity": "label", "classes": {"a": {}}, "priors": [1]}, "not the record of a quantity"),
        ({**Label(CLASSES).to_dict(), "priors": [1, 10**400]}, "not the record of a quantity"),
        ({**Label(CLASSES).to_dict(), "priors": ["x", 1]}, "not the record of a quantity: priors are"),
        ({**Density(MIXTURE).to_dict(), "mixture": 3}, "not the record of a quantity"),
    ],
)
def test_records_that_are_refused(record: Any, message: str) -> None:
    """A record that isn't one of a quantity, or is one of a later version, gets an error that says so."""
    with pytest.raises(ValueError, match=message):
        read_quantity(record)


def test_output_dtypes() -> None:
    """Results are float32 unless another float is requested."""
    for quantity in QUANTITIES:
        if isinstance(quantity, Label):
            continue
        assert quantity.output_dtype() == np.float32
        for name in ("float16", "float32", "float64"):
            assert quantity.output_dtype(name) == name
        article = "an" if quantity.name == "entropy" else "a"
        message = rf"int16 can't hold {article} {quantity.name}; wanted float16, float32"
        with pytest.raises(ValueError, match=message):
            quantity.output_dtype("int16")


def test_no_data_values() -> None:
    """The value without data is NaN, or the highest integer."""
    assert np.isnan([no_data_value(np.dtype(name)) for name in ("f2", "f4", "f8")]).all()
    assert no_data_value(np.dtype("u1")) == 255
    assert no_data_value(np.dtype("u2")) == 65535


def test_mixtures_are_checked() -> None:
    """Only mixtures over the same channels are accepted, and a mixture may leave its channels unnamed."""
    with pytest.raises(TypeError, match="got 3; wanted a Mixture"):
        check_mixture(3)
    rgb, bgr = (
        Mixture(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances, list(names)) for names in ("rgb", "bgr")
    )
    check_same_channels((MIXTURE, rgb, OTHER))
    for wrong in ((rgb, bgr), (MIXTURE, rgb, bgr), (rgb, random_mixture(1, 2))):
        with pytest.raises(ValueError, match="have different channels; wanted the same channels for all"):
            check_same_channels(wrong)


def test_a_new_kind_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass with a name of its own is read from its record."""
    monkeypatch.setattr(quantity_module, "_kinds", dict(quantity_module._kinds))

    class Mean(Density):
        """A kind that exists in this test only."""

        name = "mean-of-a-test"

    quantity = Mean(MIXTURE)
    assert read_quantity(quantity.to_dict()) == quantity
    assert quantity != Density(MIXTURE)
