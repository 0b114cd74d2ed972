"""Any other source at a higher resolution, scaled by nearest neighbor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.source import Derived

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Part, Places, Region, Source

# The bytes that the index of a row or a column takes while it is computed.
_INDEX_BYTES = 32


def fit_extent(source: Source, extent: tuple[int, int], role: str) -> Source:
    """Return an image of one channel that lies over another one, scaled to its height and width.

    Parameters
    ----------
    source : Source, shape (h, w, 1)
        Of the same height and width, or smaller with the same aspect.
    extent : tuple of int
        Height H and width W of the image over which it lies.
    role : str
        The word for it in messages: "mask", "labels" or "zones".

    Returns
    -------
    Source, shape (H, W, 1)
        The same source if it has this height and width already.

    Raises
    ------
    ValueError
        If it has several channels, is larger than the image in height or width, or has another aspect.

    Notes
    -----
    A coarser level of a pyramid has the rounded height and width of the image divided by some number, rounded
    down or up. The aspect fits if there is such a number, and a size that is only one pixel less than the
    image's isn't taken for a coarser level: it would move pixels that were meant to lie over each other.
    """
    if source.shape == (*extent, 1):
        return source
    (height, width), (tall, wide) = source.extent, extent
    # The number lies between H / (h + 1) and H / (h - 1), and between W / (w + 1) and W / (w - 1).
    is_near = tall * (width - 1) < wide * (height + 1) and wide * (height - 1) < tall * (width + 1)
    is_coarser = tall > height + 1 or wide > width + 1
    is_within = 0 < height <= tall and 0 < width <= wide
    if source.shape[2] == 1 and is_near and is_coarser and is_within:
        return Scaled(source, extent)
    if source.shape[2] != 1:
        raise ValueError(
            f"{role} has shape {source.shape}; wanted {extent}, the image's height and width, and one channel"
        )
    ratios = f"{tall / max(1, height):.6g} and {wide / max(1, width):.6g}"
    raise ValueError(
        f"{role} has shape {source.extent}; wanted {extent}, the image's height and width, or a lower "
        f"resolution of the same aspect: the image is {ratios} times as high and as wide"
    )


class Scaled(Derived):
    """Another source, scaled by nearest neighbor.

    Of H rows, row r is row floor((r + 0.5) h / H) of the h rows of the base: the one in which its center
    lies. Columns are scaled in the same way.

    Parameters
    ----------
    base : Source, shape (h, w, C)
    extent : tuple of int
        Height H and width W, no less than those of the base.
    """

    def __init__(self, base: Source, extent: tuple[int, int]) -> None:
        self._base, self.dtype, self.channels = base, base.dtype, base.channels
        self.shape = (*extent, base.shape[2])
        self.tile = self._enlarge(base.tile)

    def identity(self) -> str | None:
        """Return the identity of the base, with the height and width."""
        base = self._base.identity()
        return None if base is None else f"{base}, scaled to {self.shape[0]} x {self.shape[1]}"

    def part(self, region: Region) -> _ScaledPart:
        """Return the part with which a task reads a region: a part of the base, and how to scale it."""
        axes = [_Axis(*sides) for sides in self._sides(region)]
        return _ScaledPart(self._base.part((axes[0].span, axes[1].span)), axes[0], axes[1])

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region in this process."""
        rows, columns = (_Axis(*sides) for sides in self._sides(region))
        return _scale(self._base.read((rows.span, columns.span)), rows, columns)

    @property
    def unit(self) -> tuple[int, int]:
        """As many pixels as the base decodes anew for each region."""
        return self._enlarge(self._base.unit)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: pixels, the base's that they come from, and their indices."""
        spans = []
        for axis, (small, large) in enumerate(zip(self._base.extent, self.extent, strict=True)):
            step = 1 if places is None else abs(places[axis].step)
            span = ((max(1, extent[axis]) - 1) * step * small) // large + 2
            # Regions of the base begin anywhere in its tiles, and may touch one more than aligned ones do.
            spans.append(min(small, span + self._base.tile[axis]))
        read = self._base.region_bytes((spans[0], spans[1]))
        # Columns are scaled before rows are.
        pixels = (extent[0] + spans[0]) * extent[1] * self.pixel_bytes
        return pixels + read + sum(extent) * _INDEX_BYTES

    def select(self, channels: tuple[int, ...]) -> Source | None:
        """Return the source of some of the channels, if reading the base can leave the others out."""
        base = self._base.select(channels)
        return None if base is None else Scaled(base, self.extent)

    def _places(self) -> dict[str, Any]:
        """Return the height and width."""
        return {"extent": list(self.extent)}

    def _sides(self, region: Region) -> list[tuple[range, int, int]]:
        """Return the places of a region, and the base's and the image's length, along both axes."""
        axes = zip(self.extent, region, self._base.extent, strict=True)
        return [(range(large)[places], small, large) for large, places, small in axes]

    def _enlarge(self, piece: tuple[int, int]) -> tuple[int, int]:
        """Return as many pixels as come from a piece of the base."""
        if piece == (1, 1):
            return piece
        axes = zip(piece, self.extent, self._base.extent, strict=True)
        tall, wide = (min(large, max(1, length * large // max(1, small))) for length, large, small in axes)
        return tall, wide


class _Axis(NamedTuple):
    """Places along an axis of a scaled image, and the lengths of the axis in the base and in the image."""

    places: range
    small: int
    large: int

    @property
    def span(self) -> slice:
        """The places of the base that are read."""
        if not self.places:
            return slice(0, 0, 1)
        return slice(self._to_base(self.places[0]), self._to_base(self.places[-1]) + 1, 1)

    @property
    def indices(self) -> NDArray[np.int64]:
        """The index within the span of each place."""
        places = np.arange(self.places.start, self.places.stop, self.places.step, dtype=np.int64)
        indices: NDArray[np.int64] = (2 * places + 1) * self.small // (2 * self.large) - (self.span.start)
        return indices

    def _to_base(self, place: int) -> int:
        return (2 * place + 1) * self.small // (2 * self.large)


class _ScaledPart(NamedTuple):
    """A part of the base, and how to scale it."""

    part: Part
    rows: _Axis
    columns: _Axis

    def read(self) -> NDArray[Any]:
        """Read the pixels, shape (h, w, C)."""
        return _scale(self.part.read(), self.rows, self.columns)


def _scale(pixels: NDArray[Any], rows: _Axis, columns: _Axis) -> NDArray[Any]:
    """Return the pixels of a region, each of which is the nearest one of the base."""
    # Columns first: then whole rows are copied.
    return pixels.take(columns.indices, axis=1).take(rows.indices, axis=0)
