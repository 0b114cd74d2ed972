"""The entrances to runs: what they refuse, and what `resume` knows from the store."""

from __future__ import annotations

import inspect
import shutil
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import PIL.Image
import pytest
import tifffile
import xarray
import zarr
from distributed import Client
from references import random_mixture
from runs.disturbed import (
    QUANTITIES,
    SKIN,
    assert_same,
    at_block,
    begin,
    resume_with,
)
from stores.records import signed

from pipeline import (
    Density,
    Label,
    Mixture,
    Packed,
    Posterior,
    Progress,
    compute_densities,
    evaluate,
    open_image,
    open_result,
    plan,
    resume,
    stream,
    verify,
)
from pipeline.compute import numba_engine
from pipeline.compute.engines import choose_engine
from pipeline.compute.numba_engine import NumbaEngine
from pipeline.runs import threads
from pipeline.runs.options import DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": "none.tif"}, FileNotFoundError, "none.tif"),
        (
            {"image": np.zeros((4, 5))},
            ValueError,
            "the image has 1 channel .*, the model has 3 channels",
        ),
        ({"image": 3}, ValueError, "image is 3; wanted a path"),
        ({"image": np.zeros((4, 5, 2))}, ValueError, "the image has 2 channels"),
        ({"quantities": {}}, ValueError, "no quantities"),
        (
            {"image": np.ma.masked_less(np.ones((4, 5, 3)), 2)},
            TypeError,
            "masked array, whose mask would be lost. Fill it",
        ),
        (
            {"image": da.zeros((9, 5, 3))[da.arange(9) > 3]},
            ValueError,
            r"Call its compute_chunk_sizes\(\) first",
        ),
        (
            {"quantities": random_mixture(1, 3)},
            TypeError,
            "the quantity is <Mixture: .*wanted Density",
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


def test_resuming_nothing(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """Where there is nothing, resume=True starts; the command's resume has nothing to know a run by."""
    with pytest.raises(FileNotFoundError, match=r"out.zarr doesn't exist"):
        resume(tmp_path / "out.zarr")
    assert resume_with(small, tmp_path / "out.zarr").kept_blocks == 0
    assert_same(tmp_path / "out.zarr", undisturbed)


def test_an_array_is_resumed_with_it_alone(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """What a store can't open again is asked for; a Zarr array within a group it can."""
    image = photo[:64, :64]
    begin(image, tmp_path / "numpy.zarr")
    with pytest.raises(
        ValueError, match=r"image of the run was an array in memory. Pass it: resume\(store, image=...\)"
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


def test_the_current_client_is_used(
    tiff: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is open runs the blocks, as in any Dask computation; no thread of this process does."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a local pool")

    monkeypatch.setattr(threads, "ThreadPoolExecutor", refuse)
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"):
        stream(tiff, Density(skin), tiff.with_name("out.zarr"), block=256, progress="none")
    with pytest.raises(AssertionError, match="a local pool"):
        stream(tiff, Density(skin), tiff.with_name("other.zarr"), block=256, progress="none")
    np.testing.assert_array_equal(
        open_result(tiff.with_name("out.zarr"))["density"], compute_densities(photo, skin)
    )


def test_gray_arrays_and_channel_axes(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A gray array of two axes, and channels on any axis, give what evaluate gives."""
    gray, mixture = photo[..., 0], random_mixture(2, 1)
    wanted = compute_densities(gray, mixture, channel_axis=None)
    first = np.ascontiguousarray(np.moveaxis(photo, -1, 0))
    stored = zarr.create_array(tmp_path / "first.zarr", data=first, chunks=(1, 100, 100))
    for number, (image, options) in enumerate(
        [
            (gray, {}),
            (gray, {"channel_axis": None}),
            (da.from_array(gray), {}),
            (open_image(photo)[..., 0], {}),
        ]
    ):
        store = tmp_path / f"gray{number}.zarr"
        stream(image, Density(mixture), store, progress="none", **options)
        np.testing.assert_array_equal(open_result(store)["density"], wanted)
    opened = open_image(tmp_path / "first.zarr", channel_axis=0, channels=[0, 1, 2])
    for number, image in enumerate([first, da.from_array(first), stored]):
        store = tmp_path / f"first{number}.zarr"
        stream(image, Density(skin), store, channel_axis=0, progress="none")
        np.testing.assert_array_equal(open_result(store)["density"], compute_densities(photo, skin))
    stream(opened, Density(skin), tmp_path / "opened.zarr", progress="none")
    found = open_result(tmp_path / "opened.zarr")["density"]
    np.testing.assert_array_equal(found, compute_densities(photo, skin))


def test_arrays_of_other_libraries(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """What evaluate takes, stream takes too: xarray, lists and PIL images."""
    crop = photo[:20, :30]
    images = {
        "xarray": xarray.DataArray(crop, dims=("y", "x", "band")),
        "list": crop.tolist(),
        "PIL": PIL.Image.fromarray(crop),
    }
    for kind, image in images.items():
        stream(image, Density(skin), tmp_path / f"{kind}.zarr", progress="none")
        np.testing.assert_array_equal(
            open_result(tmp_path / f"{kind}.zarr")["density"], evaluate(image, Density(skin)), err_msg=kind
        )


def test_views_of_images(tmp_path: Path, small: Path) -> None:
    """A slice of an image is streamed, interrupted and resumed as that slice, with a slice of a mask."""
    pixels = np.asarray(open_image(small))
    tifffile.imwrite(tmp_path / "mask.tif", pixels[..., 0] // 100, photometric="minisblack")
    image, store = open_image(small)[4:50, ::-2], tmp_path / "out.zarr"
    mask = open_image(tmp_path / "mask.tif")[4:50, ::-2, 0]
    begin(image, store, mask=mask)
    assert resume(store, progress="none").kept_blocks >= 1
    wanted = evaluate(pixels[4:50, ::-2], QUANTITIES["density"], mask=np.asarray(mask))
    np.testing.assert_array_equal(open_result(store)["density"], wanted)


def test_resume_takes_progress_and_a_client(tmp_path: Path, small: Path, processes: Client) -> None:
    """A run is resumed on a cluster, and its progress is reported."""
    store, events = tmp_path / "out.zarr", []
    begin(small, store)
    resume(store, progress=events.append, client=processes)
    assert events[-1].blocks == 16
    assert verify(store, progress="none").intact


@pytest.mark.parametrize("function", [plan, stream])
def test_help_shows_the_options(function: Any) -> None:
    """The signature names every option with its default, as a caller sees it."""
    signature = inspect.signature(function)
    assert list(signature.parameters) == ["image", "quantities", "store", *DEFAULTS]
    assert {name: signature.parameters[name].default for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("version", "message"),
    [("0.0.9", "mixture-pipeline 0.0.9 began it, this is version .*Install version 0.0.9, or overwrite")],
)
def test_a_store_of_another_version(
    tmp_path: Path, small: Path, undisturbed: Path, version: str, message: str
) -> None:
    """A store that another version began isn't mended with other numbers; a whole one can still be read."""
    store = tmp_path / "out.zarr"
    shutil.copytree(undisturbed, store)
    group = zarr.open_group(store)
    recorded: Any = group.attrs["mixture_pipeline"]
    group.attrs["mixture_pipeline"] = signed({**recorded, "version": version})
    (store / "labels/label/0/label/c" / "1" / "2").unlink()
    for go_on in (lambda: resume(store, progress="none"), lambda: resume_with(small, store)):
        with pytest.raises(ValueError, match=message):
            go_on()
    assert not verify(store, progress="none").intact
    assert list(open_result(store)) == list(QUANTITIES)


def test_resume_takes_all_from_the_store(tmp_path: Path, tiff: Path, photo: NDArray[np.uint8]) -> None:
    """What a store records is enough to go on: image, mask, value without data, packing, priors and grid."""
    mask = tmp_path / "mask.tif"
    tifffile.imwrite(mask, photo[..., 0] // 128, photometric="minisblack")
    classes = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
    quantities: dict[str, Quantity | Packed] = {
        "packed-1": Packed(Density(classes["b"]), "uint16", 1e-12, 1e-3, "log"),
        "chance": Posterior(classes, {"b": 0.25, "a": 3}, only="b"),
        "label": Label(classes, [2, 1]),
    }

    listener = at_block(4, KeyboardInterrupt())
    options: dict[str, Any] = {"mask": mask, "no_data": 7, "block": 128}
    with pytest.raises(KeyboardInterrupt):
        stream(tiff, quantities, tmp_path / "out.zarr", progress=listener, **options)
    receipt = resume(str(tmp_path / "out.zarr"))
    assert 4 <= receipt.kept_blocks < 16
    stream(tiff, quantities, tmp_path / "wanted.zarr", progress="none", **options)
    assert_same(tmp_path / "out.zarr", tmp_path / "wanted.zarr")


def test_a_run_goes_on_with_the_engine_that_it_began_with(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other engines have other last digits; without the engine, resuming is refused with the remedy."""
    image, store = photo.astype(np.float32), tmp_path / "out.zarr"
    monkeypatch.setattr(NumbaEngine, "seconds", lambda *_: 0.0)
    choose_engine.cache_clear()
    events: list[Progress] = []
    plan(image, Density(skin), store, progress=events.append, block=256).execute()
    assert [event.stage for event in events] == ["compiling loops, or loading compiled ones", *[""] * 4]
    whole = np.asarray(open_result(store)["density"])
    monkeypatch.undo()
    choose_engine.cache_clear()
    assert (
        plan(image, Density(skin), tmp_path / "other.zarr", block=256).engines["density"].startswith("numpy")
    )
    (store / "0/image/c/0/1" / "0").unlink()
    options: Any = {"resume": True, "progress": "none"}
    resumed = plan(image, Density(skin), store, **options)
    assert resumed.engines["density"] == "numba (as the run began)"
    resumed.execute()
    np.testing.assert_array_equal(np.asarray(open_result(store)["density"]), whole)
    monkeypatch.setattr(numba_engine, "_is_installed", lambda: False)
    with pytest.raises(ValueError, match=r"was begun with the engine 'numba'.*pip install"):
        plan(image, Density(skin), store, **options)
