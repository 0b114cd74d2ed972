"""Tests of outputs: what quantities become once, and what records keep of them."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from references import random_mixture

from pipeline import Classes, Density, Label, LogDensity, LogRatio, Mixture, Packed, Posterior
from pipeline.models.encoding import Half, Linear, Plain
from pipeline.models.output import Output, make_outputs

MIXTURE, OTHER = random_mixture(2, 3), random_mixture(1, 3, full=True)
CLASSES = {"a": MIXTURE, "b": OTHER}
QUANTITIES = {
    "skin-density": Density(MIXTURE),
    "ratio_2": Packed(LogRatio(MIXTURE, OTHER), "uint8", -50, 50),
    "posterior": Posterior(CLASSES),
    "packed": Packed(Posterior(CLASSES), "float16"),
    "label": Label(CLASSES),
}


def test_outputs_of_a_mapping() -> None:
    """Each name has an output in the given order, with the encoding of its quantity."""
    outputs = make_outputs(QUANTITIES)
    assert [output.name for output in outputs] == list(QUANTITIES)
    assert [output.dtype for output in outputs] == ["float32", "uint8", "float32", "float16", "uint8"]
    assert [output.n_results for output in outputs] == [1, 1, 2, 2, 1]
    assert [output.class_names for output in outputs] == [None, None, ("a", "b"), ("a", "b"), None]
    assert [output.label_names for output in outputs] == [None, None, None, None, ("a", "b")]
    np.testing.assert_equal([output.no_data for output in outputs], [math.nan, 255, math.nan, math.nan, 255])
    assert outputs[0].encoding == Plain(np.dtype("float32"))
    assert outputs[1] == Output("ratio_2", LogRatio(MIXTURE, OTHER), Linear(np.dtype("uint8"), -50.0, 50.0))
    assert outputs[3].encoding == Half(np.dtype("float16"))


def test_one_quantity_is_named_after_its_kind() -> None:
    """A single quantity needs no name, packed or not."""
    (output,) = make_outputs(LogDensity(MIXTURE), "float64")
    assert output == Output("log-density", LogDensity(MIXTURE), Plain(np.dtype("float64")))
    (packed,) = make_outputs(Packed(Posterior(CLASSES), "uint8"))
    assert (packed.name, packed.dtype) == ("posterior", np.uint8)


def test_a_record_is_the_output() -> None:
    """Outputs that went through JSON or between processes are equal."""
    outputs = make_outputs(QUANTITIES)
    for output in outputs:
        assert Output.from_dict(json.loads(json.dumps(output.to_dict()))) == output
    assert pickle.loads(pickle.dumps(outputs)) == outputs  # noqa: S301  made here
    assert len(set(outputs)) == len(outputs)


def test_a_dtype_is_for_all_that_can_have_it() -> None:
    """The requested dtype is that of the results, and packed ones must have it already."""
    assert make_outputs({"a": Density(MIXTURE), "b": Posterior(CLASSES)}, "float16")[1].dtype == np.float16
    assert make_outputs(Packed(Density(MIXTURE), "float16"), "float16")[0].encoding.is_lossy
    with pytest.raises(ValueError, match="dtype is float32, but the quantity 'density' is packed as float16"):
        make_outputs(Packed(Density(MIXTURE), "float16"), "float32")
    with pytest.raises(ValueError, match="dtype float32 can't hold labels"):
        make_outputs(Label(CLASSES), "float32")


@pytest.mark.parametrize(
    ("quantities", "error", "message"),
    [
        ({}, ValueError, "got no quantities; wanted at least one"),
        (MIXTURE, TypeError, r"the quantity is <Mixture.*wanted Density\(mixture\)"),
        (
            Classes(CLASSES),
            TypeError,
            r"got <Classes: .*wanted a quantity of them, for example Label\(classes\)",
        ),
        ([Density(MIXTURE)], TypeError, "or a mapping of names to quantities"),
        (None, TypeError, "the quantity is None"),
        ({"a": MIXTURE}, TypeError, r"the quantity 'a' is <Mixture.*wanted Density\(mixture\)"),
        ({"a b": Density(MIXTURE)}, ValueError, "named 'a b'; wanted letters, digits, - and _"),
        ({"../x": Density(MIXTURE)}, ValueError, r"named '\.\./x'"),
        ({"": Density(MIXTURE)}, ValueError, "named ''"),
        ({None: Density(MIXTURE)}, ValueError, "named None"),
        ({"a": Density(MIXTURE), "b": Density(random_mixture(1, 2))}, ValueError, "have 2 and 3 channels"),
    ],
)
def test_quantities_that_are_refused(quantities: Any, error: type[Exception], message: str) -> None:
    """Anything but quantities with names that directories can have is refused by name."""
    with pytest.raises(error, match=message):
        make_outputs(quantities)


def test_outputs_share_an_image() -> None:
    """Quantities over differently named channels need different images."""
    rgb, bgr = (
        Mixture(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances, list(names)) for names in ("rgb", "bgr")
    )
    assert len(make_outputs({"a": Density(rgb), "b": Density(MIXTURE)})) == 2
    with pytest.raises(ValueError, match="have different channels: b, g, r and r, g, b"):
        make_outputs({"a": Density(rgb), "b": Density(bgr)})
