"""Quantities: small, frozen, comparable, and clear about dtypes."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import Density, Kernel, Label, LogDensity, LogRatio, Mixture, Posterior, load_model
from pipeline.models.quantity import no_data_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.models.quantity import Quantity


def test_quantities_travel_and_compare(skin: Mixture) -> None:
    """A quantity that travelled equals the one that was sent."""
    quantity = Density(skin, normalized=False)
    assert pickle.loads(pickle.dumps(quantity)) == quantity  # noqa: S301  made here
    assert hash(quantity) == hash(Density(skin, normalized=False))
    assert quantity != Density(skin)
    assert quantity.channels == ("red", "green", "blue")
    assert quantity.n_channels == 3


def test_output_dtypes(skin: Mixture) -> None:
    """Results are float32 unless another float is asked for."""
    for quantity in (Density(skin), LogDensity(skin), LogRatio(skin, skin), Posterior(skin)):
        assert quantity.output_dtype() == np.float32
        for name in ("float16", "float32", "float64"):
            assert quantity.output_dtype(name) == name
        with pytest.raises(ValueError, match=rf"int16 can't hold a {quantity.name}; wanted float16, float32"):
            quantity.output_dtype("int16")


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


@pytest.mark.parametrize(
    "wrong", ["x", None, [Kernel([1, 2, 3], [1, 1, 1], 1)]], ids=["text", "None", "kernels"]
)
def test_what_is_no_mixture_is_refused(skin: Mixture, wrong: Any) -> None:
    """A quantity of something else than a mixture is refused, with how to make one."""
    made: list[Callable[[], Quantity]] = [
        lambda: Density(wrong),
        lambda: LogDensity(wrong),
        lambda: LogRatio(skin, wrong),
        lambda: LogRatio(wrong, skin),
    ]
    for make in made:
        with pytest.raises(TypeError, match=r"got .*; wanted a Mixture, as Mixture.from_kernels\(kernels\)"):
            make()


CLASSES = {"skin": load_model("jones-rehg-skin"), "other": load_model("jones-rehg-nonskin")}


@pytest.mark.parametrize("kind", [Posterior, Label])
def test_classes_travel_and_compare(kind: type[Posterior | Label]) -> None:
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


def test_a_posterior_isnt_a_label() -> None:
    """Quantities of the same classes are told apart."""
    assert Posterior(CLASSES) != Label(CLASSES)
    assert len({Posterior(CLASSES), Label(CLASSES), Posterior(CLASSES, only="skin")}) == 3
    assert (Posterior(CLASSES).name, Label(CLASSES).name) == ("posterior", "label")
    assert Posterior(CLASSES).planes == ("skin", "other")
    assert Posterior(CLASSES, only="skin").planes is None
    assert Label(CLASSES).planes is None


@pytest.mark.parametrize("kind", [Posterior, Label])
def test_kernels_of_one_mixture_are_classes(kind: type[Posterior | Label], skin: Mixture) -> None:
    """One mixture's kernels are named by number, with its weights as priors, and its channels."""
    quantity = kind(skin)
    assert quantity.names == tuple(map(str, range(16)))
    assert quantity.priors == tuple(skin.weights)
    assert quantity.channels == skin.channels
    for number, member in enumerate(quantity.members):
        np.testing.assert_array_equal(member.means, skin.means[number : number + 1])
        np.testing.assert_array_equal(member.covariances, skin.covariances[number : number + 1])
        assert member.weights.tolist() == [1]


def test_priors_are_kept_as_given() -> None:
    """Priors are equal by default, need not sum to 1, and follow names whichever way they are given."""
    assert Posterior(CLASSES).priors == (0.5, 0.5)
    assert Posterior(CLASSES, [2, np.float32(6)]).priors == (2, 6)
    assert Posterior(CLASSES, {"other": 6, "skin": 2}).priors == (2, 6)
    assert Posterior(CLASSES, [2, 6]).to_dict()["priors"] == [2, 6]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({},), ValueError, "at least one name and its mixture"),
        ((None,), ValueError, "classes are None"),
        (([CLASSES["skin"]],), ValueError, "wanted a mixture, or at least one name"),
        (({"skin": 3},), TypeError, "class 'skin' is 3; wanted a name and a Mixture"),
        (({1: CLASSES["skin"]},), TypeError, "class 1 is"),
        (({"a": CLASSES["skin"], "b": Mixture([1], [[1, 2]], [[1, 2]])},), ValueError, "different channels"),
        ((CLASSES, [1]), ValueError, "got 1 priors for 2 classes; wanted one a class"),
        ((CLASSES, [1, 2, 3]), ValueError, "got 3 priors for 2 classes"),
        ((CLASSES, {"skin": 1}), ValueError, "priors are of skin; wanted one of skin, other each"),
        ((CLASSES, {"skin": 1, "hair": 1}), ValueError, "priors are of skin, hair"),
        ((CLASSES, [1, 0]), ValueError, "prior of class 'other' is 0; wanted a positive number"),
        ((CLASSES, [-1, 1]), ValueError, "prior of class 'skin' is -1"),
        ((CLASSES, [1, float("nan")]), ValueError, "prior of class 'other' is nan"),
        ((CLASSES, [float("inf"), 1]), ValueError, "prior of class 'skin' is inf"),
    ],
)
@pytest.mark.parametrize("kind", [Posterior, Label])
def test_classes_that_are_refused(
    kind: type[Posterior | Label], arguments: Any, error: type[Exception], message: str
) -> None:
    """What aren't classes with positive priors over the same channels is refused by name."""
    with pytest.raises(error, match=message):
        kind(*arguments)


def test_only_one_that_there_is() -> None:
    """The one class that is wanted must be one."""
    with pytest.raises(ValueError, match="only is 'hair'; wanted one of the classes skin, other"):
        Posterior(CLASSES, only="hair")


def test_dtypes_of_labels() -> None:
    """A label is a byte where all classes and a value for no data fit, else two."""
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


def test_no_data_values() -> None:
    """No data is NaN, or the highest integer."""
    assert np.isnan([no_data_value(np.dtype(name)) for name in ("f2", "f4", "f8")]).all()
    assert no_data_value(np.dtype("u1")) == 255
