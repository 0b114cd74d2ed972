"""The level of a slide that has a magnification."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Levels are rounded, and objectives aren't exact: so much may a level's magnification differ.
_TOLERANCE = 0.1


def find_magnification(
    path: str, power: float | None, wanted: float, levels: Sequence[tuple[int, int]]
) -> int:
    """Return the number of the level that has a magnification.

    Parameters
    ----------
    path : str
        The slide in messages.
    power : float or None
        The magnification of level 0, or None if the slide doesn't say.
    wanted : float
        The magnification wanted, within 10%.
    levels : sequence of tuple of int
        Height and width of each level.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the slide doesn't say its magnification, or no level has the one wanted.
    """
    if not power:
        raise ValueError(f"{path} doesn't state its magnification. Choose a level by its number: level=...")
    found = [power * height / levels[0][0] for height, _ in levels]
    number = min(range(len(found)), key=lambda n: abs(found[n] / wanted - 1))
    if abs(found[number] / wanted - 1) > _TOLERANCE:
        stated = ", ".join(f"{magnification:.3g}" for magnification in found)
        raise ValueError(
            f"{path} has levels of magnification {stated}; wanted {wanted:g}. Choose one of them."
        )
    return number
