"""The planes of a result, one for each number that a pixel has, and their tiles."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.grid import Block
from pipeline.models.palette import class_color
from pipeline.models.summary import result_names
from pipeline.results.scale import choose_scale
from pipeline.results.tiles import Place, n_levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.models.summary import Summary
    from pipeline.results.result import Result
    from pipeline.results.scale import Scale

# Tiles whose values are kept, so that another range or color map is painted without reading: 2 MB each.
_KEPT_TILES = 48


class Plane(NamedTuple):
    """One plane of the results.

    Attributes
    ----------
    name : str
        The name of the output, followed by that of a class if the output has several.
    output : Output
    class_number : int or None
        The number of the class along the output's first axis, or None if a pixel has one number.
    """

    name: str
    output: Output
    class_number: int | None


def list_planes(outputs: Iterable[Output]) -> list[Plane]:
    """Return the planes of some outputs, in their order."""
    return [
        Plane(name, output, None if output.class_names is None else number)
        for output in outputs
        for number, name in enumerate(result_names(output))
    ]


class Planes:
    """The planes of a result, and their tiles at every level. It may be used by several threads at once.

    Parameters
    ----------
    result : Result

    Attributes
    ----------
    extent : tuple of int
        Height and width at full resolution.
    """

    def __init__(self, result: Result) -> None:
        self._levels = [result.at(level) for level in range(len(result.levels))]
        self.extent = result.levels[0]
        self.planes = tuple(list_planes(result.outputs.values()))
        self._summary = result.summary
        self._read_kept = lru_cache(_KEPT_TILES)(self._read)

    def read(self, number: int, place: Place) -> NDArray[Any]:
        """Return the values of a tile, or the labels, of shape (h, w).

        Raises
        ------
        LookupError
            If there is no such plane or no such tile.
        """
        if not 0 <= number < len(self.planes):
            raise LookupError(f"result {number} is none of the results 0 to {len(self.planes) - 1}")
        return self._read_kept(number, place)

    def values(self, row: int, column: int) -> list[float | int | None]:
        """Return what is stored for a pixel at full resolution: a number for each plane, None without data.

        Raises
        ------
        LookupError
            If there is no such pixel.
        """
        if not (0 <= row < self.extent[0] and 0 <= column < self.extent[1]):
            raise LookupError(f"row {row}, column {column} isn't one of {self.extent[0]} x {self.extent[1]}")
        found: list[float | int | None] = []
        pixel_place = Block((0, 0), slice(row, row + 1), slice(column, column + 1))
        for name, output in self._levels[0].outputs.items():
            pixel = self._levels[0].read(name, pixel_place)
            for value in pixel.ravel().tolist():
                is_missing = value == output.no_data if output.label_names else math.isnan(value)
                found.append(None if is_missing else value)
        return found

    def scale(self, number: int) -> Scale:
        """Return the scale that suits a plane; without a summary, its coarsest tile stands for all values."""
        values = np.zeros(0)
        if self._summary is None:
            values = self.read(number, Place(n_levels(self.extent) - 1, 0, 0))
        return plane_scale(self.planes[number], self._summary, values)

    def _read(self, number: int, place: Place) -> NDArray[Any]:
        plane, stored = self.planes[number], min(place.level, len(self._levels) - 1)
        step = 2 ** (place.level - stored)
        height, width = self._levels[stored].levels[stored]
        # The coarsest level that is stored fits into one chunk; even coarser tiles are made of it.
        rows, columns = (
            slice(places.start * step, min(places.stop * step, length))
            for places, length in zip(place.region(self.extent), (height, width), strict=True)
        )
        block = Block((0, 0), rows, columns)
        found = self._levels[stored].read(plane.output.name, block, plane.class_number)
        values: NDArray[Any] = found[0, ::step, ::step].copy()
        values.flags.writeable = False
        return values


def plane_scale(plane: Plane, summary: Summary | None, values: NDArray[Any]) -> Scale:
    """Return the scale of a plane: that of all values if there is a summary, else of some of them."""
    distribution = None if summary is None else summary.distributions[plane.name]
    return choose_scale(plane.output, distribution, values)


def plane_colors(plane: Plane) -> list[tuple[int, int, int]]:
    """Return the colors of the classes of a label; there are none for another result."""
    return [class_color(number) for number in range(len(plane.output.label_names or ()))]
