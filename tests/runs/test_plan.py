"""Plans: what a run will do, known before it starts, with nothing written; and what would fit."""

from __future__ import annotations

import os
import re
import shutil
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
from dask.utils import parse_bytes
from references import random_mixture

from pipeline import (
    Density,
    Label,
    LogDensity,
    Packed,
    Plan,
    Posterior,
    Progress,
    open_result,
    plan,
    stream,
)
from pipeline.runs import memory as memory_module

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
DENSITY = Density(random_mixture(2, 3))
QUANTITIES: dict[str, Quantity] = {
    "density": DENSITY,
    "packed": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}


@pytest.fixture
def tiff(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """Give the photo as a tiled TIFF."""
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, photo, tile=(128, 128), compression="zlib", photometric="rgb")
    return path


def endless(side: int = 10**6) -> zarr.Array[Any]:
    """Give an image of a million squared pixels that has none of them."""
    return zarr.create_array(
        {}, shape=(side, side, 3), chunks=(1024, 1024, 3), shards=(4096, 4096, 3), dtype="uint8"
    )


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, whatever it has run before, have the memory of one that has just started."""
    memory = SimpleNamespace(rss=100 * 2**20)
    process = SimpleNamespace(memory_info=lambda: memory)
    monkeypatch.setattr(memory_module, "psutil", SimpleNamespace(Process=lambda: process))


def files_of(store: Path) -> dict[str, bytes]:
    """Read every file of a store but what records the run."""
    files = (file for file in store.rglob("*") if file.is_file() and file != store / "zarr.json")
    return {file.relative_to(store).as_posix(): file.read_bytes() for file in files}


def test_a_plan_of_every_source(tmp_path: Path, tiff: Path, photo: NDArray[np.uint8]) -> None:
    """Files, NumPy, Dask and Zarr arrays are planned, and executing a plan is what stream does."""
    array = zarr.create_array(tmp_path / "photo.zarr", data=photo, chunks=(100, 100, 3))
    sources = {"file": tiff, "numpy": photo, "dask": da.from_array(photo, chunks=(77, 300, 2)), "zarr": array}
    for kind, source in sources.items():
        before = sorted(tmp_path.rglob("*"))
        planned = plan(source, QUANTITIES, tmp_path / f"{kind}.zarr", block=256, progress="none")
        assert sorted(tmp_path.rglob("*")) == before
        assert (planned.tasks, planned.grid.shape, planned.grid.block) == (4, (512, 512), (256, 256))
        assert planned.seconds
        assert planned.seconds > 0
        receipt = planned.execute()
        assert (receipt.blocks, receipt.kept_blocks, receipt.pixels) == (4, 0, 512 * 512)
        assert receipt.store == planned.store == os.fspath(tmp_path / f"{kind}.zarr")
        stream(source, QUANTITIES, tmp_path / "wanted.zarr", block=256, progress="none", overwrite=True)
        assert files_of(tmp_path / f"{kind}.zarr") == files_of(tmp_path / "wanted.zarr"), kind


def test_options_are_streams(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A plan executes with the options that it was given."""
    store, events = tmp_path / "out.zarr", []
    mask = np.zeros((512, 512))
    mask[:300] = 1
    planned = plan(photo, DENSITY, store, block=128, mask=mask, no_data=0, progress=events.append)
    planned.execute()
    assert len(events) == 16
    assert np.isnan(open_result(store)["density"][300:]).all()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        planned.execute()
    assert (
        plan(photo, LogDensity(DENSITY.mixture), store, overwrite=True, progress="none").execute().blocks == 1
    )
    assert list(open_result(store)) == ["log-density"]
    with pytest.raises(TypeError, match=r"there is no option 'blocks'\. Did you mean block"):
        plan(photo, DENSITY, store, blocks=3)


