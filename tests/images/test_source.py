"""The seam of sources: the defaults that a new kind needn't define."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images.examples import Plain, noise

from pipeline.images.source import RegionPart, Source, count_touched


def test_the_least_that_a_source_defines() -> None:
    """A source that says nothing else holds no memory, has no path, place, names or alpha."""
    source = Plain(noise(10, 20, 3))
    assert (source.held_bytes, source.paths, source.place(), source.channels) == (0, (), None, None)
    assert (source.with_alpha(), source.select((0,)), source.as_dask()) == (None, None, None)
    assert (source.present_bytes, source.opening_bytes, source.unit) == (0, 0, source.tile)
    # The pixels, and a tile of 32 x 20.
    assert source.region_bytes((1, 7)) == 21 + 32 * 20 * 3
    assert not source.is_held_by_cluster
    assert source.travels
    assert source.description.shape == (10, 20, 3)


def test_a_source_must_be_defined() -> None:
    """A source without an identity and parts can't be made."""
    with pytest.raises(TypeError, match="abstract"):
        Source()  # type: ignore[abstract]


def test_a_part_takes_a_small_source_along() -> None:
    """A part of a region reads the region of its source, after pickling too."""
    source = Plain(noise(10, 20, 3))
    part: RegionPart = pickle.loads(pickle.dumps(source.part((slice(1, 3), slice(2, 9)))))  # noqa: S301  made here
    np.testing.assert_array_equal(part.read(), source.array[1:3, 2:9])


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 200),
    st.integers(0, 200),
    st.sampled_from([1, 2, 7, -1, -3]),
)
def test_no_region_touches_more_pieces_than_are_counted(
    length: int, piece: int, start: int, n_places: int, step: int
) -> None:
    """Wherever a region lies, the pieces that hold its places are no more; for blocks of pieces, as many."""
    places = range(start, max(start + n_places * step, -1), step)
    regions = [places[first : first + length] for first in range(0, len(places), length)]
    touched = [len({place // piece for place in region}) for region in regions]
    counted = count_touched(length, places, piece)
    assert max(touched, default=0) <= counted <= length
    if start == 0 and step == 1 and (length % piece == 0 or piece % length == 0):
        assert max(touched, default=0) == counted
