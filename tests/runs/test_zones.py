"""Zones of a run: from arrays, images and polygons, which a resumed run takes again."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import box, feature, write_geojson
from references import random_mixture
from runs.disturbed import at_block

from pipeline import Density, Label, open_image, open_result, plan, resume, stream
from pipeline.runs import memory
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline import Summary
    from pipeline.models.quantity import Quantity

SHAPE = (40, 48)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES: dict[str, Quantity] = {"density": Density(CLASSES["a"]), "label": Label(CLASSES)}
ZONES = np.kron(np.arange(6).reshape(2, 3), np.ones((20, 16), int))
# The third lies under the fourth, which has the same name as the first.
FEATURES = (
    feature(box(2, 3, 20, 30), name="Tumor & edge"),
    feature(box(30, 5, 40, 25)),
    feature(box(21, 31, 25, 38), name="hidden"),
    feature(box(20, 30, 26, 39), name="Tumor & edge"),
)


def run(store: Path, image: Any = IMAGE, **options: Any) -> Summary:
    """Run in blocks of 16 and return the summary, which is that of the store."""
    summary = stream(image, QUANTITIES, store, **{"block": 16, "progress": "none", **options}).summary
    assert summary is not None
    assert open_result(store).summary == summary
    return summary


def interrupt(store: Path, image: Any = IMAGE, **options: Any) -> None:
    """Interrupt a run after four blocks."""
    with pytest.raises(KeyboardInterrupt):
        stream(image, QUANTITIES, store, block=16, progress=at_block(4, KeyboardInterrupt()), **options)


def pixels_of(summary: Summary | None) -> dict[str, int]:
    """Return the number of pixels of each zone, by name."""
    assert summary is not None
    return {zone.name: zone.pixels for zone in summary.zones}


def drawn() -> NDArray[np.uint8]:
    """Draw the features by filling slices."""
    zones = np.zeros(SHAPE, np.uint8)
    zones[3:30, 2:20], zones[5:25, 30:40], zones[30:39, 20:26] = 1, 2, 4
    return zones


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    """Give the image as a file, which can be opened again."""
    tifffile.imwrite(tmp_path / "x.tif", IMAGE, tile=(16, 16), photometric="rgb")
    return tmp_path / "x.tif"


def test_zones_of_any_kind(tmp_path: Path) -> None:
    """Arrays, files, directories, images and coarser images of zones give the same table."""
    small = ZONES[::4, ::4].astype(np.uint8)
    cv2.imwrite(str(tmp_path / "zones.png"), ZONES)
    zarr.create_array(tmp_path / "zones.zarr", data=ZONES, chunks=(20, 20))
    kinds: list[Any] = [
        ZONES,
        ZONES.astype(np.uint32)[..., np.newaxis],
        ZONES.tolist(),
        da.from_array(ZONES, chunks=9),
        open_image(ZONES),
        tmp_path / "zones.png",
        str(tmp_path / "zones.zarr"),
        small,
    ]
    wanted = run(tmp_path / "wanted.zarr", zones=ZONES)
    assert pixels_of(wanted) == {str(n): 320 for n in range(1, 6)}
    for number, kind in enumerate(kinds):
        assert run(tmp_path / f"{number}.zarr", zones=kind) == wanted
    two = run(tmp_path / "two.zarr", zones=ZONES > 2)
    assert pixels_of(two) == {"1": 960}
    assert run(tmp_path / "none.zarr", zones=np.zeros(SHAPE, int)).zones == ()
    assert run(tmp_path / "without.zarr").zones == ()


def test_features_are_zones_with_names(tmp_path: Path) -> None:
    """Each feature of a GeoJSON file is a zone, even if others lie over it; a name twice gets a number."""
    path = write_geojson(tmp_path / "zones.geojson", *FEATURES)
    summary, zones = run(tmp_path / "out.zarr", zones=path), drawn()
    found = pixels_of(summary)
    assert list(found.values()) == [(zones == n).sum() for n in (1, 2, 3, 4)]
    assert [*found][0::2] == ["Tumor & edge", "hidden"]
    assert [*found][3].startswith("Tumor & edge (")
    wanted = run(tmp_path / "wanted.zarr", zones=zones)
    named = [zone for zone in summary.zones if zone.name != "hidden"]
    assert [(zone.pixels, zone.means, zone.classes) for zone in named] == [
        (zone.pixels, zone.means, zone.classes) for zone in wanted.zones
    ]
    assert summary.zones[2].pixels == 0
    assert "Tumor &amp; edge" in summary._repr_html_()


def test_a_resumed_run_keeps_its_zones(tmp_path: Path, tiff: Path) -> None:
    """Zones of files are found again by what the store records, with the names of features."""
    files: dict[str, Any] = {"geojson": write_geojson(tmp_path / "zones.geojson", *FEATURES)}
    for kind, zones in (("png", ZONES), ("coarse.png", ZONES[::4, ::4])):
        cv2.imwrite(str(tmp_path / f"zones.{kind}"), zones)
        files[kind] = tmp_path / f"zones.{kind}"
    files["view"] = open_image(tmp_path / "zones.png")[:, ::-1]
    files["masked"] = open_image(tmp_path / "zones.png", mask=files["coarse.png"], no_data=2)
    for kind, zones in files.items():
        wanted = run(tmp_path / f"{kind} wanted.zarr", tiff, zones=zones)
        store = tmp_path / f"{kind}.zarr"
        interrupt(store, tiff, zones=zones)
        receipt = resume(store, progress="none")
        assert receipt.kept_blocks >= 4
        assert receipt.summary == wanted == open_result(store).summary
        (store / "labels/label/0/label/c/1/1").unlink()
        assert resume(store, progress="none").summary == wanted


def test_zones_of_an_array_are_asked_for(tmp_path: Path, tiff: Path) -> None:
    """What a store can't open again is to be passed, and the same zones then give the same summary."""
    store = tmp_path / "out.zarr"
    interrupt(store, tiff, zones=ZONES)
    message = "the zones of the run were an array in memory. Pass them: stream(..., zones=..., resume=True)."
    with pytest.raises(ValueError, match=re.escape(message)):
        resume(store, progress="none")
    assert run(store, tiff, zones=ZONES, resume=True) == run(tmp_path / "wanted.zarr", tiff, zones=ZONES)


