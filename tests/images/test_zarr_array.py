"""Zarr arrays, open or as a directory, with their channels on any axis."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images import zarr_array
from pipeline.images.choice import WHOLE
from pipeline.images.opening import open_image, reopen
from pipeline.images.readers import open_source
from pipeline.images.zarr_opening import open_zarr
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.testing.sources import Case

PIXELS = noise(HEIGHT, WIDTH, 3, dtype="uint16")
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "chunks": (2, {"chunks": (20, 30, 3)}),
    "shards": (-1, {"chunks": (10, 10, 2), "shards": (40, 30, 4)}),
    "channels first": (0, {"chunks": (1, 20, 30)}),
    "channels between": (1, {"chunks": (20, 2, 30)}),
    "version 2": (-1, {"chunks": (20, 30, 1), "zarr_format": 2}),
}


class TestZarrArray(SourceContract):
    """The contract, on arrays of each kind, as directories and open."""

    @pytest.fixture(params=[(kind, is_open) for kind in KINDS for is_open in (False, True)], ids=str)
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        kind, is_open = request.param
        axis, options = KINDS[kind]
        data = np.ascontiguousarray(np.moveaxis(PIXELS, -1, axis))
        array = zarr.create_array(tmp_path / "deep" / "x.zarr", data=data, **options)
        return open_source(array if is_open else tmp_path / "deep" / "x.zarr", channel_axis=axis), PIXELS


class TestArrayInMemory(SourceContract):
    """The contract, on an array that this process alone has."""

    pickles = False

    @pytest.fixture
    def case(self) -> Case:
        """Write an array to memory."""
        return open_source(zarr.create_array({}, data=PIXELS, chunks=(20, 30, 2))), PIXELS


def test_other_things_are_left_to_others() -> None:
    """An object that isn't a Zarr array isn't opened here."""
    assert open_zarr(PIXELS, "image", -1, WHOLE) is None


def test_gray_arrays_have_one_channel(tmp_path: Path) -> None:
    """An array of two axes is an image of one channel, and is found again."""
    zarr.create_array(tmp_path / "x.zarr", data=PIXELS[..., 0])
    for axis in (-1, None):
        image = open_image(tmp_path / "x.zarr", channel_axis=axis)
        np.testing.assert_array_equal(image, PIXELS[..., :1])
        np.testing.assert_array_equal(reopen(image.description.place or {}), PIXELS[..., :1])


def test_what_is_known_without_reading(tmp_path: Path) -> None:
    """Shards are tiles, or chunks without them; the path is the array's own, however it is spelled."""
    group = zarr.create_group(tmp_path / "group.zarr")
    array = group.create_array("deep/0", data=PIXELS, chunks=(10, 10, 3), shards=(30, 20, 3))
    path = tmp_path / "group.zarr" / "deep" / "0"
    for image in (array, path, tmp_path / "group.zarr" / ".." / "group.zarr" / "deep" / "0"):
        source = open_source(image)
        assert (source.tile, source.paths) == ((30, 20), (path,))
        assert source.place() == {"image": str(path)}
    assert open_source(zarr.create_array({}, data=PIXELS, chunks=(11, 12, 3))).paths == ()


def test_the_identity_follows_the_files(tmp_path: Path) -> None:
    """Another content, or other files, are another image."""
    array = zarr.create_array(tmp_path / "x.zarr", data=PIXELS, chunks=(20, 30, 3))
    source = open_source(tmp_path / "x.zarr")
    before = source.identity()
    assert before == open_source(array).identity()
    assert re.search(r"\d+ files of \d+ bytes, modified \d{4}-\d\d-\d\d [\d:.]+ UTC, digest", before or "")
    array[0, 0] = 1
    assert source.identity() != before


def test_the_identity_of_what_isnt_in_a_directory(tmp_path: Path) -> None:
    """In memory the chunks count, in a ZIP file its size and time; of unknown stores nothing is known."""
    one, same, other = (
        open_source(zarr.create_array({}, data=pixels, chunks=(20, 30, 3)))
        for pixels in (PIXELS, PIXELS, 255 - PIXELS)
    )
    assert one.identity() == same.identity() != other.identity()
    with zarr.storage.ZipStore(tmp_path / "x.zip", mode="w") as store:
        zarr.create_array(store, name="x", data=PIXELS, chunks=(20, 30, 3))
    zipped = zarr.open_array(zarr.storage.ZipStore(tmp_path / "x.zip", mode="r"), path="x")
    before = open_source(zipped).identity()
    assert f"{(tmp_path / 'x.zip').stat().st_size} bytes, modified " in (before or "")
    os.utime(tmp_path / "x.zip", (1, 1))
    assert open_source(zipped).identity() != before
    wrapped = zarr.storage.WrapperStore(zarr.storage.MemoryStore())
    assert open_source(zarr.create_array(wrapped, data=PIXELS, chunks=(20, 30, 3))).identity() is None
    assert open_source(zarr.create_array(wrapped, data=PIXELS, overwrite=True))  # it can be read


