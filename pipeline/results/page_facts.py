"""What the page is told of a result: its planes, classes, ranges, sizes and units, as JSON holds them."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.models.palette import class_color, hex_color
from pipeline.results.color_maps import COLOR_MAPS
from pipeline.results.tiles import SIDE, n_levels

if TYPE_CHECKING:
    from pipeline.results.image_tiles import ImageTiles
    from pipeline.results.planes import Planes
    from pipeline.results.result import Result

# The bars that show how often values occur.
_BARS = 64


def describe(result: Result, planes: Planes, image: ImageTiles | None, missing: str) -> dict[str, Any]:
    """Return the facts that the page needs.

    Parameters
    ----------
    result : Result
        At full resolution.
    planes : Planes
    image : ImageTiles or None
    missing : str
        Why there is no image.

    Returns
    -------
    dict
        As JSON can hold it, without NaN.
    """
    geometry = result.geometry
    return {
        "title": Path(result.address).name or result.address,
        "height": planes.extent[0],
        "width": planes.extent[1],
        "side": SIDE,
        "levels": n_levels(planes.extent),
        "pixel_size": geometry.pixel_size,
        "crs": geometry.crs,
        "transform": geometry.transform,
        "maps": COLOR_MAPS,
        "planes": [_describe_plane(result, planes, number) for number in range(len(planes.planes))],
        "image": None
        if image is None
        else {"name": Path(image.name).name, "channels": image.channels, "coarsest": image.coarsest},
        "missing": missing,
    }


def _describe_plane(result: Result, planes: Planes, number: int) -> dict[str, Any]:
    plane = planes.planes[number]
    quantity = plane.output.quantity
    facts = {"name": plane.name, "quantity": quantity.name, "unit": quantity.unit}
    if plane.output.label_names is not None:
        return {**facts, "classes": _describe_classes(result, plane.name, plane.output.label_names)}
    scale = planes.scale(number)
    distribution = None if result.summary is None else result.summary.distributions[plane.name]
    edges = scale.edges(_BARS)
    above = [] if distribution is None else [distribution.count_above(edge) for edge in edges]
    return {
        **facts,
        "classes": None,
        "low": scale.low,
        "high": scale.high,
        "map": scale.color_map,
        "logarithmic": scale.is_logarithmic,
        "edges": edges,
        "counts": [more - less for more, less in pairwise(above)],
    }


def _describe_classes(result: Result, name: str, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return name and color of each class, and its pixels and its area in square micrometers if known."""
    summary = result.summary
    zones = None if summary is None else summary.classes[name]
    described = []
    for number, one in enumerate(classes):
        pixels = None if zones is None else zones[number].pixels
        area = None if summary is None or zones is None else summary.area(zones[number])
        is_known = area is not None and math.isfinite(area)
        described.append(
            {
                "name": one,
                "color": f"#{hex_color(class_color(number))}",
                "pixels": pixels,
                "area": area if is_known else None,
            }
        )
    return described
