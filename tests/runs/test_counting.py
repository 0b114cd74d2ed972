"""Tests of the pass that counts colors: on every executor, by blocks of every size, of any image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import box, feature, write_geojson

from pipeline import Histogram, Progress, count_colors, open_image
from pipeline.compute import counting as compute_counting
from pipeline.compute import histogram as histogram_module
from pipeline.compute.counting import ALL, TRAINING
from pipeline.compute.histogram import count_colors_of
from pipeline.compute.places import groups_of, priorities_of
from pipeline.images.grid import choose_grid
from pipeline.images.labels import open_labels
from pipeline.runs import counting
from pipeline.runs.counting import count_groups
from pipeline.runs.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

EXTENT = (150, 170)
WHOLE = slice(0, EXTENT[0]), slice(0, EXTENT[1])
MASK = np.random.default_rng(1).integers(0, 2, EXTENT).astype(np.uint8)
MASK[:64, :64] = 0


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo."""
    return photo[100:250, 200:370]


@pytest.fixture
def by_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | tuple[int, int]], None]:
    """Give a function that sets the size of the blocks."""

    def set_block(block: int | tuple[int, int]) -> None:
        monkeypatch.setattr(counting, "choose_grids", lambda extent, **_: [choose_grid(extent, block=block)])

    return set_block


def count(image: Any, **options: Any) -> Histogram:
    """Count without showing progress."""
    return count_colors(image, progress="none", **options)


def check_same(one: Histogram, other: Histogram) -> None:
    """Compare everything that two histograms hold."""
    for name in ("colors", "counts", "priorities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.n_pixels, one.channels, one.colors.dtype) == (
        other.n_pixels,
        other.channels,
        other.colors.dtype,
    )


def check_exact(found: Histogram, pixels: NDArray[Any]) -> None:
    """Compare a histogram with NumPy's of pixels (n, C)."""
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    order = np.lexsort(found.colors.T[::-1])
    np.testing.assert_array_equal(found.colors[order], colors)
    np.testing.assert_array_equal(found.counts[order], counts)
    assert found.n_pixels == len(pixels)
    assert found.is_exact


