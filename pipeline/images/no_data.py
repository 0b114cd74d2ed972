"""The value that marks pixels without data, and the channels in which it must stand."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

# The value must stand in all channels of a pixel, or in any one of them.
Rule = Literal["all", "any"]

RULES: tuple[Rule, ...] = ("all", "any")


class NoData(NamedTuple):
    """The value that marks pixels without data.

    Attributes
    ----------
    value : float
    rule : "all" or "any"
        Whether a pixel has no data if all of its channels have the value, or if any one has it.
    """

    value: float
    rule: Rule = "all"

    def has_data(self, pixels: Any, axis: int = -1) -> Any:  # noqa: ANN401  NumPy's or Dask's
        """Return which pixels have data, for an array of pixels and the axis of their channels."""
        other = pixels != self.value
        return other.any(axis=axis) if self.rule == "all" else other.all(axis=axis)

    def __str__(self) -> str:
        where = f"{self.value:g}"
        return where if self.rule == "all" else f"any channel is {where}"


def check_no_data(no_data: Any) -> NoData | None:  # noqa: ANN401  a caller may pass anything
    """Return the no-data value that a caller gives.

    Parameters
    ----------
    no_data : float, tuple of float and str, NoData or None
        A value that all channels must have, or a value and ``"all"`` or ``"any"``.

    Returns
    -------
    NoData or None

    Raises
    ------
    ValueError
        If it isn't a finite number, or there is no such rule.
    """
    if no_data is None:
        return None
    value, rule = no_data if isinstance(no_data, tuple | list) and len(no_data) == 2 else (no_data, "all")  # noqa: PLR2004  a value and a rule
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"no_data is {no_data!r:.80}; wanted a finite number. NaN never has data.")
    if rule not in RULES:
        raise ValueError(f"no_data is {no_data!r:.80}; wanted a number, or a number and 'all' or 'any'")
    return NoData(number, rule)
