"""The choice of one image in a file, as a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.images.choice import WHOLE, Choice


def test_options_are_those_that_differ() -> None:
    """A choice is made again of the options that aren't the default ones."""
    choice = Choice(level=np.uint8(2), series="slide", pages="channels", z=0)
    assert choice.options() == {"level": 2, "series": "slide", "pages": "channels", "z": 0}
    assert all(type(value) in {int, str} for value in choice.options().values())
    assert Choice(**choice.options()) == choice
    assert WHOLE.options() == {}


def test_a_format_names_what_it_lacks() -> None:
    """A choice that a format doesn't have is refused by its name."""
    choice = Choice(level=1, t=3)
    choice.check("x.tif", "a TIFF", "level", "t")
    with pytest.raises(ValueError, match=r"^t is 3, but x.png is a PNG, which has none. Leave it out"):
        choice.check("x.png", "a PNG", "level")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": -1}, "level is -1; wanted a whole number from 0"),
        ({"level": None}, "level is None; wanted"),
        ({"level": 1.5}, "level is 1.5; wanted"),
        ({"z": True}, "z is True; wanted"),
        ({"t": "3"}, "t is '3'; wanted"),
        ({"series": 1.0}, "series is 1.0; wanted a name or a whole number"),
        ({"pages": "all"}, "pages is 'all'; wanted 'channels' or a whole number"),
        ({"magnification": 0}, "magnification is 0; wanted a positive number"),
        ({"magnification": "x"}, "magnification is 'x'; wanted"),
        ({"magnification": float("nan")}, "magnification is nan; wanted"),
        ({"magnification": 20, "level": 1}, "level is 1 and magnification is 20; wanted one of them"),
    ],
)
def test_values_that_are_refused(options: dict[str, Any], message: str) -> None:
    """An option that can't have its value is named with it."""
    with pytest.raises(ValueError, match=message):
        Choice(**options)