def shrink_samples(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let samples have few pixels."""
    for module in (histogram_module, compute_counting):
        monkeypatch.setattr(module, "SAMPLE", size)


@pytest.mark.parametrize("block", [(152, 172), 32, (8, 200), (64, 36)])
@pytest.mark.parametrize("way", ["synchronous", "threads", "cluster"])
def test_every_executor_and_block_gives_the_same_counts(
    image: NDArray[np.uint8], processes: Client, by_blocks: Any, way: str, block: Any
) -> None:
    """Counts and whole samples are those of all pixels, wherever and by whichever blocks they are counted."""
    by_blocks(block)
    client = processes if way == "cluster" else None
    scheduler = None if way == "cluster" else way
    floats = image.astype(np.float32) / 7
    floats[3, 4, 0] = np.nan
    with dask.config.set(scheduler=scheduler, num_workers=1 if way == "synchronous" else 3):
        check_exact(count(image, client=client), image.reshape(-1, 3))
        sample = count(floats, seed=4, client=client)
    order = np.argsort(priorities_of(*WHOLE, EXTENT[1], 4).ravel())
    order = order[order != 3 * EXTENT[1] + 4]
    np.testing.assert_array_equal(sample.colors, floats.reshape(-1, 3)[order])
    assert sample.is_exact
    assert sample.n_pixels == floats[..., 0].size - 1


def test_a_sample_doesnt_depend_on_blocks(
    monkeypatch: pytest.MonkeyPatch, image: NDArray[np.uint8], by_blocks: Any
) -> None:
    """A sample has the pixels of the lowest priorities, by any blocks; another seed gives another sample."""
    shrink_samples(monkeypatch, 500)
    floats = image.astype(np.float32)
    found = []
    for block in ((152, 172), 32, (12, 172)):
        by_blocks(block)
        found.append(count(floats, mask=MASK, seed=2))
    for other in found[1:]:
        check_same(found[0], other)
    priorities = priorities_of(*WHOLE, EXTENT[1], 2)[MASK != 0]
    lowest = np.argsort(priorities)[:500]
    np.testing.assert_array_equal(found[0].colors, floats[MASK != 0][lowest])
    assert (found[0].n_pixels, found[0].n_colors, found[0].is_exact) == (MASK.sum(), 500, False)
    assert not np.array_equal(found[0].priorities, count(floats, mask=MASK, seed=3).priorities)


@pytest.mark.parametrize("kind", ["NumPy", "Dask", "Zarr", "Zarr in memory", "TIFF", "tiled TIFF", "view"])
def test_images_of_every_kind(tmp_path: Path, image: NDArray[np.uint8], by_blocks: Any, kind: str) -> None:
    """An image is counted wherever its pixels are, with the names of its channels."""
    by_blocks(64)
    tifffile.imwrite(tmp_path / "strips.tif", image, photometric="rgb")
    tifffile.imwrite(tmp_path / "tiles.tif", image, photometric="rgb", tile=(32, 48), compression="zlib")
    kinds: dict[str, Any] = {
        "NumPy": image,
        "Dask": da.from_array(image, chunks=(40, 50, 2)),
        "Zarr": zarr.create_array(tmp_path / "x.zarr", data=image, chunks=(40, 50, 3)),
        "Zarr in memory": zarr.create_array({}, data=image, chunks=(40, 50, 3)),
        "TIFF": tmp_path / "strips.tif",
        "tiled TIFF": os.fspath(tmp_path / "tiles.tif"),
        "view": open_image(np.pad(image, ((3, 0), (0, 5), (0, 0))))[3:, :170],
    }
    found = count(kinds[kind])
    check_exact(found, image.reshape(-1, 3))
    assert found.channels == open_image(kinds[kind]).channels
    assert (found.channels == ("red", "green", "blue")) == ("TIFF" in kind)


def test_channels_first(image: NDArray[np.uint8]) -> None:
    """The axis of the channels is found where the caller says."""
    check_exact(count(np.moveaxis(image, -1, 0), channel_axis=0), image.reshape(-1, 3))
    check_exact(count(image[..., 0], channel_axis=None), image[..., :1].reshape(-1, 1))


@pytest.mark.parametrize("kind", ["mask", "small mask", "no data", "alpha"])
def test_pixels_without_data_arent_counted(image: NDArray[np.uint8], by_blocks: Any, kind: str) -> None:
    """A mask, a no-data value and alpha leave out pixels, whole blocks too."""
    by_blocks(32)
    marked = image.copy()
    marked[MASK == 0] = 255
    coarse = MASK[::2, ::2]
    options: dict[str, tuple[Any, dict[str, Any], NDArray[np.uint8]]] = {
        "mask": (image, {"mask": MASK}, MASK),
        "small mask": (image, {"mask": coarse}, coarse.repeat(2, axis=0).repeat(2, axis=1)),
        "no data": (marked, {"no_data": 255}, (marked != 255).any(axis=-1)),
        "alpha": (np.dstack([image, MASK]), {"mask": "alpha"}, MASK),
    }
    pixels, arguments, valid = options[kind]
    found = count(pixels, **arguments)
    check_exact(found, pixels[..., :3][valid != 0])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nothing_has_data(image: NDArray[np.uint8], dtype: str) -> None:
    """The histogram is then empty, and of the image's kind."""
    found = count(image.astype(dtype), mask=np.zeros(EXTENT, bool))
    assert (found.n_pixels, found.n_colors) == (0, 0)
    assert found.colors.shape == (0, 3)
    assert found.colors.dtype == dtype
    assert (found.priorities is None) == (dtype == "uint8")
    check_same(found.plus(count(image.astype(dtype))), count(image.astype(dtype)))


def test_a_block_that_fails_is_named(
    tmp_path: Path, image: NDArray[np.uint8], broken: Any, by_blocks: Any
) -> None:
    """The error has its kind, the file, the block, and the regions of its pixels."""
    by_blocks(64)
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="rgb", tile=(32, 32))
    broken.add((64, 128))
    wanted = r"block \(1, 2\) of .*x.tif, rows 64 to 128, columns 128 to 170: .*Input/output error"
    with pytest.raises(OSError, match=wanted):
        count(tmp_path / "x.tif")


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch, image: NDArray[np.uint8]) -> None:
    """Blocks become smaller with the memory; where the smallest is too large, the message has both sizes."""
    endless = open_image(da.zeros((9000, 9000, 3), chunks=(256, 256, 3), dtype=np.uint8))
    monkeypatch.setattr(counting, "resident", lambda: 100 * 2**20)
    sides = []
    with dask.config.set(num_workers=2):
        for limit in (4 * 2**30, 1700 * 2**20, 1000 * 2**20):
            monkeypatch.setattr(Threads, "available_memory", limit)
            grid = counting._choose_grid(endless, None, Threads())
            sides.append(grid.block[0])
        assert sides[0] == 4096
        assert sides == sorted(set(sides), reverse=True)
        labels = open_labels(da.zeros((9000, 9000), chunks=256, dtype=np.uint8), (9000, 9000)).source
        assert counting._choose_grid(endless, labels, Threads()).block[0] < sides[2]
        monkeypatch.setattr(Threads, "available_memory", 50 * 2**20)
        with pytest.raises(
            ValueError, match=r"counting the colors needs .* MiB .* use 50.00 MiB.*num_workers=1"
        ):
            count(image)


