"""Basic indexing, as a value, is NumPy's."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from images.examples import noise

from pipeline.images.selection import Selection, to_slice

SHAPE = (7, 9, 3)
PIXELS = noise(*SHAPE)


def select(selection: Selection, array: Any = PIXELS) -> Any:
    """Read the selected pixels, as a source would read them."""
    for axis, places in enumerate(selection.axes):
        array = array[(slice(None),) * axis + (to_slice(places),)]
    return array


@given(st.data())
def test_indexing_is_numpys(data: st.DataObject) -> None:
    """Any basic index, and one behind it, selects the same as NumPy, and knows its shape beforehand."""
    selection, wanted = Selection.of_whole(SHAPE), PIXELS
    for _ in range(3):
        key = data.draw(hnp.basic_indices(wanted.shape, allow_newaxis=True, max_dims=6))
        selection, wanted = selection.index(key), wanted[key]
        assert selection.shape == np.shape(wanted)
        assert selection.has_pixels == (np.size(wanted) > 0)
        if not selection.has_pixels:
            return
        np.testing.assert_array_equal(selection.arrange(select(selection)), wanted)
        lazy = select(selection, da.from_array(PIXELS, chunks=(4, 4, 3)))
        np.testing.assert_array_equal(selection.arrange_dask(lazy), wanted)


@given(st.integers(0, 20), st.slices(20))
def test_places_become_slices(length: int, places: slice) -> None:
    """A range of an axis is the slice that selects it."""
    axis = np.arange(length)
    np.testing.assert_array_equal(axis[to_slice(range(length)[places])], axis[places])


def test_one_selection_has_one_form() -> None:
    """Slices that are written otherwise but select the same are equal."""
    whole = Selection.of_whole(SHAPE)
    assert whole.is_whole(SHAPE)
    assert whole.index(np.s_[:, ::1, 0:99]) == whole
    assert whole.index(np.s_[0:7:3]) == whole.index(np.s_[:9:3]) == whole.index(np.s_[::3, ...])
    assert whole.index(np.s_[5:2]) == whole.index(np.s_[0:0])
    assert whole.index(np.s_[2:3:5]) == whole.index(np.s_[2:3])
    assert whole.index(np.s_[..., None]).is_whole(SHAPE)
    assert not whole.index(0).is_whole(SHAPE)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (7, "index 7 is out of bounds for axis 0, which has length 7"),
        ((0, -10), "index -10 is out of bounds for axis 1, which has length 9"),
        ((None, 0, 9), "index 9 is out of bounds for axis 1"),
        ((0, 0, 0, 0), "is for 4 axes, but the image has 3"),
        ((..., ...), "has 2 ellipses; wanted at most one"),
        ([1, 2], r"indexed with \[1, 2\]; wanted integers, slices"),
        (True, "indexed with True"),
        (np.ones(7, bool), "Other indices work on numpy.asarray"),
        (1.0, "indexed with 1.0"),
        ("red", "indexed with 'red'"),
        (np.s_[::0], r"indexed with slice\(None, None, 0\); wanted whole numbers, and a step other than 0"),
        (np.s_[0.5:3], r"indexed with slice\(0.5, 3, None\); wanted whole numbers"),
    ],
)
def test_other_indices_are_refused(key: Any, message: str) -> None:
    """An index that isn't basic, or isn't there, is an IndexError, as it is of NumPy."""
    with pytest.raises(IndexError, match=message):
        Selection.of_whole(SHAPE).index(key)


def test_integers_of_numpy_are_integers() -> None:
    """Integers of NumPy's types select as Python's do."""
    whole = Selection.of_whole(SHAPE)
    assert whole.index(np.uint8(3)) == whole.index(np.array(3)) == whole.index(3)
    assert whole.index(slice(np.int64(1), None)) == whole.index(slice(1, None))
