"""Summaries of blocks: stored numbers are counted while they are in memory, and the counts are added up."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.models.distribution import Distribution, dropped_bits, n_bins
from pipeline.models.summary import Summary, Zone, result_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.models.output import Output

# The kind of the zones that a caller names. Other kinds are the names of labels, whose classes are zones too.
ZONES = ""
# So many numbers stay in the cache while their bins are counted.
_STRIP = 2**17
# Loading Numba takes as long as counting so many pixels without it.
_LONG = 2**30


class ZoneSums(NamedTuple):
    """The sums over the pixels of a block that belong to one zone.

    Attributes
    ----------
    pixels : int
    sums : dict of str to (int, float)
        For each result, how many of the pixels have a finite value, and the sum of these.
    classes : dict of str to ndarray of int64
        For each label, how many of the pixels are of each class.
    """

    pixels: int
    sums: dict[str, tuple[int, float]]
    classes: dict[str, NDArray[np.int64]]


class BlockSummary(NamedTuple):
    """The summary of one block.

    Attributes
    ----------
    bins : dict of str to (ndarray of uint32, ndarray of int64)
        For each result, the bins that occur, and how often.
    zones : dict of (str, int) to ZoneSums
        By kind and number.
    """

    bins: dict[str, tuple[NDArray[np.uint32], NDArray[np.int64]]]
    zones: dict[tuple[str, int], ZoneSums]


def summarize_block(
    outputs: Sequence[Output],
    results: Sequence[NDArray[Any]],
    zones: NDArray[np.integer] | None,
    *,
    compiled: bool,
) -> BlockSummary:
    """Summarize the stored numbers of a block.

    Parameters
    ----------
    outputs : sequence of Output
    results : sequence of ndarray, shape (n_results, h, w)
        The stored numbers of each output.
    zones : ndarray of int, shape (h, w), or None
        The zone of each pixel, 0 for none.
    compiled : bool
        Whether to count by a loop that Numba compiles.

    Returns
    -------
    BlockSummary
    """
    count = _count_by_loop() if compiled else _count
    bins = {}
    for output, result in zip(outputs, results, strict=True):
        for name, plane in zip(result_names(output), result, strict=True):
            counters = count(np.ascontiguousarray(plane).reshape(-1))
            occurring = np.flatnonzero(counters)
            bins[name] = occurring.astype(np.uint32), counters[occurring].astype(np.int64, copy=False)
    found: dict[tuple[str, int], ZoneSums] = {}
    for number, output in enumerate(outputs):
        if output.label_names is not None and len(outputs) > 1:
            others = [n for n in range(len(outputs)) if outputs[n].label_names is None]
            # Pixels without data belong to the zone 0, and class 0 is the zone 1.
            kinds = results[number][0]
            classes = np.where(kinds < len(output.label_names), kinds, -1) + 1
            sums = _sum_zones(classes, [outputs[n] for n in others], [results[n] for n in others])
            found |= {(output.name, zone - 1): values for zone, values in sums.items()}
    if zones is not None and zones.any():
        sums = _sum_zones(zones, outputs, results)
        found |= {(ZONES, zone): values for zone, values in sums.items()}
    return BlockSummary(bins, found)


def can_compile() -> bool:
    """Return whether Numba is installed."""
    return find_spec("numba") is not None


def is_worth_compiling(engines: Collection[str], n_pixels: int) -> bool:
    """Return whether a run gains by counting in a compiled loop: if it loads Numba anyway, or is long."""
    return can_compile() and ("numba" in engines or n_pixels >= _LONG)


class Totals:
    """The sums of the summaries of blocks; the order in which they are added doesn't matter.

    Parameters
    ----------
    outputs : sequence of Output
    zone_names : mapping of int to str, optional
        The names of the zones; by default their numbers.
    """

    def __init__(self, outputs: Sequence[Output], zone_names: Mapping[int, str] | None = None) -> None:
        self._outputs, self._zone_names = tuple(outputs), zone_names
        self._encodings = {name: output.encoding for output in outputs for name in result_names(output)}
        self._counters: dict[str, NDArray[np.int64]] = {}
        self._pixels: dict[tuple[str, int], int] = defaultdict(int)
        # Fractions are exact, so that a sum is the same in any order.
        self._sums: dict[tuple[str, int, str], tuple[int, Fraction]] = defaultdict(lambda: (0, Fraction()))
        self._classes: dict[tuple[str, int, str], NDArray[np.int64]] = {}

    def add(self, block: BlockSummary) -> None:
        """Add the summary of a block."""
        for name, (bins, counts) in block.bins.items():
            if name not in self._counters:
                self._counters[name] = np.zeros(n_bins(self._encodings[name].dtype), np.int64)
            self._counters[name][bins] += counts
        for key, zone in block.zones.items():
            self._pixels[key] += zone.pixels
            for name, (count, total) in zone.sums.items():
                before, so_far = self._sums[*key, name]
                self._sums[*key, name] = before + count, so_far + Fraction(total)
            for name, counts in zone.classes.items():
                self._classes[*key, name] = self._classes.get((*key, name), np.zeros_like(counts)) + counts

    def result(self, n_pixels: int, pixel_area: float | None) -> Summary:
        """Return the summary of a run.

        Parameters
        ----------
        n_pixels : int
            The number of pixels of the image. Those of blocks that weren't added have no data.
        pixel_area : float or None
            The area of a pixel in square micrometers.
        """
        distributions = {}
        for name, encoding in self._encodings.items():
            counters = self._counters.get(name, np.zeros(0, np.int64))
            bins = np.flatnonzero(counters)
            distributions[name] = Distribution.from_bins(bins, counters[bins], encoding, n_pixels)
        classes = {
            output.name: self._classes_of(output, output.label_names, distributions[output.name])
            for output in self._outputs
            if output.label_names is not None
        }
        numbers = sorted(number for kind, number in self._pixels if kind == ZONES)
        zones = (self._zone(number) for number in numbers)
        return Summary(distributions, classes, tuple(zones), pixel_area)

    def _classes_of(self, label: Output, names: Sequence[str], found: Distribution) -> tuple[Zone, ...]:
        """Return the classes of a label."""
        pixels = dict(zip(found.lower.astype(int).tolist(), found.counts.tolist(), strict=True))
        others = [n for output in self._outputs if output.label_names is None for n in result_names(output)]
        return tuple(
            Zone(name, pixels.get(number, 0), {n: self._mean(label.name, number, n) for n in others})
            for number, name in enumerate(names)
        )

    def _zone(self, number: int) -> Zone:
        """Return a zone that the caller named."""
        means: dict[str, float] = {}
        classes: dict[str, dict[str, int]] = {}
        for output in self._outputs:
            if output.label_names is None:
                means |= {name: self._mean(ZONES, number, name) for name in result_names(output)}
            else:
                counts = self._classes[ZONES, number, output.name].tolist()
                classes[output.name] = dict(zip(output.label_names, counts, strict=True))
        name = str(number) if self._zone_names is None else self._zone_names[number]
        return Zone(name, self._pixels[ZONES, number], means, classes)

    def _mean(self, kind: str, number: int, name: str) -> float:
        count, total = self._sums[kind, number, name]
        return float(total / count) if count else float("nan")


def _sum_zones(
    zones: NDArray[np.integer], outputs: Sequence[Output], results: Sequence[NDArray[Any]]
) -> dict[int, ZoneSums]:
    """Return the sums of each zone of a block. Pixels of the zone 0 don't count."""
    n_zones = int(zones.max()) + 1
    pixels = np.zeros(n_zones, np.int64)
    sums = {
        name: (np.zeros(n_zones, np.int64), np.zeros(n_zones))
        for output in outputs
        if output.label_names is None
        for name in result_names(output)
    }
    classes = {o.name: np.zeros((n_zones, len(o.label_names)), np.int64) for o in outputs if o.label_names}
    for start in range(0, zones.size, _STRIP):
        part = slice(start, start + _STRIP)
        numbers = zones.reshape(-1)[part].astype(np.intp)
        pixels += np.bincount(numbers, minlength=n_zones)
        for output, result in zip(outputs, results, strict=True):
            for name, plane in zip(result_names(output), result, strict=True):
                stored = plane.reshape(-1)[part]
                if output.label_names is None:
                    _add_values(numbers, output.encoding.decode(stored), *sums[name])
                else:
                    _add_classes(numbers, stored, classes[name])
    return {
        number: ZoneSums(
            int(pixels[number]),
            {name: (int(counts[number]), float(totals[number])) for name, (counts, totals) in sums.items()},
            {name: counts[number] for name, counts in classes.items()},
        )
        for number in np.flatnonzero(pixels).tolist()
        if number
    }


