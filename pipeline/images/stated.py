"""Masks that an image's file states itself: a mask page, absent tiles, a mask beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.images.source import Derived

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Part, Places, Region, Source


class StatedMask(Derived):
    """A mask that a source states, which is found again by the source's place and its own name.

    Parameters
    ----------
    owner : Source
        The source that states it.
    fact : str
        The name of the mask among those of the source, for example "absent tiles".
    mask : Source, shape (H, W, 1)
        0 where the source has no data.
    """

    def __init__(self, owner: Source, fact: str, mask: Source) -> None:
        self._base, self._owner, self.fact = mask, owner, fact
        self.shape, self.dtype, self.tile = mask.shape, mask.dtype, mask.tile

    @property
    def name(self) -> str:
        """The name of the mask, and that of the file."""
        return f"the {self.fact} of {self._owner.name}"

    def identity(self) -> str | None:
        """Return the identity of the source, with the name of the mask and the identity of its own file."""
        found = [self._owner.identity()]
        if not set(self._base.paths) <= set(self._owner.paths):
            found.append(self._base.identity())
        return None if None in found else ", ".join([*map(str, found), self.fact])

    def place(self) -> dict[str, Any] | None:
        """Return the place of the source, and the name of the mask."""
        place = self._owner.place()
        return None if place is None else {"image": place, **self._places()}

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region."""
        return self._base.part(region)

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region in this process."""
        return self._base.read(region)

    @property
    def unit(self) -> tuple[int, int]:
        """The piece that the mask decodes anew for each region."""
        return self._base.unit

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes."""
        return self._base.region_bytes(extent, places)

    def _places(self) -> dict[str, Any]:
        return {"states": self.fact}
