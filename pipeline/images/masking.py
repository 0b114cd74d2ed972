"""Which pixels of an image have data: by a mask, by the image's own alpha channel, by a no-data value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.pixels import check_mask_dtype, has_data
from pipeline.images.scaled import fit_extent
from pipeline.images.view import view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.no_data import NoData
    from pipeline.images.source import Part, Region, Source

# As a mask, it stands for the image's own alpha channel.
ALPHA = "alpha"


@dataclass(frozen=True, eq=False)
class Masking:
    """The masks of an image. A pixel has data if none of them says that it has none.

    Attributes
    ----------
    masks : tuple of Source
        Images of the same height and width, with one channel. A pixel has no data where one of them is 0.
    has_alpha : bool
        Whether the last channel of the image's source is alpha. A pixel has no data where it is 0.
    no_data : NoData or None
        The value that marks pixels without data.
    """

    masks: tuple[Source, ...] = ()
    has_alpha: bool = False
    no_data: NoData | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every pixel has data."""
        return not self.masks and not self.has_alpha and self.no_data is None

    @property
    def facts(self) -> list[str]:
        """What marks pixels without data, in a few words each."""
        facts = ["masked by alpha"] if self.has_alpha else []
        facts += [f"masked by {mask.name}" if mask.place() else "masked by an array" for mask in self.masks]
        return facts if self.no_data is None else [*facts, f"no data where {self.no_data}"]

    def view(self, rows: range, columns: range) -> Masking:
        """Return the masks of some of the rows and columns."""
        masks = tuple(view(mask, rows, columns) for mask in self.masks)
        return Masking(masks, self.has_alpha, self.no_data)

    def part(self, source: Source, region: Region) -> MaskedPart:
        """Return the part with which a task reads a region of an image's source and of its masks."""
        masks = tuple(mask.part(region) for mask in self.masks)
        return MaskedPart(source.part(region), masks, self.has_alpha, self.no_data)

    def region_bytes(self, extent: tuple[int, int], pixel_bytes: int) -> int:
        """Return the memory in bytes that masking a region takes.

        Parameters
        ----------
        extent : tuple of int
            Height and width of the region in pixels.
        pixel_bytes : int
            The size of a pixel of the image.
        """
        if self.is_empty:
            return 0
        mask = max((mask.region_bytes(extent) for mask in self.masks), default=0)
        # A copy of the pixels, a byte for each mask's word on a pixel, and one for that of all masks.
        told = max(1, len(self.masks))
        return mask + math.prod(extent) * (pixel_bytes + 1 + told)


class MaskedPart(NamedTuple):
    """The parts with which one task reads a region of an image and of its masks."""

    image: Part
    masks: tuple[Part, ...]
    has_alpha: bool
    no_data: NoData | None

    def read(self) -> tuple[NDArray[Any] | None, NDArray[np.bool_] | None]:
        """Read the pixels, and which of them have data.

        Returns
        -------
        pixels : ndarray, shape (h, w, C), or None
            None if none has data. Pixels without data have the color of one with data, so that they add no
            color and count in no error.
        valid : ndarray of bool, shape (h, w), or None
            None if all pixels have data because nothing masks the image.
        """
        told = []
        for part in self.masks:
            mask = part.read()
            told.append(has_data(mask.reshape(mask.shape[:2])))
            if not told[-1].any():
                return None, told[-1]
        pixels = self.image.read()
        if self.has_alpha:
            told.append(pixels[..., -1] != 0)
            pixels = pixels[..., :-1]
        if self.no_data is not None:
            told.append(self.no_data.has_data(pixels))
        if not told:
            return pixels, None
        valid = np.logical_and.reduce(told)
        if not valid.any():
            return None, valid
        first = np.unravel_index(valid.argmax(), valid.shape)
        return np.where(valid[..., np.newaxis], pixels, pixels[first]), valid


def check_mask(mask: Source, extent: tuple[int, int]) -> Source:
    """Return a mask, scaled to this height and width, after checking that it can mask such an image.

    Raises
    ------
    ValueError
        If it has another aspect, more pixels, several channels, or no numbers.
    """
    check_mask_dtype(mask.dtype)
    return fit_extent(mask, extent, "mask")
