"""Runs: the stored values, every kind of source, and whatever ends a run: it goes on where it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture, scipy_density

from pipeline import (
    Density,
    Label,
    LogDensity,
    Mixture,
    Packed,
    Posterior,
    Progress,
    compute_densities,
    executors,
    job,
    load_model,
    open_image,
    open_result,
    run,
    stream,
    verify,
)
from pipeline.runs.plan import resume
from pipeline.runs.execution import Options, read_receipt
from pipeline.images.tiff import ImageFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forked import Running, Server
    from numpy.typing import NDArray

    from pipeline.images.grid import Grid
    from pipeline.models.quantity import Quantity


SKIN, OTHER = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
CLASSES = {"skin": SKIN, "other": OTHER}
# And the same for the command.
QUANTITIES: dict[str, Quantity] = {
    "density": Density(SKIN),
    "posterior": Packed(Posterior(CLASSES, {"skin": 1, "other": 3}), "uint8"),
    "label": Label(CLASSES, {"skin": 1, "other": 3}),
}
ASKED = (
    *("--density", "jones-rehg-skin"),
    *("--posterior", "skin=jones-rehg-skin", "--posterior", "other=jones-rehg-nonskin"),
    *("--label", "skin=jones-rehg-skin", "--label", "other=jones-rehg-nonskin"),
    *("--prior", "skin=1", "--prior", "other=3", "--pack", "posterior=uint8", "--memory-limit", "8GiB"),
)


def files_of(store: Path) -> dict[str, tuple[bytes, int]]:
    """Read every file of a store but what records the run, with the time when it was written."""
    files = (file for file in store.rglob("*") if file.is_file() and file != store / "zarr.json")
    return {
        file.relative_to(store).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns) for file in files
    }


def assert_same(store: Path, undisturbed: Path) -> None:
    """Compare two stores file by file, byte for byte; no other file is there, nor beside the store."""
    got, wanted = files_of(store), files_of(undisturbed)
    assert got.keys() == wanted.keys()
    assert [name for name in got if got[name][0] != wanted[name][0]] == []
    assert list(store.parent.glob(f"{store.name}.*")) == []


@pytest.fixture
def tiff(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """Give the photo as a tiled BigTIFF."""
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, photo, tile=(128, 128), bigtiff=True, compression="zlib", photometric="rgb")
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> Path:
    """Give the store of an undisturbed run, in 4 x 4 blocks, beside the image that it is of."""
    folder = tmp_path_factory.mktemp("undisturbed")
    tifffile.imwrite(
        folder / "small.tif",
        photo[100:158, 200:260],
        tile=(16, 16),
        compression="zlib",
        photometric="rgb",
    )
    stream(folder / "small.tif", QUANTITIES, folder / "out.zarr", block=16, progress="none")
    return folder / "out.zarr"


@pytest.fixture
def small(undisturbed: Path) -> Path:
    """Give the image of the undisturbed run."""
    return undisturbed.with_name("small.tif")


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
        "Dask": open_image(tiff, block=200),
        "Dask of NumPy": da.from_array(photo, chunks=(77, 300, 2)),
        "Zarr": array,
    }


def test_every_source_gives_the_same_store(tiff: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Files, NumPy, Dask and Zarr arrays stream to what compute_densities gives."""
    wanted = compute_densities(photo, skin)
    for kind, source in sources(tiff, photo).items():
        receipt = stream(source, Density(skin), tiff.with_name(f"{kind}.zarr"), block=256, progress="none")
        assert (receipt.pixels, receipt.blocks, receipt.engine) == (512 * 512, 4, "numexpr"), kind
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


def test_the_current_client_is_used(
    tiff: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is open runs the blocks, as in any Dask computation; no thread of this process does."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a local pool")

    monkeypatch.setattr(executors, "ThreadPoolExecutor", refuse)
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"):
        stream(tiff, Density(skin), tiff.with_name("out.zarr"), block=256, progress="none")
    with pytest.raises(AssertionError, match="a local pool"):
        stream(tiff, Density(skin), tiff.with_name("other.zarr"), block=256, progress="none")
    np.testing.assert_array_equal(
        open_result(tiff.with_name("out.zarr"))["density"], compute_densities(photo, skin)
    )


