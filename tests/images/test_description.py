"""Descriptions: the facts about an image that a record keeps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipeline.images.description import Description

WHOLE = Description((5, 7, 3), np.dtype("uint16"), ("red", "green", "blue"), "1 2", {"image": "/x.tif"})


@pytest.mark.parametrize("description", [WHOLE, Description((0, 1, 1), np.dtype("f8"), None, "", None)])
def test_json_holds_a_description(description: Description) -> None:
    """A description that was written and read is equal."""
    assert Description.from_dict(json.loads(json.dumps(description.to_dict()))) == description


def test_the_extent_is_height_and_width() -> None:
    """The extent leaves the channels out."""
    assert WHOLE.extent == (5, 7)


@pytest.mark.parametrize(
    "change",
    [{"shape": [1, 2]}, {"shape": None}, {"dtype": "color"}, {"channels": 3}, {"place": "/x.tif"}],
)
def test_damaged_content_is_refused(change: dict[str, Any]) -> None:
    """Content that describes no image raises one of the errors that are documented."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        Description.from_dict({**WHOLE.to_dict(), **change})
