"""Histograms of colors: exact counts where a color is a small number, and a sample of the pixels if not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.colors import STRIP, color_bits, pack_colors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# The number of pixels of a sample. With 16 kernels, a mean is then known to 0.4% of its kernel's deviation.
SAMPLE = 2**20
# From this many pixels on, counters for all colors are faster than sorting.
_MANY = 2**21


@dataclass(frozen=True, eq=False, repr=False)
class Histogram:
    """The colors of an image, and how many of its pixels have each.

    The counts are exact for pixels of 8 bits with up to three channels, and of 16 bits with one channel.
    Pixels of other kinds have too many colors: the histogram is then a sample of about a million pixels, or
    of all pixels if there are fewer. Which pixels belong to the sample depends on their places and on the
    seed only, not on the blocks by which the image is read.

    Attributes
    ----------
    colors : ndarray, shape (n, C)
        The colors in the dtype of the pixels. Exact counts have each color once.
    counts : ndarray of int64, shape (n,)
        How many pixels have the color; 1 for each pixel of a sample.
    n_pixels : int
        The number of pixels with data, of which a sample is a part.
    channels : tuple of str or None
        The names of the channels, or None if the image doesn't name them.
    priorities : ndarray of uint64, shape (n,), or None
        A pseudorandom number for each pixel of a sample, in ascending order; None if the counts are exact.
    image : str
        The name of the image, for messages.
    """

    colors: NDArray[Any]
    counts: NDArray[np.int64]
    n_pixels: int
    channels: tuple[str, ...] | None = None
    priorities: NDArray[np.uint64] | None = None
    image: str = "a histogram"

    @property
    def is_exact(self) -> bool:
        """Whether every pixel with data is counted."""
        return self.priorities is None or len(self.counts) == self.n_pixels

    @property
    def n_colors(self) -> int:
        """The number of different colors, or of pixels in a sample."""
        return len(self.counts)

    @cached_property
    def distinct(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The different colors, shape (m, C), and how many of the counted pixels have each, shape (m,)."""
        if self.priorities is None:
            return self.colors, self.counts
        order = np.lexsort(self.colors.T)
        ordered = self.colors[order]
        starts = _starts(ordered)
        return ordered[starts], np.diff(starts, append=len(ordered)).astype(np.int64, copy=False)

    def among(self, n_pixels: int) -> Histogram:
        """Return the same sample as one of more pixels."""
        return replace(self, n_pixels=n_pixels)

    def plus(self, other: Histogram) -> Histogram:
        """Return the histogram of the pixels of both, which must be different pixels."""
        return merge_histograms([self, other])

    def __repr__(self) -> str:
        names = f"{self.colors.shape[1]} channels" if self.channels is None else ", ".join(self.channels)
        kind = "colors" if self.priorities is None else "pixels as a sample"
        return f"<Histogram: {self.n_colors} {kind} of {self.n_pixels} pixels, {self.colors.dtype}, {names}>"


def count_colors_of(
    pixels: NDArray[Any], priorities: NDArray[np.uint64] | None, channels: tuple[str, ...] | None = None
) -> Histogram:
    """Count the colors of some pixels.

    Parameters
    ----------
    pixels : ndarray, shape (n, C)
    priorities : ndarray of uint64, shape (n,), or None
        A pseudorandom number for each pixel if the pixels have too many colors, see :func:`is_countable`.
        Those with the lowest numbers form the sample.
    channels : tuple of str, optional
        The names of the channels.

    Returns
    -------
    Histogram
        Pixels with a channel that isn't finite aren't counted.
    """
    if priorities is None:
        colors, counts = _count(_pack(pixels), color_bits(pixels.dtype, pixels.shape[1]) or 0)
        return Histogram(_unpack(colors, pixels), counts, len(pixels), channels)
    if pixels.dtype.kind == "f" and not (finite := is_finite(pixels)).all():
        pixels, priorities = pixels[finite], priorities[finite]
    lowest = _lowest(priorities)
    ones = np.ones(len(lowest), np.int64)
    return Histogram(pixels[lowest], ones, len(pixels), channels, priorities[lowest])


def merge_histograms(histograms: Sequence[Histogram]) -> Histogram:
    """Return the histogram of the pixels of several histograms of the same kind of pixels.

    Parameters
    ----------
    histograms : sequence of Histogram
        At least one. Their order doesn't matter.

    Returns
    -------
    Histogram

    Raises
    ------
    ValueError
        If their pixels have different channels or dtypes.
    """
    first = histograms[0]
    kinds = {(h.colors.dtype.str, h.colors.shape[1], h.channels, h.priorities is None) for h in histograms}
    if len(kinds) > 1:
        raise ValueError(f"got histograms of different kinds of pixels: {', '.join(map(repr, histograms))}")
    if len(histograms) == 1:
        return first
    n_pixels = sum(histogram.n_pixels for histogram in histograms)
    if first.priorities is None:
        numbers, summed = _sum(histograms)
        return Histogram(_unpack(numbers, first.colors), summed, n_pixels, first.channels)
    colors = np.concatenate([histogram.colors for histogram in histograms])
    counts = np.concatenate([histogram.counts for histogram in histograms])
    priorities = np.concatenate([h.priorities for h in histograms if h.priorities is not None])
    lowest = _lowest(priorities)
    return Histogram(colors[lowest], counts[lowest], n_pixels, first.channels, priorities[lowest])


