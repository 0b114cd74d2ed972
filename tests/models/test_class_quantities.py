"""Tests of the quantities of several classes."""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import Confidence, Entropy, Label, Mixture, Posterior, load_model
from pipeline.models.classes import Classes
from pipeline.models.quantity import no_data_value, read_quantity

if TYPE_CHECKING:
    from pipeline.models.class_quantities import ClassQuantity

CLASSES = {"skin": load_model("jones-rehg-skin"), "other": load_model("jones-rehg-nonskin")}
KINDS = [Posterior, Label, Confidence, Entropy]


@pytest.mark.parametrize("kind", KINDS)
def test_classes_travel_and_compare(kind: type[ClassQuantity]) -> None:
    """Quantities of classes equal their copies, and differ by classes, order and priors."""
    quantity = kind(CLASSES, {"other": 3, "skin": 1})
    copy = pickle.loads(pickle.dumps(quantity))  # noqa: S301  made here
    assert copy == quantity
    assert hash(copy) == hash(quantity)
    assert copy.to_dict() == quantity.to_dict()
    assert [entry["name"] for entry in quantity.to_dict()["classes"]] == list(CLASSES)
    assert [entry["mixture"] for entry in quantity.to_dict()["classes"]] == [
        mixture.to_dict() for mixture in CLASSES.values()
    ]
    reversed_classes = dict(reversed(CLASSES.items()))
    others = [kind(CLASSES), kind(reversed_classes), kind({"a": CLASSES["skin"], "b": CLASSES["other"]})]
    assert len({quantity, *others}) == 4
    assert quantity == kind(CLASSES, [1, 3])
    assert (quantity.n_channels, quantity.channels) == (3, ("red", "green", "blue"))
    assert quantity.mixtures == tuple(CLASSES.values())


def test_kinds_are_told_apart() -> None:
    """Quantities of the same classes are told apart."""
    assert Posterior(CLASSES) != Label(CLASSES)
    assert len({*(kind(CLASSES) for kind in KINDS), Posterior(CLASSES, only="skin")}) == 5
    assert (Posterior(CLASSES).name, Label(CLASSES).name) == ("posterior", "label")
    assert Posterior(CLASSES).class_names == ("skin", "other")
    assert Posterior(CLASSES, only="skin").class_names is None
    assert Label(CLASSES).class_names is None


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_of_one_mixture_are_classes(kind: type[ClassQuantity], skin: Mixture) -> None:
    """The kernels of one mixture are named by their numbers, and its weights are the priors."""
    quantity = kind(skin)
    assert quantity.names == tuple(map(str, range(16)))
    assert quantity.priors == tuple(skin.weights)
    assert quantity.channels == skin.channels
    for number, member in enumerate(quantity.class_mixtures):
        np.testing.assert_array_equal(member.means, skin.means[number : number + 1])
        np.testing.assert_array_equal(member.covariances, skin.covariances[number : number + 1])
        assert member.weights.tolist() == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_classes_bring_their_priors(kind: type[ClassQuantity]) -> None:
    """The priors of Classes count unless others are given, and the record is that of a mapping."""
    classes = Classes(CLASSES, [1, 3])
    assert kind(classes) == kind(CLASSES, [1, 3])
    assert kind(classes).to_dict() == kind(CLASSES, [1, 3]).to_dict()
    assert kind(classes, [2, 5]) == kind(CLASSES, [2, 5])
    assert read_quantity(kind(classes).to_dict()) == kind(classes)


def test_priors_are_kept_as_given() -> None:
    """Priors are equal by default, need not sum to 1, and are ordered as the classes are."""
    assert Posterior(CLASSES).priors == (0.5, 0.5)
    assert Posterior(CLASSES, [2, np.float32(6)]).priors == (2, 6)
    assert Posterior(CLASSES, {"other": 6, "skin": 2}).priors == (2, 6)
    assert Posterior(CLASSES, [2, 6]).to_dict()["priors"] == [2, 6]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({},), ValueError, "at least one name and its mixture"),
        ((None,), ValueError, "classes are None"),
        (([CLASSES["skin"]],), ValueError, "wanted at least one name and its mixture"),
        (({"skin": 3},), TypeError, "class 'skin' is 3; wanted a name and a Mixture"),
        (({1: CLASSES["skin"]},), TypeError, "class 1 is"),
        (({"a": CLASSES["skin"], "b": Mixture([1], [[1, 2]], [[1, 2]])},), ValueError, "different channels"),
        ((CLASSES, [1]), ValueError, "got 1 priors for 2 classes; wanted one for each class"),
        ((CLASSES, ["a", 2]), TypeError, r"priors are \['a', 2\]; wanted a positive number for each of"),
        ((CLASSES, 3), TypeError, "priors are 3; wanted a positive number for each of"),
        ((CLASSES, [1, 2, 3]), ValueError, "got 3 priors for 2 classes"),
        ((CLASSES, {"skin": 1}), ValueError, "priors are given for skin; wanted one for each of skin, other"),
        ((CLASSES, {"skin": 1, "hair": 1}), ValueError, "priors are given for skin, hair"),
        ((CLASSES, [1, 0]), ValueError, "prior of class 'other' is 0; wanted a positive number"),
        ((CLASSES, [-1, 1]), ValueError, "prior of class 'skin' is -1"),
        ((CLASSES, [1, float("nan")]), ValueError, "prior of class 'other' is nan"),
        ((CLASSES, [float("inf"), 1]), ValueError, "prior of class 'skin' is inf"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_are_refused(
    kind: type[ClassQuantity], arguments: Any, error: type[Exception], message: str
) -> None:
    """Anything but classes over the same channels with positive priors is refused by name."""
    with pytest.raises(error, match=message):
        kind(*arguments)


def test_the_only_class_must_exist() -> None:
    """The requested class must be one of the classes."""
    with pytest.raises(ValueError, match="only is 'hair'; wanted one of the classes skin, other"):
        Posterior(CLASSES, only="hair")


def test_dtypes_of_labels() -> None:
    """A label is a byte if all classes and a value without data fit, and two bytes otherwise."""
    one = Mixture([1.0], [[0.0]], [[1.0]])
    for count, wanted in ((1, "uint8"), (254, "uint8"), (255, "uint16"), (65534, "uint16")):
        label = Label({str(number): one for number in range(count)})
        assert label.output_dtype() == wanted
        assert label.output_dtype("uint16") == "uint16"
        assert no_data_value(label.output_dtype()) == {"uint8": 255, "uint16": 65535}[wanted] >= count
    with pytest.raises(ValueError, match="got 65535 classes; wanted at most 65534"):
        Label({str(number): one for number in range(65535)}).output_dtype()
    with pytest.raises(ValueError, match="dtype uint8 can't hold labels of 255 classes; wanted uint16"):
        Label({str(number): one for number in range(255)}).output_dtype("uint8")
    with pytest.raises(ValueError, match="dtype float32 can't hold labels"):
        Label(CLASSES).output_dtype("float32")


def test_ranges_of_values() -> None:
    """Probabilities lie between 0 and 1, and entropies between 0 and the logarithm of the class count."""
    assert Posterior(CLASSES).value_range == Confidence(CLASSES).value_range == (0, 1)
    assert Entropy(CLASSES).value_range == (0, math.log(2))
    assert Entropy(CLASSES["skin"]).value_range == (0, math.log(16))
    assert Entropy({"all": CLASSES["skin"]}).value_range is None
    assert Label(CLASSES).value_range is None
    for kind in (Label, Confidence, Entropy):
        assert kind(CLASSES).class_names is None
        assert kind(CLASSES).n_results == 1
