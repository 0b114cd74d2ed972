"""OME-Zarr 0.4: Zarr 2 has the values of every level, and the metadata of the older version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from pipeline import open_image
from pipeline.results.ome_zarr_v2 import write_ome_zarr_v2
from pipeline.results.result import open_result
from pipeline.runs.progress import Progress, Reporter

if TYPE_CHECKING:
    from pathlib import Path


def write(store: Path, names: list[str], path: Path) -> list[Progress]:
    """Write results, and return what the reporter was told."""
    events: list[Progress] = []
    write_ome_zarr_v2(open_result(store), names, path, reporter=Reporter(events.append, 1, 1))
    return events


def test_floats_are_channels_and_labels_are_nested(results: Path, tmp_path: Path) -> None:
    """All results that are floats are in one array a level, decoded, and each label is a label image."""
    found = open_result(results)
    events = write(results, list(found), tmp_path / "old.zarr")
    assert events[-1].pixels == 6 * 301 * 430
    root = zarr.open_group(tmp_path / "old.zarr", mode="r")
    assert root.metadata.zarr_format == 2
    channels = ["ratio", "chances", "packed", "half"]
    for number in range(len(found.levels)):
        level = found.at(number)
        planes = [np.asarray(level[name]).reshape(-1, *level.levels[number]) for name in channels]
        np.testing.assert_array_equal(root[str(number)], np.concatenate(planes))
        np.testing.assert_array_equal(root[f"labels/label/{number}"], np.asarray(level["label"]))
    assert (tmp_path / "old.zarr" / "0" / "0" / "0" / "0").is_file()
    attributes: Any = root.attrs.asdict()
    (multiscale,) = attributes["multiscales"]
    assert multiscale["version"] == "0.4"
    assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1", "2", "3"]
    assert multiscale["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0, 1.0]},
        {"type": "translation", "translation": [0.0, 0.25, 0.25]},
    ]
    names = [channel["label"] for channel in attributes["omero"]["channels"]]
    assert names == ["ratio", "chances tumor & edge", "chances b", "packed", "half"]
    window = attributes["omero"]["channels"][3]["window"]
    assert 0 <= window["start"] < window["end"] < 1
    assert root["labels"].attrs["labels"] == ["label"]
    label: Any = root["labels/label"].attrs["image-label"]
    assert (label["version"], len(label["colors"])) == ("0.4", 3)
    json.dumps(attributes)


def test_a_label_alone_is_an_image_too(results: Path, tmp_path: Path) -> None:
    """The root points to the arrays of the label, and this package reads it back with its scale."""
    write(results, ["label"], tmp_path / "old.zarr")
    root: Any = zarr.open_group(tmp_path / "old.zarr", mode="r")
    paths = [dataset["path"] for dataset in root.attrs["multiscales"][0]["datasets"]]
    assert paths == [f"labels/label/{number}" for number in range(4)]
    image = open_image(tmp_path / "old.zarr")
    assert image.pixel_size == (0.5, 0.5)
    np.testing.assert_array_equal(image.compute()[..., 0], open_result(results)["label"])
