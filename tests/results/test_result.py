"""Results open as lazy Dask arrays of values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import zarr

from pipeline.compute.summarizing import Totals, summarize_block
from pipeline.images.geometry import Geometry
from pipeline.images.grid import Block
from pipeline.models.class_quantities import Posterior
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.results.result import open_result
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore
from pipeline.testing.filling import (
    CLASSES,
    FRESH,
    GRID,
    LAYERS,
    OUTPUTS,
    REPLACING,
    fill,
    interrupt,
    make_receipt,
    make_record,
    make_values,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.output import Output


def refuse(*_: object, **__: object) -> None:
    """Stand in for a scheduler where nothing may be computed."""
    raise AssertionError("computed")


def write(path: Path, options: dict[str, bool], outputs: tuple[Output, ...] = OUTPUTS, seed: int = 0) -> None:
    """Write a whole store of random numbers as a run does."""
    with LocalStore(path).opened_for_run(**options) as store:
        fill(store, make_record(outputs=outputs), seed=seed)


def whole(output: Output, outputs: tuple[Output, ...] = OUTPUTS) -> NDArray[Any]:
    """Return the stored numbers of all blocks of an output that has a layer of its own."""
    (layer,) = (layer for layer in arrange(outputs) if layer.outputs == (output,))
    values = np.empty((output.n_results, *GRID.shape), output.dtype)
    for block in GRID.blocks():
        values[:, *block.region] = make_values(layer, block)
    return values if output.class_names else values[0]


def test_results_open_lazily(tmp_path: Path) -> None:
    """Results open under their names, in their order, without reading, one chunk for each shard."""
    write(tmp_path / "out.zarr", FRESH)
    with dask.config.set(scheduler=refuse):
        results = open_result(tmp_path / "out.zarr")
    assert list(results) == ["density", "chances", "label"]
    assert results["density"].chunks == ((32, 18), (48, 22))
    assert results["chances"].chunks == ((2,), (32, 18), (48, 22))
    np.testing.assert_array_equal(results["density"], whole(OUTPUTS[0]))
    np.testing.assert_array_equal(results["label"], whole(OUTPUTS[2]))
    assert [result.dtype for result in results.values()] == ["float32", "float32", "uint8"]


@pytest.mark.parametrize(
    "packed",
    [
        Packed(Density(CLASSES["b"]), "float16"),
        Packed(Posterior(CLASSES), "uint8"),
        Packed(Density(CLASSES["b"]), "uint16", 1e-9, 1.0, "log"),
    ],
    ids=lambda packed: packed.dtype,
)
def test_packed_results_come_as_values(tmp_path: Path, packed: Packed) -> None:
    """Stored integers and halves are decoded to float32, of the dtype that is promised before."""
    (output,) = make_outputs({"packed": packed})
    write(tmp_path / "out.zarr", FRESH, (output,))
    result = open_result(str(tmp_path / "out.zarr"))["packed"]
    assert result.dtype == np.asarray(result).dtype == np.float32
    np.testing.assert_array_equal(result, output.encoding.decode(whole(output, (output,))))


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_pixels_without_data(tmp_path: Path, output: Output) -> None:
    """A block that was skipped has no data: NaN, or the highest integer of a label."""
    store, record = LocalStore(tmp_path / "out.zarr"), make_record(outputs=(output,))
    receipt = {"pixels": 3500, "blocks": 4, "skipped": [{"block": [1, 1]}]}
    with store.opened_for_run(**FRESH) as opened:
        fill(opened, record, n_blocks=3)
        opened.finish(receipt)
    found = np.asarray(open_result(store.address)[output.name][..., *GRID[1, 1].region])
    assert (found == 255).all() if output.name == "label" else np.isnan(found).all()


@pytest.mark.parametrize("name", ["density", "chances", "label"])
def test_regions_are_read_as_values(tmp_path: Path, name: str) -> None:
    """A region has the values of the Dask array, of all classes or of one."""
    write(tmp_path / "out.zarr", FRESH)
    result, region = open_result(tmp_path / "out.zarr"), Block((0, 0), slice(20, 45), slice(3, 70))
    found = result.read(name, region)
    np.testing.assert_array_equal(
        found.reshape(result[name][..., *region.region].shape), result[name][..., *region.region]
    )
    np.testing.assert_array_equal(result.read(name, region, len(found) - 1), found[-1:])


def test_a_result_is_a_mapping_with_a_summary(tmp_path: Path) -> None:
    """It has the arrays by name and says what they are; without a summary in the receipt it has none."""
    write(tmp_path / "out.zarr", FRESH)
    result = open_result(tmp_path / "out.zarr")
    assert len(result) == 3
    assert dict(result).keys() == {"density", "chances", "label"}
    assert "density" in result
    assert result.summary is None
    assert repr(result) == (
        "<Result: density: (50, 70) float32, chances: (2, 50, 70) float32, label: (50, 70) uint8>"
    )
    with pytest.raises(KeyError):
        _ = result["summary"]


def test_a_result_knows_its_place(tmp_path: Path) -> None:
    """The size of a pixel and the georeference are those that the record has of the image."""
    geometry = Geometry((2.0, 3.0), (1.0, 1.5), "EPSG:32633", (10.0, 0.0, 5e5, 0.0, -10.0, 49e5))
    record = make_record()
    with LocalStore(tmp_path / "out.zarr").opened_for_run(**FRESH) as store:
        fill(store, replace(record, image=replace(record.image, geometry=geometry)))
    assert open_result(tmp_path / "out.zarr").geometry == geometry


def test_the_summary_is_that_of_the_store(tmp_path: Path) -> None:
    """A summary in the receipt is read with the arrays, and a damaged one names the store and the remedy."""
    totals = Totals(OUTPUTS, {1: "left", 2: "right"})
    for block in GRID.blocks():
        values = [make_values(layer, block) for layer in LAYERS]
        zones = np.full(block.extent, 1 + block.index[1])
        totals.add(summarize_block(OUTPUTS, values, zones, compiled=False))
    summary = totals.result(GRID.n_pixels, 0.25)
    write(tmp_path / "out.zarr", FRESH)
    receipt = make_receipt(make_record())
    LocalStore(tmp_path / "out.zarr").finish({**receipt, "summary": summary.to_dict()})
    found = open_result(tmp_path / "out.zarr").summary
    assert found == summary
    label = whole(OUTPUTS[2])
    assert [zone.pixels for zone in summary.classes["label"]] == [(label == 0).sum(), (label == 1).sum()]
    assert [zone.pixels for zone in summary.zones] == [50 * 48, 50 * 22]
    LocalStore(tmp_path / "out.zarr").finish({**receipt, "summary": {"zones": []}})
    with pytest.raises(ValueError, match=r"out.zarr has a damaged summary .* resume it: resume=True"):
        open_result(tmp_path / "out.zarr")


def test_a_replaced_result_has_another_name(tmp_path: Path) -> None:
    """Dask takes a result that was replaced for another one, and one that is opened again for the same."""
    store = tmp_path / "out.zarr"
    write(store, FRESH)
    before = {name: result.name for name, result in open_result(store).items()}
    assert {name: result.name for name, result in open_result(store).items()} == before
    write(store, REPLACING, seed=1)
    after = {name: result.name for name, result in open_result(store).items()}
    assert len({*before.values(), *after.values()}) == 6
    write(tmp_path / "other.zarr", FRESH)
    others = {result.name for result in open_result(tmp_path / "other.zarr").values()}
    assert others.isdisjoint(after.values())


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: None,
        lambda text: text[:-9],
        lambda text: text.replace('"zarr_format"', '"zarr_vormat"'),
        lambda text: text.replace('"float32"', '"float64"'),
        lambda text: text.replace('"float32"', "7"),
        lambda text: text.replace('"chunk_grid"', '"chunk_gris"'),
        lambda text: text.replace("70", "71", 1),
        lambda text: text.replace('"sharding_indexed"', '"sharding"'),
        lambda _: "[]",
        lambda _: "\x00",
    ],
    ids=["missing", "cut", "version", "dtype", "no dtype", "no grid", "shape", "codec", "a list", "no text"],
)
def test_damaged_metadata_are_named(tmp_path: Path, damage: Callable[[str], str | None]) -> None:
    """An array that can't be opened, or isn't that of the record, is named with the store and the remedy."""
    write(tmp_path / "out.zarr", FRESH)
    result, file = open_result(tmp_path / "out.zarr"), tmp_path / "out.zarr/0/image/zarr.json"
    content = damage(file.read_text(encoding="utf-8"))
    file.unlink() if content is None else file.write_text(content, encoding="utf-8")
    message = r"out.zarr has missing or damaged metadata of density at level 0. .* resume it: resume=True"
    for opening in (lambda: open_result(tmp_path / "out.zarr"), lambda: result.at(0)):
        with pytest.raises(ValueError, match=message):
            opening()
    assert open_result(tmp_path / "out.zarr", level=1).level == 1


def test_a_disk_that_fails_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system is raised as it is."""

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path / "out.zarr", FRESH)
    monkeypatch.setattr(LocalStore, "open_level", fail)
    with pytest.raises(PermissionError):
        open_result(tmp_path / "out.zarr")


