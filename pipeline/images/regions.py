"""The region that a caller wants of an image, in pixels or in coordinates."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.images.image import Image

_WANTED = (
    "wanted rows and columns, as ((0, 512), (1024, 2048)), or bounds in the units of the coordinate "
    "reference system, as {'x': (left, right), 'y': (bottom, top)}"
)


def places_of(region: Any, image: Image) -> tuple[slice, slice]:  # noqa: ANN401  a caller may pass anything
    """Return the rows and columns of a region.

    Parameters
    ----------
    region : pair of slices, pair of pairs of int, or mapping
        As for :func:`open_image`.
    image : Image

    Returns
    -------
    rows, columns : slice

    Raises
    ------
    ValueError
        If it isn't a region, lies outside of the image or holds no pixel; if it has coordinates, and the
        image has no transform, or is turned against the axes of the coordinates.
    """
    if isinstance(region, Mapping):
        return _within_bounds(region, image)
    try:
        rows, columns = (_as_slice(places) for places in region)
    except (TypeError, ValueError):
        raise ValueError(f"region is {region!r:.200}; {_WANTED}") from None
    for places, length, axis in zip((rows, columns), image.extent, ("rows", "columns"), strict=True):
        if places.start < 0 or places.stop > length or places.start >= places.stop:
            raise ValueError(
                f"region has {axis} {places.start} to {places.stop}; wanted some within 0 to {length}, those "
                "of the image"
            )
    return rows, columns


def _as_slice(places: Any) -> slice:  # noqa: ANN401  a caller may pass anything
    if isinstance(places, slice):
        if places.step not in {None, 1}:
            raise ValueError("a region has no steps")
        places = (places.start, places.stop)
    start, stop = (operator.index(place) for place in places)
    return slice(start, stop)


def _within_bounds(bounds: Mapping[Any, Any], image: Image) -> tuple[slice, slice]:
    """Return the rows and columns whose pixels have their centers within bounds."""
    try:
        (left, right), (bottom, top) = ((float(end) for end in bounds[axis]) for axis in "xy")
        is_box = len(bounds) == 2 and left < right and bottom < top  # noqa: PLR2004  x and y
    except (KeyError, TypeError, ValueError):
        is_box = False
    if not is_box:
        raise ValueError(f"region is {bounds!r:.200}; {_WANTED}")
    if image.transform is None:
        raise ValueError(
            f"region has coordinates, but {image.name} has no georeference. Give it in pixels: {_WANTED}"
        )
    a, b, c, d, e, f = image.transform
    if b or d:
        raise ValueError(
            f"region has coordinates, but {image.name} is turned against their axes. Give it in pixels."
        )
    columns, rows = _inside(left, right, a, c, image.extent[1]), _inside(bottom, top, e, f, image.extent[0])
    if columns.start >= columns.stop or rows.start >= rows.stop:
        height, width = image.extent
        x, y = sorted((c, c + a * width)), sorted((f, f + e * height))
        raise ValueError(
            f"region holds no pixel of {image.name}, which lies within x {x[0]:g} to {x[1]:g} and "
            f"y {y[0]:g} to {y[1]:g}"
        )
    return rows, columns


def _inside(low: float, high: float, size: float, corner: float, length: int) -> slice:
    """Return the places along an axis whose centers lie at least at `low` and below `high`."""
    ends = sorted(((low - corner) / size, (high - corner) / size))
    start, stop = (math.ceil(end - 0.5) for end in ends)
    return slice(min(length, max(0, start)), max(0, min(length, stop)))
