"""Tiles of the image behind a result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from pipeline import open_image
from pipeline.results import image_tiles
from pipeline.results.image_tiles import ImageTiles
from pipeline.results.tiles import SIDE, Place

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

OPTIONS: dict[str, Any] = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib", "metadata": None}


def smooth(height: int, width: int, dtype: str = "uint8") -> NDArray[Any]:
    """Return an image whose samples say where they are: its means are those of its coarser levels."""
    rows, columns = np.mgrid[:height, :width]
    planes = [200 * rows / height, 200 * columns / width, 20 + 100 * (rows + columns) / (height + width)]
    return np.stack(planes, axis=-1).astype(dtype)


def write_pyramid(path: Path, image: NDArray[Any]) -> None:
    """Write a TIFF whose second level has a quarter of the rows and columns; its blue is lighter by 20."""
    with tifffile.TiffWriter(path) as file:
        file.write(image, subifds=1, **OPTIONS)
        coarse = image[2::4, 2::4] + np.array([0, 0, 20], image.dtype)
        file.write(coarse, subfiletype=1, **OPTIONS)


def test_full_resolution_is_exact(tmp_path: Path) -> None:
    """A tile of level 0, and a pixel, have the samples of the file."""
    image = np.random.default_rng(0).integers(0, 256, (900, 1350, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, **OPTIONS)
    tiles = ImageTiles(open_image(tmp_path / "a.tif").description)
    assert (tiles.extent, tiles.channels) == ((900, 1350), ("red", "green", "blue"))
    np.testing.assert_array_equal(tiles.read(Place(0, 2, 1)), image[SIDE:, 2 * SIDE :])
    assert tiles.values(899, 3) == image[899, 3].tolist()
    coarse = tiles.read(Place(2, 0, 0)).astype(float)
    means = image[: 4 * 224, : 4 * 336].reshape(224, 4, 336, 4, 3).mean(axis=(1, 3))
    # Every second sample of each row and column is averaged.
    assert np.abs(coarse[:224, :336] - means).mean() < 40
    with pytest.raises(LookupError, match="level 3 is coarser than 2"):
        tiles.read(Place(3, 0, 0))


def test_levels_of_the_file_are_read(tmp_path: Path) -> None:
    """Coarse tiles come from the level of the file that fits, also for a region and for other channels."""
    image = smooth(2000, 3000)
    write_pyramid(tmp_path / "a.tif", image)
    opened = open_image(tmp_path / "a.tif")
    for one, rows, columns in (
        (opened, slice(0, 2000), slice(0, 3000)),
        (opened[400:1600, 800:2800], slice(400, 1600), slice(800, 2800)),
    ):
        tiles = ImageTiles(one.description)
        shown = image[rows, columns].astype(float)
        for level, lighter in ((0, 0), (1, 0), (2, 20)):
            step = 2**level
            found = tiles.read(Place(level, 0, 0)).astype(float)
            wanted = shown[step // 2 :: step, step // 2 :: step][:SIDE, :SIDE] + [0, 0, lighter]
            assert np.abs(found - wanted[: len(found)])[:-1, :-1].max() <= 2
    turned = ImageTiles(open_image(tmp_path / "a.tif", channels=["blue", "green"]).description)
    assert turned.channels == ("blue",)
    found = turned.read(Place(2, 0, 0)).astype(float)
    assert np.abs(found - (image[2::4, 2::4, 2:][:SIDE, :SIDE] + 20.0)).max() <= 2


def test_an_overview_is_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without coarse levels is read in bounded pieces, which are kept; a giant one has no overview."""
    monkeypatch.setattr(image_tiles, "_MOST_STEP", 2)
    image = smooth(3000, 2600)
    tifffile.imwrite(tmp_path / "a.tif", image, **OPTIONS)
    description = open_image(tmp_path / "a.tif").description
    tiles = ImageTiles(description)
    found = tiles.read(Place(3, 0, 0))
    assert found.shape == (375, 325, 3)
    assert np.abs(found.astype(float) - image[4::8, 4::8]).max() <= 3
    assert tiles.read(Place(3, 0, 0)) is found
    monkeypatch.setattr(image_tiles, "_MOST_FOR_OVERVIEW", 3000 * 2600 - 1)
    assert ImageTiles(description).coarsest == 1


@pytest.mark.parametrize("dtype", ["uint16", "float32", "uint32"])
def test_other_samples_are_shown_by_their_range(tmp_path: Path, dtype: str) -> None:
    """Nearly all samples lie between black and white; the values are those of the file."""
    image = smooth(700, 600, dtype)[..., 0] * np.array(50, dtype)
    np.save(tmp_path / "a.npy", image)
    tiles = ImageTiles(open_image(tmp_path / "a.npy").description)
    assert tiles.channels == ("channel 0",)
    for level in (0, 1):
        found = tiles.read(Place(level, 0, 0))
        assert found.dtype == np.uint8
        assert (found[..., 0] == found[..., 2]).all()
    assert (found.min(), found.max()) == (0, 255)
    assert tiles.values(600, 5) == [image[600, 5].item()]


def test_samples_that_are_no_numbers(tmp_path: Path) -> None:
    """NaN is black and has no value; an image of one value can be shown."""
    np.save(tmp_path / "a.npy", np.full((20, 30, 4), [np.nan, 1, 2, 3], np.float32))
    tiles = ImageTiles(open_image(tmp_path / "a.npy").description)
    assert tiles.values(0, 0) == [None, 1, 2]
    assert tiles.read(Place(0, 0, 0))[3, 3].tolist() == [0, 0, 255] or tiles.read(Place(0, 0, 0)).any()
    np.save(tmp_path / "b.npy", np.full((20, 30), np.nan))
    assert not ImageTiles(open_image(tmp_path / "b.npy").description).read(Place(0, 0, 0)).any()


def test_an_image_that_is_not_the_same(tmp_path: Path) -> None:
    """An image in memory, at a URL, gone or changed isn't shown, and the reason is said."""
    np.save(tmp_path / "a.npy", np.zeros((20, 30), np.uint8))
    description = open_image(tmp_path / "a.npy").description
    with pytest.raises(FileNotFoundError, match="the image was in memory only"):
        ImageTiles(open_image(np.zeros((20, 30), np.uint8)).description)
    remote = replace(description, place={"image": {"image": "https://example.org/a.tif", "level": 1}})
    with pytest.raises(FileNotFoundError, match=r"is at https://example.org/a.tif, from which nothing is"):
        ImageTiles(remote)
    np.save(tmp_path / "a.npy", np.zeros((20, 31), np.uint8))
    with pytest.raises(ValueError, match=r"a.npy has changed since the results were computed"):
        ImageTiles(description)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(FileNotFoundError):
        ImageTiles(description)
