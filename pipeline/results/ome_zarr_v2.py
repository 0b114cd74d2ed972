"""Results as OME-Zarr 0.4, which is Zarr 2 without shards, for programs that read nothing newer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numcodecs import Blosc

from pipeline.images.grid import Grid
from pipeline.models.encoding import Plain
from pipeline.results.regions import value_dtype
from pipeline.stores import ome
from pipeline.stores.layers import Layer, arrange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.results.result import Result
    from pipeline.runs.progress import Reporter

_VERSION = "0.4"
# Chunks are files, so that they shouldn't be small.
_CHUNK = 1024


def write_ome_zarr_v2(result: Result, names: Sequence[str], path: Path, *, reporter: Reporter) -> None:
    """Write results to a directory of OME-Zarr 0.4, block by block.

    Parameters
    ----------
    result : Result
        At level 0.
    names : sequence of str
        The results. Those that are floats, packed ones too, become the channels of the image, and labels its
        label images.
    path : Path
        A directory that doesn't exist yet.
    reporter : Reporter
        It is told of each chunk of each result of full resolution.
    """
    chosen = [result.outputs[name] for name in names]
    floats = [value_dtype(result, output.name) for output in chosen if output.label_names is None]
    # The channels of an image have one dtype.
    plain = Plain(np.result_type(*floats)) if floats else None
    outputs = [
        output if output.label_names is not None or plain is None else replace(output, encoding=plain)
        for output in chosen
    ]
    root = zarr.create_group(path, zarr_format=2)
    layers = arrange(outputs)
    labels = [layer for layer in layers if layer.is_label]
    for layer in layers:
        group = root.require_group(layer.path) if layer.path else root
        group.update_attributes(_describe(layer, result))
        for number in range(len(result.levels)):
            _write_level(group, layer, result.at(number), reporter)
    if len(labels) == len(layers):
        # A reader takes the root as an image.
        described = ome.describe_label_as_image(labels[0], result.record)
        root.update_attributes(_as_old(described, f"{labels[0].path}/"))
    if labels:
        root["labels"].attrs["labels"] = [layer.name for layer in labels]


def count_chunks(result: Result, names: Sequence[str]) -> tuple[int, int]:
    """Return how many chunks of results are written at full resolution, and how many numbers are in them."""
    grid = Grid(result.levels[0], (_CHUNK, _CHUNK), (_CHUNK, _CHUNK))
    planes = sum(result.outputs[name].n_results for name in names)
    return grid.n_blocks * len(names), grid.n_pixels * planes


def _describe(layer: Layer, result: Result) -> dict[str, Any]:
    """Return the attributes of the group of an image."""
    return _as_old(ome.describe_image(layer, result.record), "")


def _as_old(described: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the metadata of version 0.5 as those of 0.4, whose levels are arrays beside one another."""
    (multiscale,) = described["multiscales"]
    datasets = [
        {**dataset, "path": f"{prefix}{number}"} for number, dataset in enumerate(multiscale["datasets"])
    ]
    found = {key: value for key, value in described.items() if key not in {"version", "multiscales"}}
    if "image-label" in found:
        found["image-label"] = {**found["image-label"], "version": _VERSION}
    return {"multiscales": [{"version": _VERSION, **multiscale, "datasets": datasets}], **found}


def _write_level(group: zarr.Group, layer: Layer, level: Result, reporter: Reporter) -> None:
    """Write the array of a level."""
    shape, side = level.levels[level.level], _CHUNK
    array = group.create_array(
        str(level.level),
        shape=(*layer.leading, *shape),
        chunks=(*(1 for _ in layer.leading), *(max(1, min(side, extent)) for extent in shape)),
        dtype=layer.dtype,
        fill_value=math.nan if layer.dtype.kind == "f" else layer.no_data,
        compressors=Blosc("lz4", shuffle=Blosc.SHUFFLE),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    for block in Grid(shape, (side, side), (side, side)).blocks():
        for output in layer.outputs:
            values = level.read(output.name, block).astype(layer.dtype, copy=False)
            region: tuple[slice, ...] = block.region
            if layer.is_label:
                array[region] = values[0]
            else:
                array[(layer.planes_of(output), *region)] = values
            if level.level == 0:
                reporter.advance(values.size)
