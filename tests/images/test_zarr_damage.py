"""Tests of the search for a damaged chunk, in arrays that zarr-python reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from images.examples import noise
from zarr.codecs import TransposeCodec

from pipeline.images.opening import open_image
from pipeline.images.zarr_damage import damage_in

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(40, 50, 3)
# Arrays with this codec are read by zarr-python.
TURNED = TransposeCodec(order=(2, 0, 1))


@pytest.mark.parametrize("shards", [None, (20, 40, 3)])
def test_a_damaged_file_is_named(tmp_path: Path, shards: tuple[int, ...] | None) -> None:
    """Cut or flipped, the first file that can't be decoded is in the message, and others are read."""
    options: dict[str, Any] = {"chunks": (20, 20, 3), "filters": TURNED, "shards": shards}
    zarr.create_array(tmp_path / "x", data=PIXELS, **options)
    image = open_image(tmp_path / "x")
    np.testing.assert_array_equal(image, PIXELS)
    file = tmp_path / "x" / "c" / "1" / "1" / "0"
    content = file.read_bytes()
    for damaged in (content[:-50], content[:20], bytes(99) + content[99:], b"\xff" * len(content)):
        file.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"x/c/1/1/0 can't be decoded: it is damaged \(.*Copy or download"
        ):
            image[19:23, 10:45].compute()
        np.testing.assert_array_equal(image[:20], PIXELS[:20])
    file.unlink()
    first = 20 if shards is None else 40
    assert not image[20:, first : first + 10].compute().any()


def test_what_isnt_a_file_is_named() -> None:
    """In memory a key is named; a failure that doesn't come again is told with the array."""
    store: dict[str, Any] = {}
    group = zarr.open_group(store, mode="w")
    array = group.create_array("a", data=PIXELS, chunks=(20, 20, 3), filters=TURNED)
    store["a/c/0/1/0"] = store["a/c/0/1/0"][:9]
    with pytest.raises(ValueError, match="a/c/0/1/0 can't be decoded"):
        open_image(array).compute()
    places = (range(5), range(5), range(3))
    assert str(damage_in(array, places, RuntimeError("lost"))) == "a can't be read: lost"
    error = PermissionError(13, "no")
    assert damage_in(array, places, error) is error
