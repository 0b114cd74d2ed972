"""Opening an image again by its place, as a record keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.images.choice import Choice
from pipeline.images.image import Image
from pipeline.images.mosaic_table import read_place
from pipeline.images.opening import open_image
from pipeline.images.polygons import open_polygons
from pipeline.images.readers import open_source
from pipeline.images.scaled import Scaled
from pipeline.images.stated import StatedMask
from pipeline.images.view import view
from pipeline.images.zeroed import reopen_masking, zeroed

if TYPE_CHECKING:
    from pipeline.images.polygons import Numbering
    from pipeline.images.source import Source


class _Options(NamedTuple):
    """The options of a place, without those of a choice."""

    rows: list[int] | None = None
    columns: list[int] | None = None
    channels: list[str | int] | None = None
    channel_axis: int = -1
    extent: list[int] | None = None
    by: Numbering | None = None
    states: str | None = None
    zeroed: dict[str, Any] | None = None


def reopen(place: dict[str, Any]) -> Image:
    """Open the image, or the view of one, that :attr:`Description.place` names.

    Parameters
    ----------
    place : dict

    Returns
    -------
    Image
        Without the masks and the no-data value that its file states.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the image isn't there, or the place is damaged.
    """
    try:
        inner = place["image"]
        tiles = read_place(inner) if isinstance(inner, list) else None
        given = {name: value for name, value in place.items() if name != "image"}
        options = _Options(**{name: given.pop(name) for name in _Options._fields if name in given})
        choice = Choice(**given)
        rows, columns = (
            None if places is None else range(*places) for places in (options.rows, options.columns)
        )
        height, width = map(int, options.extent or (0, 0))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the place of the image is damaged: {place!r:.200}") from error
    if options.by is not None:
        return Image.of(open_polygons(inner, (height, width), by=options.by))
    if isinstance(inner, dict):
        source = reopen(inner).source
    else:
        source = open_source(tiles or inner, channel_axis=options.channel_axis, choice=choice)
    if options.states is not None:
        source = _stated(source, options.states)
    if options.channels is not None:
        source = open_image(Image.of(source), channels=options.channels).source
    if options.extent is not None:
        source = Scaled(source, (height, width))
    if options.zeroed is not None:
        source = zeroed(source, reopen_masking(options.zeroed, lambda mask: reopen(mask).source))
    return Image.of(view(source, rows, columns), is_ordered=True)


def innermost(place: dict[str, Any]) -> dict[str, Any]:
    """Return the place within a place that names a file."""
    while isinstance(place["image"], dict):
        place = place["image"]
    return place


def _stated(source: Source, fact: str) -> Source:
    """Return the mask of a name that a source states."""
    masks = source.stated_masks()
    if fact not in masks:
        raise ValueError(f"{source.name} has no {fact} any more, by which the image was masked")
    return StatedMask(source, fact, masks[fact])
