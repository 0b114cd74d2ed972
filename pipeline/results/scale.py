"""Scales of color: how the values of a result are spread over a color map, wherever they are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.results.color_maps import DIVERGING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.distribution import Distribution
    from pipeline.models.output import Output

# The values between these quantiles are told apart.
_QUANTILES = (0.01, 0.99)
# A logarithmic scale spans so many powers of ten at most.
_DECADES = 12
# Densities that are lower everywhere have the lowest color, since twelve powers of ten below them is 0.
_LEAST = 1e-290


@dataclass(frozen=True)
class Scale:
    """How values are spread over a color map.

    Attributes
    ----------
    low, high : float
        The values that have the first and the last color; those beyond have these colors too.
    is_logarithmic : bool
        Whether equal ratios of values are equally far apart; values that aren't positive have the first color
        then.
    neutral : float or None
        The value that has the middle color, or None if no value is special.

    Raises
    ------
    ValueError
        If low isn't less than high, or not positive where the scale is logarithmic.
    """

    low: float
    high: float
    is_logarithmic: bool = False
    neutral: float | None = None

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"the range is {low:g} to {high:g}; wanted two finite numbers, the lower first")
        if self.is_logarithmic and low <= 0:
            raise ValueError(f"the range begins at {low:g}; wanted a positive number for a logarithm")

    @property
    def color_map(self) -> str:
        """The color map that suits: one whose middle is nearly white if there is a neutral value."""
        return "viridis" if self.neutral is None else DIVERGING

    @property
    def _ends(self) -> tuple[float, float]:
        """The ends, or their logarithms to base 10."""
        return (math.log10(self.low), math.log10(self.high)) if self.is_logarithmic else (self.low, self.high)

    def shares(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far values are on the way from low to high, from 0 to 1; NaN where there is no value."""
        low, high = self._ends
        shown = values.astype(np.float64)
        if self.is_logarithmic:
            shown = np.log10(np.maximum(shown, self.low))
        # Half of each may differ by more than a float64 can hold.
        return np.clip((shown / 2 - low / 2) / (high / 2 - low / 2), 0, 1)

    def edges(self, count: int) -> list[float]:
        """Return the ends of so many intervals that are equally wide in the color map."""
        places = np.linspace(*self._ends, count + 1)
        edges: list[float] = (10.0**places if self.is_logarithmic else places).tolist()
        return edges


def choose_scale(output: Output, distribution: Distribution | None, values: NDArray[Any]) -> Scale:
    """Choose the scale of a result.

    Parameters
    ----------
    output : Output
    distribution : Distribution or None
        The distribution of all values, between whose quantiles 1% and 99% colors differ.
    values : ndarray
        Some of the values, which are asked if there is no distribution.

    Returns
    -------
    Scale
        From the least to the greatest value that can occur, if there are such bounds; symmetric around a
        neutral value; logarithmic for densities, of at most twelve powers of ten.
    """
    quantity = output.quantity
    if quantity.value_range is not None:
        return Scale(*quantity.value_range)
    low, high = _quantiles(distribution, values)
    if quantity.neutral is not None:
        reach = max(abs(low - quantity.neutral), abs(high - quantity.neutral)) or 1.0
        return Scale(quantity.neutral - reach, quantity.neutral + reach, neutral=quantity.neutral)
    if quantity.error_is_relative:
        high = high if high > _LEAST else 1.0
        low = max(low, high / 10.0**_DECADES)
        return Scale(low if low < high else high / 10, high, is_logarithmic=True)
    return Scale(low, high if high > low else low + max(1.0, abs(low) * 1e-6))


def _quantiles(distribution: Distribution | None, values: NDArray[Any]) -> tuple[float, float]:
    """Return the quantiles as finite numbers, 0 and 1 if there is no finite value."""
    if distribution is not None and distribution.n_pixels:
        found = [distribution.quantile(share) for share in _QUANTILES]
    else:
        finite = values[np.isfinite(values)].astype(np.float64)
        found = np.quantile(finite, _QUANTILES, method="nearest").tolist() if finite.size else [0.0, 1.0]
    # Half of the greatest number leaves room for the difference of two.
    bound = float(np.finfo(np.float64).max) / 2
    low, high = np.clip(np.nan_to_num(found, nan=0.0), -bound, bound).tolist()
    return low, high
