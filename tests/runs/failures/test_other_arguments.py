"""Runs that are resumed with other arguments are refused."""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from runs.disturbed import (
    CLASSES,
    OTHER,
    QUANTITIES,
    SKIN,
    assert_same,
    begin,
)

from pipeline import (
    Density,
    Label,
    LogDensity,
    Packed,
    Posterior,
    compute_densities,
    open_result,
    resume,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@pytest.mark.parametrize("kind", ["unfinished", "finished"])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"quantities": {**QUANTITIES, "density": Density(OTHER)}},
            "density quantity mixture weights",
        ),
        (
            {"quantities": {**QUANTITIES, "density": Density(SKIN, normalized=False)}},
            "density quantity normalized",
        ),
        ({"quantities": {**QUANTITIES, "density": LogDensity(SKIN)}}, "density quantity quantity"),
        (
            {"quantities": {**QUANTITIES, "density": Packed(Density(SKIN), "float16")}},
            "density encoding kind",
        ),
        (
            {"quantities": {**QUANTITIES, "posterior": Posterior(CLASSES)}},
            "posterior quantity priors",
        ),
        (
            {"quantities": {**QUANTITIES, "posterior": Packed(Posterior(CLASSES, [1, 3]), "uint16")}},
            "posterior encoding dtype",
        ),
        ({"quantities": {**QUANTITIES, "label": Label(CLASSES)}}, "label quantity priors"),
        ({"quantities": {"density": QUANTITIES["density"]}}, "posterior"),
        ({"quantities": {**QUANTITIES, "more": Density(OTHER)}}, "more"),
        ({"block": 32}, "grid block"),
        ({"mask": np.ones((58, 60))}, "masks"),
        ({"no_data": 0}, "no_data"),
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
        rf"{kind}.zarr can't be resumed: its (outputs )?{what} was .*, and is now .*. Resume with the "
        "arguments that the run began with"
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
    with pytest.raises(ValueError, match=rf"can't be resumed: its outputs {kind.name} quantity classes was"):
        stream(image, swapped, store, block=16, progress="none", resume=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    stream(image, kind(CLASSES), store, block=16, progress="none", resume=True)


@pytest.mark.filterwarnings("ignore:.*doesn't name its channels:UserWarning")
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
        with pytest.raises(ValueError, match="can't be resumed: its image was another one"):
            go_on()
    path.write_bytes(content)
    times = path.stat().st_mtime_ns
    with pytest.raises(ValueError, match="can't be resumed: its image was another one"):
        resume(store)
    assert times == path.stat().st_mtime_ns


def test_a_zarr_array_that_changed_is_refused(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Of a Zarr array on the disk the files count, not the metadata alone."""
    store = tmp_path / "out.zarr"
    array = zarr.create_array(tmp_path / "image.zarr", data=photo[:64, :64], chunks=(32, 32, 3))
    begin(array, store, quantities=Density(SKIN))
    array[:8, :8] = 0
    with pytest.raises(ValueError, match="can't be resumed: its image was another one"):
        stream(array, Density(SKIN), store, block=16, progress="none", resume=True)


def _as_zip(pixels: NDArray[np.uint8], folder: Path) -> zarr.Array[Any]:
    with zarr.storage.ZipStore(folder / "image.zip", mode="w") as store:
        zarr.create_array(store, data=pixels, chunks=(32, 32, 3))
    return zarr.open_array(zarr.storage.ZipStore(folder / "image.zip", mode="r"))


# Kinds of images that nothing tells apart but their content.
ALIKE: dict[str, Callable[[NDArray[np.uint8], Path], Any]] = {
    "NumPy": lambda pixels, _: pixels.copy(),
    "Zarr in memory": lambda pixels, _: zarr.create_array({}, data=pixels, chunks=(32, 32, 3)),
    "Zarr in a ZIP file": _as_zip,
    "Dask": lambda pixels, _: da.from_array(pixels, chunks=(32, 32, 3)),
    "Dask of Zarr in memory": lambda pixels, _: da.from_zarr(
        zarr.create_array({}, data=pixels, chunks=(32, 32, 3))
    )[..., ::-1],
    "Dask of a chosen name": lambda pixels, _: da.from_array(pixels, chunks=(32, 32, 3), name="mine") + 0,
}


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("finished", [False, True])
def test_two_images_never_share_a_store(
    tmp_path: Path, photo: NDArray[np.uint8], kind: str, finished: bool
) -> None:
    """Another image of the same shape is refused, and the same one goes on, or needs the caller's word."""
    make, store = ALIKE[kind], tmp_path / "out.zarr"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = make(photo[:64, :64], tmp_path / "one"), make(photo[64:128, :64], tmp_path / "two")
    if finished:
        stream(one, Density(SKIN), store, block=16, progress="none")
    else:
        begin(one, store, quantities=Density(SKIN))
    go_on = functools.partial(stream, quantities=Density(SKIN), store=store, block=16, progress="none")
    with pytest.raises(ValueError, match=r"was another one|nothing tells whether the image is the one"):
        go_on(two, resume=True)
    options = {"identity": "portrait 7"} if "chosen" in kind else {}
    assert go_on(one, resume=True, **options).kept_blocks >= 5
    np.testing.assert_array_equal(open_result(store)["density"], compute_densities(np.asarray(one), SKIN))


def test_a_name_that_the_caller_gave_is_the_identity(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A run begun under a name goes on under that name alone, whatever is known of the pixels."""
    store, image = tmp_path / "out.zarr", photo[:64, :64]
    begin(image, store, quantities=Density(SKIN), identity="portrait 7")
    for options in ({}, {"identity": "portrait 8"}):
        with pytest.raises(ValueError, match=r"its image was another one \(portrait 7\)"):
            stream(image, Density(SKIN), store, block=16, progress="none", resume=True, **options)
    assert resume(store, image=image, identity="portrait 7", progress="none").kept_blocks >= 5


def test_a_file_that_moved_or_was_touched_goes_on(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A moved file is found again by its new path; a touched one by the identity that the message names."""
    path, store = tmp_path / "image.tif", tmp_path / "out.zarr"
    tifffile.imwrite(path, photo[:64, :64], photometric="rgb")
    begin(path, store, quantities=Density(SKIN))
    moved = path.rename(tmp_path / "moved.tif")
    with pytest.raises(
        FileNotFoundError,
        match=r"the image of the run can't be found: .*image.tif .* pass its new place: image=",
    ):
        resume(store)
    shutil.copytree(tmp_path / "out.zarr.partial", tmp_path / "again.zarr.partial")
    assert resume(store, image=moved, progress="none").kept_blocks >= 5
    os.utime(moved, (1_700_000_000, 1_700_000_000))
    with pytest.raises(
        ValueError, match=r"\(\d+ bytes, modified 2023-11-14 22:13:20.000000000 UTC\)"
    ) as refusal:
        resume(tmp_path / "again.zarr", image=moved)
    identity = re.findall("identity='(.*?)'", str(refusal.value))[0]
    receipt = resume(tmp_path / "again.zarr", image=moved, identity=identity, progress="none")
    assert receipt.kept_blocks >= 5
    assert_same(tmp_path / "again.zarr", store)