def test_histograms_that_wait_are_few() -> None:
    """What waits to be merged is never more than the sum so far, however many blocks there are."""
    total = counting._Sum()
    one = count_colors_of(np.arange(100, dtype=np.uint8)[:, np.newaxis], None)
    for _ in range(49):
        total.add(one)
        assert sum(waiting.n_colors for waiting in total._waiting) <= 100
        assert total._merged is not None
    result = total.result()
    assert result.n_pixels == 4900
    np.testing.assert_array_equal(result.counts, 49)


def test_progress(image: NDArray[np.uint8], by_blocks: Any) -> None:
    """A listener hears of each block."""
    by_blocks(64)
    events: list[Progress] = []
    count_colors(image, progress=events.append)
    assert [event.blocks for event in events] == list(range(1, 10))
    assert events[-1].pixels == events[-1].total_pixels == 150 * 170
    assert events[-1].peak_memory > 10 * 2**20
    with pytest.raises(ValueError, match="progress is 'loud'"):
        count_colors(image, progress="loud")


@pytest.mark.parametrize("way", ["threads", "cluster"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_counts_by_label_and_group(
    image: NDArray[np.uint8], processes: Client, by_blocks: Any, dtype: str, way: str
) -> None:
    """Each label has a histogram for each held-out group and one for the rest, in order."""
    labels = (np.arange(150)[:, np.newaxis] // 50 * np.ones(170, int)).astype(np.int32)
    pixels = image.astype(dtype)
    by_blocks(48)
    source = open_labels(labels, EXTENT).source
    counted = count_groups(
        open_image(pixels, mask=MASK),
        source,
        n_held=4,
        seed=1,
        progress="none",
        client=processes if way == "cluster" else None,
    )
    groups = groups_of(*WHOLE, EXTENT, 1).astype(int)
    groups[groups >= 4] = TRAINING
    keys = [(label, group) for label in (1, 2) for group in (TRAINING, 0, 1, 2, 3)]
    wanted = {key: (labels == key[0]) & (groups == key[1]) & (MASK != 0) for key in keys}
    assert list(counted) == [key for key, here in wanted.items() if here.any()]
    for key, found in counted.items():
        colors, counts = np.unique(pixels[wanted[key]], axis=0, return_counts=True)
        order = np.lexsort(found.distinct[0].T[::-1])
        np.testing.assert_array_equal(found.distinct[0][order], colors)
        np.testing.assert_array_equal(found.distinct[1][order], counts)


def test_blocks_without_labels_arent_read(
    tmp_path: Path, image: NDArray[np.uint8], reads: Any, by_blocks: Any
) -> None:
    """Where no polygon is, no pixel is read."""
    by_blocks(32)
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="rgb", tile=(32, 32))
    path = write_geojson(tmp_path / "x.geojson", feature(box(40, 70, 60, 90), classification={"name": "a"}))
    labels = open_labels(path, EXTENT).source
    opened = open_image(tmp_path / "x.tif")
    reads.clear()
    counted = count_groups(opened, labels, n_held=0, seed=0, progress="none", client=None)
    assert {corner for corner in reads if corner[0] or corner[1]} == {(64, 32)}
    assert counted.keys() == {(1, TRAINING)}
    check_exact(counted[1, TRAINING], image[70:90, 40:60].reshape(-1, 3))


def test_without_labels_there_is_one_histogram(image: NDArray[np.uint8]) -> None:
    """It is that of all pixels, or of the held-out groups and the rest."""
    opened = open_image(image)
    counted = count_groups(opened, None, n_held=0, seed=0, progress="none", client=None)
    assert list(counted) == [(ALL, TRAINING)]
    groups = count_groups(opened, None, n_held=20, seed=0, progress="none", client=None)
    assert {label for label, _ in groups} == {ALL}
    assert TRAINING not in {group for _, group in groups}
    assert sum(one.n_pixels for one in groups.values()) == 150 * 170


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed is -1; wanted an integer of at least 0"),
        ({"seed": 0.5}, ValueError, "seed is 0.5; wanted an integer"),
        ({"client": 3}, TypeError, "client is 3; wanted a distributed.Client"),
        ({"mask": np.zeros((9, 30))}, ValueError, r"mask has shape \(9, 30\)"),
    ],
)
def test_wrong_arguments(
    image: NDArray[np.uint8], options: Any, error: type[Exception], message: str
) -> None:
    """They are refused before a pixel is read."""
    with pytest.raises(error, match=message):
        count(image, **options)
