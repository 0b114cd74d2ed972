"""The colors of values and of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.results.color_maps import DIVERGING, color_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.models.palette import Color
    from pipeline.results.scale import Scale

_OPAQUE = 255


def paint_values(
    values: NDArray[Any], scale: Scale, color_map: str | None = None, *, is_faded: bool = False
) -> NDArray[np.uint8]:
    """Return the colors of values.

    Parameters
    ----------
    values : ndarray of float, shape (h, w)
    scale : Scale
    color_map : str, optional
        One of `COLOR_MAPS`, by default that of the scale.
    is_faded : bool
        Whether a color is the more transparent the nearer it is to the first one, or to the middle of a map
        with a middle, so that an image below shows through.

    Returns
    -------
    ndarray of uint8, shape (h, w, 4)
        Red, green, blue and alpha. Step k of the 256 of the color map has the values around the share k / 255
        of the way from low to high. NaN is transparent.

    Raises
    ------
    ValueError
        If there is no such color map.
    """
    name = color_map or scale.color_map
    table = color_table(name)
    shares = scale.shares(values)
    missing = np.isnan(shares)
    last = len(table) - 1
    steps = np.where(missing, 0, shares * last + 0.5).astype(np.uint8)
    colors = table[steps]
    if is_faded:
        colors[..., 3] = np.abs(2 * steps.astype(int) - last) if name == DIVERGING else steps
    colors[missing] = 0
    return colors


def paint_labels(
    labels: NDArray[Any], colors: Iterable[Color], hidden: Iterable[int] = ()
) -> NDArray[np.uint8]:
    """Return the colors of the classes of pixels.

    Parameters
    ----------
    labels : ndarray of uint8 or uint16, shape (h, w)
    colors : iterable of (int, int, int)
        The color of each class, in their order.
    hidden : iterable of int
        The numbers of classes that are left out.

    Returns
    -------
    ndarray of uint8, shape (h, w, 4)
        Red, green, blue and alpha. A pixel without data, or of a class that is left out, is transparent.
    """
    table = np.zeros((np.iinfo(labels.dtype).max + 1, 4), np.uint8)
    for number, color in enumerate(colors):
        table[number] = (*color, _OPAQUE)
    table[[number for number in hidden if 0 <= number < len(table)]] = 0
    colors_of_pixels: NDArray[np.uint8] = table[labels]
    return colors_of_pixels