def counting_bytes(dtype: np.dtype[Any], n_channels: int, n_pixels: int) -> int:
    """Return the memory that counting so many pixels takes besides themselves, whatever their colors are."""
    own = int(dtype.itemsize) * n_channels + 8
    if (bits := color_bits(dtype, n_channels)) is None:
        # The order of the priorities in two forms, and the sample.
        return 16 * n_pixels + min(n_pixels, SAMPLE) * (own + 8)
    n_colors = min(n_pixels, 1 << bits)
    # Numbers; their wider copies, or the numbers that occur in two sizes with their counts; the histogram.
    return _counters_bytes(n_pixels, bits) + 4 * n_pixels + max(8 * n_pixels, 20 * n_colors) + own * n_colors


def merging_bytes(dtype: np.dtype[Any], n_channels: int, n_pixels: int) -> int:
    """Return the memory that the histograms of so many pixels take while they are merged into one."""
    own = int(dtype.itemsize) * n_channels + 8
    if (bits := color_bits(dtype, n_channels)) is None:
        # Up to three samples, all of them in one array, their order, and the sum.
        return min(n_pixels, 3 * SAMPLE) * (2 * (own + 8) + 8) + min(n_pixels, SAMPLE) * (own + 8 + 16)
    n_colors = min(n_pixels, 1 << bits)
    # The sum and as much again; and the numbers that occur, in two sizes, with their counts, or what sorting
    # takes.
    counters = _counters_bytes(n_colors, bits)
    return counters + n_colors * (2 * own + (20 if counters else 48))


def is_countable(dtype: np.dtype[Any], n_channels: int) -> bool:
    """Return whether pixels of this kind have so few colors that all can be counted."""
    return color_bits(dtype, n_channels) is not None


def is_finite(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels have finite channels only."""
    finite = np.ones(pixels.shape[:-1], np.bool_)
    if pixels.dtype.kind == "f":
        # A reduction over so short an axis would take several times as long.
        for channel in range(pixels.shape[-1]):
            finite &= np.isfinite(pixels[..., channel])
    return finite


def _lowest(priorities: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return the places of the lowest priorities, in ascending order."""
    if len(priorities) > SAMPLE:
        chosen = np.argpartition(priorities, SAMPLE)[:SAMPLE]
        return chosen[np.argsort(priorities[chosen], kind="stable")]
    return np.argsort(priorities, kind="stable")


def _pack(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the color of each pixel as a number, shape (n,)."""
    colors = np.empty(len(pixels), np.uint32)
    for start in range(0, len(pixels), STRIP):
        strip = slice(start, start + STRIP)
        colors[strip] = pack_colors(pixels[strip, np.newaxis])
    return colors


def _unpack(colors: NDArray[np.uint32], pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the channels of packed colors in the dtype of the pixels, shape (n, C)."""
    n_channels, bits = pixels.shape[1], 8 * pixels.dtype.itemsize
    channels = np.empty((len(colors), n_channels), pixels.dtype.newbyteorder("="))
    for channel in range(n_channels):
        # The conversion drops the higher bits.
        channels[:, channel] = (colors >> np.uint32(bits * channel)).astype(channels.dtype)
    return channels


def _count(colors: NDArray[np.uint32], bits: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the different numbers in ascending order, and how often each occurs."""
    if _are_many(len(colors), bits):
        return _occurring(np.bincount(colors, minlength=2**bits))
    ordered = np.sort(colors)
    starts = _starts(ordered)
    return ordered[starts], np.diff(starts, append=len(ordered)).astype(np.int64, copy=False)


def _sum(histograms: Sequence[Histogram]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the colors of exact histograms as different numbers in ascending order, and their counts."""
    first = histograms[0].colors
    bits = color_bits(first.dtype, first.shape[1]) or 0
    if _are_many(sum(histogram.n_colors for histogram in histograms), bits):
        counters = np.zeros(2**bits, np.int64)
        for histogram in histograms:
            # A histogram has each color once.
            counters[_pack(histogram.colors)] += histogram.counts
        return _occurring(counters)
    numbers = np.concatenate([_pack(histogram.colors) for histogram in histograms])
    counts = np.concatenate([histogram.counts for histogram in histograms])
    # A stable sort takes the ascending runs of the histograms as they are.
    order = np.argsort(numbers, kind="stable")
    starts = _starts(numbers[order])
    summed = np.add.reduceat(counts[order], starts) if len(starts) else counts
    return numbers[order[starts]], summed


def _are_many(n: int, bits: int) -> bool:
    """Return whether so many numbers are counted faster by counters than by sorting."""
    return n >= _MANY >> (24 - bits)


def _counters_bytes(n: int, bits: int) -> int:
    return 8 << bits if _are_many(n, bits) else 0


def _occurring(counters: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the numbers that occur, and how often."""
    occurring = np.flatnonzero(counters)
    return occurring.astype(np.uint32), counters[occurring].astype(np.int64, copy=False)


def _starts(ordered: NDArray[Any]) -> NDArray[np.intp]:
    """Return the places where another number or another color begins, in a sorted array."""
    is_new = ordered[1:] != ordered[:-1]
    if ordered.ndim > 1:
        is_new = is_new.any(axis=1)
    return np.flatnonzero(np.concatenate([[True], is_new])[: len(ordered)])
