"""Thumbnails: small pictures within the HTML that a notebook shows."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The longer side in pixels is less than this, and at least half of it if there are so many pixels.
LARGEST = 200


def thumbnail_html(pixels: NDArray[np.uint8]) -> str:
    """Return an element of HTML that shows pixels by itself.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
        Red, green and blue. Few pixels are enlarged, and too many are left out.

    Returns
    -------
    str
        An ``img`` with the picture as PNG in its address.
    """
    import imagecodecs  # noqa: PLC0415  a library for files is imported when it is used

    longest = max(pixels.shape[:2])
    step, times = -(-longest // LARGEST), max(1, LARGEST // 2 // longest)
    shown = pixels[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)
    content = b64encode(imagecodecs.png_encode(np.ascontiguousarray(shown))).decode("ascii")
    style = "min-width: 8px; min-height: 8px; image-rendering: pixelated"
    return f'<img src="data:image/png;base64,{content}" alt="" style="{style}">'
