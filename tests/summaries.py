"""Summaries, computed again from the stored arrays by NumPy, without the counters of this package."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.models.distribution import Distribution
    from pipeline.models.output import Output
    from pipeline.models.summary import Summary, Zone

# Numbers nearer to 0 than this count as 0.
TINY = {"float16": 2.0**-24, "float32": 2.0**-131, "float64": 2.0**-1027}


def count_in(values: NDArray[Any], low: float, high: float, ends: tuple[float, float] | None = None) -> int:
    """Count the values of a bin, by comparing them with its edges.

    Parameters
    ----------
    values : ndarray
        Stored floats, or integers as they are decoded.
    low, high : float
    ends : tuple of float, optional
        The outermost edges, which belong to their bins; by default the largest finite numbers.
    """
    exact = values.astype(np.float64)
    if low == high == 0:
        return int((np.abs(exact) < TINY[str(values.dtype)]).sum())
    if low == high:
        return int((exact == low).sum())
    least, most = ends or (-float(np.finfo(values.dtype).max), float(np.finfo(values.dtype).max))
    if low > 0:
        return int(((exact >= low) & ((exact < high) | ((exact == most) & (high == most)))).sum())
    return int(((exact <= high) & ((exact > low) | ((exact == least) & (low == least)))).sum())


def check_distribution(found: Distribution, values: NDArray[Any], ends: tuple[float, float] | None) -> None:
    """Compare the counts of all bins with those of values, of which NaN is no data."""
    assert found.n_missing == np.isnan(values).sum()
    assert found.counts.sum() == found.n_pixels == values.size - found.n_missing
    for low in np.unique(found.lower):
        # 0 and -0 have the same value and different bins.
        same = found.lower == low
        assert found.counts[same].sum() == count_in(values, low, float(found.upper[same].max()), ends)


def check_mean(got: float, values: NDArray[Any]) -> None:
    """Compare a mean with that of the finite values, summed exactly."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        assert math.isnan(got)
        return
    assert got == pytest.approx(math.fsum(finite) / finite.size, rel=1e-12, abs=1e-13 * np.abs(finite).max())


def values_by_name(outputs: Sequence[Output], results: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Decode stored numbers, shape (n_results, h, w) for each output, to values under the name of each."""
    planes: dict[str, NDArray[Any]] = {}
    for output, result in zip(outputs, results, strict=True):
        decoded = output.encoding.decode(result)
        if output.label_names is not None:
            decoded = np.where(result == output.no_data, np.float32(np.nan), result.astype(np.float32))
        names = [f"{output.name} {name}" for name in output.class_names or ()] or [output.name]
        planes |= dict(zip(names, decoded, strict=True))
    return planes


def check_summary(
    summary: Summary | None,
    outputs: Sequence[Output],
    results: Sequence[NDArray[Any]],
    zones: NDArray[Any] | None = None,
    names: Mapping[int, str] | None = None,
) -> None:
    """Compare all numbers of a summary with those that NumPy finds in the stored numbers.

    Parameters
    ----------
    summary : Summary
    outputs : sequence of Output
    results : sequence of ndarray, shape (n_results, h, w)
        The stored numbers of each output.
    zones : ndarray of int, shape (h, w), optional
    names : mapping of int to str, optional
        The names of the zones.
    """
    assert summary is not None
    values = values_by_name(outputs, results)
    assert list(summary.distributions) == list(values)
    for output in outputs:
        ends = None
        if (bounds := output.quantity.value_range) is not None and bounds[1] != 1:
            # They are rounded as the results are. A bound of 1 is an edge, with a bin of its own.
            ends = float(np.float32(bounds[0])), float(np.float32(bounds[1]))
        for name in values:
            if name.split(" ", 1)[0] == output.name:
                check_distribution(summary.distributions[name], values[name], ends)
    labels = {output.name: output.label_names for output in outputs if output.label_names is not None}
    others = {name: values[name] for name in values if name not in labels}
    assert list(summary.classes) == list(labels)
    for label, classes in labels.items():
        assert tuple(zone.name for zone in summary.classes[label]) == classes
        for number, zone in enumerate(summary.classes[label]):
            assert zone.classes == {}
            _check_zone(zone, values[label] == number, others)
    known = dict(names or {})
    if zones is not None and names is None:
        known = {number: str(int(number)) for number in np.unique(zones).tolist() if number}
    assert [zone.name for zone in summary.zones] == list(known.values())
    for number, zone in zip(known, summary.zones, strict=True):
        assert zones is not None
        here = zones == number
        _check_zone(zone, here, others)
        assert zone.classes == {
            label: {name: int((values[label][here] == n).sum()) for n, name in enumerate(classes)}
            for label, classes in labels.items()
        }


def _check_zone(zone: Zone, here: NDArray[np.bool_], others: Mapping[str, NDArray[Any]]) -> None:
    """Compare the pixels and the means of a zone."""
    assert zone.pixels == here.sum()
    assert list(zone.means) == list(others)
    for name, values in others.items():
        check_mean(zone.means[name], values[here])
