"""A mask, labels or zones with pixels that have no data: these are 0, which says nothing of the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.masking import Masking
from pipeline.images.no_data import check_no_data
from pipeline.images.source import Derived

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.masking import MaskedPart
    from pipeline.images.source import Part, Places, Region, Source


def zeroed(source: Source, masking: Masking) -> Source:
    """Return a source whose pixels without data are 0.

    Parameters
    ----------
    source : Source
        If the masking says so, its last channel is alpha, which the result lacks.
    masking : Masking
        Which of its pixels have data.

    Returns
    -------
    Source
        The same source if nothing marks pixels, or only 0 does.
    """
    is_zero = masking.no_data is not None and masking.no_data.value == 0
    if is_zero and source.shape[2] - masking.has_alpha == 1:
        masking = Masking(masking.masks, masking.has_alpha)
    return source if masking.is_empty else Zeroed(source, masking)


class Zeroed(Derived):
    """Another source, with 0 in all channels of pixels without data.

    Parameters
    ----------
    base : Source
    masking : Masking
        Which of its pixels have data, and whether its last channel is alpha, which is left out.
    """

    def __init__(self, base: Source, masking: Masking) -> None:
        self._base, self._masking, self.dtype = base, masking, base.dtype
        self.tile, self.geometry = base.tile, base.geometry
        n_channels = base.shape[2] - masking.has_alpha
        self.shape = (*base.extent, n_channels)
        self.channels = None if base.channels is None else base.channels[:n_channels]

    @property
    def _sources(self) -> tuple[Source, ...]:
        """The base, and its masks."""
        return (self._base, *self._masking.masks)

    def identity(self) -> str | None:
        """Return the identities of the base and of its masks, and how they are taken."""
        found = [source.identity() for source in self._sources]
        if None in found:
            return None
        facts = ["0 where it has no data", *(["alpha"] if self._masking.has_alpha else [])]
        no_data = self._masking.no_data
        facts += [] if no_data is None else [f"{no_data.value!r} in {no_data.rule} channels"]
        return "; ".join([str(found[0]), *facts, *map(str, found[1:])])

    def place(self) -> dict[str, Any] | None:
        """Return the places of the base and of its masks, or None if one of them is in memory only."""
        return None if None in [source.place() for source in self._sources] else super().place()

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: of the base and of its masks."""
        height, width = (len(range(n)[places]) for n, places in zip(self.extent, region, strict=True))
        part = self._masking.part(self._base, region)
        return _ZeroedPart(part, (height, width, self.shape[2]), self.dtype)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The local files and directories that are read."""
        return tuple(path for source in self._sources for path in source.paths)

    @property
    def unit(self) -> tuple[int, int]:
        """The piece that the base decodes anew for each region."""
        return self._base.unit

    @property
    def held_bytes(self) -> int:
        """The memory that each process holds for as long as it reads the base and the masks."""
        return sum(source.held_bytes for source in self._sources)

    @property
    def present_bytes(self) -> int:
        """How much of that memory this process holds by now."""
        return sum(source.present_bytes for source in self._sources)

    @property
    def opening_bytes(self) -> int:
        """The memory that each process takes before it reads a region of the base or of a mask."""
        return max(source.opening_bytes for source in self._sources)

    @property
    def is_held_by_cluster(self) -> bool:
        """Whether pixels of the base or of a mask are held by the workers of a Dask cluster."""
        return any(source.is_held_by_cluster for source in self._sources)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: the base's and the masks', and a copy of the pixels."""
        masks = sum(mask.region_bytes(extent, places) for mask in self._masking.masks)
        told = math.prod(extent) * (2 + len(self._masking.masks) + self._base.pixel_bytes)
        return self._base.region_bytes(extent, places) + masks + told

    def _places(self) -> dict[str, Any]:
        """Return what marks pixels without data."""
        no_data = self._masking.no_data
        masking = {
            "masks": [mask.place() for mask in self._masking.masks],
            "has_alpha": self._masking.has_alpha,
            "no_data": None if no_data is None else [no_data.value, no_data.rule],
        }
        return {"zeroed": masking}


def reopen_masking(content: dict[str, Any], reopen: Callable[[dict[str, Any]], Source]) -> Masking:
    """Return what marks pixels without data, by the content of a place.

    Parameters
    ----------
    content : dict
        What :meth:`Zeroed.place` says as "zeroed".
    reopen : callable
        It opens the mask at a place.

    Returns
    -------
    Masking

    Raises
    ------
    ValueError
        If the content is damaged, or a mask can't be read.
    """
    try:
        places, has_alpha = [dict(place) for place in content["masks"]], bool(content["has_alpha"])
        no_data = check_no_data(content["no_data"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the place of the image is damaged: zeroed is {content!r:.200}") from error
    return Masking(tuple(reopen(place) for place in places), has_alpha, no_data)


class _ZeroedPart(NamedTuple):
    """A part with its masks, and what the pixels are where none has data."""

    part: MaskedPart
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    def read(self) -> NDArray[Any]:
        """Read the pixels, shape (h, w, C)."""
        pixels, valid = self.part.read()
        if pixels is None:
            return np.zeros(self.shape, self.dtype)
        if valid is not None:
            # The pixels are a copy already, with the color of one pixel where there are no data.
            pixels[~valid] = 0
        return pixels
