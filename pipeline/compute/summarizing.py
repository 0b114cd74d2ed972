"""Summaries of blocks: stored numbers are counted while they are in memory, and the counts are added up."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.compute.counters import LANES, loops_of
from pipeline.models.distribution import Distribution, n_bins
from pipeline.models.summary import Summary, Zone, result_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.compute.counters import Loops
    from pipeline.models.output import Output

# The kind of the zones that a caller names. Other kinds are the names of labels, whose classes are zones too.
ZONES = ""
# So many numbers stay in the cache, or counters of zones.
_STRIP = 2**17
# A record of so many numbers of zones takes some 80 MB.
_MOST_NUMBERS = 500_000


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

    Raises
    ------
    ValueError
        If a zone is negative.
    """
    loops = loops_of(compiled=compiled)
    planes = {
        name: np.ascontiguousarray(plane).reshape(-1)
        for output, result in zip(outputs, results, strict=True)
        for name, plane in zip(result_names(output), result, strict=True)
    }
    bins = {}
    for name, plane in planes.items():
        counters = loops.count_bins(plane)
        occurring = np.flatnonzero(counters)
        bins[name] = occurring.astype(np.uint32), counters[occurring]
    found: dict[tuple[str, int], ZoneSums] = {}
    others = [output for output in outputs if output.label_names is None]
    for output in outputs:
        if output.label_names is not None and others:
            labels = planes[output.name]
            # The place 0 is that of pixels without data.
            places = np.zeros(np.iinfo(labels.dtype).max + 1, np.intp)
            places[: len(output.label_names)] = range(1, len(output.label_names) + 1)
            zoned = _Zones(labels, places.take, len(output.label_names) + 1)
            sums = _sum_zones(zoned, others, planes, loops)
            found |= {(output.name, place - 1): values for place, values in sums.items()}
    if zones is not None and zones.any():
        flat = zones.reshape(-1)
        numbers, place = _number_zones(flat)
        sums = _sum_zones(_Zones(flat, place, len(numbers)), outputs, planes, loops)
        found |= {(ZONES, int(numbers[place])): values for place, values in sums.items()}
    return BlockSummary(bins, found)


def check_zones(outputs: Sequence[Output], n_zones: int) -> None:
    """Raise ValueError if a summary of so many zones would be too large for the record of a store."""
    each = sum(len(output.label_names or result_names(output)) for output in outputs)
    if n_zones * each > _MOST_NUMBERS:
        raise ValueError(
            f"the summary of {n_zones} zones with {each} numbers each is too large for the record of a "
            f"store; wanted at most {_MOST_NUMBERS} numbers. Pass fewer zones, or compute fewer results. A "
            "run that has begun can be resumed with other zones, or with none."
        )


class Totals:
    """The sums of the summaries of blocks; the order in which they are added doesn't matter.

    Parameters
    ----------
    outputs : sequence of Output
    zone_names : mapping of int to str, optional
        The names of the zones, all of which the summary has; by default those that occur, by their numbers.
    """

    def __init__(self, outputs: Sequence[Output], zone_names: Mapping[int, str] | None = None) -> None:
        self._outputs, self._zone_names = tuple(outputs), zone_names
        self._results = {name: output for output in outputs for name in result_names(output)}
        self._counters: dict[str, NDArray[np.int64]] = {}
        self._pixels: dict[tuple[str, int], int] = defaultdict(int)
        self._n_zones = 0
        # Fractions are exact, so that a sum is the same in any order.
        self._sums: dict[tuple[str, int, str], tuple[int, Fraction]] = defaultdict(lambda: (0, Fraction()))
        self._classes: dict[tuple[str, int, str], NDArray[np.int64]] = {}

    def add(self, block: BlockSummary) -> None:
        """Add the summary of a block, or raise ValueError if there are too many zones by now."""
        for name, (bins, counts) in block.bins.items():
            if name not in self._counters:
                self._counters[name] = np.zeros(n_bins(self._results[name].dtype), np.int64)
            self._counters[name][bins] += counts
        for key, zone in block.zones.items():
            if key[0] == ZONES and key not in self._pixels:
                self._n_zones += 1
                check_zones(self._outputs, self._n_zones)
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
        for name, output in self._results.items():
            counters = self._counters.get(name, np.zeros(0, np.int64))
            bins = np.flatnonzero(counters)
            distributions[name] = Distribution.from_bins(bins, counters[bins], output, n_pixels)
        classes = {
            output.name: self._classes_of(output, output.label_names, distributions[output.name])
            for output in self._outputs
            if output.label_names is not None
        }
        found = {number for kind, number in self._pixels if kind == ZONES}
        zones = (self._zone(number) for number in sorted(found.union(self._zone_names or ())))
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
                none = np.zeros(len(output.label_names), np.int64)
                counts = self._classes.get((ZONES, number, output.name), none)
                classes[output.name] = dict(zip(output.label_names, counts.tolist(), strict=True))
        name = str(number) if self._zone_names is None else self._zone_names[number]
        return Zone(name, self._pixels.get((ZONES, number), 0), means, classes)

    def _mean(self, kind: str, number: int, name: str) -> float:
        count, total = self._sums.get((kind, number, name), (0, Fraction()))
        return float(total / count) if count else math.nan


