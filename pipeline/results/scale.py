"""Scales of color: how the values of a result are spread over a color map, in every picture alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.distribution import Distribution
    from pipeline.models.output import Output

# The values between these quantiles are told apart.
_QUANTILES = (0.01, 0.99)
# A logarithmic scale spans so many powers of ten at most.
_DECADES = 12


@dataclass(frozen=True)
class Scale:
    """How values are spread over a color map.

    Attributes
    ----------
    low, high : float
        The values that have the first and the last color; those beyond have these colors too.
    is_logarithmic : bool
    neutral : float or None
        The value that has the middle color, or None if no value is special.
    """

    low: float
    high: float
    is_logarithmic: bool = False
    neutral: float | None = None

    def spread(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return the places of values in the color map, from 0 to 1; NaN where there is no value."""
        low, high, shown = self.low, self.high, values.astype(np.float64)
        if self.is_logarithmic:
            low, high, shown = np.log(low), np.log(high), np.log(np.maximum(shown, low))
        return np.clip((shown - low) / (high - low), 0, 1).astype(np.float32)


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
        high = high if high > 0 else 1.0
        low = max(low, high / 10.0**_DECADES)
        return Scale(low if low < high else high / 10, high, is_logarithmic=True)
    return Scale(low, high if high > low else low + 1)


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
