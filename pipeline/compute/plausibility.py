"""Whether a model suits the pixels: colors far from every kernel get numbers that look like results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.models.mixture import Mixture

# A pixel is near a kernel within so many standard deviations.
_REACH = 6.0
# The largest number of pixels of a block that are looked at, along each side.
_SIDE = 8
# Below this share of near pixels a model is doubted, if another reading of the pixels has the second share.
_FEW, _MANY = 0.02, 0.5
# A model with such a mean isn't one of numbers from 0 to 1.
_LARGE = 8.0
_MOST_NUMBERS = 2**17
# The largest colors of 8 bits. Pixels above it have 16, and pixels up to 1 are fractions.
_BYTE = 255


def _readings(colors: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the colors as the model may want them, by the remedy; NaN where the remedy makes no sense."""
    highest = colors.max(initial=0)
    is_fraction, is_byte = highest <= 1, highest <= _BYTE
    return {
        "multiply them by 255, from numbers from 0 to 1 to 8 bits": colors * (255 if is_fraction else np.nan),
        "multiply them by 257, from 8 bits to 16": colors * (257 if is_byte else np.nan),
        "divide them by 255, from 8 bits to numbers from 0 to 1": colors / (255 if is_byte else np.nan),
        "divide them by 257, from 16 bits to 8": colors / (np.nan if is_byte else 257),
        "reverse the order of their channels": colors[:, ::-1],
    }


_REMEDIES = tuple(_readings(np.zeros((0, 1))))


class Nearness(NamedTuple):
    """How many pixels lie near a kernel.

    Attributes
    ----------
    n_pixels : int
        The pixels that were looked at.
    n_near : int
        Those within six standard deviations of any kernel.
    n_units : int
        Those that are numbers from 0 to 1, while the model is of larger ones.
    n_mended : tuple of int
        How many would be near a kernel after each remedy.
    """

    n_pixels: int = 0
    n_near: int = 0
    n_units: int = 0
    n_mended: tuple[int, ...] = (0,) * len(_REMEDIES)

    def plus(self, other: Nearness) -> Nearness:
        """Return the counts of both."""
        return Nearness(
            self.n_pixels + other.n_pixels,
            self.n_near + other.n_near,
            self.n_units + other.n_units,
            tuple(one + more for one, more in zip(self.n_mended, other.n_mended, strict=True)),
        )

    @property
    def warning(self) -> str | None:
        """A sentence that says what is odd and what would fit, or None if the model suits the pixels."""
        if not self.n_pixels:
            return None
        if self.n_units == self.n_pixels:
            return (
                "all pixels that were looked at are numbers from 0 to 1, and the model is of larger ones, so "
                "that they are nearly the same to it. Multiply them by 255 for a model of 8-bit colors."
            )
        best = max(self.n_mended)
        may_be_mended = best >= _MANY * self.n_pixels
        if self.n_near > _FEW * self.n_pixels or (self.n_near and not may_be_mended):
            return None
        remedy = _REMEDIES[self.n_mended.index(best)]
        return (
            f"{self.n_near / self.n_pixels:.1%} of the pixels that were looked at lie within {_REACH:g} "
            "standard deviations of any kernel, so that the results say little."
            f"{f' The model would suit them if you {remedy}.' if may_be_mended else ''}"
        )


def count_near(
    pixels: NDArray[Any], mixtures: Iterable[Mixture], valid: NDArray[np.bool_] | None = None
) -> Nearness:
    """Count the pixels near any kernel, among a few of a block.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
    mixtures : iterable of Mixture
    valid : ndarray of bool, shape (h, w), optional
        Which pixels have data; the others don't count.

    Returns
    -------
    Nearness
    """
    steps = (max(1, length // _SIDE) for length in pixels.shape[:2])
    rows, columns = (slice(step // 2, None, step) for step in steps)
    colors = pixels[rows, columns].reshape(-1, pixels.shape[-1]).astype(np.float64)
    counts = np.isfinite(colors).all(axis=-1)
    if valid is not None:
        counts &= valid[rows, columns].reshape(-1)
    colors = colors[counts]
    distinct = list(dict.fromkeys(mixtures))
    readings = [colors, *_readings(colors).values()]
    # All readings of the pixels are measured in one go.
    near = _is_near(np.concatenate(readings), distinct).reshape(len(readings), -1).sum(axis=1)
    n_units = 0
    if pixels.dtype.kind == "f" and max(mixture.means.max() for mixture in distinct) > _LARGE:
        n_units = int(((colors >= 0) & (colors <= 1)).all(axis=-1).sum())
    return Nearness(len(colors), int(near[0]), n_units, tuple(near[1:].tolist()))


@np.errstate(over="ignore", invalid="ignore")
def _is_near(colors: NDArray[np.float64], mixtures: list[Mixture]) -> NDArray[np.bool_]:
    """Return which colors lie within reach of a kernel, by their Mahalanobis distance."""
    near = np.zeros(len(colors), bool)
    for mixture in mixtures:
        # So many kernels at once that the differences stay in the cache.
        step = max(1, _MOST_NUMBERS // max(1, colors.size))
        for start in range(0, mixture.n_kernels, step):
            kernels = slice(start, start + step)
            apart: NDArray[np.floating[Any]] = colors[:, np.newaxis] - mixture.means[kernels]
            covariances = mixture.covariances[kernels]
            weighted = (
                apart / covariances
                if mixture.is_diagonal
                else np.linalg.solve(covariances, apart.transpose(1, 2, 0)).transpose(2, 0, 1)
            )
            near |= (np.einsum("nkc,nkc->nk", apart, weighted) <= _REACH**2).any(axis=1)
    return near
