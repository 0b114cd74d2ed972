"""The level of a slide that has a magnification."""

from __future__ import annotations

import pytest

from pipeline.images.magnification import find_magnification

LEVELS = [(40_000, 60_000), (10_000, 15_000), (2_499, 3_749)]


@pytest.mark.parametrize(("wanted", "level"), [(40, 0), (10, 1), (9.5, 1), (2.5, 2), (2.6, 2)])
def test_the_nearest_level_is_found(wanted: float, level: int) -> None:
    """A level within 10% of the magnification is the one that is meant."""
    assert find_magnification("x.svs", 40.0, wanted, LEVELS) == level


def test_magnifications_that_are_not_there() -> None:
    """Others are refused with those that there are, and so is a slide that doesn't say."""
    with pytest.raises(ValueError, match=r"x.svs has levels of magnification 40, 10, 2.5; wanted 20. Choose"):
        find_magnification("x.svs", 40.0, 20, LEVELS)
    with pytest.raises(ValueError, match=r"x.svs doesn't state its magnification. Choose a level"):
        find_magnification("x.svs", None, 20, LEVELS)
