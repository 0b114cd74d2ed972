"""Masks that an image's file states itself: a mask page, absent tiles, a mask beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.images.source import SamePixels

if TYPE_CHECKING:
    from pipeline.images.source import Source


class StatedMask(SamePixels):
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

    def _places(self) -> dict[str, Any]:
        return {"states": self.fact}
