"""The colors of a block, counted by label and by group of held-out squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compute.histogram import SAMPLE, Histogram, count_colors_of, is_finite, merge_histograms
from pipeline.compute.places import groups_of, priorities_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# A label, and the number of a group of held-out squares or `TRAINING`.
Key = tuple[int, int]
TRAINING = -1
# The label of all pixels, if nothing labels them.
ALL = 1
# Without labels, so many times the pixels of a sample are looked at, in case a mask hides most of them.
_SPARE = 8
# So many rows of numbers stay in the cache.
_ROWS = 16


@dataclass(frozen=True)
class Counting:
    """How the colors of an image are counted.

    Attributes
    ----------
    extent : tuple of int
        Height and width of the image.
    channels : tuple of str or None
        The names of the channels.
    is_exact : bool
        Whether every pixel is counted, or a sample is taken.
    seed : int
        It decides which squares form a group, and which pixels a sample.
    n_held : int
        How many groups of squares are counted one by one. The others form the group `TRAINING`.
    """

    extent: tuple[int, int]
    channels: tuple[str, ...] | None
    is_exact: bool
    seed: int
    n_held: int

    def count(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_] | None,
        labels: NDArray[np.integer] | None,
        region: tuple[slice, slice],
    ) -> dict[Key, Histogram]:
        """Count the colors of a region.

        Parameters
        ----------
        pixels : ndarray, shape (h, w, C)
        valid : ndarray of bool, shape (h, w), or None
            Which pixels have data; None if all have.
        labels : ndarray of int, shape (h, w), or None
            Pixels of label 0 aren't counted. None counts all pixels under the label `ALL`.
        region : tuple of slice
            Rows and columns of the image.

        Returns
        -------
        dict of (int, int) to Histogram
            By label and group. Those without pixels are missing.
        """
        if labels is None and self.n_held == 0:
            found = {(ALL, TRAINING): self._count_all(pixels, valid, region)}
        else:
            kinds = np.full(pixels.shape[:2], ALL) if labels is None else labels
            found = dict(self._count_labeled(pixels, valid, kinds, region))
        return {key: histogram for key, histogram in found.items() if histogram.n_pixels}

    def _count_all(
        self, pixels: NDArray[np.generic], valid: NDArray[np.bool_] | None, region: tuple[slice, slice]
    ) -> Histogram:
        """Count all pixels with data, or take a sample of them."""
        if self.is_exact:
            chosen = pixels.reshape(-1, pixels.shape[-1]) if valid is None else pixels[valid]
            return count_colors_of(chosen, None, self.channels)
        # The sample consists of the pixels of the lowest priorities. The others are dropped here.
        limit = np.uint64(min(1.0, _SPARE * SAMPLE / max(1, math.prod(self.extent))) * (2**64 - 2**11))
        (rows, columns), parts = region, []
        for start in range(0, len(pixels), _ROWS):
            strip = pixels[start : start + _ROWS]
            has_data = is_finite(strip)
            if valid is not None:
                has_data &= valid[start : start + _ROWS]
            first = rows.start + start
            priorities = priorities_of(slice(first, first + len(strip)), columns, self.extent[1], self.seed)
            chosen_here = has_data & (priorities <= limit)
            part = count_colors_of(strip[chosen_here], priorities[chosen_here], self.channels)
            parts.append(part.among(int(has_data.sum())))
        return merge_histograms(parts)

    def _count_labeled(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_] | None,
        labels: NDArray[np.integer],
        region: tuple[slice, slice],
    ) -> Iterator[tuple[Key, Histogram]]:
        """Yield the histogram of each label and group."""
        rows, columns = region
        counts = labels != 0 if valid is None else (labels != 0) & valid
        if not counts.any():
            return
        kinds, chosen = labels[counts], pixels[counts]
        groups = groups_of(rows, columns, self.extent, self.seed)[counts].astype(np.int8)
        groups[groups >= self.n_held] = TRAINING
        priorities = (
            None if self.is_exact else priorities_of(rows, columns, self.extent[1], self.seed)[counts]
        )
        for label in np.unique(kinds):
            is_label = kinds == label
            for group in np.unique(groups[is_label]):
                here = is_label & (groups == group)
                ordered = None if priorities is None else priorities[here]
                yield (int(label), int(group)), count_colors_of(chosen[here], ordered, self.channels)
