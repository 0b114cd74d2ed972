"""Memory: a projection goes with the blocks, the threads and the results, not with the image."""

from __future__ import annotations

import os
import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Density, Image, Label, LogDensity, Packed, Posterior, open_image, stream
from pipeline.images.grid import Grid
from pipeline.models.output import make_outputs
from pipeline.runs import execution, memory
from pipeline.runs.memory import project_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.models.quantity import Quantity

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
DENSITY = Density(random_mixture(2, 3))
SIDES = st.integers(1, 512).map(lambda n: 16 * n)
THREADS = st.integers(1, 64)


def lazy(
    side: int = 10**6, dtype: str = "uint8", *, mask: bool = False, no_data: float | None = None
) -> Image:
    """Give an image without end, which has no pixels in memory."""
    image = zarr.create_array({}, shape=(side, side, 3), chunks=(1024, 1024, 3), dtype=dtype)
    other = zarr.create_array({}, shape=(side, side), chunks=(1024, 1024), dtype="bool") if mask else None
    return open_image(image, mask=other, no_data=no_data)


def project(
    image: Image,
    block: tuple[int, int],
    threads: int,
    *quantities: Quantity | Packed,
    engine: str = "numexpr",
    is_local: bool = False,
    holds_shards: bool = False,
) -> int:
    """Project a run of blocks, by default on a worker."""
    outputs = make_outputs({f"q{number}": quantity for number, quantity in enumerate(quantities)})
    engines = {output.name: engine for output in outputs}
    grid = Grid(image.extent, block, (16, 16))
    return project_memory(
        image.footprint(grid.largest),
        image.dtype,
        grid,
        outputs,
        engines=engines,
        threads=threads,
        is_local=is_local,
        holds_shards=holds_shards,
    )


ENDLESS = lazy()
MASKED = lazy(mask=True)


@given(SIDES, SIDES, THREADS, st.integers(1, 64))
def test_it_grows_with_blocks_and_threads(height: int, width: int, threads: int, more: int) -> None:
    """Larger blocks take more, and so do more threads; no less than the results alone take.

    Blocks that don't fit the chunks may touch more of them, so that sides are compared that are alike.
    """
    needed = project(ENDLESS, (height, width), threads, DENSITY)
    assert project(ENDLESS, (height + 1024 * more, width), threads, DENSITY) > needed
    assert project(ENDLESS, (height, width + 1024 * more), threads, DENSITY) > needed
    assert project(ENDLESS, (height, width), threads + more, DENSITY) > needed
    assert needed > threads * height * width * (4 + 3)


@given(st.integers(32, 512).map(lambda n: 16 * n), THREADS)
def test_it_grows_with_results(side: int, threads: int) -> None:
    """Each result takes its size; a mask, a deeper image and one plane more a class take more."""
    block = (side, side)
    one = project(ENDLESS, block, threads, DENSITY)
    two = project(ENDLESS, block, threads, DENSITY, Label(CLASSES))
    packed = project(ENDLESS, block, threads, DENSITY, Packed(Posterior(CLASSES, only="a"), "uint16"))
    both = project(ENDLESS, block, threads, DENSITY, Packed(Posterior(CLASSES), "uint16"))
    assert one < two < packed < both
    assert two - one >= threads * side * side
    assert project(MASKED, block, threads, DENSITY) > one
    assert project(lazy(dtype="float32"), block, threads, DENSITY) > one
    assert project(lazy(no_data=0.0), block, threads, DENSITY) > one


@given(SIDES, THREADS, st.integers(10**6, 10**9))
def test_it_doesnt_grow_with_the_image(side: int, threads: int, extent: int) -> None:
    """An image of any size takes what one of a million squared takes."""
    image = zarr.create_array({}, shape=(extent, extent, 3), chunks=(1024, 1024, 3), dtype="uint8")
    needed = project(open_image(image), (side, side), threads, DENSITY)
    assert needed == project(ENDLESS, (side, side), threads, DENSITY)


@given(st.tuples(SIDES, SIDES), THREADS)
def test_a_small_image_takes_little(block: tuple[int, int], threads: int) -> None:
    """Blocks count as far as the image goes, and as far as there are any."""
    needed = []
    for side in (1, 100):
        image = zarr.create_array({}, shape=(side, side, 3), chunks=(side, side, 3), dtype="uint8")
        needed.append(project(open_image(image), block, threads, DENSITY))
    # The last blocks of the image reach beyond it, by less than a block.
    assert 0 < needed[1] - needed[0] <= 32 * 4 * 100 * 100 + threads * 2**26


