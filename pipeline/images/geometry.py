"""The geometry of an image: where its pixels lie in the world, as a value for a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Geometry:
    """Where the centers of an image's pixels lie.

    Attributes
    ----------
    pixel_size : tuple of float or None
        Height and width of a pixel in micrometers, or None if the image doesn't say.
    origin : tuple of float
        The place of the first pixel's center in micrometers, downward and to the right.
    """

    pixel_size: tuple[float, float] | None = None
    origin: tuple[float, float] = (0.0, 0.0)

    @property
    def pixel_area(self) -> float | None:
        """The area of a pixel in square micrometers, or None if the image doesn't say."""
        return None if self.pixel_size is None else self.pixel_size[0] * self.pixel_size[1]

    def view(self, rows: range, columns: range) -> Geometry:
        """Return the geometry of some rows and columns.

        Parameters
        ----------
        rows, columns : range
            Places in the image.

        Returns
        -------
        Geometry
            Nothing is said about a view that is turned round, since readers want positive sizes.
        """
        if self.pixel_size is None or min(rows.step, columns.step) < 0:
            return UNKNOWN
        sizes = tuple(zip(self.pixel_size, self.origin, (rows, columns), strict=True))
        height, width = (size * places.step for size, _, places in sizes)
        down, right = (origin + size * places.start for size, origin, places in sizes)
        return Geometry((height, width), (down, right))

    def to_dict(self) -> dict[str, Any]:
        """Return the geometry as plain lists, which JSON can hold."""
        size = self.pixel_size
        return {"pixel_size": None if size is None else list(size), "origin": list(self.origin)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Geometry:
        """Make a geometry from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the content isn't a geometry.
        """
        (down, right), size = map(float, content["origin"]), content["pixel_size"]
        if size is None:
            return cls(None, (down, right))
        height, width = map(float, size)
        return cls((height, width), (down, right))


UNKNOWN = Geometry()
