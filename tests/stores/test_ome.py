"""The metadata of OME-Zarr say what a viewer needs, and are as the specification wants them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from ome_zarr_models.v05.image import Image, ImageAttrs
from ome_zarr_models.v05.image_label import ImageLabel
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from stores.kinds import KINDS, MICROMETERS, ODD_NAMES, Kind, numbers_of, summarized
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from pipeline.images.geometry import Geometry
from pipeline.images.grid import Grid
from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture_quantities import Density, LogRatio
from pipeline.models.packed import Packed
from pipeline.models.palette import class_color, hex_color
from pipeline.stores import layout, ome
from pipeline.stores.layers import arrange
from pipeline.testing.filling import CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record

SCHEMAS = [json.loads(path.read_text()) for path in (Path(__file__).parent / "schemas").glob("*.schema")]
REGISTRY: Registry[Any] = Registry().with_resources(
    [(schema["$id"], DRAFT202012.create_resource(schema)) for schema in SCHEMAS]
)
DENSITY, RATIO = Density(CLASSES["b"]), LogRatio(CLASSES["a"], CLASSES["b"])
# A bin of the summary is at most this wide, relative to its values.
BIN = 1 / 32


def check(name: str, attributes: Any) -> None:
    """Validate the attributes of a group by a schema of the specification."""
    address = f"https://ngff.openmicroscopy.org/0.5/schemas/{name}.schema"
    Draft202012Validator({"$ref": address}, registry=REGISTRY).validate(attributes)


def metadata_of(record: Record) -> dict[str, bytes]:
    """Return the contents of all metadata files of a store."""
    return {layout.METADATA: layout.encode_root(record), **layout.encode_metadata(record)}


def images_of(record: Record) -> dict[str, Any]:
    """Return the metadata of each group that is an image, by its path."""
    found = {path: json.loads(content)["attributes"] for path, content in metadata_of(record).items()}
    return {
        path.removesuffix(layout.METADATA).removesuffix("/"): attributes["ome"]
        for path, attributes in found.items()
        if "multiscales" in attributes.get("ome", {})
    }


def channels_of(record: Record, path: str = "") -> list[Any]:
    """Return the channels of an image, as a viewer reads them."""
    channels: list[Any] = images_of(record)[path]["omero"]["channels"]
    return channels


def filled_with(value: float) -> Callable[[Layer, tuple[int, int]], NDArray[Any]]:
    """Return a function that makes stored numbers which are all the same."""
    return lambda layer, shape: np.full((layer.n_channels, *shape), value, layer.dtype)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_schemas_are_met(kind: Kind) -> None:
    """The strict schemas of the specification accept each image and each label."""
    record = summarized(kind)
    images = images_of(record)
    assert set(images) == {"", *(layer.path for layer in arrange(record.outputs))}
    for attributes in images.values():
        check("strict_image", {"ome": attributes})
        if "image-label" in attributes:
            check("strict_label", {"ome": attributes})
    (multiscale,) = images[""]["multiscales"]
    del multiscale["name"]
    with pytest.raises(ValidationError, match="'name' is a required property"):
        check("strict_image", {"ome": images[""]})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_other_models_are_met(kind: Kind) -> None:
    """The models of ome-zarr-models accept the metadata with those of the arrays that they point to."""
    files = metadata_of(summarized(kind))
    prototype = default_buffer_prototype().buffer
    store = MemoryStore({path: prototype.from_bytes(content) for path, content in files.items()})
    for path, attributes in images_of(kind.record).items():
        if path == "" and "labels/zarr.json" in files:
            # Below an image it looks for the arrays of labels in no folder but that of a label.
            ImageAttrs.model_validate(attributes)
        else:
            model: Any = ImageLabel if "image-label" in attributes else Image
            model.from_zarr(zarr.open_group(store, path=path, mode="r"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_the_schemas_leave_open(kind: Kind) -> None:
    """A dataset is an array with the axes of its image, finer ones first; labels have as many as images."""
    record = kind.record
    files = metadata_of(record)
    images = images_of(record)
    for path, attributes in images.items():
        (multiscale,) = attributes["multiscales"]
        axes = [axis["name"] for axis in multiscale["axes"]]
        shapes = []
        for dataset in multiscale["datasets"]:
            array = json.loads(files[f"{path}/{dataset['path']}/zarr.json".removeprefix("/")])
            assert array["node_type"] == "array"
            assert array["dimension_names"] == axes
            for transform in dataset["coordinateTransformations"]:
                assert len(transform[transform["type"]]) == len(axes)
            shapes.append(tuple(array["shape"]))
            if "image-label" in attributes:
                assert array["data_type"] in {"uint8", "uint16"}
        assert shapes == sorted(shapes, reverse=True)
        assert len(shapes) == len(images[""]["multiscales"][0]["datasets"]) == record.grid.n_levels
        if "omero" in attributes:
            assert attributes["omero"]["name"] == multiscale["name"]
        if "omero" in attributes and axes[0] == "c":
            assert len(attributes["omero"]["channels"]) == shapes[0][0]


sizes = st.floats(1e-3, 1e3)


@given(
    size=st.tuples(sizes, sizes), origin=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), is_label=...
)
def test_scale_and_translation_of_each_level(
    size: tuple[float, float], origin: tuple[float, float], is_label: bool
) -> None:
    """A pixel of a level lies in the middle of the pixels that it stands for, in micrometers."""
    quantity = Label(CLASSES) if is_label else DENSITY
    record = Kind({"one": quantity}, Geometry(size, origin)).record
    (layer,) = arrange(record.outputs)
    (multiscale,) = ome.describe_image(layer, record)["multiscales"]
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    assert multiscale["axes"] == ([] if is_label else [{"name": "c", "type": "channel"}]) + space
    channel = [] if is_label else [1.0]
    for number, dataset in enumerate(multiscale["datasets"]):
        factor = 2**number
        found = {one["type"]: one[one["type"]] for one in dataset["coordinateTransformations"]}
        scale = [*channel, *(factor * side for side in size)]
        assert found["scale"] == pytest.approx(scale)
        middle = [place + side * (factor - 1) / 2 for place, side in zip(origin, size, strict=True)]
        moved = found.get("translation", [0.0] * len(scale))
        assert moved == pytest.approx([*(0 * one for one in channel), *middle], abs=1e-9)


def test_levels_of_an_image_that_says_nothing() -> None:
    """Without a size of pixels there is no unit, and a pixel is 1; the first level isn't moved."""
    (multiscale,) = images_of(KINDS["plain"].record)[""]["multiscales"]
    assert multiscale["name"] == "density"
    assert multiscale["type"] == "mean"
    assert multiscale["axes"][1:] == [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    assert [dataset["path"] for dataset in multiscale["datasets"]] == [f"{n}/image" for n in range(4)]
    assert [dataset["coordinateTransformations"] for dataset in multiscale["datasets"][:2]] == [
        [{"type": "scale", "scale": [1.0, 1.0, 1.0]}],
        [
            {"type": "scale", "scale": [1.0, 2.0, 2.0]},
            {"type": "translation", "translation": [0.0, 0.5, 0.5]},
        ],
    ]
    (mixed,) = images_of(Kind({"density": DENSITY, "ratio": RATIO}).record)[""]["multiscales"]
    assert mixed["name"] == "density, ratio"


def test_windows_are_quantiles() -> None:
    """Channels have the names and colors of classes, and show the values of the middle 98% of the pixels."""
    kind = Kind({"chances": Posterior(ODD_NAMES), "ratio": RATIO}, MICROMETERS)
    channels = channels_of(summarized(kind))
    assert [one["label"] for one in channels] == [*(f"chances {name}" for name in ODD_NAMES), "ratio"]
    colors = [hex_color(class_color(0)), hex_color(class_color(1)), "FFFFFF"]
    assert [one["color"] for one in channels] == colors
    assert [one["active"] for one in channels] == [True, True, False]
    (layer,) = arrange(kind.outputs)
    for channel, plane in zip(channels, numbers_of(layer, kind.grid.shape), strict=True):
        wanted = np.quantile(plane, [0, 0.01, 0.99, 1])
        found = [channel["window"][key] for key in ("min", "start", "end", "max")]
        np.testing.assert_allclose(found, wanted, rtol=BIN)
        assert found[0] <= wanted[0]
        assert found[3] >= wanted[3]


@pytest.mark.parametrize(
    "packed",
    [
        Packed(Posterior(CLASSES, only="b"), "uint8"),
        Packed(DENSITY, "uint16", 1e-12, 1.0, "log"),
        Packed(RATIO, "uint8", -5.0, 5.0),
    ],
    ids=["linear", "logarithmic", "below zero"],
)
def test_windows_of_packed_outputs_are_in_stored_numbers(packed: Packed) -> None:
    """A viewer shows the integers themselves, of which each has a bin of its own."""
    kind = Kind({"first": packed})
    (layer,) = arrange(kind.outputs)
    numbers = numbers_of(layer, kind.grid.shape)
    (channel,) = channels_of(summarized(kind))
    ordered = np.sort(numbers.ravel())
    wanted = [ordered[0], ordered[35 - 1], ordered[3465 - 1], ordered[-1]]
    # A value at the edge of an integer may be rounded to the one beside it.
    assert [channel["window"][key] for key in ("min", "start", "end", "max")] == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.25, -7.0, 1e-30, 1e30])