def test_what_is_in_memory_counts_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array in memory is part of what this process has by now; a worker has its pieces alone."""
    array = np.zeros((2048, 2048, 3), np.uint8)
    held, same = open_image(array), lazy(2048)
    for threads in (1, 8):
        worker = project(held, (256, 256), threads, DENSITY)
        assert worker <= project(same, (256, 256), threads, DENSITY)
        for resident, more in ((0, 0), (100 * 2**20, 0), (3 * 2**30, 3 * 2**30 - 140 * 2**20)):
            found = SimpleNamespace(memory_info=lambda rss=resident: SimpleNamespace(rss=rss))
            monkeypatch.setattr(memory, "psutil", SimpleNamespace(Process=lambda found=found: found))
            here = project(held, (256, 256), threads, DENSITY, is_local=True)
            assert here - worker == more
    dask = open_image(da.from_array(array))
    assert project(dask, (256, 256), 1, DENSITY) > project(same, (256, 256), 1, DENSITY)


def test_a_photo_is_decoded_whole(tmp_path: Path) -> None:
    """A PNG is held by each process, a TIFF's tiles aren't."""
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    cv2.imwrite(os.fspath(tmp_path / "photo.png"), pixels)
    tifffile.imwrite(tmp_path / "photo.tif", pixels, tile=(64, 64), compression="zlib", photometric="rgb")
    needed = [
        project(open_image(tmp_path / name), (64, 64), 1, DENSITY) for name in ("photo.png", "photo.tif")
    ]
    photo = open_image(tmp_path / "photo.png").footprint((64, 64))
    # What decoding takes is kept by the allocator, if it isn't much.
    held = photo.held + photo.opening
    assert photo.held == pixels.nbytes
    assert needed[0] - project(open_image(pixels), (64, 64), 1, DENSITY) == held
    assert needed[0] > needed[1]


RGB = {"photometric": "rgb", "compression": "lzw"}


@pytest.mark.parametrize("side", [5000, 9000])
def test_a_strip_is_decoded_whole(tmp_path: Path, side: int) -> None:
    """A TIFF in one strip takes the strip once in each process, however small the blocks are."""
    tifffile.imwrite(tmp_path / "strip.tif", np.zeros((side, side, 3), np.uint8), rowsperstrip=side, **RGB)
    image = open_image(tmp_path / "strip.tif")
    strip = 3 * side * side
    for threads in (1, 2, 8):
        needed = project(image, (256, 256), threads, DENSITY)
        assert 140 * 2**20 + strip < needed < 160 * 2**20 + 2 * strip + threads * 32 * 2**20
    assert image.unit == (1, 1)


def test_tiles_are_decoded_whole_in_each_thread(tmp_path: Path) -> None:
    """Smaller tiles than those that are kept count for each thread, with their bytes."""
    pixels = np.zeros((2048, 2048, 3), np.uint8)
    for side in (64, 2048):
        tifffile.imwrite(tmp_path / f"{side}.tif", pixels, tile=(side, side), **RGB)
    small, large = (open_image(tmp_path / f"{side}.tif") for side in (64, 2048))
    for threads in (1, 4):
        more = project(large, (64, 64), threads, DENSITY) - project(small, (64, 64), threads, DENSITY)
        assert threads * pixels.nbytes * 0.99 <= more <= threads * pixels.nbytes * 2
    assert (small.unit, large.unit) == ((64, 64), (2048, 2048))


@pytest.mark.parametrize("kind", ["Zarr in memory", "Zarr", "Dask"])
def test_a_chunk_is_decoded_whole(tmp_path: Path, kind: str) -> None:
    """One giant chunk counts once in each process if it is kept, and else for each thread."""
    shape, chunk = (8192, 8192, 3), 3 * 8192**2
    store: Any = {} if kind == "Zarr in memory" else tmp_path / "x.zarr"
    array = zarr.create_array(store, shape=shape, chunks=shape, dtype="uint8")
    image = open_image(da.from_zarr(array) if kind == "Dask" else array)
    one, two = (project(image, (256, 256), threads, DENSITY) for threads in (1, 2))
    assert one >= 140 * 2**20 + chunk
    if kind == "Zarr":
        assert two - one < 2**26
        assert image.unit == (1, 1)
    else:
        assert two - one >= chunk
        assert image.unit == (8192, 8192)


def test_the_chunks_of_a_shard_are_decoded_at_once() -> None:
    """Zarr collects the chunks of a shard that a region touches, and its pixels, and then copies them."""
    options: dict[str, Any] = {"shape": (8192, 8192, 3), "dtype": "uint8"}
    chunked = zarr.create_array({}, chunks=(512, 512, 3), **options)
    sharded = zarr.create_array({}, chunks=(512, 512, 3), shards=(4096, 4096, 3), **options)
    block = 3 * 4096**2
    images = [open_image(array) for array in (chunked, sharded)]
    apart, together = (image.footprint((4096, 4096)).region for image in images)
    assert apart >= block
    assert block <= together - apart <= 3 * block
    assert project(images[1], (4096, 4096), 1, DENSITY) >= 140 * 2**20 + together
    assert [image.unit for image in images] == [(512, 512), (512, 512)]
    assert [image.tile for image in images] == [(512, 512), (4096, 4096)]


def test_programs_of_wide_models_count_for_each_thread() -> None:
    """The constants of full covariances over 64 channels take hundreds of megabytes, in each thread."""
    array = zarr.create_array({}, shape=(9999, 9999, 64), chunks=(64, 64, 64), dtype="uint8")
    wide = Density(random_mixture(8, 64, full=True))
    one, two = (project(open_image(array), (256, 256), threads, wide) for threads in (1, 2))
    assert two - one >= 8 * 64 * 63 // 2 * 8192


def test_tables_count_once() -> None:
    """A table of colours is the process's, not a thread's."""
    for threads in (1, 4):
        computed, looked_up = (
            project(ENDLESS, (1024, 1024), threads, DENSITY, engine=engine) for engine in ("numexpr", "table")
        )
        assert 2**26 <= looked_up - computed <= 2**26 + threads * 2**23


@pytest.mark.parametrize("threads", [1, 2])
def test_the_projection_is_no_less_than_what_blocks_hold(threads: int) -> None:
    """Pixels, results and what is being written of each block at once are all counted."""
    side = 4096
    needed = project(ENDLESS, (side, side), threads, DENSITY)
    assert needed >= threads * side * side * (3 + 4 + 4)
    assert needed <= 2**28 + threads * side * side * 32


def test_shards_that_are_held_until_they_are_sent() -> None:
    """Object storage takes whole shards: two of each block and level are in memory for each thread."""
    plain = project(ENDLESS, (256, 256), 2, DENSITY)
    held = project(ENDLESS, (256, 256), 2, DENSITY, holds_shards=True)
    assert held - plain == 2 * 2 * (256 * 256 * 4 * 21 // 16)


def test_making_further_levels_takes_less_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs that share a shard are read one after the other, in the task's own thread."""
    peaks: dict[str, list[int]] = {"run_task": [], "coarsen_task": []}

    def measured(name: str) -> Callable[..., Any]:
        task = getattr(execution, name)

        def measure(*arguments: Any) -> Any:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            finish = task(*arguments)
            peaks[name].append(tracemalloc.get_traced_memory()[1] - before)
            return finish

        return measure

    for name in peaks:
        monkeypatch.setattr(execution, name, measured(name))
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 2048, 1), dtype=np.uint8)
    quantities = {f"q{seed}": LogDensity(random_mixture(1, 1, seed=seed)) for seed in range(16)}
    tracemalloc.start()
    try:
        with dask.config.set(scheduler="synchronous"):
            stream(pixels, quantities, tmp_path / "out.zarr", block=256, progress="none")
    finally:
        tracemalloc.stop()
    assert (len(peaks["run_task"]), len(peaks["coarsen_task"])) == (64, 4)
    # The results of a block are in memory together, and those of a block of a coarser level aren't.
    n_bytes = len(quantities) * 256 * 256 * 4
    assert min(peaks["run_task"]) > n_bytes
    assert max(peaks["coarsen_task"]) < 0.75 * n_bytes
