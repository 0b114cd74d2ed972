"""Color maps of the page, of thumbnails and of napari: lookup tables of 256 colors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # Red, green, blue and alpha of each step.
    Table = NDArray[np.uint8]

_STEPS, _OPAQUE = 256, 255
# The maps of OpenCV that are perceptually uniform; magma and viridis come from Matplotlib, cividis is made
# for readers with any color vision.
_SEQUENTIAL = ("viridis", "magma", "inferno", "cividis")
# From ColorBrewer's RdBu, https://colorbrewer2.org, with the blue end first.
_DIVERGING = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f"

DIVERGING = "blue-red"
COLOR_MAPS = (*_SEQUENTIAL, "gray", DIVERGING)


@cache
def color_table(name: str) -> Table:
    """Return the colors of a map.

    Parameters
    ----------
    name : str
        One of `COLOR_MAPS`. The middle of ``"blue-red"`` is nearly white, for values around 0.

    Returns
    -------
    ndarray of uint8, shape (256, 4)
        Red, green, blue and alpha, which is 255. It can't be written to.

    Raises
    ------
    ValueError
        If there is no such map.
    """
    steps = np.arange(_STEPS, dtype=np.uint8)
    if name in _SEQUENTIAL:
        import cv2  # noqa: PLC0415  OpenCV is loaded where it is used

        colors = cv2.applyColorMap(steps[:, np.newaxis], getattr(cv2, f"COLORMAP_{name.upper()}"))[:, 0, ::-1]
    elif name == "gray":
        colors = np.repeat(steps[:, np.newaxis], 3, axis=1)
    elif name == DIVERGING:
        anchors = np.array([list(bytes.fromhex(color)) for color in _DIVERGING.split()], np.float64)
        places = np.linspace(0, len(anchors) - 1, _STEPS)
        channels = [np.interp(places, range(len(anchors)), channel) for channel in anchors.T]
        colors = np.stack(channels, axis=1).round().astype(np.uint8)
    else:
        raise ValueError(f"map is {name!r:.40}; wanted one of {', '.join(COLOR_MAPS)}")
    table = np.full((_STEPS, 4), _OPAQUE, np.uint8)
    table[:, :3] = colors
    table.flags.writeable = False
    return table
