"""A giant photo read from its scratch has the pixels of a photo that is decoded in memory."""

from __future__ import annotations

import io
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask
import imagecodecs
import numpy as np
import psutil
import pytest
from images.examples import HEIGHT, WIDTH, noise, smooth
from PIL import Image as Pillow
from PIL import ImageOps

from pipeline.images import giant_photo
from pipeline.images.choice import Choice
from pipeline.images.giant_photo import GiantPhoto, open_giant_photo
from pipeline.images.opening import open_image
from pipeline.images.photo import Photo, open_photo
from pipeline.images.readers import open_source
from pipeline.images.scratch import leave_scratches
from pipeline.testing.sources import SourceContract, regions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.images.source import Source
    from pipeline.testing.sources import Case


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Take every photo for a giant one, and give the folder of scratches."""
    monkeypatch.setattr(giant_photo, "MOST_HELD", 0)
    monkeypatch.setattr(giant_photo, "_SIDE", 64)
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        yield tmp_path / f"mixture-pipeline-{os.getuid()}"
        leave_scratches()


def write(path: Path, pixels: np.ndarray[Any, Any], orientation: int = 1, **options: Any) -> str:
    """Write a photo of 8 bits with an orientation."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.fromarray(pixels).save(path, exif=exif, **options)
    return str(path)


def whole(source: Source | None) -> np.ndarray[Any, Any]:
    """Read all of a source."""
    assert source is not None
    height, width = source.extent
    return source.read((slice(0, height), slice(0, width)))


class TestTheContract(SourceContract):
    """A giant photo is a source like others, however it is stored and turned."""

    @pytest.fixture(params=["x.png", "x.jpg", "lying.png", "turned.jpg", "deep.png", "gray.png"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Return a photo, and what Pillow decodes and turns, or what was encoded."""
        name, path = request.param, tmp_path / request.param
        if name == "deep.png":
            pixels = noise(HEIGHT, WIDTH, 4, dtype="uint16")
            path.write_bytes(imagecodecs.png_encode(pixels))
            return open_source(path), pixels[..., :3]
        pixels = noise(HEIGHT, WIDTH)[..., np.newaxis] if name == "gray.png" else smooth()
        write(path, pixels.squeeze(), {"lying.png": 5, "turned.jpg": 3}.get(name, 1))

        with Pillow.open(path) as opened:
            turned = np.asarray(ImageOps.exif_transpose(opened))
        return open_source(path), turned.reshape(*turned.shape[:2], -1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_photos(tmp_path: Path, orientation: int) -> None:
    """Regions of a photo that lies in any way are those of the photo in memory."""
    path = write(tmp_path / "x.png", noise(HEIGHT, WIDTH, 3), orientation)
    giant, photo = open_source(path), open_photo(path)
    assert isinstance(giant, GiantPhoto)
    assert photo is not None
    assert (giant.shape, giant.channels, giant.identity()) == (photo.shape, photo.channels, photo.identity())
    pixels = whole(photo)
    for region in regions(giant.extent):
        np.testing.assert_array_equal(giant.read(region), pixels[region])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_samples_are_those_of_photos(tmp_path: Path, mode: str) -> None:
    """Gray, palettes and alpha have the samples and the names that the photo in memory has."""
    path = str(tmp_path / "x.png")
    Pillow.fromarray(noise(HEIGHT, WIDTH, 4)).convert(mode).save(path)
    giant, photo = open_giant_photo(path), open_photo(path)
    assert giant is not None
    assert photo is not None
    assert giant.channels == photo.channels
    np.testing.assert_array_equal(whole(giant), whole(photo))
    deep, wanted = giant.with_alpha(), photo.with_alpha()
    assert (deep is None) == (wanted is None)
    if deep is not None and wanted is not None:
        assert deep.channels == wanted.channels
        np.testing.assert_array_equal(whole(deep), whole(wanted))


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "411"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_decoded_to_the_same_bits(tmp_path: Path, subsampling: str, *, progressive: bool) -> None:
    """Both libraries of JPEG make the same pixels of coarser colors, whatever the order of the scans."""
    path = tmp_path / "x.jpg"
    pixels = smooth() + noise(HEIGHT, WIDTH, 3) // 16
    if progressive:
        levels = {"444": 0, "422": 1}
        write(path, pixels, progressive=True, subsampling=levels.get(subsampling, 2))
    else:
        path.write_bytes(imagecodecs.jpeg8_encode(pixels, level=90, subsampling=subsampling))
    giant = open_giant_photo(str(path))
    assert giant is not None
    np.testing.assert_array_equal(whole(giant), whole(open_photo(str(path))))


def test_opening_and_planning_read_no_pixel(tmp_path: Path, folder: Path) -> None:
    """The scratch is made with the first pixel, and is one for all selections of channels."""
    image = open_image(write(tmp_path / "x.png", noise(HEIGHT, WIDTH, 4)), channels=["alpha", "red"])
    assert image.shape == (HEIGHT, WIDTH, 2)
    assert image.source.opening_bytes > 0
    assert image.source.held_bytes == 0
    assert not folder.exists()
    image[0, 0].compute()
    open_image(tmp_path / "x.png")[5, 5].compute()
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_strips_of_wide_photos_are_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip has few bytes, however wide the photo is as it is stored."""
    monkeypatch.setattr(giant_photo, "_SIDE", 512)
    monkeypatch.setattr(giant_photo, "_STRIP_BYTES", 128 * 3 * 200)
    pixels = noise(300, 200, 3)
    for orientation, tile in ((1, (128, 512)), (6, (512, 128))):
        path = write(tmp_path / f"{orientation}.png", pixels, orientation)
        giant = open_giant_photo(path)
        assert giant is not None
        assert giant.tile == tile
        np.testing.assert_array_equal(whole(giant), whole(open_photo(path)))


def test_smaller_and_other_files_are_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo up to the threshold, JPEG of 12 bits, and other formats are decoded in memory."""
    path = write(tmp_path / "x.png", smooth())
    assert open_giant_photo(write(tmp_path / "x.webp", smooth())) is None
    (tmp_path / "x.jpg").write_bytes(
        imagecodecs.jpeg8_encode(smooth().astype("u2"), level=90, bitspersample=12)
    )
    assert open_giant_photo(str(tmp_path / "x.jpg")) is None
    monkeypatch.setattr(giant_photo, "MOST_HELD", smooth().nbytes)
    assert open_giant_photo(path) is None


def test_without_libvips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo that fits is decoded in memory; for one that doesn't, the message names the extra."""
    path = write(tmp_path / "x.png", smooth())
    monkeypatch.setitem(sys.modules, "pyvips", None)
    assert isinstance(open_source(path), Photo)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=smooth().nbytes))
    with pytest.raises(ImportError, match=r"x.png takes .* this machine has .*'mixture-pipeline\[vips\]'"):
        open_source(path)


