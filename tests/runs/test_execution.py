"""Execution: the stored values of every kind of source, and each block computed once."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import cv2
import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture
from runs.disturbed import (
    QUANTITIES,
    assert_same,
    at_block,
    begin,
    files_of,
    resume_with,
)

from pipeline import (
    Density,
    Mixture,
    compute_densities,
    open_image,
    open_result,
    plan,
    stream,
    verify,
)
from pipeline.runs import execution
from pipeline.runs.receipt import read_receipt
from pipeline.runs.task import run_task
from pipeline.runs.threads import Threads
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Written


def sources(tiff: Path, photo: NDArray[np.uint8]) -> dict[str, Any]:
    """Give the same photo as every kind of image that a run takes."""
    png = tiff.with_name("photo.png")
    cv2.imwrite(str(png), photo[..., ::-1])
    array = zarr.create_array(tiff.with_name("photo.zarr"), data=photo, chunks=(100, 100, 3))
    return {
        "TIFF": tiff,
        "PNG": os.fspath(png),
        "NumPy": photo,
        "strided NumPy": np.asfortranarray(photo),
        "Dask": open_image(tiff).to_dask(200),
        "Dask of NumPy": da.from_array(photo, chunks=(77, 300, 2)),
        "Zarr": array,
    }


def test_every_source_gives_the_same_store(tiff: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Files, NumPy, Dask and Zarr arrays stream to what compute_densities gives."""
    wanted = compute_densities(photo, skin)
    for kind, source in sources(tiff, photo).items():
        receipt = stream(source, Density(skin), tiff.with_name(f"{kind}.zarr"), block=256, progress="none")
        assert (receipt.pixels, receipt.blocks, receipt.engine) == (512 * 512, 4, "numpy"), kind
        np.testing.assert_array_equal(open_result(receipt.store)["density"], wanted, err_msg=kind)


def test_every_source_on_a_cluster(
    tiff: Path, photo: NDArray[np.uint8], skin: Mixture, processes: Client
) -> None:
    """Two worker processes write the same store."""
    wanted = compute_densities(photo, skin)
    for kind, source in sources(tiff, photo).items():
        receipt = stream(
            source,
            Density(skin),
            tiff.with_name(f"{kind}.zarr"),
            block=200,
            progress="none",
            client=processes,
        )
        assert receipt.blocks == 9
        np.testing.assert_array_equal(open_result(receipt.store)["density"], wanted, err_msg=kind)


