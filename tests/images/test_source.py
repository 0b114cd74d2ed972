"""The seam of sources: the defaults that a new kind needn't define."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from images.examples import noise
from images.test_view import Plain

from pipeline.images.source import RegionPart, Source


def test_the_least_that_a_source_defines() -> None:
    """A source that says nothing else holds no memory, has no path, place, names or alpha."""
    source = Plain(noise(10, 20, 3))
    assert (source.held_bytes, source.paths, source.place(), source.channels) == (0, (), None, None)
    assert (source.with_alpha(), source.select((0,)), source.as_dask()) == (None, None, None)
    assert source.region_bytes(7) == 21
    assert not source.is_held_by_cluster
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
