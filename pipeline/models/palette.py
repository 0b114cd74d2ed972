"""The colors of classes, the same in every picture, viewer and file."""

from __future__ import annotations

import colorsys

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


def hex_color(color: Color) -> str:
    """Return a color as six hexadecimal digits, such as ``"E69F00"``."""
    return bytes(color).hex().upper()
