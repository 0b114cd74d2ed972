"""The tiles of the page: where they lie in an image, and how values become the colors of a PNG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.results.color_maps import DIVERGING, color_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.models.palette import Color

# Height and width of a tile in pixels.
SIDE = 512
_OPAQUE = 255
# Tiles are sent to the same machine, so speed counts more than size.
_COMPRESSION = 1


class Place(NamedTuple):
    """A tile: its level, of which each has half the height and width of the one before, and its place there.

    Attributes
    ----------
    level : int
        0 is full resolution.
    column, row : int
        Counted in tiles, to the right and downward.
    """

    level: int
    column: int
    row: int

    def region(self, extent: tuple[int, int]) -> tuple[range, range]:
        """Return the rows and the columns of the tile in pixels of its level.

        Parameters
        ----------
        extent : tuple of int
            The height and the width of the image at full resolution.

        Raises
        ------
        LookupError
            If the image has no such tile.
        """
        if not 0 <= self.level < n_levels(extent):
            raise LookupError(f"level {self.level} is none of the levels 0 to {n_levels(extent) - 1}")
        rows, columns = (
            range(number * SIDE, min((number + 1) * SIDE, -(-length // 2**self.level)))
            for number, length in zip((self.row, self.column), extent, strict=True)
        )
        if not (rows and columns):
            raise LookupError(
                f"level {self.level} has no tile in column {self.column} and row {self.row}, counted from 0"
            )
        return rows, columns


def n_levels(extent: tuple[int, int]) -> int:
    """Return how many levels an image of this height and width has, the last of which is a single tile."""
    return 1 + max(0, math.ceil(math.log2(max(*extent, 1) / SIDE)))


class Scale(NamedTuple):
    """The colors of values: a color map from a low to a high value.

    Attributes
    ----------
    low, high : float
        The values that get the first and the last color. Those beyond get these colors too.
    color_map : str
        One of `COLOR_MAPS`.
    is_logarithmic : bool
        Whether equal ratios of values are equally far apart; values that aren't positive get the first color
        then.
    is_faded : bool
        Whether a color is the more transparent the nearer it is to the first one, or to the middle of a map
        with a middle, so that an image below shows through.
    """

    low: float
    high: float
    color_map: str
    is_logarithmic: bool = False
    is_faded: bool = False

    def edges(self, count: int) -> list[float]:
        """Return the ends of so many intervals that are equally wide in the color map."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.is_logarithmic else self[:2]
        places = np.linspace(low, high, count + 1)
        edges: list[float] = (10.0**places if self.is_logarithmic else places).tolist()
        return edges

    def paint(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colors of values.

        Parameters
        ----------
        values : ndarray of float, shape (h, w)

        Returns
        -------
        ndarray of uint8, shape (h, w, 4)
            Red, green, blue and alpha. Step k of the 256 of the color map has the values around the share
            k / 255 of the way from low to high. NaN is transparent.

        Raises
        ------
        ValueError
            If low isn't less than high, or not positive where the scale is logarithmic; if there is no such
            color map.
        """
        table = color_table(self.color_map)
        low, high, shown = self.low, self.high, values.astype(np.float64)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"the range is {low:g} to {high:g}; wanted two finite numbers, the lower first")
        if self.is_logarithmic:
            if low <= 0:
                raise ValueError(f"the range begins at {low:g}; wanted a positive number for a logarithm")
            low, high = math.log10(low), math.log10(high)
            missing = np.isnan(shown)
            shown = np.log10(shown, out=np.full_like(shown, -np.inf), where=shown > 0)
            shown[missing] = np.nan
        # Half of each may differ by more than a float64 can hold.
        share = np.clip((shown / 2 - low / 2) / (high / 2 - low / 2), 0, 1)
        missing = np.isnan(share)
        steps = np.where(missing, 0, share * (len(table) - 1) + 0.5).astype(np.uint8)
        colors = table[steps]
        if self.is_faded:
            last = len(table) - 1
            colors[..., 3] = np.abs(2 * steps.astype(int) - last) if self.color_map == DIVERGING else steps
        colors[missing] = 0
        return colors


def paint_labels(
    labels: NDArray[Any], colors: Iterable[Color], hidden: Iterable[int] = ()
) -> NDArray[np.uint8]:
    """Return the colors of the classes of pixels.

    Parameters
    ----------
    labels : ndarray of uint8 or uint16, shape (h, w)
    colors : iterable of (int, int, int)
        The color of each class, in their order.
    hidden : iterable of int
        The numbers of classes that are left out.

    Returns
    -------
    ndarray of uint8, shape (h, w, 4)
        Red, green, blue and alpha. A pixel without data, or of a class that is left out, is transparent.
    """
    table = np.zeros((np.iinfo(labels.dtype).max + 1, 4), np.uint8)
    for number, color in enumerate(colors):
        table[number] = (*color, _OPAQUE)
    table[[number for number in hidden if 0 <= number < len(table)]] = 0
    colors_of_pixels: NDArray[np.uint8] = table[labels]
    return colors_of_pixels


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode red, green, blue and perhaps alpha, shape (h, w, 3) or (h, w, 4), as a PNG."""
    import imagecodecs  # noqa: PLC0415  codecs are loaded where they are used

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_COMPRESSION))
