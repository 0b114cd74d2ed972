"""NumPy arrays of any strides, axes and byte order."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images.numpy_array import open_numpy
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.testing.sources import Case

PIXELS = noise(HEIGHT, WIDTH, 3, dtype="uint16")
KINDS: dict[str, tuple[NDArray[Any], int]] = {
    "contiguous": (PIXELS, -1),
    "Fortran": (np.asfortranarray(PIXELS), 2),
    "channels first": (np.ascontiguousarray(np.moveaxis(PIXELS, -1, 0)), 0),
    "channels between": (np.moveaxis(PIXELS, -1, 1), -2),
    "strided": (np.repeat(PIXELS, 2, axis=1)[:, ::2], -1),
    "big-endian": (PIXELS.astype(">u2"), -1),
    "read only": (np.broadcast_to(PIXELS, PIXELS.shape), -1),
}


class TestNumpyArray(SourceContract):
    """The contract, on arrays of each kind."""

    @pytest.fixture(params=KINDS)
    def case(self, request: pytest.FixtureRequest) -> Case:
        """Return an array as a source."""
        array, axis = KINDS[request.param]
        return open_source(array, channel_axis=axis), PIXELS


def test_other_things_are_left_to_others() -> None:
    """An object that isn't a NumPy array isn't opened here."""
    assert open_numpy([[1]], "image", -1) is None


def test_gray_arrays_have_one_channel() -> None:
    """An array of two axes is an image of one channel."""
    for axis in (-1, None):
        np.testing.assert_array_equal(open_image(PIXELS[..., 0], channel_axis=axis), PIXELS[..., :1])


def test_a_part_is_not_a_copy() -> None:
    """A region that is read here in a task's part is the array's own memory."""
    part = open_source(PIXELS).part((slice(3, 9), slice(2, 5)))
    assert np.shares_memory(part.read(), PIXELS)
    assert len(pickle.dumps(part)) < 1000


def test_chosen_channels_are_views_where_they_can_be() -> None:
    """Channels at even distances aren't copied."""
    source = open_source(noise(9, 9, 7))
    assert source.select((6, 4, 2, 0)) is not None
    assert source.select((1,)) is not None
    assert source.select((0, 1, 3)) is None
    assert source.select((2, 2)) is None


def test_the_identity_is_the_content() -> None:
    """A copy is the same image, and an array that changed in place is another one."""
    array = PIXELS.copy()
    source = open_source(array)
    before = source.description
    assert before == open_source(PIXELS).description
    array[0, 0, 0] ^= 1
    assert source.description != before
