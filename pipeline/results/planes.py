"""The planes of a result, one for each number that a pixel has, and their tiles."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.grid import Block
from pipeline.models.palette import class_color
from pipeline.models.summary import result_names
from pipeline.results.color_maps import DIVERGING
from pipeline.results.tiles import Place, Scale, n_levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.results.result import Result

# Tiles whose values are kept, so that another range or color map is painted without reading: 2 MB each.
_KEPT_TILES = 48
# The share of pixels at either end of a distribution that the automatic range leaves out.
_LEFT_OUT = 0.005
# The automatic range of a logarithmic scale spans at most so many powers of ten.
_MOST_POWERS = 6


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

    @property
    def is_logarithmic(self) -> bool:
        """Whether values span many powers of ten."""
        return self.output.quantity.error_is_relative


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
        """Return the color map and the range that suit a plane: its possible values, or most of its values.

        The scale of log-ratios and other values of both signs is symmetric around 0.
        """
        plane = self.planes[number]
        bounds = plane.output.quantity.value_range
        if bounds is not None:
            return Scale(*bounds, "viridis")
        low, high = self._quantiles(number)
        if plane.is_logarithmic:
            high = high if high > 0 else 1.0
            least = high * 10.0**-_MOST_POWERS
            return Scale(min(max(low, least), high / 10) or high / 10, high, "magma", is_logarithmic=True)
        if plane.output.quantity.operands == "pair":
            reach = max(-low, high, 1e-30)
            return Scale(-reach, reach, DIVERGING)
        return Scale(low, high if low < high else low + 1, "magma")

    def _quantiles(self, number: int) -> tuple[float, float]:
        """Return the finite values between which nearly all pixels lie, 0 and 1 if none has a value."""
        if self._summary is not None:
            distribution = self._summary.distributions[self.planes[number].name]
            ends = [distribution.quantile(share) for share in (_LEFT_OUT, 1 - _LEFT_OUT)]
        else:
            values = self.read(number, Place(n_levels(self.extent) - 1, 0, 0))
            values = values[np.isfinite(values)].astype(np.float64)
            ends = np.quantile(values, [_LEFT_OUT, 1 - _LEFT_OUT]).tolist() if len(values) else [math.nan] * 2
        if not all(map(math.isfinite, ends)):
            return 0.0, 1.0
        return ends[0], ends[1]

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


def plane_colors(plane: Plane) -> list[tuple[int, int, int]]:
    """Return the colors of the classes of a label; there are none for another result."""
    return [class_color(number) for number in range(len(plane.output.label_names or ()))]
