"""The loops in which a summary counts and sums the pixels of a block, by NumPy or compiled by Numba."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.models.distribution import dropped_bits, n_bins

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from pipeline.models.output import Output

# So many numbers stay in the cache while they are counted.
_STRIP = 2**17
# The number of rows of counts and totals, which take turns: see the compiled loops.
LANES = 4
# The first classes of a label, and pixels without data.
_LIKELY = (*range(6), 255)
# The seconds that compiled loops save for each pixel and result, and for each pixel, result and kind of
# zones; and those that loading Numba takes. NumPy counts in one thread at a time.
_SAVED_BY_COUNTING, _SAVED_BY_SUMMING, _SECONDS_TO_LOAD = 1e-9, 6e-9, 0.5


class Loops(NamedTuple):
    """The loops over pixels, by NumPy or compiled; both give the same numbers.

    Attributes
    ----------
    count_bins : callable
        Given stored numbers, shape (n,), it returns how many of them lie in each bin.
    add_places : callable
        Given places of zones, shape (n,), and counts of int64, shape (zones,), it adds the number of pixels
        of each zone to its count.
    add_values : callable
        Given places, values of the same shape, counts and totals, both of shape (4, zones), it adds the
        finite values of each zone to its totals, and their number to its counts. Value number i belongs to
        row i modulo 4 of the totals. The values of one call are summed before they are added.
    """

    count_bins: Callable[[NDArray[Any]], NDArray[np.int64]]
    add_places: Callable[[NDArray[np.intp], NDArray[np.int64]], None]
    add_values: Callable[[NDArray[np.intp], NDArray[Any], NDArray[np.int64], NDArray[np.float64]], None]


def loops_of(*, compiled: bool) -> Loops:
    """Return the loops that NumPy has, or those that Numba compiles."""
    if not compiled:
        return Loops(_count_bins, _add_places, _add_values)
    from pipeline.compute.fused_counts import count_bins, sum_values  # noqa: PLC0415  Numba is an extra

    def count(values: NDArray[Any]) -> NDArray[np.int64]:
        if values.dtype.itemsize == 1:
            return _count_bins(values)
        counters = np.zeros(n_bins(values.dtype), np.int64)
        count_bins(_patterns(values), dropped_bits(values.dtype), counters)
        return counters

    def add_places(places: NDArray[np.intp], counts: NDArray[np.int64]) -> None:
        count_bins(_patterns(places), 0, counts)

    def add_values(
        places: NDArray[np.intp], values: NDArray[Any], counts: NDArray[np.int64], totals: NDArray[np.float64]
    ) -> None:
        sums = np.zeros_like(totals)
        # Numba has no float16.
        sum_values(
            places, values.astype(np.promote_types(values.dtype, np.float32), copy=False), counts, sums
        )
        totals += sums

    return Loops(count, add_places, add_values)


def can_compile() -> bool:
    """Return whether Numba is installed."""
    return find_spec("numba") is not None


def is_worth_compiling(
    outputs: Sequence[Output], engines: Collection[str], n_pixels: int, *, has_zones: bool
) -> bool:
    """Return whether a run gains by compiled loops: if it loads Numba anyway, or has much to count.

    Parameters
    ----------
    outputs : sequence of Output
    engines : collection of str
        The names of the engines of the run.
    n_pixels : int
        The number of pixels of the image.
    has_zones : bool
        Whether the caller names zones.

    Returns
    -------
    bool
    """
    labels = sum(output.label_names is not None for output in outputs)
    others = sum(output.n_results for output in outputs) - labels
    saved = (labels + others) * _SAVED_BY_COUNTING + (labels + has_zones) * others * _SAVED_BY_SUMMING
    return can_compile() and ("numba" in engines or n_pixels * saved >= _SECONDS_TO_LOAD)


def _count_bins(values: NDArray[Any]) -> NDArray[np.int64]:
    """Count the numbers of an array by their bins."""
    dtype = values.dtype
    patterns, dropped = _patterns(values), dropped_bits(dtype)
    counters = np.zeros(n_bins(dtype), np.int64)
    for start in range(0, len(values), _STRIP):
        strip = patterns[start : start + _STRIP]
        if dtype.itemsize == 1:
            counters += _count_bytes(strip)
        else:
            counters += np.bincount((strip >> dropped).astype(np.intp), minlength=len(counters))
    return counters


def _count_bytes(strip: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count bytes. Labels have few numbers, for each of which a comparison is faster than counting all."""
    counts = np.zeros(256, np.int64)
    for number in _LIKELY:
        counts[number] = np.count_nonzero(strip == number)
        if counts.sum() == len(strip):
            return counts
    return np.bincount(strip, minlength=256)


def _patterns(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as unsigned integers of the same bits."""
    return values.view(f"u{values.dtype.itemsize}")


def _add_places(places: NDArray[np.intp], counts: NDArray[np.int64]) -> None:
    """Add the number of pixels of each zone to its count."""
    counts += np.bincount(places, minlength=len(counts))


def _add_values(
    places: NDArray[np.intp], values: NDArray[Any], counts: NDArray[np.int64], totals: NDArray[np.float64]
) -> None:
    """Add the finite values of each zone to its totals, in the order of the compiled loop."""
    finite = np.isfinite(values)
    if finite.all():
        counts[0] += np.bincount(places, minlength=counts.shape[1])
    else:
        counts[0] += np.bincount(places[finite], minlength=counts.shape[1])
        values = np.where(finite, values, 0)
    for lane in range(LANES):
        totals[lane] += np.bincount(places[lane::LANES], values[lane::LANES], totals.shape[1])
