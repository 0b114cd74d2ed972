"""The tiles of the page: where they lie in an image, and their files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Height and width of a tile in pixels.
SIDE = 512
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


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode red, green, blue and perhaps alpha, shape (h, w, 3) or (h, w, 4), as a PNG."""
    import imagecodecs  # noqa: PLC0415  codecs are loaded where they are used

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_COMPRESSION))
