"""The colors of classes, the same in every picture, viewer and file."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Color = tuple[int, int, int]

# Okabe and Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/, without black. They can
# be told apart with any color vision.
_UNIVERSAL: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# The golden ratio spreads any number of hues evenly.
_GOLDEN = 0.618033988749895
_BYTE = 255


def class_color(number: int) -> Color:
    """Return the color of a class.

    Parameters
    ----------
    number : int
        The number of the class, from 0.

    Returns
    -------
    tuple of int
        Red, green and blue, each from 0 to 255. The first seven are a published palette; the others have
        hues of their own.
    """
    if number < len(_UNIVERSAL):
        return _UNIVERSAL[number]
    later = number - len(_UNIVERSAL)
    # Hues come round again, so the brightness changes too.
    red, green, blue = colorsys.hsv_to_rgb((later * _GOLDEN) % 1, 0.6, (0.95, 0.7, 0.45)[later % 3])
    return round(red * _BYTE), round(green * _BYTE), round(blue * _BYTE)


def mean_color(mean: Sequence[float], channels: Sequence[str] | None) -> Color | None:
    """Return the color of a kernel's mean, or None if it is no 8-bit color.

    Parameters
    ----------
    mean : sequence of float
        A number for each channel.
    channels : sequence of str or None
        The names of the channels; they are a color if red, green and blue are among them, in any order.

    Returns
    -------
    tuple of int or None
        Red, green and blue, each from 0 to 255.
    """
    if channels is None or not {"red", "green", "blue"} <= set(channels):
        return None
    red, green, blue = (mean[list(channels).index(name)] for name in ("red", "green", "blue"))
    if not all(0 <= level <= _BYTE for level in (red, green, blue)):
        return None
    return round(red), round(green), round(blue)


def hex_color(color: Color) -> str:
    """Return a color as six hexadecimal digits, such as ``"E69F00"``."""
    return bytes(color).hex().upper()
