"""The metadata of OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5/): levels, scale, names and colors."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.palette import class_color, hex_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.models.distribution import Distribution
    from pipeline.models.output import Output
    from pipeline.models.summary import Summary
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record

# The key of a group's attribute that holds the metadata.
ATTRIBUTE = "ome"
_VERSION = "0.5"
# The key of the metadata of channels, whose ranges are known when a run has ended.
CHANNELS = "omero"
_WHITE = (255, 255, 255)
# The shares of pixels between which a viewer shows values.
_SHOWN = (0.01, 0.99)
_OPAQUE = 255


def describe_image(layer: Layer, record: Record) -> dict[str, Any]:
    """Return the metadata of the group of a layer: its levels, and its channels or classes.

    Parameters
    ----------
    layer : Layer
    record : Record
        The ranges of values are those of its summary, once it has a receipt.

    Returns
    -------
    dict
    """
    described: dict[str, Any] = {"version": _VERSION, "multiscales": [_multiscale(layer, record)]}
    if layer.is_label:
        described["image-label"] = _describe_classes(layer.outputs[0].label_names or (), int(layer.no_data))
    else:
        described[CHANNELS] = {"name": layer.name, "channels": _describe_channels(layer, record)}
    return described


def describe_label_as_image(layer: Layer, record: Record) -> dict[str, Any]:
    """Return the metadata of the root of a store that has only labels: it is an image of the first one."""
    multiscale = _multiscale(layer, record)
    for dataset in multiscale["datasets"]:
        dataset["path"] = f"{layer.path}/{dataset['path']}"
    last = len(layer.outputs[0].label_names or ())
    channel = _describe_channel(layer.name, _WHITE, (0.0, float(last)), (0.0, float(last)), is_active=True)
    shown = {"name": layer.name, "channels": [channel]}
    return {"version": _VERSION, "multiscales": [multiscale], CHANNELS: shown}


def list_labels(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the metadata of the group of all labels."""
    return {"version": _VERSION, "labels": [layer.name for layer in layers if layer.is_label]}


def _multiscale(layer: Layer, record: Record) -> dict[str, Any]:
    """Return the description of the levels of an image."""
    geometry = record.image.geometry
    unit = {} if geometry.pixel_size is None else {"unit": "micrometer"}
    known = replace(geometry, pixel_size=geometry.pixel_size or (1.0, 1.0))
    space = [{"name": name, "type": "space", **unit} for name in ("y", "x")]
    axes = space if layer.is_label else [{"name": "c", "type": "channel"}, *space]
    datasets = []
    for number in range(record.grid.n_levels):
        level = known.coarser(2**number, 2**number)
        scale, origin = level.pixel_size or (1.0, 1.0), level.origin
        leading = len(axes) - 2
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [*([1.0] * leading), *scale]}]
        if any(origin):
            transforms.append({"type": "translation", "translation": [*([0.0] * leading), *origin]})
        path = layer.array_path(number).removeprefix(layer.path).removeprefix("/")
        datasets.append({"path": path, "coordinateTransformations": transforms})
    kinds = dict.fromkeys(output.quantity.coarsening for output in layer.outputs)
    return {
        "name": layer.name,
        "axes": axes,
        "datasets": datasets,
        "type": " and ".join(kinds),
        "metadata": {"description": "Each pixel is made of the 2 x 2 pixels below it that have data."},
    }


def _describe_channels(layer: Layer, record: Record) -> list[dict[str, Any]]:
    """Return the name, the color and the range of each channel; the first output's are shown at first."""
    summary, channels = _summary_of(record), []
    for output in layer.outputs:
        names = layer.channels[layer.planes_of(output)]
        for number, name in enumerate(names):
            color = _WHITE if output.class_names is None else class_color(number)
            found = None if summary is None else summary.distributions[name]
            if found is None or not found.n_pixels:
                ends = shown = _encoded(output, output.quantity.value_range or (0.0, 1.0))
            else:
                ends = _encoded(output, (found.quantile(0), found.quantile(1)))
                shown = _encoded(output, _range_of(found))
            is_active = output is layer.outputs[0]
            channels.append(_describe_channel(name, color, ends, shown, is_active=is_active))
    return channels


def _range_of(found: Distribution) -> tuple[float, float]:
    """Return the ends of the bins between which most values are: equal values lie between them too."""
    start, end = (found.quantile(share) for share in _SHOWN)
    return float(found.lower[found.lower <= start].max()), float(found.upper[found.upper >= end].min())


def _describe_channel(
    name: str,
    color: tuple[int, int, int],
    ends: tuple[float, float],
    shown: tuple[float, float],
    *,
    is_active: bool,
) -> dict[str, Any]:
    (least, most), (start, end) = ends, shown
    if start >= end:
        start, end = (least, most) if least < most else (least, least + 1.0)
    return {
        "label": name,
        "color": hex_color(color),
        "active": is_active,
        "window": {"min": min(least, start), "max": max(most, end), "start": start, "end": end},
    }


def _encoded(output: Output, values: tuple[float, float]) -> tuple[float, float]:
    """Return the stored numbers of two values, which are what a viewer sees."""
    if output.dtype.kind == "f":
        low, high = values
    else:
        stored = np.empty(2, output.dtype)
        output.encoding.encode(np.array(values), stored)
        low, high = map(float, stored)
    return (low, high) if math.isfinite(high - low) else (0.0, 1.0)


def _describe_classes(names: Sequence[str], no_data: int) -> dict[str, Any]:
    """Return the color and the name of each number of a label; pixels without data are transparent."""
    colors = [{"label-value": n, "rgba": [*class_color(n), _OPAQUE]} for n in range(len(names))]
    properties = [{"label-value": n, "class": name} for n, name in enumerate(names)]
    return {
        "version": _VERSION,
        "colors": [*colors, {"label-value": no_data, "rgba": [0, 0, 0, 0]}],
        "properties": [*properties, {"label-value": no_data, "class": "no data"}],
        "source": {"image": "../../"},
    }


def _summary_of(record: Record) -> Summary | None:
    """Return the summary of a record, or None if it has none or a damaged one."""
    try:
        return record.summary
    except ValueError:
        return None
