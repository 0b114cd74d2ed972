"""How an image of any kind is shown on a screen: which channels, and in which colors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

_RGB = ("red", "green", "blue")
_BRIGHTEST = 255
# The share of samples at either end that the shown range of an image of other than 8 bits leaves out.
_LEFT_OUT = 0.01


def shown_channels(names: Sequence[str] | None, n_channels: int) -> tuple[int, ...]:
    """Return the channels that are shown: red, green, blue if there are such names, else the first three.

    Of fewer than three channels it is the first one, in gray.
    """
    if names is not None and set(_RGB) <= set(names):
        return tuple(names.index(name) for name in _RGB)
    return tuple(range(len(_RGB) if n_channels >= len(_RGB) else 1))


class Brightness(NamedTuple):
    """The samples that are shown black and white. Those of 8 bits are shown as they are.

    Attributes
    ----------
    black, white : float
    """

    black: float
    white: float

    @classmethod
    def of(cls, samples: NDArray[Any]) -> Self:
        """Choose them: the quantiles 1% and 99% of the finite ones of these samples, or all of 8 bits."""
        if samples.dtype == np.uint8:
            return cls(0.0, float(_BRIGHTEST))
        finite = samples[np.isfinite(samples)].astype(np.float64)
        if not len(finite):
            return cls(0.0, 1.0)
        # Half of the greatest number leaves room for the difference of two.
        bound = float(np.finfo(np.float64).max) / 2
        black, white = np.clip(np.quantile(finite, [_LEFT_OUT, 1 - _LEFT_OUT]), -bound, bound).tolist()
        return cls(black, max(white, black + max(abs(black), 1e-30) * 1e-6))

    def colors(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colors of pixels of one or three shown channels, shape (h, w, 3); NaN is black."""
        if pixels.dtype != np.uint8:
            share = (pixels.astype(np.float64) - self.black) / (self.white - self.black)
            pixels = (np.nan_to_num(np.clip(share, 0, 1)) * _BRIGHTEST + 0.5).astype(np.uint8)
        return np.repeat(pixels, len(_RGB), axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