def test_equal_values_have_a_window(value: float, dtype: str) -> None:
    """A window is never empty, and holds the value."""
    (channel,) = channels_of(summarized(Kind({"ratio": RATIO}, dtype=dtype), filled_with(value)))
    window = channel["window"]
    assert window["min"] <= window["start"] < window["end"] <= window["max"]
    assert window["start"] <= np.float32(value) <= window["end"]


@pytest.mark.parametrize(
    ("quantity", "value", "wanted"),
    [
        (RATIO, math.nan, (0.0, 1.0)),
        (RATIO, math.inf, (0.0, 1.0)),
        (Posterior(CLASSES, only="a"), math.nan, (0.0, 1.0)),
        (Packed(Posterior(CLASSES, only="a"), "uint8"), 255, (0.0, 254.0)),
        (Packed(Posterior(CLASSES, only="a"), "uint8"), 7, (7.0, 8.0)),
    ],
)
def test_windows_without_values(quantity: Any, value: float, wanted: tuple[float, float]) -> None:
    """Where no pixel has a finite value, the window is that of the quantity."""
    kind = Kind({"one": quantity})
    for record in (summarized(kind, filled_with(value)), *([] if value == 7 else [kind.record])):
        (channel,) = channels_of(record)
        low, high = wanted
        assert channel["window"] == {"min": low, "max": high, "start": low, "end": high}
        json.dumps(channel, allow_nan=False)


