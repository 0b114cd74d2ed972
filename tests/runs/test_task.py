"""Tasks: what the task of one block writes, and what it reports."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from references import random_mixture

from pipeline import Density, Label, LogDensity, Mixture, Packed, Posterior, evaluate, open_image
from pipeline.compute.coarsening import coarsen
from pipeline.compute.summarizing import Totals
from pipeline.images.grid import Block, Grid
from pipeline.models.output import make_outputs
from pipeline.runs import task
from pipeline.runs.task import Done, Job, coarsen_task, run_task
from pipeline.stores.disk import Draft
from pipeline.stores.local import LocalStore
from pipeline.testing.filling import make_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES: dict[str, Quantity | Packed] = {
    "density": Density(random_mixture(2, 3)),
    "packed": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}
SHAPE = (70, 90)
GRID = Grid(SHAPE, (32, 32), (16, 16))


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo."""
    return photo[100:170, 200:290]


def make_job(directory: Path, quantities: dict[str, Quantity | Packed], engine: str = "numexpr") -> Job:
    """Create a store of blocks of 32 x 32."""
    outputs = make_outputs(quantities)
    store = LocalStore(directory)
    store.create(make_record(outputs=outputs, grid=GRID))
    return Job(store, outputs, {output.name: engine for output in outputs})


def task_of(job: Job, part: Any, block: Block, zones: Any = None) -> Callable[[], Done]:
    """Run the task of a block, with its coarser levels."""
    return run_task(job, part, block, GRID.coarser(0, block.index), zones)