def _add_values(
    zones: NDArray[np.intp], values: NDArray[Any], counts: NDArray[np.int64], totals: NDArray[np.float64]
) -> None:
    """Add the finite values of each zone, and their number."""
    finite = np.isfinite(values)
    if not finite.all():
        zones, values = zones[finite], values[finite]
    counts += np.bincount(zones, minlength=len(counts))
    totals += np.bincount(zones, values, len(totals))


def _add_classes(zones: NDArray[np.intp], labels: NDArray[Any], counts: NDArray[np.int64]) -> None:
    """Add how many pixels of each zone are of each class."""
    n_classes = counts.shape[1]
    has_class = labels < n_classes
    pairs = zones[has_class] * n_classes + labels[has_class]
    counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)


def _count(values: NDArray[Any]) -> NDArray[np.int64]:
    """Count the numbers of an array by their bins."""
    dtype = values.dtype
    patterns, dropped = values.view(f"u{dtype.itemsize}"), dropped_bits(dtype)
    counters = np.zeros(n_bins(dtype), np.int64)
    for start in range(0, len(values), _STRIP):
        bins = (patterns[start : start + _STRIP] >> dropped).astype(np.intp)
        counters += np.bincount(bins, minlength=len(counters))
    return counters


def _count_by_loop() -> Callable[[NDArray[Any]], NDArray[np.int64]]:
    """Return the function that counts by a compiled loop."""
    from pipeline.compute.fused_counts import count_bins  # noqa: PLC0415  Numba is an extra

    def count(values: NDArray[Any]) -> NDArray[np.int64]:
        dtype = values.dtype
        counters = np.zeros(n_bins(dtype), np.int64)
        count_bins(values.view(f"u{dtype.itemsize}"), dropped_bits(dtype), counters)
        return counters

    return count