def test_zones_that_are_gone_are_named(tmp_path: Path, tiff: Path) -> None:
    """A file of zones that is gone isn't left out, and the error says how to go on."""
    store = tmp_path / "out.zarr"
    for path in (write_geojson(tmp_path / "zones.geojson", *FEATURES), tmp_path / "zones.png"):
        if path.suffix == ".png":
            cv2.imwrite(str(path), ZONES)
        run(store, tiff, zones=path, overwrite=True)
        path.unlink()
        with pytest.raises(
            FileNotFoundError, match=rf"the zones of the run can't be found: .*{path.name}.* pass them"
        ):
            resume(store, progress="none")
    assert pixels_of(run(store, tiff, zones=ZONES > 0, resume=True)) == {"1": 1600}


def test_other_zones_are_taken_and_recorded(tmp_path: Path, tiff: Path) -> None:
    """Zones change no shard, so that a run is resumed with others or without; they are recorded."""
    store, path = tmp_path / "out.zarr", write_geojson(tmp_path / "zones.geojson", *FEATURES)
    run(store, tiff, zones=ZONES)
    features = ["Tumor & edge", "zone 2", "hidden", "Tumor & edge (2)"]
    shards = {file: file.stat().st_mtime_ns for file in store.glob("**/0/*/c/**/*") if file.is_file()}
    assert len(shards) == 18
    for zones, names in (
        (path, features),
        (ZONES > 4, ["1"]),
        (None, []),
        (path, features),
    ):
        before = LocalStore(store).read_record()
        summary = run(store, tiff, zones=zones, resume=True)
        record = LocalStore(store).read_record()
        assert list(pixels_of(summary)) == names
        assert (record.zones is None) == (zones is None)
        assert record.zones != before.zones
        assert record.outputs == before.outputs
    recorded = LocalStore(store).read_record().zones
    assert recorded is not None
    assert recorded.place is not None
    assert recorded.place["image"] == str(path)
    assert {file: file.stat().st_mtime_ns for file in shards} == shards
    assert pixels_of(resume(store, progress="none").summary) == pixels_of(summary)
    assert LocalStore(store).read_record().zones == recorded


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        (np.zeros((39, 48), int), r"zones has shape \(39, 48\); wanted \(40, 48\)"),
        (np.zeros((80, 96), int), "zones has shape"),
        (np.zeros(SHAPE), "zones have dtype float64; wanted integers"),
        (np.zeros((*SHAPE, 2), int), "one channel"),
        ("zones.tif", "zones.tif is not there"),
    ],
    ids=["shape", "larger", "floats", "channels", "missing"],
)
def test_zones_that_do_not_fit_are_refused(tmp_path: Path, zones: Any, message: str) -> None:
    """Nothing is written for zones that aren't those of the image."""
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(tmp_path / "out.zarr", zones=zones)
    assert list(tmp_path.iterdir()) == []


def test_negative_zones_fail_with_their_block(tmp_path: Path) -> None:
    """A negative zone ends the run; the message says where, and what was wanted."""
    zones = ZONES.copy()
    zones[20, 20] = -3
    with pytest.raises(ValueError, match=r"block \(1, 1\) of the image.* the zones hold -3; wanted positive"):
        run(tmp_path / "out.zarr", zones=zones)


def test_a_store_doesnt_destroy_its_zones(tmp_path: Path) -> None:
    """An output that would replace the zones that are read is refused, as one that replaces the image is."""
    run(tmp_path / "zones.zarr")
    path = tmp_path / "zones.zarr/labels/label/0/label"
    with pytest.raises(ValueError, match="lie inside one another"):
        run(tmp_path / "zones.zarr", zones=path, overwrite=True)
    run(tmp_path / "out.zarr", zones=path)


def test_zones_count_in_the_memory_of_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of zones whose tiles are large is in the projection; this process doesn't grow meanwhile."""
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=2**26))
    monkeypatch.setattr(memory, "psutil", SimpleNamespace(Process=lambda: process))
    deep = np.zeros((2048, 2048), np.uint32)
    tifffile.imwrite(tmp_path / "zones.tif", deep, tile=(2048, 2048), compression="zlib")
    image = zarr.create_array({}, shape=(2048, 2048, 3), chunks=(64, 64, 3), dtype="uint8")
    needed = [
        plan(image, QUANTITIES, tmp_path / "out.zarr", block=64, zones=zones, progress="none").peak_memory
        for zones in (None, tmp_path / "zones.tif")
    ]
    assert needed[1] - needed[0] > deep.nbytes


def test_zones_that_a_cluster_holds_are_refused(tmp_path: Path, processes: Client) -> None:
    """Tasks can't take pieces of persisted zones, which is said before a block is computed."""
    zones = processes.persist(da.from_array(ZONES, chunks=20))
    with pytest.raises(ValueError, match="its zones are persisted on the cluster"):
        run(tmp_path / "out.zarr", zones=zones, client=processes)
    lazy = da.from_array(ZONES, chunks=20)
    assert run(tmp_path / "out.zarr", zones=lazy, client=processes) == run(tmp_path / "own.zarr", zones=ZONES)