def _number_zones(
    zones: NDArray[np.integer],
) -> tuple[NDArray[np.integer], Callable[[NDArray[Any]], NDArray[np.intp]]]:
    """Return the numbers of zones by their places, the first of which is 0, and what gives these places."""
    lowest, highest = int(zones.min()), int(zones.max())
    if lowest < 0:
        raise ValueError(f"the zones hold {lowest}; wanted positive integers, and 0 for pixels of no zone")
    if highest < _STRIP:
        return np.arange(highest + 1), lambda part: part.astype(np.intp)
    parts = [np.unique(zones[start : start + _STRIP]) for start in range(0, len(zones), _STRIP)]
    numbers = np.unique(np.concatenate([np.zeros(1, zones.dtype), *parts]))
    return numbers, lambda part: np.searchsorted(numbers, part)


class _Zones(NamedTuple):
    """The zones of a block's pixels.

    Attributes
    ----------
    zones : ndarray of int, shape (n,)
    place : callable
        It returns the places of some zones, less than `n_places`; 0 is the place of pixels of no zone.
    n_places : int
    """

    zones: NDArray[Any]
    place: Callable[[NDArray[Any]], NDArray[np.intp]]
    n_places: int


def _sum_zones(
    zoned: _Zones, outputs: Sequence[Output], planes: Mapping[str, NDArray[Any]], loops: Loops
) -> dict[int, ZoneSums]:
    """Return the sums of each zone of a block, by its place; pixels of the place 0 don't count."""
    n_places = zoned.n_places
    pixels = np.zeros(n_places, np.int64)
    sums = {
        name: (np.zeros((LANES, n_places), np.int64), np.zeros((LANES, n_places)))
        for output in outputs
        if output.label_names is None
        for name in result_names(output)
    }
    classes = {o.name: np.zeros((n_places, len(o.label_names)), np.int64) for o in outputs if o.label_names}
    for start in range(0, len(zoned.zones), _STRIP):
        part = slice(start, start + _STRIP)
        places = zoned.place(zoned.zones[part])
        loops.add_places(places, pixels)
        for output in outputs:
            for name in result_names(output):
                if output.label_names is None:
                    loops.add_values(places, output.encoding.decode(planes[name][part]), *sums[name])
                else:
                    _add_classes(places, planes[name][part], classes[name])
    found = {name: (counts.sum(axis=0), totals.sum(axis=0)) for name, (counts, totals) in sums.items()}
    return {
        number: ZoneSums(
            int(pixels[number]),
            {name: (int(counts[number]), float(totals[number])) for name, (counts, totals) in found.items()},
            {name: counts[number] for name, counts in classes.items()},
        )
        for number in np.flatnonzero(pixels).tolist()
        if number
    }


def _add_classes(places: NDArray[np.intp], labels: NDArray[Any], counts: NDArray[np.int64]) -> None:
    """Add how many pixels of each place are of each class."""
    n_classes = counts.shape[1]
    has_class = labels < n_classes
    pairs = places[has_class] * n_classes + labels[has_class]
    counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
