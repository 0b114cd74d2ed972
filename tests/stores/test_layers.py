"""Layers: each output is in one, and paths say whose they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores.kinds import KINDS, Kind

from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture_quantities import Density, LogRatio
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores import layout
from pipeline.stores.layers import arrange
from pipeline.testing.filling import CLASSES

if TYPE_CHECKING:
    from pipeline.models.quantity import Quantity

QUANTITIES: tuple[Quantity | Packed, ...] = (
    Density(CLASSES["b"]),
    Posterior(CLASSES),
    LogRatio(CLASSES["a"], CLASSES["b"]),
    Packed(Posterior(CLASSES), "uint8"),
    Packed(Density(CLASSES["b"]), "float16"),
    Label(CLASSES),
)


def test_paths_of_all_kinds() -> None:
    """Plain outputs share the store's own image; packed ones and labels have images below it."""
    own, chances, half, label, other = arrange(KINDS["all"].outputs)
    assert [layer.path for layer in (own, chances, half, label, other)] == [
        *("", "packed/bytes", "packed/half", "labels/label", "labels/other")
    ]
    assert (own.name, own.channels) == ("density, chances", ("density", "chances a", "chances b"))
    assert (own.axes, own.leading, own.dtype) == (("c", "y", "x"), (3,), np.dtype("float32"))
    assert (label.axes, label.leading, label.no_data) == (("y", "x"), (), 255)
    assert (chances.channels, chances.leading) == (("bytes a", "bytes b"), (2,))
    assert [own.array_path(2), chances.array_path(), label.array_path(1)] == [
        *("2/image", "packed/bytes/0/bytes", "labels/label/1/label")
    ]
    assert [own.level_path(2), label.level_path(1)] == ["2", "labels/label/1"]
    assert [own.planes_of(output) for output in own.outputs] == [slice(0, 1), slice(1, 3)]
    assert chances.errors_path == "largest_errors/bytes"


@given(st.lists(st.sampled_from(QUANTITIES), min_size=1, max_size=8))
def test_every_output_is_in_one_layer(chosen: list[Quantity | Packed]) -> None:
    """The first layer is the store's own image, unless there are only labels; no two share a path."""
    outputs = make_outputs({f"output{number}": quantity for number, quantity in enumerate(chosen)})
    layers = arrange(outputs)
    assert sorted(output.name for layer in layers for output in layer.outputs) == [
        output.name for output in outputs
    ]
    paths = [layer.path for layer in layers]
    assert len(set(paths)) == len(paths)
    only_labels = all(output.label_names is not None for output in outputs)
    assert ("" in paths) is not only_labels
    assert paths[0] == ("labels/output0" if only_labels else "")
    for layer in layers:
        assert layer.is_label == layer.path.startswith("labels/")
        assert len(layer.channels) == layer.n_channels
        assert len(layer.outputs) == 1 or not (layer.encoding.is_lossy or layer.is_label)
        planes = [number for output in layer.outputs for number in range(99)[layer.planes_of(output)]]
        assert planes == list(range(layer.n_channels))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_file_has_an_owner(kind: Kind) -> None:
    """A group or array is needed by the layers whose images are in it or around it, and by no others."""
    layers = arrange(kind.outputs)
    for path in layout.encode_metadata(kind.record):
        place = path.removesuffix("/zarr.json")
        owners = [layer.path for layer in layers if layer.is_at(place)]
        assert owners, place
        if found := re.fullmatch(r"((?:packed|labels)/[^/]+)(?:/\d+(?:/.*)?)?", place):
            assert owners == [found[1]]
        elif place[0].isdecimal():
            assert owners == [""]
    assert not any(layer.is_at("other/0") for layer in layers)