def test_what_is_said(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A plan prints as lines, and as a table in a notebook, which nothing in a name can break."""
    planned = plan(photo, QUANTITIES, tmp_path / "<b>.zarr", block=128)
    lines = dict(line.split(": ", 1) for line in str(planned).splitlines())
    assert lines["image"] == "512 x 512 pixels (0.3 megapixels)"
    assert lines["blocks"] == "16 of 128 x 128, in chunks of 128 x 128"
    assert lines["engine of label"].startswith("numexpr (")
    assert re.fullmatch(r"[\d.]+ [GM]iB of [\d.]+ [GM]iB", lines["peak memory"])
    assert re.fullmatch(r"about [\d.]+ [kM]iB, [\d.]+ [TGM]iB free", lines["output"])
    assert re.fullmatch(r"about [\d.]+ (us|ms|s)", lines["time"])
    shown = planned._repr_html_()
    assert shown.startswith("<table><tr><th")
    assert "&lt;b&gt;.zarr" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == len(lines)
    warned = Plan(**{**vars(planned), "warning": "a < b"})._repr_html_()
    assert "<mark>a &lt; b</mark>" in warned
    assert "_job" not in repr(planned)
    assert repr(planned).startswith("Plan(store=")


def test_a_plan_without_a_probe_knows_less(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Where nothing was measured, the size is unknown, and there is no time."""
    planned = plan(photo, DENSITY, tmp_path / "out.zarr")
    unknown = Plan(**{**vars(planned), "output_bytes": None, "seconds": None})
    lines = dict(line.split(": ", 1) for line in str(unknown).splitlines())
    assert lines["output"].startswith("unknown, ")
    assert "time" not in lines
    unknown.validate()


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (1, 1, 3)])
def test_tiny_images(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    """An image of one pixel or none has a plan."""
    planned = plan(np.zeros(shape, np.uint8), QUANTITIES, tmp_path / "out.zarr", progress="none")
    assert planned.tasks == bool(shape[0] * shape[1])
    assert planned.execute().pixels == shape[0] * shape[1]


@pytest.mark.parametrize("kind", ["Zarr", "Dask", "masked"])
def test_an_image_without_end_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    """A plan of 10^12 pixels, and the run's first blocks, take memory for blocks, not for the image."""

    def end(event: Progress) -> None:
        if event.blocks == 3:
            raise KeyboardInterrupt

    tracemalloc.start()
    try:
        image: Any = endless()
        options: dict[str, Any] = {}
        if kind == "Dask":
            image = da.zeros((10**6, 10**6, 3), chunks=(4096, 4096, 3), dtype=np.uint8)
        elif kind == "masked":
            options["mask"] = zarr.create_array(
                {}, shape=(10**6, 10**6), chunks=(4096, 4096), dtype="bool", fill_value=True
            )
        planned = plan(image, DENSITY, tmp_path / "out.zarr", **options)
        assert planned.grid.n_pixels == 10**12
        assert planned.tasks == 245**2
        with dask.config.set(num_workers=1), pytest.raises(KeyboardInterrupt):
            stream(image, DENSITY, tmp_path / "out.zarr", block=256, progress=end, **options)
        # A table of all colours has 64 MiB; the results of the whole image would have 4 TB.
        assert tracemalloc.get_traced_memory()[1] < 160 * 2**20
    finally:
        tracemalloc.stop()
    assert len(list(tmp_path.glob("out.zarr.partial/0/image/c/0/*/*"))) >= 3


@pytest.mark.usefixtures("young")
def test_memory_chooses_the_blocks(tmp_path: Path) -> None:
    """With less memory the blocks are smaller, as large as fits, and the plan is within the limit."""
    image, sides = endless(10**5), []
    with dask.config.set(num_workers=2):
        for limit in ("8 GiB", "700 MiB", "450 MiB", "400 MiB", 380 * 2**20):
            planned = plan(image, LogDensity(DENSITY.mixture), tmp_path / "out.zarr", memory_limit=limit)
            assert planned.peak_memory <= planned.memory_limit == parse_bytes(limit)
            planned.validate()
            sides.append(planned.grid.block[0])
    assert sides[0] == 4096
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) >= 3


@pytest.mark.usefixtures("young")
def test_a_loop_counts_in_long_runs_that_have_the_memory(tmp_path: Path) -> None:
    """Results are counted by a compiled loop if the run is long, and if Numba fits the memory."""
    quantity, store = LogDensity(DENSITY.mixture), tmp_path / "out.zarr"
    planned = []
    with dask.config.set(num_workers=1):
        for side, limit in ((1000, "8 GiB"), (10**5, "8 GiB")):
            planned.append(plan(endless(side), quantity, store, block=512, memory_limit=limit))
        tight = planned[1].peak_memory - 2**20
        planned.append(plan(endless(10**5), quantity, store, block=512, memory_limit=tight))
    assert [one._job.counts_by_loop for one in planned] == [False, True, False]
    assert planned[2].peak_memory < tight


