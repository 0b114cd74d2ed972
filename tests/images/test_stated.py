"""Masks that a source states itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images.examples import Plain, noise

from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.stated import StatedMask
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pipeline.images.source import Source
    from pipeline.testing.sources import Case

PIXELS, MASK = noise(60, 80, 3), noise(30, 40, 1) % 2
WHOLE = (slice(0, 60), slice(0, 80))


class Stating(Plain):
    """A source that states a mask of half its resolution, and a value."""

    no_data = NoData(7.0)

    def stated_masks(self) -> dict[str, Source]:
        """Return the mask."""
        return {"tissue": Plain(MASK)}


class TestContract(SourceContract):
    """A stated mask is a source."""

    @pytest.fixture
    def case(self) -> Case:
        """Give a mask of the same size."""
        whole = MASK.repeat(2, axis=0).repeat(2, axis=1)
        return StatedMask(Stating(PIXELS), "tissue", Plain(whole)), whole


def test_what_a_source_states_counts() -> None:
    """By default pixels outside of the stated mask and of the stated value have no data."""
    valid = MASK[..., 0].repeat(2, axis=0).repeat(2, axis=1) != 0
    unlike = PIXELS != 7
    image = open_image(Stating(PIXELS))
    np.testing.assert_array_equal(image.part(WHOLE).read()[1], valid & unlike.any(axis=-1))
    some = open_image(image, no_data="any")
    np.testing.assert_array_equal(some.part(WHOLE).read()[1], valid & unlike.all(axis=-1))
    facts = ["masked by an array", "no data where any channel is 7"]
    assert some.masking.facts == facts
    assert open_image(image, mask=None, no_data=None).masking.is_empty
    assert open_image(Stating(PIXELS), mask=None, no_data=None).masking.is_empty


@pytest.mark.parametrize(
    ("source", "rule", "message"),
    [
        (Plain(PIXELS), "any", "no_data is 'any', and the image states no value; wanted a number"),
        (Plain(PIXELS), "all", "no_data is 'all', and the image states no value; wanted a number"),
        (Stating(PIXELS), "some", "no_data is 'some'; wanted a finite number, 'auto', 'all'"),
    ],
)
def test_rules_that_are_refused(source: Any, rule: str, message: str) -> None:
    """A rule needs a value, and must be one of two."""
    with pytest.raises(ValueError, match=message):
        open_image(source, no_data=rule)
