"""Distributions: how often each value of an output was stored, exactly, in bins that any dtype has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.encoding import Encoding

# The leading bits of a float are its sign, its exponent and the first bits of its fraction: five of a float32
# or float64, and six of a float16. These are the bits that are dropped, by the size of the dtype.
_DROPPED = {("f", 2): 4, ("f", 4): 18, ("f", 8): 47}


def dropped_bits(dtype: np.dtype[Any]) -> int:
    """Return how many of the last bits of a stored number its bin ignores: none of an integer."""
    return _DROPPED.get((dtype.kind, dtype.itemsize), 0)


def n_bins(dtype: np.dtype[Any]) -> int:
    """Return the number of bins, which is 2 to the power of the leading bits."""
    return int(2 ** (8 * dtype.itemsize - dropped_bits(dtype)))


@dataclass(frozen=True, eq=False, repr=False)
class Distribution:
    """How many pixels have the values of each bin.

    A bin holds the stored numbers with the same leading bits. Each integer has a bin of its own. The bins of
    floats are at most 1/32 of their values wide; 0, powers of 2 and 1.5 times these are edges of bins.

    Attributes
    ----------
    lower, upper : ndarray of float64, shape (n,)
        The bins in ascending order. Positive values are at least `lower` and less than `upper`, negative ones
        greater than `lower` and at most `upper`; where the two are equal, the bin holds that value only.
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
        cls, bins: NDArray[np.int64], counts: NDArray[np.int64], encoding: Encoding, n_pixels: int
    ) -> Self:
        """Make a distribution from the numbers of bins.

        Parameters
        ----------
        bins : ndarray of int64, shape (n,)
            The leading bits of stored numbers.
        counts : ndarray of int64, shape (n,)
        encoding : Encoding
            The encoding of the stored numbers.
        n_pixels : int
            The number of pixels, with and without data.

        Returns
        -------
        Distribution
        """
        dtype, shift = encoding.dtype, dropped_bits(encoding.dtype)
        unsigned = np.dtype(f"u{dtype.itemsize}")
        patterns = bins.astype(unsigned) << unsigned.type(shift)
        inner = encoding.decode(patterns.view(dtype)).astype(np.float64)
        has_data = ~np.isnan(inner)
        if dtype.kind == "u":
            has_data &= bins < np.iinfo(dtype).max
        inner, kept, patterns = inner[has_data], bins[has_data], patterns[has_data]
        outer = inner.copy()
        if shift:
            following = patterns + unsigned.type(1 << shift)
            outer = np.where(np.isinf(inner), inner, following.view(dtype).astype(np.float64))
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
        if low == high or not np.isfinite([low, high]).all():
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
            A whole number if no bin spans the threshold. Otherwise that bin counts as far as it lies above.
        """
        widths = self.upper - self.lower
        with np.errstate(invalid="ignore"):
            above = np.where(widths > 0, (self.upper - threshold) / widths, self.lower > threshold)
        return float(np.clip(np.nan_to_num(above), 0, 1) @ self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return the bins and their counts as texts of numbers, which JSON can hold."""
        return {
            # A long list would take a line for each number in a file.
            "bins": " ".join(map(str, self._bins.tolist())),
            "counts": " ".join(map(str, self.counts.tolist())),
            "missing": self.n_missing,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any], encoding: Encoding) -> Self:
        """Make a distribution from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If the content isn't a distribution of stored numbers of this encoding.
        """
        bins, counts = (np.array(content[key].split(), np.int64) for key in ("bins", "counts"))
        if bins.shape != counts.shape or bins.ndim != 1 or (counts < 1).any():
            raise ValueError(f"not a distribution: {len(bins)} bins with {len(counts)} counts")
        if len(bins) and not 0 <= bins.min() <= bins.max() < n_bins(encoding.dtype):
            raise ValueError(f"not a distribution: bins from {bins.min()} to {bins.max()}")
        return cls.from_bins(bins, counts, encoding, int(counts.sum()) + int(content["missing"]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distribution):
            return NotImplemented
        return (
            np.array_equal(self._bins, other._bins)
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
