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

    from pipeline.images.source import Part, Region, Source

# As a mask, it stands for the image's own alpha channel.
ALPHA = "alpha"


@dataclass(frozen=True, eq=False)
class Masking:
    """The masks of an image. A pixel has data if none of them says that it has none.

    Attributes
    ----------
    mask : Source or None
        An image of the same height and width, with one channel. A pixel has no data where it is 0.
    has_alpha : bool
        Whether the last channel of the image's source is alpha. A pixel has no data where it is 0.
    no_data : float or None
        A pixel has no data if all of its channels have this value.
    """

    mask: Source | None = None
    has_alpha: bool = False
    no_data: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every pixel has data."""
        return self.mask is None and not self.has_alpha and self.no_data is None

    @property
    def facts(self) -> list[str]:
        """What marks pixels without data, in a few words each."""
        facts = ["masked by alpha"] if self.has_alpha else []
        if self.mask is not None:
            facts.append(f"masked by {self.mask.paths[0]}" if self.mask.paths else "masked")
        return facts if self.no_data is None else [*facts, f"no data where {self.no_data:g}"]

    def view(self, rows: range, columns: range) -> Masking:
        """Return the masks of some of the rows and columns."""
        mask = None if self.mask is None else view(self.mask, rows, columns)
        return Masking(mask, self.has_alpha, self.no_data)

    def part(self, source: Source, region: Region) -> MaskedPart:
        """Return the part with which a task reads a region of an image's source and of its mask."""
        mask = None if self.mask is None else self.mask.part(region)
        return MaskedPart(source.part(region), mask, self.has_alpha, self.no_data)

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
        mask = 0 if self.mask is None else self.mask.region_bytes(extent)
        # A copy of the pixels, a byte for a mask's word on a pixel, and one for that of all masks.
        return mask + math.prod(extent) * (pixel_bytes + 2)


class MaskedPart(NamedTuple):
    """The parts with which one task reads a region of an image and of its mask."""

    image: Part
    mask: Part | None
    has_alpha: bool
    no_data: float | None

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
        if self.mask is not None:
            mask = self.mask.read()
            told.append(has_data(mask.reshape(mask.shape[:2])))
            if not told[0].any():
                return None, told[0]
        pixels = self.image.read()
        if self.has_alpha:
            told.append(pixels[..., -1] != 0)
            pixels = pixels[..., :-1]
        if self.no_data is not None:
            told.append((pixels != self.no_data).any(axis=-1))
        if not told:
            return pixels, None
        valid = np.logical_and.reduce(told)
        if not valid.any():
            return None, valid
        first = np.unravel_index(valid.argmax(), valid.shape)
        return np.where(valid[..., np.newaxis], pixels, pixels[first]), valid


def check_no_data(no_data: Any) -> float | None:  # noqa: ANN401  a caller may pass anything
    """Return a no-data value as a float.

    Raises
    ------
    ValueError
        If it isn't a finite number.
    """
    if no_data is None:
        return None
    try:
        number = float(no_data)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"no_data is {no_data!r:.80}; wanted a finite number. NaN never has data.")
    return number


def check_mask(mask: Source, extent: tuple[int, int]) -> Source:
    """Return a mask, scaled to this height and width, after checking that it can mask such an image.

    Raises
    ------
    ValueError
        If it has another aspect, more pixels, several channels, or no numbers.
    """
    check_mask_dtype(mask.dtype)
    return fit_extent(mask, extent, "mask")