def test_damage_leaves_no_scratch(tmp_path: Path, folder: Path) -> None:
    """A photo whose pixels are damaged is refused when it is read, and nothing is left."""
    file = io.BytesIO()
    Pillow.fromarray(noise(HEIGHT, WIDTH, 3)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[len(content) // 2] ^= 1
    path = tmp_path / "x.png"
    path.write_bytes(content)
    source = open_source(path)
    with pytest.raises(ValueError, match=r"x.png can't be decoded by libvips"):
        whole(source)
    assert not list(folder.iterdir())


def test_lost_chunks_are_noticed(tmp_path: Path, folder: Path) -> None:
    """A chunk that another program removed isn't read as zeros."""
    source = open_source(write(tmp_path / "x.png", noise(HEIGHT, WIDTH, 3)))
    whole(source)
    next(folder.glob("*/c/1/1/0")).unlink()
    source.read((slice(0, 64), slice(0, WIDTH)))
    with pytest.raises(OSError, match=r"x.png in .* has lost files"):
        source.read((slice(0, HEIGHT), slice(70, 71)))


def test_a_changed_photo_is_refused(tmp_path: Path) -> None:
    """A photo that was written anew isn't read from the scratch of the old one."""
    path = tmp_path / "x.png"
    source = open_source(write(path, noise(HEIGHT, WIDTH, 3)))
    whole(source)
    write(path, noise(HEIGHT, WIDTH, 3, seed=1))
    with pytest.raises(ValueError, match="changed since it was opened"):
        whole(source)
    np.testing.assert_array_equal(whole(open_source(path)), noise(HEIGHT, WIDTH, 3, seed=1))


def test_nothing_can_be_chosen(tmp_path: Path) -> None:
    """A photo is one image."""
    with pytest.raises(ValueError, match=r"level is 1, but .* is a photo, which has none"):
        open_giant_photo(write(tmp_path / "x.png", smooth()), Choice(level=1))
