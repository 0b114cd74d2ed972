"""The value that marks pixels without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.images.no_data import NoData, check_no_data

PIXELS = np.array([[[0, 0], [0, 1], [1, 2]]])


def test_the_rules() -> None:
    """A pixel has no data if all channels have the value, or if any one has it."""
    np.testing.assert_array_equal(NoData(0.0).has_data(PIXELS), [[False, True, True]])
    np.testing.assert_array_equal(NoData(0.0, "any").has_data(PIXELS), [[False, False, True]])
    np.testing.assert_array_equal(NoData(0.0).has_data(np.moveaxis(PIXELS, -1, 0), 0), [[False, True, True]])


def test_in_words() -> None:
    """The rule is named where it isn't the default one."""
    assert str(NoData(0.5)) == "0.5"
    assert str(NoData(0.0, "any")) == "any channel is 0"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        (np.uint8(3), NoData(3.0)),
        ((0, "any"), NoData(0.0, "any")),
        ([255.0, "all"], NoData(255.0)),
        (NoData(2.0, "any"), NoData(2.0, "any")),
    ],
)
def test_what_a_caller_may_give(given: Any, wanted: NoData | None) -> None:
    """A number, a number and a rule, or nothing."""
    assert check_no_data(given) == wanted


@pytest.mark.parametrize("given", ["x", float("nan"), float("inf"), (0, "some"), (0, 1, 2), 10**400, [[]]])
def test_what_is_refused(given: Any) -> None:
    """Anything else is named."""
    with pytest.raises(ValueError, match=r"^no_data is .*; wanted a"):
        check_no_data(given)
