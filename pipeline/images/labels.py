"""Labels: an image of integers that says of which class each pixel of another image is, as far as known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.images.footprint import Footprint
from pipeline.images.geojson import is_geojson
from pipeline.images.opening import open_layer
from pipeline.images.polygons import open_polygons
from pipeline.images.scaled import fit_extent

if TYPE_CHECKING:
    from pipeline.images.opening import ImageLike
    from pipeline.images.polygons import Numbering
    from pipeline.images.source import Source


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of an image's pixels.

    Attributes
    ----------
    source : Source, shape (H, W, 1), of integers or booleans
        0 where a pixel has no label.
    names : dict of int to str, or None
        The name of each label, or None if nothing names them.
    """

    source: Source
    names: dict[int, str] | None = None

    def footprint(self, extent: tuple[int, int]) -> Footprint:
        """Return the memory that reading regions of this height and width takes."""
        source = self.source
        region = source.region_bytes(extent)
        return Footprint(source.held_bytes, source.present_bytes, source.opening_bytes, region)


def open_labels(
    labels: ImageLike, extent: tuple[int, int], *, by: Numbering = "class", role: str = "labels"
) -> Labels:
    """Open the labels of the pixels of an image.

    Parameters
    ----------
    labels : path, array or Image
        An image of one channel, of integers or booleans, as for :func:`open_image`; 0 means that a pixel has
        no label. It has the same height and width as the image, or fewer pixels with the same aspect, as a
        coarser level has; then it is scaled by nearest neighbor. Its pixels without data have no label. Or
        the path of a GeoJSON file, whose coordinates are pixels of the image, as for :func:`open_polygons`.
    extent : tuple of int
        Height H and width W of the image in pixels.
    by : {"class", "feature"}
        Whether each class of a GeoJSON file has a label, or each feature. Other labels are taken as they are.
    role : str
        The word for them in messages.

    Returns
    -------
    Labels

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If the labels can't be read, aren't integers, have several channels, or don't fit the image.
    """
    if is_geojson(labels):
        polygons = open_polygons(labels, extent, by=by)
        return Labels(polygons, polygons.names)
    source = open_layer(labels, role)
    if source.dtype.kind not in "biu":
        raise ValueError(
            f"{role} have dtype {source.dtype}; wanted integers, 0 where a pixel has none. Convert them, "
            "for example with astype('uint8')."
        )
    return Labels(fit_extent(source, extent, role))