def test_classes_of_labels() -> None:
    """Each number of a label has a color and a name, the same in both lists; no data is transparent."""
    record = KINDS["several labels"].record
    described = images_of(record)["labels/label"]["image-label"]
    assert described["colors"] == [
        {"label-value": 0, "rgba": [*class_color(0), 255]},
        {"label-value": 1, "rgba": [*class_color(1), 255]},
        {"label-value": 255, "rgba": [0, 0, 0, 0]},
    ]
    assert described["properties"] == [
        *({"label-value": number, "class": name} for number, name in enumerate(ODD_NAMES)),
        {"label-value": 255, "class": "no data"},
    ]
    assert described["source"] == {"image": "../../"}
    listed = json.loads(layout.encode_metadata(record)["labels/zarr.json"])["attributes"]["ome"]
    assert listed == {"version": "0.5", "labels": ["label", "other"]}


def test_many_classes() -> None:
    """Labels of more than 255 classes are 16-bit, and so is the number of no data."""
    classes = {f"class {number}": CLASSES["a"] for number in range(300)}
    record = Kind({"label": Label(classes)}).record
    described = images_of(record)["labels/label"]["image-label"]
    assert len(described["colors"]) == len(described["properties"]) == 301
    assert described["colors"][-1] == {"label-value": 65535, "rgba": [0, 0, 0, 0]}


def test_a_store_of_labels_is_an_image_of_the_first() -> None:
    """Its datasets are the arrays of the first label, at the same places; one channel shows the numbers."""
    record = KINDS["label"].record
    images = images_of(record)
    (root,), (label,) = images[""]["multiscales"], images["labels/label"]["multiscales"]
    assert [dataset["path"] for dataset in root["datasets"]] == [
        f"labels/label/{dataset['path']}" for dataset in label["datasets"]
    ]
    assert [dataset["coordinateTransformations"] for dataset in root["datasets"]] == [
        dataset["coordinateTransformations"] for dataset in label["datasets"]
    ]
    (channel,) = images[""]["omero"]["channels"]
    assert channel["label"] == "label"
    assert channel["window"] == {"min": 0.0, "max": 2.0, "start": 0.0, "end": 2.0}
    assert "image-label" not in images[""]


def test_a_store_of_packed_outputs_is_an_image_of_the_first() -> None:
    """The others are images below it."""
    images = images_of(KINDS["several packed"].record)
    assert list(images) == ["", "packed/log", "packed/ratio"]
    assert [one["multiscales"][0]["name"] for one in images.values()] == ["half", "log", "ratio"]
    assert images["packed/log"]["multiscales"][0]["datasets"][1]["path"] == "1/log"


def test_a_damaged_summary_leaves_the_windows_of_the_quantity() -> None:
    """Metadata can be made of any record."""
    kind = Kind({"chance": Posterior(CLASSES, only="a")}, grid=Grid((3, 4), (16, 16), (16, 16)))
    receipt = {"pixels": 12, "blocks": 1, "skipped": [], "summary": {"zones": []}}
    (channel,) = channels_of(replace(kind.record, receipt=receipt))
    assert channel["window"] == {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}