@pytest.mark.usefixtures("young")
def test_what_cant_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    """Too large a block, and too little memory at all, are refused; what the message advises does fit."""
    image, store = endless(10**5), tmp_path / "out.zarr"
    with dask.config.set(num_workers=2):
        limit = "400 MiB"
        refused = plan(image, DENSITY, store, block=4096, memory_limit=limit)
        message = (
            r"needs .* with blocks of 4096 x 4096 in 2 threads, and may use 400.00 MiB. Leave block out, or"
        )
        with pytest.raises(ValueError, match=message) as caught:
            refused.validate()
        with pytest.raises(ValueError, match=message):
            refused.execute()
        with pytest.raises(ValueError, match=message):
            stream(image, DENSITY, store, block=4096, memory_limit=limit)
        advised = re.search(r"block=\((\d+), (\d+)\): that needs ([\d.]+ MiB)", str(caught.value))
        assert advised
        block = (int(advised[1]), int(advised[2]))
        for options in ({}, {"block": block}):
            fitting = plan(image, DENSITY, store, memory_limit=limit, **options)  # type: ignore[arg-type]
            fitting.validate()
            assert fitting.grid.block == block
            assert fitting.peak_memory == pytest.approx(parse_bytes(advised[3]), rel=0.01)
    with dask.config.set(num_workers=8):
        least = r"The run takes at least ([\d.]+ MiB), with one thread: dask.config.set\(num_workers=1\)"
        with pytest.raises(ValueError, match=least) as caught:
            plan(image, DENSITY, store, memory_limit="330 MiB").validate()
        advised = re.search(least, str(caught.value))
        assert advised
    with dask.config.set(num_workers=1):
        plan(image, DENSITY, store, memory_limit=int(parse_bytes(advised[1]) * 1.01)).validate()
    assert list(tmp_path.iterdir()) == []


