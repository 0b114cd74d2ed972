"""Overviews: a small picture of an image of any size, read from a coarse level of its pyramid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.display import Brightness, shown_channels
from pipeline.images.remote import is_url
from pipeline.images.reopening import innermost, reopen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.image import Image

# So many pixels are read for an overview at most.
_MOST_PIXELS = 2**25
# Parts of a place that are the same at each level of a pyramid, beside those of a choice.
_SAME_AT_LEVELS = {"image", "rows", "columns", "channels", "channel_axis"}
_CHOICE = {"level", "series", "pages", "z", "t", "magnification"}


def read_overview(image: Image, side: int) -> NDArray[np.uint8]:
    """Return a small picture of an image.

    Parameters
    ----------
    image : Image
        With rows, columns and channels.
    side : int
        The longer side of the picture in pixels, which may have a few less or more.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        The channels red, green and blue, or else the first three, or the first one as gray. Numbers of more
        than 8 bits are spread between their quantiles 1% and 99%.

    Raises
    ------
    FileNotFoundError
        If the image isn't there any more.
    ValueError
        If the image is remote or lazy, or so large that reading it takes long, and it has no coarser level.
    """
    image.check_plane()
    place = image.source.place()
    # An array in memory has no tiles.
    if place is None and image.tile != (1, 1):
        raise ValueError("the image is computed chunk by chunk, which may take long")
    if place is not None:
        if is_url(innermost(place)["image"]):
            raise ValueError("the image is remote")
        image = _coarser(image, place, side)
    if math.prod(image.extent) > _MOST_PIXELS:
        raise ValueError("the image has no coarser levels, and reading all of it takes long")
    step = max(1, round(max(image.extent) / side))
    pixels = np.asarray(image[::step, ::step])
    shown = pixels.reshape(*pixels.shape[:2], -1)[..., shown_channels(image.channels, image.n_channels)]
    return Brightness.of(shown).colors(shown)


def _coarser(image: Image, place: dict[str, Any], side: int) -> Image:
    """Return an image at the coarsest level that has so many pixels, or the image itself if it has none."""
    file = innermost(place)
    if not _is_same_at_levels(place):
        return image
    whole = reopen({key: value for key, value in file.items() if key in {"image", *_CHOICE}})
    levels = whole.levels
    if whole.extent not in levels:
        return image
    ratios = {n: whole.extent[0] / height for n, (height, _) in enumerate(levels)}
    wanted = max(image.extent) / side
    number = max(
        (n for n, ratio in ratios.items() if 1 < ratio <= wanted), key=ratios.__getitem__, default=None
    )
    if number is None:
        return image
    return reopen(_at_level(place, number, ratios[number], levels[number]))


def _is_same_at_levels(place: dict[str, Any]) -> bool:
    """Return whether a place is made of views only, one of which is in another."""
    inner = place["image"]
    if isinstance(inner, dict):
        return place.keys() <= _SAME_AT_LEVELS and _is_same_at_levels(inner)
    return isinstance(inner, str) and place.keys() <= _SAME_AT_LEVELS | _CHOICE


def _at_level(place: dict[str, Any], level: int, ratio: float, extent: tuple[int, int]) -> dict[str, Any]:
    """Return the place of the same view of a coarser level."""
    inner, moved = place["image"], dict(place)
    if isinstance(inner, dict):
        moved["image"] = _at_level(inner, level, ratio, extent)
    else:
        moved.pop("magnification", None)
        moved["level"] = level
    for axis, length in zip(("rows", "columns"), extent, strict=True):
        if place.get(axis) is not None:
            places = range(*place[axis])
            step = math.copysign(max(1, round(abs(places.step) / ratio)), places.step)
            first, last = (min(length - 1, int(end / ratio)) for end in (places[0], places[-1]))
            moved[axis] = [first, last + (1 if step > 0 else -1), int(step)]
    return moved