def test_other_things_are_refused(tmp_path: Path) -> None:
    """A level that isn't there, a foreign store, a missing one and a URL each get an error."""
    write(tmp_path / "out.zarr", FRESH)
    with pytest.raises(ValueError, match=r"out.zarr has no level 9; wanted 0 to 3"):
        open_result(tmp_path / "out.zarr", level=9)
    other: Any = "largest_error"
    with pytest.raises(TypeError):
        open_result(tmp_path / "out.zarr", level=other)
    zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(ValueError, match="isn't a result of mixture-pipeline"):
        open_result(tmp_path / "foreign.zarr")
    with pytest.raises(FileNotFoundError, match="doesn't exist"):
        open_result(tmp_path / "none.zarr")
    with pytest.raises(ValueError, match=r"^hdfs://bucket/out.zarr: results aren.t written to such a URL"):
        open_result("hdfs://bucket/out.zarr")


def test_an_unfinished_store_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of an interrupted run isn't a result yet, but beside an older result it is no hindrance."""
    monkeypatch.chdir(tmp_path)
    interrupt(LocalStore("out.zarr"), FRESH, make_record(), n_blocks=1)
    message = (
        r"^out.zarr is unfinished. Go on with stream\(.*resume=True\) or: mixture-pipeline resume out.zarr$"
    )
    with pytest.raises(FileNotFoundError, match=message):
        open_result("out.zarr")
    write(tmp_path / "out.zarr", REPLACING)
    interrupt(LocalStore("out.zarr"), REPLACING, make_record(), n_blocks=1)
    np.testing.assert_array_equal(open_result("out.zarr")["label"], whole(OUTPUTS[2]))


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_each_level_opens(tmp_path: Path, output: Output) -> None:
    """A level has its own arrays and geometry, and regions of it are read without Dask."""
    write(tmp_path / "out.zarr", FRESH)
    result = open_result(tmp_path / "out.zarr")
    assert result.levels == ((50, 70), (25, 35), (13, 18), (7, 9))
    (layer,) = (layer for layer in arrange(OUTPUTS) if layer.outputs == (output,))
    for number, shape in enumerate(result.levels):
        level, grid = result.at(number), GRID.level(number)
        assert level.level == number
        array = np.asarray(level[output.name]).reshape(-1, *shape)
        for block in grid.blocks():
            values = output.encoding.decode(make_values(layer, block))
            np.testing.assert_array_equal(array[:, *block.region], values)
            np.testing.assert_array_equal(level.read(output.name, block), values)
    for level_number in (-1, 4):
        with pytest.raises(ValueError, match="wanted 0 to 3"):
            result.at(level_number)


@pytest.mark.parametrize(("side", "level"), [(1, 3), (9, 3), (10, 2), (35, 1), (36, 0), (70, 0), (1000, 0)])
def test_the_coarsest_level_that_is_large_enough(tmp_path: Path, side: int, level: int) -> None:
    """It has at least as many pixels along its longer side; level 0 is taken if none has."""
    write(tmp_path / "out.zarr", FRESH)
    assert open_result(tmp_path / "out.zarr").level_of(side) == level


def test_levels_lie_where_the_image_lies(tmp_path: Path) -> None:
    """The geometry is that of the level: larger pixels from the same corner."""
    record = make_record()
    image = replace(record.image, geometry=Geometry((0.5, 0.25), (0.0, 12.0)))
    with LocalStore(tmp_path / "out.zarr").opened_for_run(**FRESH) as store:
        fill(store, replace(record, image=image))
    result = open_result(tmp_path / "out.zarr", level=2)
    assert result.geometry == Geometry((2.0, 1.0), (0.75, 12.375))
    assert result.at(0).geometry == image.geometry
