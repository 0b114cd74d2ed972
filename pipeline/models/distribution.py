"""Distributions: how often each value of an output was stored, exactly, in bins that any dtype has."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.output import Output

# The leading bits of a float32 or float64 are its sign, its exponent and the first five bits of its fraction.
# These are the bits that are dropped, by the size of the dtype; integers and float16 keep all of theirs.
_DROPPED = {("f", 4): 18, ("f", 8): 47}


def dropped_bits(dtype: np.dtype[Any]) -> int:
    """Return how many of the last bits of a number its bin ignores: none of an integer or a float16."""
    return _DROPPED.get((dtype.kind, dtype.itemsize), 0)


def n_bins(dtype: np.dtype[Any]) -> int:
    """Return the number of bins, which is 2 to the power of the leading bits."""
    return int(2 ** (8 * dtype.itemsize - dropped_bits(dtype)))


@dataclass(frozen=True, eq=False, repr=False)
class Distribution:
    """How many pixels have the values of each bin.

    A bin holds the stored numbers with the same leading bits. Each integer and each float16 has a bin of its
    own. The bins of other floats are at most 1/32 of their values wide; powers of 2 and 1.5 times these are
    edges of bins. The value 0 has a bin of its own, in which numbers nearer to it than 4e-40, or than 7e-310
    in float64, count as 0.

    Attributes
    ----------
    lower, upper : ndarray of float64, shape (n,)
        The bins in ascending order. Positive values are at least `lower` and less than `upper`, negative ones
        greater than `lower` and at most `upper`; where the two are equal, the bin holds that value only. The
        outermost bins end with the largest finite number, or with the bounds of the quantity, and hold it.
    counts : ndarray of int64, shape (n,)
        How many pixels have a value of the bin.
    n_missing : int
        The number of pixels without data.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    counts: NDArray[np.int64]
    n_missing: int
    _bins: NDArray[np.int64]

    @classmethod
    def from_bins(
        cls, bins: NDArray[np.int64], counts: NDArray[np.int64], output: Output, n_pixels: int
    ) -> Self:
        """Make a distribution from the numbers of bins.

        Parameters
        ----------
        bins : ndarray of int64, shape (n,)
            The leading bits of stored numbers, each of them once.
        counts : ndarray of int64, shape (n,)
            How often they occur.
        output : Output
            The output whose stored numbers they are.
        n_pixels : int
            The number of pixels, with and without data.

        Returns
        -------
        Distribution
        """
        dtype, shift = output.dtype, dropped_bits(output.dtype)
        unsigned = np.dtype(f"u{dtype.itemsize}")
        patterns = bins.astype(unsigned) << unsigned.type(shift)
        # The sum with 0 is 0 for -0.
        inner = output.encoding.decode(patterns.view(dtype)).astype(np.float64) + 0.0
        has_data = ~np.isnan(inner)
        if dtype.kind == "u":
            has_data &= bins < output.no_data
        inner, kept, patterns = inner[has_data], bins[has_data], patterns[has_data]
        outer = inner.copy()
        if shift:
            spans, largest = np.isfinite(inner) & (inner != 0), float(np.finfo(dtype).max)
            following = (patterns[spans] + unsigned.type(1 << shift)).view(dtype).astype(np.float64)
            outer[spans] = np.clip(following, -largest, largest)
            if (bounds := output.quantity.value_range) is not None:
                # They are rounded as the values are.
                inner, outer = (np.clip(ends, *np.array(bounds, dtype)) for ends in (inner, outer))
        lower, upper = np.minimum(inner, outer), np.maximum(inner, outer)
        order = np.lexsort((upper, lower))
        numbers = counts[has_data][order]
        return cls(lower[order], upper[order], numbers, int(n_pixels - numbers.sum()), kept[order])

    @property
    def n_pixels(self) -> int:
        """The number of pixels with data."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """Return the value that a share of the pixels with data doesn't exceed.

        Parameters
        ----------
        share : float
            From 0 to 1.

        Returns
        -------
        float
            Interpolated within a bin, so that it is at most the width of a bin off; NaN if no pixel has data.

        Raises
        ------
        ValueError
            If the share isn't between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share!r}; wanted a number from 0 to 1")
        if not self.n_pixels:
            return float("nan")
        wanted, reached = share * self.n_pixels, np.cumsum(self.counts)
        number = min(int(np.searchsorted(reached, wanted)), len(reached) - 1)
        low, high = float(self.lower[number]), float(self.upper[number])
        if low == high:
            return low
        before = float(reached[number] - self.counts[number])
        return low + (high - low) * (wanted - before) / float(self.counts[number])

    def count_above(self, threshold: float) -> float:
        """Return how many pixels have a value above a threshold.

        Parameters
        ----------
        threshold : float

        Returns
        -------
        float
            A whole number if no bin spans the threshold; values that equal it count too if it is positive and
            the edge between two bins. Otherwise the bin that spans it counts as far as it lies above.
        """
        spans = self.lower < self.upper
        above = np.where(spans, self.lower >= threshold, self.lower > threshold).astype(np.float64)
        cut = spans & (self.lower < threshold) & (threshold < self.upper)
        above[cut] = (self.upper[cut] - threshold) / (self.upper[cut] - self.lower[cut])
        return float(above @ self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return the bins and their counts as texts of numbers, which JSON can hold."""
        return {
            # A long list would take a line for each number in a file.
            "bins": " ".join(map(str, self._bins.tolist())),
            "counts": " ".join(map(str, self.counts.tolist())),
            "missing": self.n_missing,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any], output: Output) -> Self:
        """Make a distribution from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError, OverflowError
            If the content isn't a distribution of stored numbers of this output.
        """
        bins, counts = (np.array(content[key].split(), np.int64) for key in ("bins", "counts"))
        n_missing = operator.index(content["missing"])
        if bins.shape != counts.shape or (counts < 1).any() or n_missing < 0:
            raise ValueError(
                f"not a distribution: {len(bins)} bins, {len(counts)} counts, {n_missing} pixels without data"
            )
        if len(bins) and not 0 <= bins.min() <= bins.max() < n_bins(output.dtype):
            raise ValueError(f"not a distribution: bins from {bins.min()} to {bins.max()}")
        found = cls.from_bins(bins, counts, output, int(counts.sum()) + n_missing)
        if len(np.unique(bins)) < len(bins) or found.to_dict() != content:
            raise ValueError("not a distribution: bins twice, out of order or of no data")
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distribution):
            return NotImplemented
        return (
            np.array_equal(self._bins, other._bins)
            and np.array_equal(self.lower, other.lower)
            and np.array_equal(self.upper, other.upper)
            and np.array_equal(self.counts, other.counts)
            and self.n_missing == other.n_missing
        )

    def __hash__(self) -> int:
        return hash((self._bins.tobytes(), self.counts.tobytes(), self.n_missing))

    def __repr__(self) -> str:
        low, middle, high = (self.quantile(share) for share in (0, 0.5, 1))
        return (
            f"<Distribution: {self.n_pixels} pixels from {low:.4g} to {high:.4g}, median {middle:.4g}, "
            f"{self.n_missing} without data>"
        )