def test_a_task_writes_the_outputs_that_are_missing(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """A task writes the outputs that its block lacks, and reports how many pixels and bytes it wrote."""
    block, opened = GRID[2, 2], open_image(image)
    job = make_job(tmp_path / "out.zarr", QUANTITIES)
    directory = tmp_path / "out.zarr"
    assert not task_of(job, opened.part(block.region), block)().is_kept
    shards = {path: path.read_bytes() for path in directory.glob("**/[0-9]/*/c/**/*") if path.is_file()}
    assert sorted(path.relative_to(directory).as_posix() for path in shards) == [
        *(f"{level}/image/c/0/2/2" for level in range(3)),
        *(f"labels/label/{level}/label/c/2/2" for level in range(3)),
        *(f"packed/packed/{level}/packed/c/0/2/2" for level in range(3)),
    ]
    lost = [directory / "labels/label/0/label/c/2/2", directory / "packed/packed/0/packed/c/0/2/2"]
    lost[0].unlink()
    lost[1].write_bytes(b"damaged")
    done = task_of(job, opened.part(block.region), block)()
    assert {path: path.read_bytes() for path in shards} == shards
    assert done.pixels == 6 * 26
    assert done.n_bytes == sum(len(shards[path]) for path in lost)
    assert done.memory > 2**20
    assert not done.is_kept


def test_a_whole_block_is_not_read(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """A task leaves a block as it is whose shards are all there."""
    block = GRID[0, 1]
    job = make_job(tmp_path / "out.zarr", QUANTITIES)
    task_of(job, open_image(image).part(block.region), block)()
    unreadable: Any = None
    done = task_of(job, unreadable, block)()
    assert (done.pixels, done.n_bytes, done.is_kept) == (32 * 32, 0, True)


def test_a_task_counts_what_it_keeps(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """The summary is the same whether shards are computed, kept in part or kept, and knows the zones."""
    block, opened = GRID[2, 1], open_image(image)
    job = make_job(tmp_path / "out.zarr", QUANTITIES)
    zones = open_image(np.arange(70 * 90).reshape(70, 90) % 3).source.part(block.region)
    totals = []
    for lost in (
        (),
        ("labels/label/0/label/c/2/1",),
        ("0/image/c/0/2/1", "packed/packed/0/packed/c/0/2/1"),
        (),
    ):
        for path in lost:
            (tmp_path / "out.zarr" / path).unlink()
        done = task_of(job, opened.part(block.region), block, zones)()
        assert {name: counts.sum() for name, (_, counts) in done.summary.bins.items()} == dict.fromkeys(
            ("density", "packed a", "packed b", "label"), 6 * 32
        )
        totals.append(Totals(job.outputs))
        totals[-1].add(done.summary)
    summaries = [total.result(6 * 32, None) for total in totals]
    assert summaries[1:] == summaries[:1] * 3
    assert [zone.name for zone in summaries[0].zones] == ["1", "2"]
    assert task_of(job, opened.part(block.region), block)().summary.zones.keys().isdisjoint({("", 1)})


@pytest.mark.parametrize("has_numba", [True, False])
def test_a_loop_counts_where_numba_is(
    tmp_path: Path, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, has_numba: bool
) -> None:
    """A worker without Numba counts without it, although the run that sent the task has it."""
    called = []
    monkeypatch.setattr(task, "can_compile", lambda: has_numba)
    monkeypatch.setattr(task, "summarize_block", lambda *_, compiled: called.append(compiled))
    for counts_by_loop in (True, False):
        job = replace(
            make_job(tmp_path / f"{counts_by_loop}.zarr", QUANTITIES), counts_by_loop=counts_by_loop
        )
        task_of(job, open_image(image).part(GRID[0, 0].region), GRID[0, 0])()
    assert called == [has_numba, False]


@pytest.mark.parametrize("engine", ["numexpr", "table"])
@pytest.mark.parametrize("kind", ["mask", "alpha", "no_data"])
def test_errors_are_those_of_pixels_with_data(
    tmp_path: Path, image: NDArray[np.uint8], engine: str, kind: str
) -> None:
    """The recorded error is the largest one of the stored pixels, whatever the background is."""
    image = np.maximum(image, 60)
    image[20:50, 20:70] = image[60:] = 0
    valid = (image != 0).any(axis=-1)
    sources: dict[str, tuple[Any, dict[str, Any]]] = {
        "mask": (image, {"mask": valid}),
        "alpha": (np.dstack([image, valid.astype(np.uint8)]), {"mask": "alpha"}),
        "no_data": (image, {"no_data": 0}),
    }
    quantity = LogDensity(Mixture([1], [[150, 150, 150]], [[500, 500, 500]]))
    exact: Any = evaluate(image, quantity, dtype="float64")
    # Black is farther below the range than any stored pixel is from its integer.
    packed = Packed(quantity, "uint8", exact[valid].min(), exact[valid].max())
    codes = np.empty(SHAPE, np.uint8)
    errors = packed.encoding.encode(exact, codes)
    assert errors[~valid].max() > 2 * errors[valid].max() > 0
    codes[~valid] = 255
    job = make_job(tmp_path / "out.zarr", {"packed": packed}, engine)
    source, options = sources[kind]
    opened = open_image(source, **options).fitted(3, None)
    for block in GRID.blocks():
        task_of(job, opened.part(block.region), block)()
    recorded = job.store.largest_errors(job.layers)["packed"]
    assert recorded == pytest.approx(errors[valid].max(), rel=1e-6)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr", path="0/image", mode="r")[0], codes)


def test_shards_are_published_when_a_task_is_finished(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Until then the block isn't in the store, and what isn't published in the end is discarded."""
    block = GRID[0, 1]
    job = make_job(tmp_path / "out.zarr", QUANTITIES)
    publish = task_of(job, open_image(image).part(block.region), block)
    assert {fault.kind for fault in job.store.check_block(job.layers, block.index)} == {"missing"}
    publish()
    assert job.store.check_block(job.layers, block.index) == []


def test_levels_are_made_of_what_is_stored(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Each level is made of the one below, by the task of a block or of a block of a coarser level."""
    job, opened = make_job(tmp_path / "out.zarr", QUANTITIES), open_image(image)
    for block in GRID.blocks():
        task_of(job, opened.part(block.region), block)()
    assert [level for level, _ in GRID.tiers()] == [0, 2]
    for level, tier in list(GRID.tiers())[1:]:
        for block in tier.blocks():
            assert coarsen_task(job, level, block, GRID.coarser(level, block.index))() > 0
            assert coarsen_task(job, level, block, GRID.coarser(level, block.index))() == 0
    for layer in job.layers:
        stored = [np.asarray(job.store.open_level(layer, level)) for level in range(GRID.n_levels)]
        planes = [array.reshape(-1, *array.shape[-2:]) for array in stored]
        for finer, coarser in pairwise(planes):
            for output in layer.outputs:
                part = layer.planes_of(output)
                np.testing.assert_array_equal(coarsen(output, finer[part]), coarser[part])


@pytest.mark.parametrize("lost", ["1/image/c/0/2/1", "packed/packed/2/packed/c/0/2/1"])
def test_a_lost_level_is_made_of_the_stored_block(
    tmp_path: Path, image: NDArray[np.uint8], lost: str
) -> None:
    """The image isn't read again for a coarser level, and what was whole isn't written again."""
    block, job = GRID[2, 1], make_job(tmp_path / "out.zarr", QUANTITIES)
    task_of(job, open_image(image).part(block.region), block)()
    files = {file: file.read_bytes() for file in (tmp_path / "out.zarr").rglob("*") if file.is_file()}
    times = {file: file.stat().st_mtime_ns for file in files}
    (tmp_path / "out.zarr" / lost).unlink()
    unreadable: Any = None
    done = task_of(job, unreadable, block)()
    assert not done.is_kept
    assert {file: file.read_bytes() for file in files} == files
    changed = [file for file in files if file.stat().st_mtime_ns != times[file]]
    assert changed == [tmp_path / "out.zarr" / lost]


@pytest.mark.parametrize("step", ["write_block", "publish"])
def test_a_task_that_fails_leaves_no_other_file(
    tmp_path: Path, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """If one shard can't be written or published, nothing is left of those that weren't published."""
    block, calls = GRID[0, 1], []
    job = make_job(tmp_path / "out.zarr", QUANTITIES)
    before = set((tmp_path / "out.zarr").rglob("*"))
    owner: Any = LocalStore if step == "write_block" else Draft
    original = getattr(owner, step)

    def fail_second(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("the disk is gone")
        return original(*arguments, **options)

    monkeypatch.setattr(owner, step, fail_second)
    with pytest.raises(OSError, match="the disk is gone"):
        task_of(job, open_image(image).part(block.region), block)()
    new = {path for path in set((tmp_path / "out.zarr").rglob("*")) - before if path.is_file()}
    assert len(new) == (step == "publish")
    assert not [path for path in new if path.suffix == ".partial"]