def set_on_fire(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
    """Fail of one block of a Dask image."""
    if block_info and block_info[0]["chunk-location"][:2] == (1, 0):
        raise OSError("the scanner is on fire")
    return block


def resume_with(image: Any, store: Path, **options: Any) -> run.Receipt:
    """Go on with a run of all quantities, in blocks of 16."""
    return stream(image, QUANTITIES, store, block=16, progress="none", resume=True, **options)


def at_block(number: int, error: BaseException) -> Callable[[Progress], None]:
    """Make a listener that raises once so many blocks are done."""

    def listen(event: Progress) -> None:
        if event.blocks == number:
            raise error

    return listen


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Collect the corners of what is read of image files."""
    corners = []
    read = ImageFile.__getitem__

    def note(file: ImageFile, region: Any) -> Any:
        corners.append((region[0].start, region[1].start))
        return read(file, region)

    monkeypatch.setattr(ImageFile, "__getitem__", note)
    return corners


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
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
    lock, write = threading.Lock(), job.write_block

    def note(path: Path, name: str, grid: Grid, index: tuple[int, int], values: Any, **more: Any) -> int:
        with lock:
            times[grid.region(index)] += 1
            rows, columns = grid.region(index)
            corners = ((rows.start, columns.start), (rows.stop - 1, columns.stop - 1))
            shards.extend({(row // grid.block[0], column // grid.block[1]) for row, column in corners})
        return write(path, name, grid, index, values, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "write_block", note)
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


def test_the_receipt_is_kept(tiff: Path, skin: Mixture) -> None:
    """The store holds what the run returned."""
    store = tiff.with_name("out.zarr")
    receipt = stream(tiff, Density(skin), store, block=256, progress="none")
    assert read_receipt(store) == receipt
    stored = sum(path.stat().st_size for path in (store / "density" / "0" / "c").rglob("*") if path.is_file())
    assert receipt.bytes_written == stored
    assert receipt.seconds > 0
    assert 2**20 < receipt.peak_memory < 2**36
    assert "0.3 megapixels in" in str(receipt)


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
    do_block = executors.do_block

    def watched(*task: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            seen.append(task[2])
        try:
            return do_block(*task)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(executors, "do_block", watched)
    with dask.config.set(num_workers=3):
        stream(photo, Density(skin), tmp_path / "out.zarr", block=64, progress="none")
    assert 1 < most <= 3
    assert len(seen) == len(set(seen)) == 64


def test_one_thread_with_the_synchronous_scheduler(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's setting for debugging gives one block at a time."""
    windows = []
    original = run._windowed

    def spy(*arguments: Any) -> Any:
        windows.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(run, "_windowed", spy)
    with dask.config.set(scheduler="synchronous"):
        stream(photo, Density(skin), tmp_path / "out.zarr", block=256, progress="none")
    assert windows == [1]


def test_a_failing_block_names_itself(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The error says which block of which region failed and why, and how to go on; the old store stays."""
    image = da.from_array(photo, chunks=(256, 256, 3)).map_blocks(set_on_fire, dtype=np.uint8)
    store = tmp_path / "out.zarr"
    message = r"block \(1, 0\) of the image, rows 256 to 512, columns 0 to 256: the scanner is on fire"
    with pytest.raises(OSError, match=message) as caught:
        stream(image, Density(skin), store, block=256, progress="none")
    assert len(caught.value.__notes__) == 1
    assert caught.value.__notes__[0].endswith(f"resume=True, or: mixture-pipeline resume {store}")
    assert not store.exists()
    stream(photo, Density(skin), store, progress="none", overwrite=True)
    with pytest.raises(OSError, match=message):
        stream(image, Density(skin), store, block=256, progress="none", overwrite=True)
    np.testing.assert_array_equal(open_result(store)["density"], compute_densities(photo, skin))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (KeyError("here"), RuntimeError),
        (MemoryError(), RuntimeError),
        (ValueError("bad"), ValueError),
        (PermissionError("no"), OSError),
    ],
    ids=repr,
)
def test_what_a_block_fails_of_is_told_apart(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, wanted: type[Exception]
) -> None:
    """An error keeps its kind and its cause, and one without words is named; the file is named too."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile, "__getitem__", fail)
    cause = str(error) or type(error).__name__
    message = rf"block \(0, 0\) of {small}, rows 0 to 16, columns 0 to 16: {cause}"
    with dask.config.set(num_workers=1), pytest.raises(wanted, match=message) as caught:
        stream(small, QUANTITIES, tmp_path / "out.zarr", block=16, progress="none")
    assert caught.value.__cause__ is error
    assert list(tmp_path.iterdir()) == []


def test_interruption_keeps_what_was_written(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Ctrl-C waits for the blocks at work, keeps all that are done and says how to go on."""
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt) as caught:
        stream(photo, Density(skin), store, block=64, progress=at_block(7, KeyboardInterrupt()))
    assert caught.value.__notes__ == [
        f"7 of 64 blocks are done. Go on with resume=True, or: mixture-pipeline resume {store}"
    ]
    found = verify(store, progress="none")
    assert not found.damaged
    assert len(found.missing) <= 57
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr.partial"]
    assert list(tmp_path.rglob("*.*.partial")) == [tmp_path / "out.zarr.partial"]
    assert read_receipt(store) is None
    receipt = stream(photo, Density(skin), store, block=64, progress="none", resume=True)
    assert receipt.kept_blocks == 64 - len(found.missing)
    np.testing.assert_array_equal(open_result(store)["density"], compute_densities(photo, skin))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": "none.tif"}, FileNotFoundError, "none.tif"),
        (
            {"image": np.zeros((4, 5))},
            ValueError,
            r"image is an array of shape \(4, 5\); wanted a path or an array",
        ),
        ({"image": 3}, ValueError, "image is 3; wanted a path"),
        ({"image": np.zeros((4, 5, 2))}, ValueError, "the image has 2 channels"),
        ({"quantities": {}}, ValueError, "no quantities"),
        ({"image": np.ma.masked_less(np.ones((4, 5, 3)), 2)}, TypeError, "masked array. Fill it"),
        ({"image": da.zeros((9, 5, 3))[da.arange(9) > 3]}, ValueError, "Call compute_chunk_sizes"),
        (
            {"quantities": random_mixture(1, 3)},
            TypeError,
            "quantities are .*wanted one, as Density",
        ),
        ({"quantities": {"a": random_mixture(1, 3)}}, TypeError, "the quantity 'a' is <Mixture: "),
        ({"quantities": {1: Density(random_mixture(1, 3))}}, ValueError, "named 1"),
        ({"block": 0}, ValueError, "block is 0"),
        ({"progress": "loud"}, ValueError, "progress is 'loud'"),
    ],
)
def test_what_is_refused_leaves_nothing(
    tmp_path: Path, skin: Mixture, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A run that can't start writes nothing."""
    arguments: dict[str, Any] = {
        "image": np.zeros((4, 5, 3)),
        "quantities": Density(skin),
        "progress": "none",
    }
    with pytest.raises(error, match=message):
        stream(store=tmp_path / "out.zarr", **(arguments | change))
    assert list(tmp_path.iterdir()) == []


def test_names_and_channel_orders_of_quantities(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture
) -> None:
    """A name can't be a path, and a file can't be opened in two orders at once."""
    with pytest.raises(ValueError, match=r"named '\.\./out'"):
        stream(photo, {"../out": Density(skin)}, tmp_path / "out.zarr")
    other = Mixture(skin.weights, skin.means, skin.covariances, ["blue", "green", "red"])
    with pytest.raises(ValueError, match="different channels: blue, green, red and red, green, blue"):
        stream("photo.tif", {"a": Density(skin), "b": Density(other)}, tmp_path / "out.zarr")


def shards_of(store: Path) -> dict[str, tuple[bytes, int]]:
    """Read the shards of a store, or of what a killed run left of it: what is there is whole."""
    partial = store.with_name(f"{store.name}.partial")
    files = files_of(partial if partial.exists() else store)
    return {name: file for name, file in files.items() if "/0/c/" in name and "partial" not in name}


@pytest.fixture
def duration(tmp_path: Path, small: Path, command: Server, monkeypatch: pytest.MonkeyPatch) -> float:
    """Give the seconds of a run that nothing disturbs, in the directory that the test works in."""
    monkeypatch.chdir(tmp_path)
    seconds = []
    # The first also reads what isn't in memory yet.
    for _ in range(2):
        started = time.perf_counter()
        done = command("run", os.fspath(small), "timed.zarr", *ASKED, "--block", "16", "--overwrite")
        assert done.returncode == 0, done.stderr
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def test_twenty_kills_at_random_moments(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, duration: float
) -> None:
    """Killed at any moment, then resumed, a run gives the same bytes, and keeps what it had written.

    Every other run replaces an older result, which is there until the new one is. Every third is killed once
    it has written something.
    """
    random = np.random.default_rng()
    kills = in_the_middle = 0
    while kills < 20:
        store = tmp_path / f"{kills}.zarr"
        if kills % 2:
            stream(np.zeros((4, 5, 3), np.uint8), LogDensity(SKIN), store, progress="none", overwrite=True)
        words = ("run", os.fspath(small), store.name, *ASKED, "--block", "16", "--overwrite")
        process = command.start(*words)
        if kills % 3:
            time.sleep(random.uniform(0, duration))
        else:
            wait_for_shards(process, store)
        process.end(signal.SIGKILL)
        if process.wait().returncode == 0:
            # It had ended by then.
            assert_same(store, undisturbed)
            shutil.rmtree(store)
            continue
        kills += 1
        if store.exists():
            # What is in its place is whole.
            assert verify_in_place(store)
        shards = shards_of(store)
        in_the_middle += 0 < len(shards) < 48
        try:
            resume_with(small, store)
        except ValueError as error:
            # It was killed before it began to replace the old one.
            assert kills % 2 == 0, error  # noqa: PT017  most kills raise nothing
            assert list(open_result(store)) == ["log-density"]
            stream(small, QUANTITIES, store, block=16, progress="none", overwrite=True)
        else:
            kept = shards_of(store)
            assert {name: kept[name] for name in shards} == shards
        assert_same(store, undisturbed)
    assert in_the_middle >= 5


def wait_for_shards(process: Running, store: Path) -> None:
    """Wait until a process has written a block of an unfinished store, or has ended."""
    while not process.has_ended() and not list(store.parent.glob(f"{store.name}.partial/label/0/c/*/*")):
        time.sleep(0.005)


def verify_in_place(store: Path) -> bool:
    """Tell whether all of a store in its place can be read, beside whatever is unfinished."""
    return all(np.asarray(result).size for result in open_result(store).values())


def test_kills_of_resumed_runs(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, duration: float
) -> None:
    """A run that is killed again and again as it is resumed by the command loses nothing that it had."""
    store = tmp_path / "out.zarr"
    words = ("run", os.fspath(small), "out.zarr", *ASKED, "--block", "16", "--resume")
    before: dict[str, tuple[bytes, int]] = {}
    for kill in range(6):
        process = command.start(*(("resume", "out.zarr") if before else words))
        time.sleep(duration * (0.3 + 0.05 * kill))
        process.end(signal.SIGKILL)
        process.wait()
        if not list(tmp_path.glob("out.zarr*")):
            continue
        now = shards_of(store)
        assert {name: now[name] for name in before} == before
        before = now
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert_same(store, undisturbed)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_process_ends_cleanly(
    tmp_path: Path,
    undisturbed: Path,
    small: Path,
    command: Server,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    status: int,
) -> None:
    """Ctrl-C ends the command with its status, a line that says how to go on, and no half-written file."""
    monkeypatch.chdir(tmp_path)
    process = command.start("run", os.fspath(small), "out.zarr", *ASKED, "--block", "16")
    wait_for_shards(process, tmp_path / "out.zarr")
    process.end(number)
    done = process.wait()
    assert done.returncode == status
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if number == signal.SIGINT:
        assert done.stderr.count("\n") == 1
        assert (
            "of 16 blocks are done. Go on with resume=True, or: mixture-pipeline resume out.zarr"
            in done.stderr
        )
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr.partial"]
    assert list(tmp_path.rglob("*.*.partial")) == [tmp_path / "out.zarr.partial"]
    found = verify(tmp_path / "out.zarr", progress="none")
    assert 0 < len(found.missing) < 48
    assert not found.damaged
    done = command("resume", "out.zarr")
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "out.zarr", undisturbed)


@pytest.mark.parametrize("largest", [1000, 15_000, 20_000])
def test_files_that_cant_grow(
    tmp_path: Path, command: Server, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """Where a file can't be written, at first or in the middle, a line says so, and the run goes on later."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    image[:128] = 0
    tifffile.imwrite("image.tif", image, photometric="rgb")
    stream("image.tif", Density(SKIN), "wanted.zarr", block=128, progress="none")
    words = ("run", "image.tif", "out.zarr", "--density", "jones-rehg-skin", "--block", "128")
    done = command(*words, largest_file=largest)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "File too large" in done.stderr
    assert not Path("out.zarr").exists()
    shards = shards_of(tmp_path / "out.zarr") if Path("out.zarr.partial").exists() else {}
    assert len(shards) == {1000: 0, 15_000: 2, 20_000: 2}[largest]
    assert list(tmp_path.rglob("*.*.partial")) == ([tmp_path / "out.zarr.partial"] if shards else [])
    assert ("block (1, " in done.stderr) == bool(shards)
    done = command(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{len(shards)} of them kept" in done.stdout or not shards
    assert_same(tmp_path / "out.zarr", tmp_path / "wanted.zarr")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk in memory, where that is permitted, and give a function that changes its size."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    words = [mount or "mount", "-t", "tmpfs", "tmpfs", os.fspath(place), "-o"]

    def resize(size: str) -> Path:
        subprocess.run([*words, f"remount,size={size}"], check=True)
        return place

    done = mount and subprocess.run([*words, "size=1m"], capture_output=True, check=False).returncode == 0
    if not done:
        pytest.skip("mounting a disk in memory isn't permitted here")
    yield resize
    subprocess.run([shutil.which("umount") or "umount", os.fspath(place)], check=True)


@pytest.mark.parametrize("size", ["4k", "36k", "120k", "180k"])
def test_a_full_disk(
    disk: Callable[[str], Path], small: Path, undisturbed: Path, command: Server, size: str
) -> None:
    """A run that fills the disk says so in a line, and goes on where it was once there is room."""
    store = disk(size) / "out.zarr"
    done = command("run", os.fspath(small), os.fspath(store), *ASKED, "--block", "16")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert not store.exists()
    partial = store.with_name("out.zarr.partial")
    assert list(disk(size).rglob("*.*.partial")) == ([partial] if partial.exists() else [])
    shards = shards_of(store) if partial.exists() else {}
    assert bool(shards) == (size in {"120k", "180k"})
    disk("10m")
    if shards:
        assert "block (" in done.stderr
        resumed = command("resume", os.fspath(store))
        assert resumed.returncode == 0, resumed.stderr
    else:
        resume_with(small, store)
    after = shards_of(store)
    assert {name: after[name] for name in shards} == shards
    assert_same(store, undisturbed)


def test_a_read_error_in_the_middle(
    tmp_path: Path, small: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that fails ends the run with its block, file and cause; once it doesn't, the run goes on."""
    store, read = tmp_path / "out.zarr", ImageFile.__getitem__

    def fail(file: ImageFile, region: Any) -> Any:
        if (region[0].start, region[1].start) == (32, 32):
            raise OSError(5, "Input/output error")
        return read(file, region)

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "__getitem__", fail)
        message = (
            rf"block \(2, 2\) of {small}, rows 32 to 48, columns 32 to 48: \[Errno 5\] Input/output error"
        )
        with pytest.raises(OSError, match=message):
            stream(small, QUANTITIES, store, block=16, progress="none")
    shards = shards_of(store)
    assert 24 <= len(shards) < 48
    receipt = resume(store)
    assert 0 < receipt.kept_blocks < 16
    after = shards_of(store)
    assert {name: after[name] for name in shards} == shards
    assert_same(store, undisturbed)


def test_skipped_blocks_are_recorded_and_mended(
    tmp_path: Path, small: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With on_error="skip" the run goes on, tells what it passed over, and can be mended later."""
    store, read, events = tmp_path / "out.zarr", ImageFile.__getitem__, []

    def fail(file: ImageFile, region: Any) -> Any:
        corner = (region[0].start, region[1].start)
        if corner in {(16, 32), (48, 48)}:
            raise OSError(5, "Input/output error")
        return read(file, region)

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "__getitem__", fail)
        receipt = stream(small, QUANTITIES, store, block=16, progress=events.append, on_error="skip")
    skipped = sorted(receipt.skipped, key=lambda one: one["block"])
    error = "[Errno 5] Input/output error"
    assert skipped == [
        {"block": [1, 2], "rows": [16, 32], "columns": [32, 48], "error": error},
        {"block": [3, 3], "rows": [48, 58], "columns": [48, 60], "error": error},
    ]
    assert "16 blocks, 2 of them skipped, " in str(receipt)
    assert (events[-1].blocks, events[-1].skipped, events[-1].pixels) == (16, 2, 3480)
    assert read_receipt(store) == receipt
    results = open_result(store)
    assert np.isnan(results["density"][16:32, 32:48]).all()
    assert np.isnan(results["posterior"][:, 16:32, 32:48]).all()
    assert (np.asarray(results["label"][48:, 48:]) == 255).all()
    wanted = open_result(undisturbed)
    for name in QUANTITIES:
        np.testing.assert_array_equal(results[name][..., :16, :], wanted[name][..., :16, :])
    mended = resume(store)
    assert (mended.kept_blocks, mended.skipped) == (14, [])
    assert_same(store, undisturbed)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Give the corners of the regions that can't be read of image files, none at first."""
    corners, read = set[tuple[int, int]](), ImageFile.__getitem__

    def fail(file: ImageFile, region: Any) -> Any:
        if (region[0].start, region[1].start) in corners:
            raise OSError(5, "Input/output error")
        return read(file, region)

    monkeypatch.setattr(ImageFile, "__getitem__", fail)
    return corners


def test_what_lacks_blocks_replaces_nothing(
    tmp_path: Path, small: Path, undisturbed: Path, broken: set[tuple[int, int]]
) -> None:
    """A run that skipped blocks leaves an older result alone, overwriting or resumed, until it is whole."""
    store, options = tmp_path / "out.zarr", {"block": 16, "progress": "none", "on_error": "skip"}
    stream(np.zeros((4, 5, 3), np.uint8), LogDensity(SKIN), store, progress="none")
    old = files_of(store)
    broken |= {(16, 32), (48, 48)}
    message = r"{} blocks failed, so .*out.zarr isn't replaced; the first was of \[Errno 5\] .*resume=True"
    with pytest.raises(RuntimeError, match=message.format(2)):
        stream(small, QUANTITIES, store, overwrite=True, **options)
    assert files_of(store) == old
    assert len(shards_of(store)) == 42
    broken.remove((16, 32))
    with pytest.raises(RuntimeError, match=message.format(1)):
        resume(store, on_error="skip")
    assert files_of(store) == old
    assert len(shards_of(store)) == 45
    assert not verify(tmp_path / "out.zarr.partial", progress="none").complete
    broken.clear()
    receipt = stream(small, QUANTITIES, store, resume=True, **options)
    assert (receipt.kept_blocks, receipt.skipped) == (15, [])
    assert_same(store, undisturbed)


def test_a_run_of_which_every_block_fails_replaces_nothing(
    tmp_path: Path, small: Path, undisturbed: Path, broken: set[tuple[int, int]]
) -> None:
    """When no block could be read, the older result is as it was, and nothing is beside it."""
    store, options = tmp_path / "out.zarr", {"block": 16, "progress": "none", "on_error": "skip"}
    shutil.copytree(undisturbed, store)
    old = files_of(store)
    broken |= {(row, column) for row in range(0, 58, 16) for column in range(0, 60, 16)}
    with pytest.raises(
        RuntimeError, match=r"16 blocks failed, so .*out.zarr isn't replaced; .* None is done"
    ):
        stream(small, QUANTITIES, store, overwrite=True, **options)
    assert files_of(store) == old
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]
    broken.clear()
    assert stream(small, QUANTITIES, store, resume=True, **options).kept_blocks == 16
    assert files_of(store) == old
    assert stream(small, QUANTITIES, store, overwrite=True, **options).kept_blocks == 0
    assert_same(store, undisturbed)


def test_of_finished_blocks_nothing_is_read(
    tmp_path: Path, small: Path, undisturbed: Path, reads: list[tuple[int, int]]
) -> None:
    """A resumed run reads exactly the blocks that are missing, once each; a finished one reads nothing."""
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt):
        stream(small, QUANTITIES, store, block=16, progress=at_block(8, KeyboardInterrupt()))
    missing = {fault.block for fault in verify(store, progress="none").missing}
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
    store, written, write = tmp_path / "out.zarr", [], job.write_block
    shutil.copytree(undisturbed, store)
    for name in ("label/0/c/1/2", "posterior/0/c/0/3/3"):
        (store / name).unlink()

    def note(path: Path, name: str, *more: Any, **options: Any) -> int:
        written.append((name, more[1]))
        return write(path, name, *more, **options)

    monkeypatch.setattr(job, "write_block", note)
    resume_with(small, store)
    assert sorted(written) == [("label", (1, 2)), ("posterior", (3, 3))]
    assert_same(store, undisturbed)


def test_the_recorded_error_is_of_all_blocks(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """The largest error of what is packed covers what an earlier run wrote."""
    wanted = read_receipt(undisturbed)
    assert wanted
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt):
        stream(small, QUANTITIES, store, block=16, progress=at_block(10, KeyboardInterrupt()))
    assert resume_with(small, store).largest_errors == wanted.largest_errors
    assert resume_with(small, store).largest_errors == wanted.largest_errors
    assert 0 < wanted.largest_errors["posterior"] <= 0.5 / 254 * 1.001
    packed = open_result(store)["posterior"]
    exact = compute_posterior(small)
    assert np.abs(np.asarray(packed) - exact).max() == pytest.approx(
        wanted.largest_errors["posterior"], abs=1e-6
    )


def compute_posterior(small: Path) -> NDArray[np.float64]:
    """Compute the posterior that the runs pack, without this package's."""
    pixels = np.asarray(open_image(small))
    chances = np.stack([scipy_density(pixels, SKIN), 3 * scipy_density(pixels, OTHER)])
    return np.asarray(chances / chances.sum(axis=0))


def begin(image: Any, store: Path, **options: Any) -> None:
    """Interrupt a run after a few blocks."""
    settled = {"quantities": QUANTITIES, "block": 16, **options}
    with pytest.raises(KeyboardInterrupt):
        stream(image, store=store, progress=at_block(5, KeyboardInterrupt()), **settled)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> dict[str, Path]:
    """Give an unfinished store and a finished one, of the same run."""
    folder, image = tmp_path_factory.mktemp("begun"), photo[100:158, 200:260]
    begin(image, folder / "unfinished.zarr")
    stream(image, QUANTITIES, folder / "finished.zarr", block=16, progress="none")
    return {kind: folder / f"{kind}.zarr" for kind in ("unfinished", "finished")}


@pytest.mark.parametrize("kind", ["unfinished", "finished"])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"quantities": {**QUANTITIES, "density": Density(OTHER)}}, "results density mixture weights"),
        (
            {"quantities": {**QUANTITIES, "density": Density(SKIN, normalized=False)}},
            "results density normalized",
        ),
        ({"quantities": {**QUANTITIES, "density": LogDensity(SKIN)}}, "results density quantity"),
        (
            {"quantities": {**QUANTITIES, "density": Packed(Density(SKIN), "float16")}},
            "results density packing",
        ),
        ({"quantities": {**QUANTITIES, "posterior": Posterior(CLASSES)}}, "results posterior priors"),
        (
            {"quantities": {**QUANTITIES, "posterior": Packed(Posterior(CLASSES, [1, 3]), "uint16")}},
            "results posterior packing dtype",
        ),
        ({"quantities": {**QUANTITIES, "label": Label(CLASSES)}}, "results label priors"),
        ({"quantities": {"density": QUANTITIES["density"]}}, "results posterior"),
        ({"quantities": {**QUANTITIES, "more": Density(OTHER)}}, "results more"),
        ({"block": 32}, "grid block"),
        ({"mask": np.ones((58, 60))}, "mask"),
        ({"no_data": 0}, "no_data"),
        ({"image": np.zeros((58, 60, 3), np.uint8)}, "image identity"),
        ({"image": np.zeros((58, 60, 3), np.uint16)}, "image dtype"),
        ({"image": np.zeros((58, 61, 3), np.uint8)}, "image shape"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_was_begun_otherwise_is_refused(
    begun: dict[str, Path], photo: NDArray[np.uint8], change: dict[str, Any], what: str, kind: str
) -> None:
    """Another model, packing, result, grid, mask or image is refused by name, and nothing is touched."""
    store = begun[kind]
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    arguments = {"image": photo[100:158, 200:260], "quantities": QUANTITIES, "block": 16, **change}
    message = (
        rf"{kind}.zarr can't be resumed: its {what} was .*, and is now .*. Resume with what the run began"
    )
    with pytest.raises(ValueError, match=message):
        stream(store=store, resume=True, progress="none", **arguments)
    assert {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")} == before


@pytest.mark.parametrize("kind", [Posterior, Label])
@pytest.mark.parametrize("finished", [True, False])
def test_classes_in_another_order_are_refused(
    tmp_path: Path, photo: NDArray[np.uint8], kind: type[Posterior | Label], finished: bool
) -> None:
    """Classes of equal priors in another order would mix two meanings of a plane or label in one store."""
    image, store = photo[:64, :64], tmp_path / "out.zarr"
    if finished:
        stream(image, kind(CLASSES), store, block=16, progress="none")
    else:
        begin(image, store, quantities=kind(CLASSES))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    swapped = kind(dict(reversed(CLASSES.items())))
    assert swapped.priors == kind(CLASSES).priors
    with pytest.raises(ValueError, match=rf"can't be resumed: its results {kind.name} classes was"):
        stream(image, swapped, store, block=16, progress="none", resume=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    stream(image, kind(CLASSES), store, block=16, progress="none", resume=True)


@pytest.mark.parametrize("kind", ["TIFF", "Zarr", "masked"])
def test_a_path_may_be_spelled_in_any_way(
    tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A run begun by a relative path is resumed by an absolute one, a link or none, from anywhere."""
    folder, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(folder)
    tifffile.imwrite(folder / "image.tif", photo[:64, :64], photometric="rgb")
    zarr.create_array(folder / "image.zarr", data=photo[:64, :64], chunks=(20, 20, 3))
    zarr.create_array(folder / "mask.zarr", data=photo[:64, :64, 0] > 10, chunks=(20, 20))
    name = "image.tif" if kind == "TIFF" else "image.zarr"

    def spell(place: str) -> dict[str, Any]:
        return {"image": f"{place}{name}", **({"mask": f"{place}mask.zarr"} if kind == "masked" else {})}

    monkeypatch.chdir(folder)
    begin(store=Path("out.zarr"), **spell(""))
    shutil.copytree("out.zarr.partial", "again.zarr.partial")
    kept = 0
    for place, where in (("./", folder), (f"{folder}/", elsewhere), ("../link/", elsewhere)):
        monkeypatch.chdir(where)
        store = folder / "out.zarr"
        receipt = stream(
            quantities=QUANTITIES, store=store, block=16, progress="none", resume=True, **spell(place)
        )
        assert receipt.kept_blocks >= max(5, kept)
        kept = 16
    assert resume("../link/again.zarr").kept_blocks >= 5
    assert_same(folder / "again.zarr", folder / "out.zarr")


def test_an_image_that_changed_is_refused(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A file that was written again is another image, whichever way the run is resumed."""
    path, store = tmp_path / "image.tif", tmp_path / "out.zarr"
    tifffile.imwrite(path, photo[:64, :64], photometric="rgb")
    begin(path, store, quantities=Density(SKIN))
    content = path.read_bytes()
    tifffile.imwrite(path, photo[64:128, :64], photometric="rgb")
    for go_on in (
        lambda: stream(path, Density(SKIN), store, block=16, progress="none", resume=True),
        lambda: resume(store),
    ):
        with pytest.raises(ValueError, match="can't be resumed: its image identity was"):
            go_on()
    path.write_bytes(content)
    times = path.stat().st_mtime_ns
    with pytest.raises(ValueError, match="can't be resumed: its image identity was"):
        resume(store)
    assert times == path.stat().st_mtime_ns


def test_a_zarr_array_that_changed_is_refused(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Of a Zarr array on the disk the files count, not the metadata alone."""
    store = tmp_path / "out.zarr"
    array = zarr.create_array(tmp_path / "image.zarr", data=photo[:64, :64], chunks=(32, 32, 3))
    begin(array, store, quantities=Density(SKIN))
    array[:8, :8] = 0
    with pytest.raises(ValueError, match="can't be resumed: its image identity was"):
        stream(array, Density(SKIN), store, block=16, progress="none", resume=True)


def test_an_array_is_resumed_with_it_alone(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """What a store can't open again is asked for; a Zarr array within a group it can."""
    image = photo[:64, :64]
    begin(image, tmp_path / "numpy.zarr")
    with pytest.raises(
        ValueError, match=r"image was an array in memory: resume with stream\(..., resume=True"
    ):
        resume(tmp_path / "numpy.zarr")
    resume_with(image.copy(), tmp_path / "numpy.zarr")
    group = zarr.create_group(tmp_path / "images.zarr")
    array = group.create_array("deep/0", data=image, chunks=(20, 20, 3))
    mask = group.create_array("mask", data=image[..., 0] > 10, chunks=(20, 20))
    begin(array, tmp_path / "zarr.zarr", mask=mask)
    assert resume(tmp_path / "zarr.zarr").kept_blocks >= 5
    got = np.asarray(open_result(tmp_path / "zarr.zarr")["density"])
    np.testing.assert_array_equal(got, np.where(image[..., 0] > 10, compute_densities(image, SKIN), np.nan))


def test_resuming_nothing(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """Where there is nothing, resume=True starts; the command's resume has nothing to know a run by."""
    with pytest.raises(FileNotFoundError, match=r"out.zarr doesn't exist"):
        resume(tmp_path / "out.zarr")
    assert resume_with(small, tmp_path / "out.zarr").kept_blocks == 0
    assert_same(tmp_path / "out.zarr", undisturbed)


def test_the_grid_of_a_begun_run_is_kept(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """Without a block, a resumed run takes the blocks that it began with, whatever the memory is now."""
    store = tmp_path / "out.zarr"
    begin(small, store)
    receipt = stream(small, QUANTITIES, store, progress="none", resume=True, memory_limit="8 GiB")
    assert receipt.blocks == 16
    assert_same(store, undisturbed)


def test_two_runs_at_once(
    tmp_path: Path, small: Path, undisturbed: Path, command: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process writes a store, every other run on it is refused, and harms nothing."""
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "out.zarr"
    process = command.start("run", os.fspath(small), "out.zarr", *ASKED, "--block", "16")
    wait_for_shards(process, tmp_path / "out.zarr")
    process.end(signal.SIGSTOP)
    try:
        for options, error, message in (
            ({}, FileExistsError, "unfinished run left"),
            ({"resume": True}, BlockingIOError, "another run is writing"),
            ({"overwrite": True}, BlockingIOError, "another run is writing"),
        ):
            with pytest.raises(error, match=message):
                stream(small, QUANTITIES, store, block=16, progress="none", **options)
        assert not verify(store, progress="none").complete
    finally:
        process.end(signal.SIGCONT)
    done = process.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(store, undisturbed)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Client]:
    """Run a cluster whose workers may die; another takes a dead one's place."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        LocalCluster(n_workers=2, threads_per_worker=1, silence_logs=50, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("losses", [1, 2])
def test_lost_workers(tmp_path: Path, small: Path, undisturbed: Path, mortal: Client, losses: int) -> None:
    """When a worker is killed the run goes on without it; when all are, it goes on or can be resumed."""
    mortal.wait_for_workers(2)
    pids = list(mortal.run(os.getpid).values())
    store = tmp_path / "out.zarr"

    def kill(event: Progress) -> None:
        if event.blocks == 6:
            for pid in pids[:losses]:
                os.kill(pid, signal.SIGKILL)

    try:
        stream(small, QUANTITIES, store, block=16, progress=kill, client=mortal)
    except (OSError, RuntimeError) as error:
        assert losses == 2, error  # noqa: PT017  the run may fail, and must be resumable then
        assert "mixture-pipeline resume" in error.__notes__[0]  # noqa: PT017  the same
        assert resume_with(small, store).kept_blocks >= 6
    assert_same(store, undisturbed)


def test_options_that_are_refused() -> None:
    """Options have no other values, and resume and overwrite exclude one another."""
    Options().check()
    for options, message in (
        (Options(on_error="ignore"), "on_error is 'ignore'; wanted one of raise, skip"),
        (Options(resume=True, overwrite=True), "got resume and overwrite; wanted one of them"),
        (Options(progress="loud"), "progress is 'loud'"),
    ):
        with pytest.raises(ValueError, match=message):
            options.check()


def test_no_receipt_where_there_is_none(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """An unfinished store has no receipt, and a damaged one is said to be."""
    store = tmp_path / "out.zarr"
    begin(photo, store, block=128)
    assert read_receipt(store) is None
    receipt = stream(photo, QUANTITIES, store, block=128, progress="none", resume=True)
    group = zarr.open_group(store)
    recorded: Any = group.attrs["mixture_pipeline"]
    assert read_receipt(store) == receipt
    group.attrs["mixture_pipeline"] = {**recorded, "receipt": {"energy": 3}}
    with pytest.raises(ValueError, match="has a damaged receipt"):
        read_receipt(store)
