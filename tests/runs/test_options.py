"""Options: their defaults, and which values they can have."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.runs.options import DEFAULTS, Options, complete


def test_every_option_has_a_default() -> None:
    """The types and the defaults list the same names, and all are there when some are given."""
    assert set(DEFAULTS) == set(Options.__annotations__)
    assert complete({}) == DEFAULTS
    assert complete({"block": 16}) == {**DEFAULTS, "block": 16}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on_error": "ignore"}, ValueError, "on_error is 'ignore'; wanted one of raise, skip"),
        (
            {"resume": True, "overwrite": True},
            ValueError,
            "got both resume and overwrite; wanted one of them",
        ),
        ({"overwrite": "yes"}, TypeError, "overwrite is 'yes'; wanted True or False"),
        ({"progress": "loud"}, ValueError, "progress is 'loud'"),
        ({"memmory_limit": 1}, TypeError, "there is no option 'memmory_limit'. Did you mean memory_limit?"),
        ({"zzz": 1}, TypeError, "there is no option 'zzz'. Wanted one of block, memory_limit"),
    ],
)
def test_options_that_are_refused(options: Any, error: type[Exception], message: str) -> None:
    """An unknown option, and a value that an option can't have, are named."""
    with pytest.raises(error, match=message.replace("?", r"\?")):
        complete(options)
