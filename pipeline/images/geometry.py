"""The geometry of an image: where its pixels lie in the world, as a value for a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Geometry:
    """Where an image's pixels lie: by their size, and on a map by a coordinate reference system.

    Attributes
    ----------
    pixel_size : tuple of float or None
        Height and width of a pixel in micrometers, or None if the image doesn't say.
    origin : tuple of float
        The place of the first pixel's center in micrometers, downward and to the right.
    crs : str or None
        The coordinate reference system, as ``"EPSG:32633"`` or as WKT; None if the image doesn't say.
    transform : tuple of float or None
        The affine transform (a, b, c, d, e, f) from pixels to coordinates: x = a * column + b * row + c and
        y = d * column + e * row + f, where whole numbers are the corners of pixels. None if the image doesn't
        say.
    """

    pixel_size: tuple[float, float] | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    crs: str | None = None
    transform: Transform | None = None

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
            Nothing is said about the size of pixels of a view that is turned round, since readers want
            positive sizes.
        """
        crs, transform = self.crs, _moved(self.transform, rows, columns)
        if self.pixel_size is None or min(rows.step, columns.step) < 0:
            return Geometry(None, (0.0, 0.0), crs, transform)
        sizes = tuple(zip(self.pixel_size, self.origin, (rows, columns), strict=True))
        height, width = (size * places.step for size, _, places in sizes)
        down, right = (origin + size * places.start for size, origin, places in sizes)
        return Geometry((height, width), (down, right), crs, transform)

    def coarser(self, down: float, across: float) -> Geometry:
        """Return the geometry of a coarser level of the same image.

        Parameters
        ----------
        down, across : float
            The height and the width of a pixel of the level in pixels of this image. The first pixels of both
            have one corner.

        Returns
        -------
        Geometry
        """
        transform = self.transform
        if transform is not None:
            a, b, c, d, e, f = transform
            transform = (a * across, b * down, c, d * across, e * down, f)
        if self.pixel_size is None:
            return Geometry(None, self.origin, self.crs, transform)
        size = (self.pixel_size[0] * down, self.pixel_size[1] * across)
        origin = tuple(o + (s - t) / 2 for o, s, t in zip(self.origin, size, self.pixel_size, strict=True))
        return Geometry(size, (origin[0], origin[1]), self.crs, transform)

    def to_dict(self) -> dict[str, Any]:
        """Return the geometry as plain lists, which JSON can hold."""
        size, transform = self.pixel_size, self.transform
        return {
            "pixel_size": None if size is None else list(size),
            "origin": list(self.origin),
            "crs": self.crs,
            "transform": None if transform is None else list(transform),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Geometry:
        """Make a geometry from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the content isn't a geometry.
        """
        (down, right), size = map(float, content["origin"]), content["pixel_size"]
        crs, transform = content["crs"], content["transform"]
        if size is not None:
            height, width = map(float, size)
        if transform is not None:
            a, b, c, d, e, f = map(float, transform)
        return cls(
            None if size is None else (height, width),
            (down, right),
            None if crs is None else str(crs),
            None if transform is None else (a, b, c, d, e, f),
        )


def _moved(transform: Transform | None, rows: range, columns: range) -> Transform | None:
    """Return the transform of some rows and columns, whose pixels keep their centers."""
    if transform is None:
        return None
    a, b, c, d, e, f = transform
    # The corner of the first pixel, which has the size of the steps around its center.
    down, right = (places.start + (1 - places.step) / 2 for places in (rows, columns))
    return (
        a * columns.step,
        b * rows.step,
        a * right + b * down + c,
        d * columns.step,
        e * rows.step,
        d * right + e * down + f,
    )


UNKNOWN = Geometry()
