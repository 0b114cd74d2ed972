"""Objects that hold an array in memory give it, and others come back as they are."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from images.examples import noise
from PIL import Image as Pillow

from pipeline.images.array_like import as_array

PIXELS = noise(10, 20, 3)


class _FromDlpack:
    """An array of another library, as PyTorch and JAX give it."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def __dlpack__(self, **options: Any) -> Any:
        if self._error is not None:
            raise self._error
        return PIXELS.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = PIXELS.__dlpack_device__()
        return device


@pytest.mark.parametrize(
    "image",
    [
        PIXELS.tolist(),
        tuple(PIXELS.tolist()),
        Pillow.fromarray(PIXELS),
        _FromDlpack(),
    ],
    ids=["list", "tuple", "PIL", "DLPack"],
)
def test_what_holds_an_array(image: Any) -> None:
    """Lists, and objects of other libraries, become NumPy arrays."""
    array = as_array(image, "image")
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, PIXELS)


@pytest.mark.parametrize("image", [PIXELS, np.ma.masked_less(PIXELS, 2), da.from_array(PIXELS), 3, None, "x"])
def test_what_comes_back(image: Any) -> None:
    """Arrays, lazy ones too, and what is no array are the same objects."""
    assert as_array(image, "image") is image


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ([[1, 2], [3]], ValueError, "mask is a list whose rows differ in length or depth"),
        (Pillow.new("P", (4, 4)), ValueError, "mask holds indices into a palette; wanted colors. Pass"),
        (
            _FromDlpack(BufferError("on a GPU")),
            TypeError,
            r"mask is of .*NumPy can't use \(on a GPU\); .* Copy",
        ),
    ],
)
def test_what_is_refused(image: Any, error: type[Exception], message: str) -> None:
    """What can't become an array is refused with a remedy."""
    with pytest.raises(error, match=message):
        as_array(image, "mask")
