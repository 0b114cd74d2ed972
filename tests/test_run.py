"""Runs: the stored values, every kind of source, bounded work in flight, and clean failure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import cv2
import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Density, Mixture, compute_densities, open_image, open_result, run, stream
from pipeline.run import read_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.grid import Grid


@pytest.fixture
def tiff(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """Give the photo as a tiled BigTIFF."""
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, photo, tile=(128, 128), bigtiff=True, compression="zlib", photometric="rgb")
    return path


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

    monkeypatch.setattr(run, "ThreadPoolExecutor", refuse)
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"):
        stream(tiff, Density(skin), tiff.with_name("out.zarr"), block=256, progress="none")
    with pytest.raises(AssertionError, match="a local pool"):
        stream(tiff, Density(skin), tiff.with_name("other.zarr"), block=256, progress="none")
    np.testing.assert_array_equal(
        open_result(tiff.with_name("out.zarr"))["density"], compute_densities(photo, skin)
    )


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_any_shape_and_block(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], block: tuple[int, int], dtype: str
) -> None:
    """Odd sizes, one pixel, thin and empty images: every pixel is written, once."""
    mixture = random_mixture(2, 3)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(dtype)
    store = tmp_path_factory.mktemp("run") / "out.zarr"
    receipt = stream(image, Density(mixture), store, block=block, progress="none")
    assert receipt.pixels == shape[0] * shape[1]
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
    """No more blocks are at work than there are threads, and each is written once."""
    lock, now, most, seen = threading.Lock(), 0, 0, []
    write = run._write_task

    def watched(*task: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            seen.append(task[2])
        try:
            return write(*task)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(run, "_write_task", watched)
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

    def spy(submit: Any, source: Any, grid: Grid, window: int) -> Any:
        windows.append(window)
        return original(submit, source, grid, window)

    monkeypatch.setattr(run, "_windowed", spy)
    with dask.config.set(scheduler="synchronous"):
        stream(photo, Density(skin), tmp_path / "out.zarr", block=256, progress="none")
    assert windows == [1]


def test_a_failing_block_names_itself_and_leaves_nothing(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture
) -> None:
    """The error says which block of which region failed and why; no store remains, the old one stays."""

    def fail(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info and block_info[0]["chunk-location"][:2] == (1, 0):
            raise OSError("the scanner is on fire")
        return block

    image = da.from_array(photo, chunks=(256, 256, 3)).map_blocks(fail, dtype=np.uint8)
    store = tmp_path / "out.zarr"
    message = r"block \(1, 0\), rows 256 to 512, columns 0 to 256: the scanner is on fire"
    with pytest.raises(OSError, match=message):
        stream(image, Density(skin), store, block=256, progress="none")
    assert list(tmp_path.iterdir()) == []
    stream(photo, Density(skin), store, progress="none")
    with pytest.raises(OSError, match=message):
        stream(image, Density(skin), store, block=256, progress="none", overwrite=True)
    np.testing.assert_array_equal(open_result(store)["density"], compute_densities(photo, skin))


def test_interruption_cleans_up(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C waits for the blocks at work, removes the store and goes on."""
    original = run._windowed

    def interrupted(*arguments: Any) -> Any:
        yield next(original(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_windowed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream(photo, Density(skin), tmp_path / "out.zarr", block=64, progress="none")
    assert list(tmp_path.iterdir()) == []


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
        ({"quantities": {"a": random_mixture(1, 3)}}, TypeError, "the quantity is <Mixture: "),
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


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Where the store can't grow, the run says so and removes what it wrote."""
    code = (
        "import resource, sys, numpy as np, signal\n"
        "from pipeline import Density, load_model, stream\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)\n"
        "stream(image, Density(load_model('jones-rehg-skin')), sys.argv[1], block=128)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out.zarr"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "OSError: block" in done.stderr
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