def test_a_giant_photo_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of a PNG of 14000 x 14000 in 300 MiB says that it can't fit, by the header alone."""
    content = np.zeros((14_000, 14_000, 3), np.uint8)
    cv2.imwrite(os.fspath(tmp_path / "giant.png"), content, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    monkeypatch.setattr(cv2, "imread", lambda *_: pytest.fail("the photo was decoded"))
    planned = plan(tmp_path / "giant.png", DENSITY, tmp_path / "out.zarr", memory_limit="300 MiB")
    assert planned.peak_memory > content.nbytes
    assert planned.seconds is planned.output_bytes is None
    assert "unknown" in str(planned)
    for refused in (
        planned.validate,
        lambda: stream(tmp_path / "giant.png", DENSITY, tmp_path / "out.zarr", memory_limit="300 MiB"),
    ):
        with pytest.raises(ValueError, match=r"may use 300.00 MiB. The run takes at least"):
            refused()
    assert [path.name for path in tmp_path.iterdir()] == ["giant.png"]


def test_blocks_are_no_smaller_than_what_is_decoded(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Where memory is short, blocks shrink to the tiles of an image, and not below."""
    tifffile.imwrite(
        tmp_path / "x.tif", np.tile(photo, (6, 6, 1)), tile=(1536, 1536), compression="lzw", photometric="rgb"
    )
    for limit in ("1 MiB", "8 GiB"):
        planned = plan(tmp_path / "x.tif", DENSITY, tmp_path / "out.zarr", memory_limit=limit)
        assert min(planned.grid.block) >= 1536
    with dask.config.set(num_workers=1):
        chunk = da.zeros((8192, 8192, 3), chunks=-1, dtype=np.uint8)
        assert plan(chunk, DENSITY, tmp_path / "out.zarr", memory_limit="64 GiB").grid.block == (8192, 8192)
        assert plan(chunk, DENSITY, tmp_path / "out.zarr", memory_limit="1 MiB").grid.block == (4096, 4096)


def test_twenty_outputs_say_which_have_no_table(tmp_path: Path) -> None:
    """The plan of a run that needs more tables than a process keeps gives the rest to the program."""
    quantities = {f"density{seed}": Density(random_mixture(3, 3, seed=seed)) for seed in range(20)}
    planned = plan(endless(10**5), quantities, tmp_path / "out.zarr", memory_limit="64 GiB")
    computed = [engine for engine in planned.engines.values() if engine.startswith("numba")]
    assert computed == ["numba (its table doesn't fit the 1024 MiB of tables that a process keeps)"] * 4
    assert planned.peak_memory > 2**30


def test_a_disk_that_is_too_small(
    tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of more than the disk has is refused, by the disk where the store will be."""
    asked = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=100_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    planned = plan(photo, DENSITY, tmp_path / "deep" / "deeper" / "out.zarr")
    with pytest.raises(
        ValueError, match=r"store needs about .*, and .*out.zarr has 97.66 kiB free. Choose anot"
    ):
        planned.validate()
    with pytest.raises(ValueError, match="Choose another disk, or pack the results"):
        planned.execute()
    assert asked == [tmp_path]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", ["lots", 0, -1, "0", "-2GiB", 0.4, []])
def test_limits_that_are_none(tmp_path: Path, photo: NDArray[np.uint8], limit: Any) -> None:
    """A limit that isn't a size is refused by what it is."""
    with pytest.raises(
        ValueError, match=rf"memory_limit is {re.escape(repr(limit))}; wanted bytes, or a size"
    ):
        plan(photo, DENSITY, tmp_path / "out.zarr", memory_limit=limit)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": "none.tif"}, FileNotFoundError, "none.tif"),
        ({"image": np.zeros((4, 5, 2))}, ValueError, "the image has 2 channels"),
        ({"image": np.zeros((4, 5, 3), complex)}, ValueError, "dtype complex128"),
        ({"quantities": {}}, ValueError, "got no quantities"),
        ({"block": 4099}, ValueError, "no chunk of"),
        ({"progress": "loud"}, ValueError, "progress is 'loud'"),
        ({"on_error": "ignore"}, ValueError, "on_error is 'ignore'; wanted one of raise, skip"),
        ({"resume": True, "overwrite": True}, ValueError, "got both resume and overwrite"),
        ({"store": "hdfs://bucket/out.zarr"}, ValueError, "results aren.t written to such a URL"),
    ],
)
def test_what_a_run_refuses_a_plan_refuses(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A plan of a run that can't start gets the error that the run would."""
    arguments: dict[str, Any] = {
        "image": np.zeros((4, 5, 3)),
        "quantities": DENSITY,
        "store": tmp_path / "out.zarr",
        **change,
    }
    for start in (plan, stream):
        with pytest.raises(error, match=message):
            start(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_no_input(tmp_path: Path, tiff: Path, photo: NDArray[np.uint8]) -> None:
    """Neither the image, nor the mask, nor anything within them or around them is an output."""
    group = zarr.create_group(tmp_path / "images.zarr")
    image = group.create_array("photo", data=photo, chunks=(100, 100, 3))
    mask = group.create_array("mask", data=photo[..., 0], chunks=(100, 100))
    grey = tmp_path / "grey.tif"
    tifffile.imwrite(grey, photo[..., 0], photometric="minisblack")
    before = files_of(tmp_path)
    for source, options, store in (
        (tiff, {}, tiff),
        (tiff, {}, tmp_path),
        (image, {}, tmp_path / "images.zarr" / "photo"),
        (image, {}, tmp_path / "images.zarr" / "photo" / "c"),
        (image, {}, tmp_path / "images.zarr"),
        (image, {}, tmp_path / "images.zarr" / "densities"),
        (photo, {"mask": grey}, grey),
        (tiff, {"mask": mask}, tmp_path / "images.zarr" / "mask"),
        (photo, {"zones": grey}, grey),
        (tiff, {"zones": mask}, tmp_path / "images.zarr" / "mask"),
    ):
        for start in (plan, stream):
            with pytest.raises((ValueError, FileExistsError), match=r"[cC]hoose another output"):
                start(source, DENSITY, store, overwrite=True, **options)
    assert files_of(tmp_path) == before


def test_a_plan_refuses_what_exists(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A plan, as a run, refuses a store, whole or not, unless it may be overwritten or resumed."""

    def end(_: Progress) -> None:
        raise KeyboardInterrupt

    store, options = tmp_path / "out.zarr", {"block": 256, "progress": "none"}
    with pytest.raises(KeyboardInterrupt):
        stream(photo, DENSITY, store, block=256, progress=end)
    for message in (
        "that was interrupted, or that is still at work",
        r"out.zarr exists. Choose another output",
    ):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(FileExistsError, match=message):
            plan(photo, DENSITY, store, **options)
        plan(photo, DENSITY, store, overwrite=True, **options)
        planned = plan(photo, DENSITY, store, resume=True, **options)
        assert sorted(tmp_path.rglob("*")) == before
        planned.execute()
