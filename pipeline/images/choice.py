"""The choice of one image in a file that holds several: of its levels, series, pages and planes."""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields
from typing import Any, Literal

_NUMBERS = ("level", "z", "t")


@dataclass(frozen=True)
class Choice:
    """Which image of a file is meant, and how its pages are read.

    Attributes
    ----------
    level : int
        The level of a pyramid; 0 has the full resolution.
    series : int, str or None
        The number or the name of a series of a file that holds several images; None is the largest one.
    pages : "channels", int or None
        Whether the pages of a file are the channels of one image, or the number of one page.
    z, t : int or None
        The number of a plane along an axis of depth or time. It is needed only where there are several.
    magnification : float or None
        The magnification of a slide's level, for example 20, instead of its number.

    Raises
    ------
    ValueError
        If one of them can't have its value, or a level and a magnification are chosen both.
    """

    level: int = 0
    series: int | str | None = None
    pages: Literal["channels"] | int | None = None
    z: int | None = None
    t: int | None = None
    magnification: float | None = None

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            number = getattr(self, name)
            if number is not None or name == "level":
                object.__setattr__(self, name, _whole(name, number))
        if self.pages is not None and self.pages != "channels":
            object.__setattr__(self, "pages", _whole("pages", self.pages, "'channels' or "))
        if self.series is not None and not isinstance(self.series, str):
            object.__setattr__(self, "series", _whole("series", self.series, "a name or "))
        if self.magnification is not None:
            object.__setattr__(self, "magnification", _positive(self.magnification))
            if self.level:
                raise ValueError(
                    f"level is {self.level} and magnification is {self.magnification:g}; wanted one of them"
                )

    def options(self) -> dict[str, Any]:
        """Return the options of :func:`open_image` that aren't the default ones."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(WHOLE, name)}

    def check(self, path: object, kind: str, *known: str) -> None:
        """Raise ValueError unless everything that is chosen exists in files of a kind.

        Parameters
        ----------
        path : str
            The file, or the word for an array, in messages.
        kind : str
            What it is, for example "a PNG".
        *known : str
            The options that such files have.
        """
        for name, value in self.options().items():
            if name not in known:
                raise ValueError(f"{name} is {value!r}, but {path} is {kind}, which has none. Leave it out.")


def _whole(name: str, number: Any, other: str = "") -> int:  # noqa: ANN401  a caller may pass anything
    try:
        index = -1 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        index = -1
    if index < 0:
        raise ValueError(f"{name} is {number!r:.80}; wanted {other}a whole number from 0")
    return index


def _positive(number: Any) -> float:  # noqa: ANN401  a caller may pass anything
    try:
        value = float(number)
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"magnification is {number!r:.80}; wanted a positive number, for example 20")
    return value


WHOLE = Choice()
