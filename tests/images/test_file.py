"""Files of all formats: named samples, alpha, and a file that changes while it is read."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import dask
import numpy as np
import pytest
import tifffile
from images.examples import HEIGHT, WIDTH, names, noise, smooth

from pipeline.images.file import name_samples
from pipeline.images.image import Image
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["x.tif", "jpeg.tif", "x.png"])
def test_threads_read_at_once(tmp_path: Path, name: str) -> None:
    """Many threads that read one file get their own regions."""
    path = tmp_path / name
    if name == "x.png":
        cv2.imwrite(str(path), smooth())
    else:
        tifffile.imwrite(
            path,
            smooth(),
            photometric="rgb",
            tile=(16, 16),
            compression="jpeg" if "jpeg" in name else "deflate",
        )
    file = open_image(path)
    whole = np.asarray(file)
    regions = [(slice(i % 60, i % 60 + 30), slice(i % 40, i % 40 + 25)) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for region, piece in zip(regions, pool.map(np.asarray, map(file.__getitem__, regions)), strict=True):
            np.testing.assert_array_equal(piece, whole[region])


@pytest.mark.parametrize("name", ["x.tif", "x.png"])
def test_a_pickle_is_small_and_reads_the_same(tmp_path: Path, name: str) -> None:
    """An opened file and its Dask array survive pickling, without pixels in the pickle."""
    path, written = tmp_path / name, noise(HEIGHT, WIDTH, 3)
    cv2.imwrite(str(path), written)
    image = open_image(path, channels=names("BGR"))
    file, array = image.source, image.to_dask(block=52)
    assert len(pickle.dumps(file)) < 1000
    assert len(pickle.dumps(image)) < 2000
    assert len(pickle.dumps(array)) < 10_000
    again = pickle.loads(pickle.dumps(file))  # noqa: S301  made on this line
    assert again == file
    np.testing.assert_array_equal(Image.of(again), written)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)).compute(), written)  # noqa: S301  as above


@pytest.mark.parametrize("name", ["x.tif", "x.png"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    """A file that was written again since it was opened isn't read, until it is opened again."""
    path = tmp_path / name
    cv2.imwrite(str(path), noise(HEIGHT, WIDTH, 3))
    file, array = open_image(path), open_image(path).to_dask()
    cv2.imwrite(str(path), noise(HEIGHT, WIDTH, 3, seed=1))
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match="changed since"):
        file.compute()
    with pytest.raises(ValueError, match="changed since"):
        file.part((slice(0, 9), slice(0, 9))).read()
    with pytest.raises(ValueError, match="changed since"), dask.config.set(scheduler="synchronous"):
        array.compute()
    np.testing.assert_array_equal(open_image(path, channels=names("BGR"))[:], noise(HEIGHT, WIDTH, 3, seed=1))


def test_alpha_asked_for_where_there_is_none(tmp_path: Path) -> None:
    """Asking a file without alpha for alpha is an error that names the remedy."""
    for name, written in [
        ("x.png", smooth()),
        ("gray.png", smooth(1)),
        ("x.jpg", smooth()),
        ("x.tif", smooth()),
    ]:
        cv2.imwrite(str(tmp_path / name), written)
        with pytest.raises(ValueError, match=rf"{name} has no alpha channel. Open it without"):
            open_image(tmp_path / name, channels=names("RGBA"))
        with pytest.raises(ValueError, match=rf"{name} has no alpha channel. Open it without"):
            open_image(tmp_path / name, mask="alpha")


@pytest.mark.parametrize(
    ("stored", "samples", "channels"),
    [
        ("RGB", (0, 1, 2), ("red", "green", "blue")),
        ("BGRA", (2, 1, 0), ("red", "green", "blue")),
        ("RGB?A?", (0, 1, 2, 3, 5), ("red", "green", "blue", "channel 3", "channel 4")),
        ("LA", (0,), ("gray",)),
        ("???", (0, 1, 2), None),
        ("?A?", (0, 2), None),
    ],
)
def test_samples_have_names(stored: str, samples: tuple[int, ...], channels: tuple[str, ...] | None) -> None:
    """Color comes as red, green and blue, gray as gray, and samples that a file doesn't name as they are."""
    assert name_samples(stored) == (samples, channels)


def test_names_that_a_file_states() -> None:
    """They come before those by letters, and channels without any are numbered."""
    stated = name_samples("RGB??", ("blue", None, None, "nir", None))
    assert stated == ((0, 1, 2, 3, 4), ("blue", "green", "channel 2", "nir", "channel 4"))
    assert name_samples("?A?", (None, None, "dapi")) == ((0, 2), ("channel 0", "dapi"))


def test_a_place_names_what_is_not_the_default(tmp_path: Path) -> None:
    """The place of a file is its path, with the names, or the numbers, of channels that were chosen."""
    tifffile.imwrite(tmp_path / "x.tif", noise(HEIGHT, WIDTH, 3), photometric="rgb")
    tifffile.imwrite(
        tmp_path / "y.tif", noise(5, HEIGHT, WIDTH), photometric="minisblack", metadata={"axes": "CYX"}
    )
    x, y = (str(tmp_path / name) for name in ("x.tif", "y.tif"))
    assert open_source(x).place() == {"image": x}
    assert open_image(x, channels=("blue", 1)).source.place() == {"image": x, "channels": ["blue", "green"]}
    assert open_image(y)[..., ::2].source.place() == {"image": y, "channels": [0, 2, 4]}
    assert open_image(x).paths == (tmp_path / "x.tif",)
    assert open_source(x).identity() == open_image(x, channels="red").source.identity()
    os.utime(x, ns=(0, 1_700_000_000_123_456_789))
    size = (tmp_path / "x.tif").stat().st_size
    assert open_source(x).identity() == f"{size} bytes, modified 2023-11-14 22:13:20.123456789 UTC"
