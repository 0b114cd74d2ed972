"""The memory that reading an image takes, as a value."""

from __future__ import annotations

from typing import NamedTuple, Self


class Footprint(NamedTuple):
    """The memory in bytes that reading an image takes in each process.

    Attributes
    ----------
    held : int
        What is held for as long as the image is read.
    present : int
        What of it this process holds already.
    opening : int
        What decoding takes besides, before the first region is read.
    region : int
        What each region that is read at the same time takes.
    """

    held: int
    present: int
    opening: int
    region: int

    def followed_by(self, other: Footprint) -> Self:
        """Return the memory of reading a region of this image, and afterwards that of another one."""
        return self._replace(
            held=self.held + other.held,
            present=self.present + other.present,
            opening=max(self.opening, other.opening),
            region=max(self.region, other.region),
        )