def test_planes_that_are_not_selected_are_not_read(tmp_path: Path) -> None:
    """Of channels that are stored apart, only the chosen ones are read, and of rows only their chunks."""
    zarr.create_array(tmp_path / "x.zarr", data=np.moveaxis(noise(64, 64, 5), -1, 0), chunks=(1, 16, 16))
    kept = {"2/3/1", "4/3/1", "2/0/1", "4/0/1"}
    for chunk in (tmp_path / "x.zarr" / "c").rglob("*"):
        if chunk.is_file() and str(chunk.relative_to(tmp_path / "x.zarr" / "c")) not in kept:
            chunk.write_bytes(b"damaged")
    image = open_image(tmp_path / "x.zarr", channel_axis=0)
    np.testing.assert_array_equal(image[::50, 20, 4:1:-2], noise(64, 64, 5)[::50, 20, 4:1:-2])
    with pytest.raises(Exception, match=r".*"):
        image[20, 20].compute()


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array that was opened with a relative path is read, and selected from, wherever the process goes."""
    monkeypatch.chdir(tmp_path)
    zarr.create_array("x.zarr", data=PIXELS, chunks=(20, 30, 3))
    image = open_image(zarr.open_array("x.zarr", mode="r"))
    identity = image.source.identity()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    np.testing.assert_array_equal(image[..., 1:2], PIXELS[..., 1:2])
    assert image.source.identity() == identity


@pytest.fixture
def giant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every chunk be giant."""
    monkeypatch.setattr(zarr_array, "GIANT", 0)


@pytest.mark.usefixtures("giant")
class TestKeptChunks(SourceContract):
    """The contract, on local arrays whose chunks are kept."""

    @pytest.fixture(params=[kind for kind in KINDS if kind != "shards"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        axis, options = KINDS[request.param]
        data = np.ascontiguousarray(np.moveaxis(PIXELS, -1, axis))
        zarr.create_array(tmp_path / "x.zarr", data=data, **options)
        return open_source(tmp_path / "x.zarr", channel_axis=axis), PIXELS


@pytest.mark.usefixtures("giant")
def test_a_giant_chunk_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions of one chunk share it, until its file changes."""
    array, decoded, read = zarr.create_array(tmp_path / "x.zarr", data=PIXELS, chunks=(60, 83, 3)), [], None
    read = zarr_array.ZarrArray._read_channels

    def note(*arguments: Any) -> Any:
        decoded.append(arguments[1])
        return read(*arguments)

    monkeypatch.setattr(zarr_array.ZarrArray, "_read_channels", note)
    source = open_source(tmp_path / "x.zarr")
    for top in range(0, HEIGHT, 10):
        for left in range(0, WIDTH, 10):
            region = (slice(top, min(top + 10, HEIGHT)), slice(left, min(left + 10, WIDTH)))
            np.testing.assert_array_equal(source.read(region), PIXELS[region])
    assert len(decoded) == 2
    array[70, 70] = 1
    np.testing.assert_array_equal(source.read((slice(70, 71), slice(70, 71))), np.ones((1, 1, 3)))
    assert len(decoded) == 3
    assert (source.unit, source.held_bytes) == ((1, 1), (2 + 2) * 60 * 83 * 6)


def test_memory_of_chunks() -> None:
    """Regions take the chunks that they touch, decoded and encoded; channels that are chosen a copy more."""
    options: dict[str, Any] = {"shape": (900, 900, 4), "chunks": (100, 100, 2), "dtype": "uint8"}
    plain = open_source(zarr.create_array({}, compressors=None, **options))
    packed = open_source(zarr.create_array({}, **options))
    chunk = 100 * 100 * 2
    for source, factor in ((plain, 1), (packed, 2)):
        assert source.region_bytes((50, 100)) == 50 * 100 * 4 + 2 * chunk * factor
        # zarr decodes ten chunks at once.
        assert source.region_bytes((200, 300)) == 200 * 300 * 4 + 10 * chunk * factor
        chosen = source.select((3, 2))
        assert chosen is not None
        assert chosen.region_bytes((50, 100)) == 2 * 50 * 100 * 2 + chunk * factor


def test_directories_of_other_things(tmp_path: Path) -> None:
    """A directory that isn't an array's is refused, with a remedy."""
    zarr.create_group(tmp_path / "group.zarr")
    (tmp_path / "folder").mkdir()
    for name in ("group.zarr", "folder"):
        with pytest.raises(
            ValueError, match=rf"{name} is a directory, but not a Zarr array's; wanted an image"
        ):
            open_image(tmp_path / name)
    zarr.create_array(tmp_path / "text.zarr", shape=(5, 5), dtype="complex64")
    with pytest.raises(ValueError, match="image has pixels of dtype complex64"):
        open_image(tmp_path / "text.zarr")