@settings(max_examples=25)
@given(
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    st.tuples(*[st.integers(1, 10).map(lambda quarter: 4 * quarter)] * 2),
    st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_every_pixel_is_written_once(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], block: tuple[int, int], dtype: str
) -> None:
    """Odd sizes, one pixel, thin and empty images: each pixel is of one task, and each shard too."""
    mixture = random_mixture(2, 3)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(dtype)
    store = tmp_path_factory.mktemp("run") / "out.zarr"
    times, shards = np.zeros(shape, int), []
    lock, write = threading.Lock(), LocalStore.write_block

    def note(self: LocalStore, layer: Layer, block: Block, *more: Any, **options: Any) -> Written:
        if options.get("level"):
            return write(self, layer, block, *more, **options)
        height, width = self.read_record().grid.block
        with lock:
            times[block.region] += 1
            corners = itertools.product(*((part.start, part.stop - 1) for part in block.region))
            shards.extend({(row // height, column // width) for row, column in corners})
        return write(self, layer, block, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "write_block", note)
        receipt = stream(image, Density(mixture), store, block=block, progress="none")
    assert receipt.pixels == shape[0] * shape[1]
    assert (times == 1).all()
    assert len(shards) == len(set(shards)) == receipt.blocks
    np.testing.assert_array_equal(open_result(store)["density"], compute_densities(image, mixture))


def test_several_quantities_in_one_pass(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Each is stored under its name, and the store records the models."""
    other = random_mixture(3, 3)
    quantities = {"skin": Density(skin), "other-1": Density(other, normalized=False)}
    stream(photo, quantities, tmp_path / "out.zarr", progress="none")
    results = open_result(tmp_path / "out.zarr")
    np.testing.assert_array_equal(results["skin"], compute_densities(photo, skin))
    np.testing.assert_array_equal(results["other-1"], compute_densities(photo, other, normalized=False))


def test_channels_follow_the_model(tiff: Path, photo: NDArray[np.uint8]) -> None:
    """A file is opened in the order of the mixture's channels, whichever that is."""
    weights, means, variances = [1.0], [[100.0, 150.0, 200.0]], [[900.0, 1600.0, 2500.0]]
    for names, order in (
        ("red green blue", [0, 1, 2]),
        ("blue green red", [2, 1, 0]),
        ("green red blue", [1, 0, 2]),
    ):
        mixture = Mixture(weights, means, variances, names.split())
        store = tiff.with_name(f"{names}.zarr")
        stream(tiff, Density(mixture), store, progress="none")
        np.testing.assert_array_equal(
            open_result(store)["density"], compute_densities(photo[..., order], mixture), err_msg=names
        )


def test_a_result_may_be_made_from_the_one_it_replaces(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture
) -> None:
    """What a lazy image reads of the old result is there until the new one is whole."""
    store = tmp_path / "out.zarr"
    stream(photo, Density(skin), store, progress="none")
    old = open_result(store)["density"]
    image = da.stack([old, old, old], axis=-1)
    wanted = compute_densities(np.asarray(image), skin)
    stream(image, Density(skin), store, progress="none", overwrite=True)
    np.testing.assert_array_equal(open_result(store)["density"], wanted)


def test_blocks_in_flight_are_bounded(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more blocks are at work than there are threads, and each is done once."""
    lock, now, most, seen = threading.Lock(), 0, 0, []

    def watched(*task: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            seen.append(task[2].index)
        try:
            return run_task(*task)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(execution, "run_task", watched)
    with dask.config.set(num_workers=3):
        stream(photo, Density(skin), tmp_path / "out.zarr", block=64, progress="none")
    assert 1 < most <= 3
    assert len(seen) == len(set(seen)) == 64


def test_one_thread_with_the_synchronous_scheduler(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's setting for debugging gives one block at a time."""
    slots = []
    monkeypatch.setattr(Threads, "slots", property(lambda self: slots.append(self.threads) or self.threads))
    with dask.config.set(scheduler="synchronous"):
        stream(photo, Density(skin), tmp_path / "out.zarr", block=256, progress="none")
    assert set(slots) == {1}


def test_of_finished_blocks_nothing_is_read(
    tmp_path: Path, small: Path, undisturbed: Path, reads: list[tuple[int, int]]
) -> None:
    """A resumed run reads exactly the blocks that are missing, once each; a finished one reads nothing."""
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt):
        stream(small, QUANTITIES, store, block=16, progress=at_block(8, KeyboardInterrupt()))
    missing = {fault.block for fault in verify(store, progress="none").missing if fault.level == 0}
    assert len(missing) >= 4
    reads.clear()
    receipt = resume_with(small, store)
    assert sorted(reads) == sorted((16 * row, 16 * column) for row, column in missing)
    assert receipt.kept_blocks == 16 - len(missing)
    assert_same(store, undisturbed)
    before = files_of(store)
    reads.clear()
    receipt = resume_with(small, store)
    assert (reads, receipt.kept_blocks, receipt.bytes_written) == ([], 16, 0)
    assert files_of(store) == before


def test_of_a_block_only_what_is_missing_is_computed(
    tmp_path: Path, small: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one result of a block is missing, the others aren't computed or written again."""
    store, written, write = tmp_path / "out.zarr", [], LocalStore.write_block
    shutil.copytree(undisturbed, store)
    for name in ("labels/label/0/label/c/1/2", "packed/posterior/0/posterior/c/0/3/3"):
        (store / name).unlink()

    def note(self: LocalStore, layer: Layer, block: Block, *more: Any, **options: Any) -> Written:
        written.append((layer.name, block.index))
        return write(self, layer, block, *more, **options)

    monkeypatch.setattr(LocalStore, "write_block", note)
    resume_with(small, store)
    assert sorted(written) == [("label", (1, 2)), ("posterior", (3, 3))]
    assert_same(store, undisturbed)


def test_the_grid_of_a_begun_run_is_kept(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """Without a block, a resumed run takes the blocks that it began with, whatever the memory is now."""
    store = tmp_path / "out.zarr"
    begin(small, store)
    receipt = stream(small, QUANTITIES, store, progress="none", resume=True, memory_limit="8 GiB")
    assert receipt.blocks == 16
    assert_same(store, undisturbed)


def test_a_model_in_other_units_is_noticed(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Plan and receipt say what would suit a model of bytes that meets 16 bits; nothing where it suits."""
    wide = photo.astype(np.uint16)[:64, :64] * 257
    planned = plan(wide, Density(skin), tmp_path / "wide.zarr", block=32, progress="none")
    receipt = planned.execute()
    for told in (planned, receipt):
        assert "The model would suit them if you divide them by 257" in (told.warning or "")
        assert str(told.warning) in str(told)
    stored = read_receipt(tmp_path / "wide.zarr")
    assert stored is not None
    assert stored.warning == receipt.warning
    for image, options in ((photo[:64, :64], {}), (wide, {"mask": np.zeros((64, 64), bool)})):
        store = tmp_path / f"{len(options)}.zarr"
        planned = plan(image, Density(skin), store, block=32, progress="none", **options)
        assert (planned.warning, planned.execute().warning) == (None, None)
