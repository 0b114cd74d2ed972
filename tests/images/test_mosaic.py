"""Mosaics equal arrays into which the tiles were painted, whatever their format and wherever they overlap."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import Plain, noise, write_tiff

from pipeline.images.geometry import UNKNOWN
from pipeline.images.mosaic import ABSENT, STATED, Mosaic, Origin, Tile
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.rectangles import Rectangles
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.source import Source

ORIGIN = Origin("the mosaic", {"image": []}, ())
# The top, the left, the height and the width of tiles that leave a gap, and two of which overlap.
PLACES = [(0, 0, 64, 48), (64, 0, 40, 48), (50, 40, 30, 33), (0, 96, 64, 20)]


class _Stating(Plain):
    """A source that states a value without data and a mask."""

    def __init__(self, array: NDArray[Any], no_data: NoData | None, mask: NDArray[Any] | None = None) -> None:
        super().__init__(array)
        self.no_data, self._mask = no_data, mask

    def stated_masks(self) -> dict[str, Source]:
        """Return the mask."""
        return {} if self._mask is None else {"mask": Plain(self._mask[..., np.newaxis])}


def paint(tiles: list[NDArray[Any]], places: list[tuple[int, ...]] = PLACES) -> NDArray[Any]:
    """Paint tiles into an array, one after the other."""
    height, width = (max(place[axis] + place[axis + 2] for place in places) for axis in (0, 1))
    out = np.zeros((height, width, tiles[0].shape[2]), tiles[0].dtype)
    for tile, (top, left, tall, wide) in zip(tiles, places, strict=True):
        out[top : top + tall, left : left + wide] = tile
    return out


def join(sources: list[Source], places: list[tuple[int, int]]) -> Mosaic:
    """Return a mosaic of sources."""
    tiles = [Tile.of(one)._replace(top=y, left=x) for one, (y, x) in zip(sources, places, strict=True)]
    return Mosaic(tuple(tiles), ORIGIN, UNKNOWN)


class TestMosaic(SourceContract):
    """Mosaics keep the contract of sources."""

    @pytest.fixture(params=["TIFF", "PNG", "Zarr", "alpha", "gray"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Source, NDArray[Any]]:
        """Return a mosaic of files of one format."""
        kind = request.param
        samples = {"alpha": 4, "gray": 1}.get(kind, 3)
        arrays = [noise(*place[2:], samples, seed=number) for number, place in enumerate(PLACES)]
        mapping = {}
        for number, (array, place) in enumerate(zip(arrays, PLACES, strict=True)):
            path = tmp_path / f"{number}"
            if kind == "Zarr":
                zarr.create_array(path, data=array, chunks=(20, 20, 2))
            elif kind == "PNG":
                cv2.imwrite(f"{path}.png", array[..., ::-1])
                os.replace(f"{path}.png", path)  # noqa: PTH105  the content decides
            elif kind == "gray":
                write_tiff(path, array[..., 0])
            else:
                extra = {"extrasamples": ["unassalpha"]} if kind == "alpha" else {}
                write_tiff(path, array, photometric="rgb", tile=(16, 16), compression="zlib", **extra)
            mapping[path] = place[:2]
        whole = paint(arrays)
        return open_source(mapping), whole[..., :3] if kind == "alpha" else whole


def test_an_alpha_channel_of_all_tiles(tmp_path: Path) -> None:
    """The alpha channel masks the mosaic; a tile without one has none."""
    arrays = [noise(16, 16, 4, seed=seed) // 200 for seed in (0, 1)]
    for number, array in enumerate(arrays):
        write_tiff(tmp_path / f"{number}.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    mapping = {tmp_path / "0.tif": (0, 0), tmp_path / "1.tif": (0, 16)}
    masked = open_image(mapping, mask="alpha")
    valid = masked.part((slice(0, 16), slice(0, 32))).read()[1]
    np.testing.assert_array_equal(valid, np.concatenate(arrays, axis=1)[..., 3] != 0)
    assert open_image(mapping, channels=("alpha", "red")).description.place == {
        "image": [[str(tmp_path / "0.tif"), 0, 0], [str(tmp_path / "1.tif"), 0, 16]],
        "channels": ["alpha", "red"],
    }
    write_tiff(tmp_path / "1.tif", arrays[1][..., :3])
    with pytest.raises(ValueError, match="the mosaic of 2 files has no alpha channel"):
        open_image(mapping, mask="alpha")


def test_later_tiles_cover_earlier_ones_where_they_have_data() -> None:
    """A no-data value of each tile, and a mask, let the tile below be seen."""
    first, second, third = (
        noise(20, 20, 3, seed=seed) // 128 + add for seed, add in ((0, 0), (1, 5), (2, 9))
    )
    mask = noise(20, 20, seed=3) // 128
    sources: list[Source] = [Plain(first), _Stating(second, NoData(6, "any")), _Stating(third, None, mask)]
    mosaic = join(sources, [(0, 0), (0, 10), (0, 15)])
    wanted = np.zeros((20, 35, 3), "uint8")
    has = np.zeros((20, 35), bool)
    rules = [np.ones((20, 20), bool), (second != 6).all(axis=-1), mask != 0]
    for left, tile, rule in zip((0, 10, 15), (first, second, third), rules, strict=True):
        for row in range(20):
            for column in range(20):
                if rule[row, column] or not has[row, left + column]:
                    wanted[row, left + column] = tile[row, column]
                    has[row, left + column] |= rule[row, column]
    whole = (slice(0, 20), slice(0, 35))
    np.testing.assert_array_equal(mosaic.read(whole), wanted)
    assert mosaic.no_data is None
    assert set(mosaic.stated_masks()) == {STATED}
    np.testing.assert_array_equal(mosaic.stated_masks()[STATED].read(whole)[..., 0], has)
    assert not has.all()
    image = open_image(mosaic)
    np.testing.assert_array_equal(image.part(whole).read()[1], has)
    chosen = open_image(mosaic, channels=(2, 0))
    np.testing.assert_array_equal(chosen, wanted[..., [2, 0]])
    np.testing.assert_array_equal(chosen.part(whole).read()[1], has)


def test_a_value_of_all_tiles_is_the_mosaics() -> None:
    """If all tiles state one no-data value, the mosaic states it, and absent tiles are told by the mask."""
    arrays = [noise(20, 20, 1, seed=seed) // 128 for seed in (0, 1)]
    mosaic = join([_Stating(array, NoData(1)) for array in arrays], [(0, 0), (10, 10)])
    assert mosaic.no_data == NoData(1)
    assert list(mosaic.stated_masks()) == [ABSENT]
    whole = (slice(0, 30), slice(0, 30))
    valid = open_image(mosaic).part(whole).read()[1]
    has = np.zeros((30, 30), bool)
    for start, array in zip((0, 10), arrays, strict=True):
        has[start : start + 20, start : start + 20] |= array[..., 0] != 1
    np.testing.assert_array_equal(valid, has)


def test_absent_tiles() -> None:
    """Places without a tile are 0, and have no data; a mosaic without a gap states no mask."""
    sources: list[Source] = [Plain(np.full((*place[2:], 1), 7, "uint8")) for place in PLACES]
    mosaic = join(sources, [(place[0], place[1]) for place in PLACES])
    whole = (slice(0, 104), slice(0, 116))
    absent = mosaic.stated_masks()[ABSENT]
    np.testing.assert_array_equal(absent.read(whole)[..., 0], mosaic.read(whole)[..., 0] != 0)
    assert type(absent) is Rectangles
    assert join(sources[:2], [(0, 0), (64, 0)]).stated_masks() == {}


def test_a_part_holds_the_tiles_that_it_touches() -> None:
    """A part reads no other tile, and is small."""
    sources = [Plain(noise(10, 10, 3, seed=number)) for number in range(100)]
    mosaic = join(list(sources), [(number // 10 * 10, number % 10 * 10) for number in range(100)])
    part = mosaic.part((slice(5, 15), slice(20, 25)))
    part.read()
    asked = [number for number, source in enumerate(sources) if source.asked]
    assert asked == [2, 12]
    assert sources[2].asked == [(slice(5, 10, 1), slice(0, 5, 1))]
    assert len(pickle.dumps(part)) < 5000
    assert mosaic.tile == (10, 10)


def test_pieces_and_memory(tmp_path: Path) -> None:
    """Blocks hold whole tiles of files on one grid, or whole files; few of those that are kept are held."""
    tiled = {}
    for number in range(4):
        write_tiff(tmp_path / f"{number}.tif", noise(64, 64, 3), tile=(32, 32), compression="zlib")
        tiled[tmp_path / f"{number}.tif"] = (number // 2 * 64, number % 2 * 64)
    assert (open_source(tiled).tile, open_source(tiled).unit) == ((32, 32), (32, 32))
    apart = dict(zip(tiled, [(0, 0), (3, 70), (70, 5), (80, 90)], strict=True))
    assert open_source(apart).tile == (32, 32)
    kept = {}
    for number, place in enumerate(tiled.values()):
        cv2.imwrite(f"{tmp_path}/{number}.png", noise(64, 64, 3))
        kept[tmp_path / f"{number}.png"] = place
    source = open_source(kept)
    one = open_source(tmp_path / "0.png")
    assert (source.tile, source.unit) == ((64, 64), (64, 64))
    assert source.held_bytes == 2 * one.held_bytes + one.opening_bytes
    assert open_source(tiled).held_bytes == 0
    single = open_source(tmp_path / "0.tif")
    assert source.region_bytes((50, 50)) >= 2 * 50 * 50 * 3
    assert open_source(tiled).region_bytes((50, 50)) >= single.region_bytes((50, 50)) + 50 * 50 * 3


def test_identities_tell_tiles_and_places_apart(tmp_path: Path) -> None:
    """A tile that moves or changes makes another mosaic; one that vanishes or changes isn't read."""
    mapping = {}
    for number in range(2):
        write_tiff(tmp_path / f"{number}.tif", noise(16, 16, 3, seed=number))
        mapping[tmp_path / f"{number}.tif"] = (0, 16 * number)
    before = open_source(mapping)
    moved = open_source({**mapping, tmp_path / "1.tif": (0, 17)})
    write_tiff(tmp_path / "1.tif", noise(16, 16, 3, seed=5), description="another one")
    changed = open_source(mapping)
    assert len({before.identity(), moved.identity(), changed.identity()}) == 3
    with pytest.raises(ValueError, match=r"1\.tif changed since it was opened"):
        before.read((slice(0, 4), slice(20, 24)))
    assert before.read((slice(0, 4), slice(0, 4))).shape == (4, 4, 3)
    (tmp_path / "1.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.tif"):
        changed.read((slice(0, 4), slice(20, 24)))
    unknown = Plain(np.zeros((4, 4, 3)))
    unknown.identity = lambda: None  # type: ignore[method-assign,assignment,return-value]
    assert join([unknown], [(0, 0)]).identity() is None
    assert tifffile.imread(tmp_path / "0.tif").shape == (16, 16, 3)
