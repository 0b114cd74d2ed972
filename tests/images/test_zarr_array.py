"""Zarr arrays, open or as a directory, with their channels on any axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from images.examples import HEIGHT, WIDTH, noise
from images.zarr_examples import plane, put_attributes, stack, write_image
from zarr.codecs import TransposeCodec

from pipeline.images import zarr_array
from pipeline.images.choice import Choice
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
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
    "version 2, channels first": (0, {"chunks": (2, 20, 30), "zarr_format": 2, "order": "F"}),
}
# The order of the axes, the names that say it, and the options of the array. Names of axes tell the channels.
NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "c, y, x": ("cyx", {"chunks": (1, 20, 30)}),
    "t, c, z, y, x": ("tczyx", {"chunks": (2, 1, 2, 60, 60)}),
    "several planes in a chunk": ("tzyxc", {"chunks": (2, 3, 60, 40, 2)}),
    "columns before rows": ("xzyc", {"chunks": (30, 2, 40, 3), "shards": (60, 4, 40, 3)}),
    "gray": ("zyx", {"chunks": (2, 40, 40)}),
    "turned": ("zcyx", {"chunks": (2, 2, 40, 40), "filters": TransposeCodec(order=(3, 1, 0, 2))}),
}
PLACES = {"t": 1, "z": 2}


class TestZarrArray(SourceContract):
    """The contract, on arrays of each kind, as directories and open."""

    @pytest.fixture(params=[*((kind, False) for kind in KINDS), ("chunks", True), ("shards", True)], ids=str)
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        kind, is_open = request.param
        axis, options = KINDS[kind]
        data = np.ascontiguousarray(np.moveaxis(PIXELS, -1, axis))
        array = zarr.create_array(tmp_path / "deep" / "x.zarr", data=data, **options)
        return open_source(array if is_open else tmp_path / "deep" / "x.zarr", channel_axis=axis), PIXELS


class TestNamedAxes(SourceContract):
    """The contract, on arrays whose names of axes tell which of them are rows, columns and channels."""

    @pytest.fixture(params=[*((kind, False) for kind in NAMED), ("t, c, z, y, x", True)], ids=str)
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        kind, is_open = request.param
        return _write_named(kind, tmp_path / "x.zarr", is_open=is_open)


class TestLevels(SourceContract):
    """The contract, on levels of OME-Zarr images of both versions, by their groups and their own paths."""

    @pytest.fixture(params=[(2, "group"), (3, "group"), (2, "path"), (3, "memory")], ids=str)
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an image of two levels, and open the second one."""
        version, way = request.param
        self.pickles = way != "memory"
        store: Any = {} if way == "memory" else tmp_path / "x.zarr"
        pixels = stack("ctyzx")
        write_image(store, pixels, "ctyzx", version=version, unit="micrometer")
        if way == "path":
            source = open_source(store / "1", choice=Choice(z=2, t=1))
        else:
            image = zarr.open_group(store, mode="r") if way == "memory" else store
            source = open_source(image, choice=Choice(level=1, z=2, t=1))
        return source, plane(pixels, "ctyzx", t=1, z=2)[::2, ::2]


class TestArrayInMemory(SourceContract):
    """The contract, on an array that this process alone has."""

    pickles = False

    @pytest.fixture
    def case(self) -> Case:
        """Write an array to memory."""
        return open_source(zarr.create_array({}, data=PIXELS, chunks=(20, 30, 2))), PIXELS


def _write_named(kind: str, path: Path, *, is_open: bool = False) -> Case:
    """Write an array with names of axes, and open one plane of it."""
    order, options = NAMED[kind]
    pixels = stack(order)
    array = zarr.create_array(path, data=pixels, dimension_names=list(order), **options)
    places = {name: PLACES[name] for name in order if name in PLACES}
    source = open_source(array if is_open else path, choice=Choice(**places))
    return source, plane(pixels, order, **places)


def test_only_chunks_of_the_plane_are_read(tmp_path: Path) -> None:
    """Of five axes, the chunks of other planes and of other channels aren't opened."""
    pixels = stack("tczyx")
    zarr.create_array(tmp_path / "x", data=pixels, chunks=(1, 1, 2, 40, 40), dimension_names=list("tczyx"))
    for chunk in (tmp_path / "x" / "c").rglob("*"):
        time, channel, depth = (*chunk.relative_to(tmp_path / "x" / "c").parts, "", "", "")[:3]
        if chunk.is_file() and (time, channel, depth) not in {("1", "0", "1"), ("1", "2", "1")}:
            chunk.write_bytes(b"damaged")
    image = open_image(tmp_path / "x", t=1, z=3, channels=[2, 0])
    np.testing.assert_array_equal(image, plane(pixels, "tczyx", t=1, z=3)[..., [2, 0]])
    with pytest.raises(ValueError, match="x/c/1/0/0/0/0 is damaged"):
        open_image(tmp_path / "x", t=1, z=1).compute()


def test_memory_of_chunks_with_other_planes() -> None:
    """A chunk is decoded with all of its planes, of which one is returned."""
    options: dict[str, Any] = {"shape": (8, 900, 900), "chunks": (4, 100, 100), "dtype": "uint16"}
    array = zarr.create_array({}, dimension_names=list("zyx"), compressors=None, **options)
    source = open_source(array, choice=Choice(z=5))
    assert source.region_bytes((100, 100)) == 2 * 100 * 100 + 2 * 4 * 100 * 100


@pytest.mark.usefixtures("giant")
def test_memory_of_kept_planes(tmp_path: Path) -> None:
    """Planes are kept, and a chunk is decoded beside them."""
    options: dict[str, Any] = {"shape": (8, 900, 900), "chunks": (4, 100, 100), "dtype": "uint16"}
    zarr.create_array(tmp_path / "x", dimension_names=list("zyx"), **options)
    source = open_source(tmp_path / "x", choice=Choice(z=5))
    assert source.held_bytes == 2 * 2 * 100 * 100 + 3 * 2 * 4 * 100 * 100 + 32


def test_alpha_is_found_by_its_name(tmp_path: Path) -> None:
    """Of channels with names, alpha is the one of that name, wherever it is."""
    write_image(tmp_path / "x", stack("cyx"), "cyx")
    group = zarr.open_group(tmp_path / "x")
    image = group.attrs.asdict()["ome"]["multiscales"]
    for names, wanted in ((("red", "alpha", "green"), ("red", "green", "alpha")), (("a", "b", "c"), None)):
        labels = [{"label": name} for name in names]
        put_attributes(group, {"multiscales": image, "omero": {"channels": labels}})
        whole = open_source(tmp_path / "x").with_alpha()
        assert (None if whole is None else whole.channels) == wanted
    assert open_image(tmp_path / "x", channels=["c", "a"]).channels == ("c", "a")


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

    @pytest.fixture(params=["chunks", "channels between", "version 2, channels first"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        axis, options = KINDS[request.param]
        data = np.ascontiguousarray(np.moveaxis(PIXELS, -1, axis))
        zarr.create_array(tmp_path / "x.zarr", data=data, **options)
        return open_source(tmp_path / "x.zarr", channel_axis=axis), PIXELS


@pytest.mark.usefixtures("giant")
class TestKeptPlanes(SourceContract):
    """The contract, on local arrays whose chunks are kept, and hold other planes too."""

    @pytest.fixture(params=["several planes in a chunk", "gray", "turned"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        return _write_named(request.param, tmp_path / "x.zarr")


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
    assert (source.unit, source.held_bytes) == ((1, 1), (2 + 3) * 60 * 83 * 6 + 32)


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
