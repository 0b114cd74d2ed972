"""Summaries of runs: the receipt, the store and NumPy, from the stored arrays, have the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import tifffile
import zarr
from references import random_mixture
from runs.disturbed import at_block
from stores.records import signed
from summaries import check_summary

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Packed,
    Posterior,
    evaluate,
    open_image,
    open_result,
    resume,
    stream,
    verify,
)
from pipeline.models.output import make_outputs
from pipeline.runs.receipt import read_receipt
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline import Receipt
    from pipeline.models.quantity import Quantity

ONE, OTHER = random_mixture(4, 3), random_mixture(3, 3, full=True, seed=1)
CLASSES = {"one": ONE, "other": OTHER}
# Every quantity, every packing, and two labels.
QUANTITIES: dict[str, Quantity | Packed] = {
    "density": Density(ONE),
    "log-density": LogDensity(OTHER),
    "log-ratio": LogRatio(ONE, OTHER),
    "posterior": Posterior(CLASSES),
    "only": Posterior(CLASSES, only="other"),
    "label": Label(CLASSES),
    "kernels": Label(ONE),
    "confidence": Confidence(CLASSES),
    "entropy": Entropy(CLASSES),
    "half": Packed(Density(ONE), "float16"),
    "half-ratio": Packed(LogRatio(ONE, OTHER), "float16"),
    "byte": Packed(Posterior(CLASSES), "uint8"),
    "linear": Packed(LogRatio(ONE, OTHER), "uint16", -3.0, 3.0),
    "logarithmic": Packed(Density(ONE), "uint16", 1e-12, 1e-4, "log"),
}
# Those that are enough where something else is tested.
FEW = {name: QUANTITIES[name] for name in ("density", "byte", "label")}
SHAPE = (37, 41)


def image_of(dtype: str) -> NDArray[Any]:
    """Give pixels that the kernels are near, and where there can be NaN, one of it."""
    pixels = np.random.default_rng(0).integers(0, 128, (*SHAPE, 3)).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[3, 4, 1] = np.nan
    return pixels


IMAGE = image_of("uint8")
ZONES = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint16) * 5


def check_run(
    receipt: Receipt,
    quantities: Mapping[str, Quantity | Packed],
    zones: NDArray[Any] | None = None,
    names: Mapping[int, str] | None = None,
) -> None:
    """Compare the summary of a receipt with those of its store, and with NumPy's of the stored arrays."""
    outputs, results = make_outputs(dict(quantities)), []
    for output in outputs:
        (layer,) = [layer for layer in arrange(outputs) if output in layer.outputs]
        stored = np.asarray(zarr.open_array(receipt.store, path=layer.array_path(), mode="r"))
        results.append(stored.reshape(layer.n_channels, *stored.shape[-2:])[layer.planes_of(output)])
    check_summary(receipt.summary, outputs, results, zones, names)
    assert open_result(receipt.store).summary == receipt.summary
    assert read_receipt(receipt.store) == receipt


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_every_quantity_is_counted(tmp_path: Path, dtype: str) -> None:
    """All results of one run, of pixels of any dtype, are counted as they are stored."""
    receipt = stream(
        image_of(dtype), QUANTITIES, tmp_path / "out.zarr", block=16, zones=ZONES, progress="none"
    )
    check_run(receipt, QUANTITIES, ZONES)
    assert receipt.summary is not None
    assert receipt.summary.pixel_area is None
    missing = {one.n_missing for one in receipt.summary.distributions.values()}
    assert missing == {1 if dtype.startswith("float") else 0}


@pytest.mark.parametrize("where", ["one thread", "threads", "cluster"])
def test_it_is_the_same_everywhere(tmp_path: Path, processes: Client, where: str) -> None:
    """One thread, several, and the workers of a cluster count the same."""
    client = processes if where == "cluster" else None
    with dask.config.set(num_workers=1 if where == "one thread" else 3):
        options: dict[str, Any] = {"block": 16, "zones": ZONES, "client": client, "progress": "none"}
        receipt = stream(IMAGE, FEW, tmp_path / "out.zarr", **options)
    check_run(receipt, FEW, ZONES)


def test_the_compiled_counter_is_used_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that loads Numba counts by a compiled loop, and counts the same."""
    wanted = stream(IMAGE, FEW, tmp_path / "plain.zarr", block=16, zones=ZONES, progress="none").summary
    monkeypatch.setattr("pipeline.runs.plan.is_worth_compiling", lambda *_, **__: True)

    def refuse(_: object) -> None:
        raise AssertionError("counted without the loop")

    monkeypatch.setattr("pipeline.compute.counters._add_values", refuse)
    receipt = stream(IMAGE, FEW, tmp_path / "out.zarr", block=16, zones=ZONES, progress="none")
    check_run(receipt, FEW, ZONES)
    assert receipt.summary == wanted


def test_kept_blocks_are_counted_from_their_shards(tmp_path: Path) -> None:
    """A resumed run counts what an earlier one wrote, and so does one with nothing left to do."""
    wanted = stream(IMAGE, FEW, tmp_path / "wanted.zarr", block=16, zones=ZONES, progress="none").summary
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt):
        stream(IMAGE, FEW, store, block=16, progress=at_block(4, KeyboardInterrupt()))
    options: dict[str, Any] = {"block": 16, "zones": ZONES, "progress": "none", "resume": True}
    receipt = stream(IMAGE, FEW, store, **options)
    assert 4 <= receipt.kept_blocks < 9
    check_run(receipt, FEW, ZONES)
    assert receipt.summary == wanted
    again = stream(IMAGE, FEW, store, **options)
    assert again.kept_blocks == 9
    assert again.summary == wanted


@pytest.mark.parametrize(
    "lost", ["0/image/c/0/1/1", "packed/byte/0/byte/c/0/2/0", "labels/label/0/label/c/0/0"]
)
def test_a_mended_store_is_counted(tmp_path: Path, lost: str) -> None:
    """A block of which one shard is computed again and others are kept is counted as a whole."""
    store = tmp_path / "out.zarr"
    wanted = stream(IMAGE, FEW, store, block=16, zones=ZONES, progress="none").summary
    (store / lost).unlink()
    receipt = stream(IMAGE, FEW, store, block=16, zones=ZONES, progress="none", resume=True)
    assert receipt.kept_blocks == 8
    check_run(receipt, FEW, ZONES)
    assert receipt.summary == wanted
    assert verify(store, progress="none").intact


def test_skipped_blocks_have_no_data(tmp_path: Path, broken: set[tuple[int, int]]) -> None:
    """Pixels of blocks that failed count as missing, until a resumed run has computed them."""
    tifffile.imwrite(tmp_path / "x.tif", IMAGE, tile=(16, 16), photometric="rgb")
    broken |= {(16, 16), (32, 0)}
    options: dict[str, Any] = {"block": 16, "progress": "none"}
    receipt = stream(tmp_path / "x.tif", FEW, tmp_path / "out.zarr", on_error="skip", **options)
    assert len(receipt.skipped) == 2
    check_run(receipt, FEW)
    assert receipt.summary is not None
    assert receipt.summary.distributions["density"].n_missing == 16 * 16 + 5 * 16
    broken.clear()
    receipt = resume(tmp_path / "out.zarr", progress="none")
    check_run(receipt, FEW)
    assert receipt.summary is not None
    assert receipt.summary.distributions["density"].n_missing == 0
    (tmp_path / "out.zarr/labels/label/0/label/c/1/1").unlink()
    broken.add((16, 16))
    receipt = resume(tmp_path / "out.zarr", on_error="skip", progress="none")
    assert receipt.summary is not None
    assert {one.n_missing for one in receipt.summary.distributions.values()} == {16 * 16}


@pytest.mark.parametrize("kind", ["mask", "no_data", "both", "nothing has data"])
def test_masked_pixels_are_missing(tmp_path: Path, kind: str) -> None:
    """Pixels without data belong to no class; those of a zone count among its pixels alone."""
    image = IMAGE.copy()
    image[5:20, 7:30] = 9
    mask = np.ones(SHAPE, bool)
    mask[16:32, 16:32] = mask[:, 35:] = False
    options: dict[str, dict[str, Any]] = {
        "mask": {"mask": mask},
        "no_data": {"no_data": 9},
        "both": {"mask": mask, "no_data": 9},
        "nothing has data": {"mask": np.zeros(SHAPE, bool)},
    }
    store = tmp_path / "out.zarr"
    receipt = stream(image, FEW, store, block=16, zones=ZONES, progress="none", **options[kind])
    check_run(receipt, FEW, ZONES)
    lost = {
        "mask": ~mask,
        "no_data": (image == 9).all(axis=-1),
        "both": ~mask | (image == 9).all(axis=-1),
        "nothing has data": np.ones(SHAPE, bool),
    }[kind]
    assert receipt.summary is not None
    assert {one.n_missing for one in receipt.summary.distributions.values()} == {lost.sum()}
    assert sum(zone.pixels for zone in receipt.summary.classes["label"]) == (~lost).sum()
    assert sum(zone.pixels for zone in receipt.summary.zones) == (ZONES > 0).sum()
    assert "result" in str(receipt.summary)


def test_areas_of_an_image_with_a_scale(tmp_path: Path) -> None:
    """The pixel size of an OME-TIFF gives the areas of classes and zones; a coarse view has large pixels."""
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, IMAGE, tile=(16, 16), photometric="rgb", metadata={"axes": "YXS", **size})
    receipt = stream(path, FEW, tmp_path / "out.zarr", block=16, zones=ZONES, progress="none")
    check_run(receipt, FEW, ZONES)
    summary = receipt.summary
    assert summary is not None
    assert summary.pixel_area == 0.125
    assert [summary.area(zone) for zone in summary.zones] == [0.125 * (n == ZONES).sum() for n in (5, 10, 15)]
    assert "mm²" in str(summary)
    view = stream(open_image(path)[::2, ::3], FEW, tmp_path / "view.zarr", progress="none").summary
    assert view is not None
    assert view.pixel_area == 0.125 * 6


def test_many_classes_in_one_run(tmp_path: Path) -> None:
    """A label of more classes than a byte holds is counted by class, with means."""
    quantities = {"label": Label(random_mixture(300, 3)), "density": Density(ONE)}
    receipt = stream(IMAGE[:12, :15], quantities, tmp_path / "out.zarr", progress="none")
    check_run(receipt, quantities)
    assert receipt.summary is not None
    assert len(receipt.summary.classes["label"]) == 300
    assert open_result(receipt.store)["label"].dtype == np.uint16


def test_a_label_alone(tmp_path: Path) -> None:
    """A label without other results has classes without means, and labels alone have zones without means."""
    for quantities in ({"label": Label(CLASSES)}, {"label": Label(CLASSES), "kernels": Label(ONE)}):
        store = tmp_path / f"{len(quantities)}.zarr"
        receipt = stream(IMAGE, quantities, store, block=16, zones=ZONES, progress="none")
        check_run(receipt, quantities, ZONES)
        assert receipt.summary is not None
        assert receipt.summary.zones[0].means == receipt.summary.classes["label"][0].means == {}
        wanted = np.bincount(evaluate(IMAGE, Label(CLASSES)).reshape(-1), minlength=2)
        assert [zone.pixels for zone in receipt.summary.classes["label"]] == wanted.tolist()


def test_an_image_without_pixels(tmp_path: Path) -> None:
    """A run of no blocks has a summary of no pixels, which can be shown."""
    receipt = stream(IMAGE[:0], FEW, tmp_path / "out.zarr", progress="none")
    check_run(receipt, FEW)
    assert receipt.summary is not None
    assert {one.n_pixels for one in receipt.summary.distributions.values()} == {0}
    assert str(receipt.summary)
    assert "<table>" in receipt.summary._repr_html_()


def change_receipt(store: Path, change: Any) -> None:
    """Change the receipt in the record of a store, which keeps a digest that fits."""
    group = zarr.open_group(store)
    content: Any = group.attrs["mixture_pipeline"]
    change(content["receipt"])
    group.attrs["mixture_pipeline"] = signed({**content})


def test_a_store_of_an_older_version_gets_a_summary(tmp_path: Path) -> None:
    """A store without a summary opens, verifies and resumes; then it has one."""
    tifffile.imwrite(tmp_path / "x.tif", IMAGE, photometric="rgb")
    wanted = stream(tmp_path / "x.tif", FEW, tmp_path / "out.zarr", block=16, progress="none")
    change_receipt(tmp_path / "out.zarr", lambda receipt: receipt.pop("summary"))
    result, receipt = open_result(tmp_path / "out.zarr"), read_receipt(tmp_path / "out.zarr")
    assert result.summary is None
    assert receipt is not None
    assert receipt.summary is None
    assert list(result) == list(FEW)
    assert verify(tmp_path / "out.zarr", progress="none").intact
    resumed = resume(tmp_path / "out.zarr", progress="none")
    assert resumed.kept_blocks == 9
    assert resumed.summary == open_result(tmp_path / "out.zarr").summary == wanted.summary


@pytest.mark.parametrize(
    "damage",
    [
        lambda receipt: receipt.update(summary=3),
        lambda receipt: receipt["summary"].pop("classes"),
        lambda receipt: receipt["summary"]["distributions"]["density"].update(counts="1 2"),
        lambda receipt: receipt["summary"]["distributions"]["density"].update(bins=str(2**70)),
    ],
    ids=["number", "no classes", "counts", "huge"],
)
def test_a_damaged_summary_is_told_and_counted_again(tmp_path: Path, damage: Any) -> None:
    """The error names the store and the remedy, which works."""
    tifffile.imwrite(tmp_path / "x.tif", IMAGE, photometric="rgb")
    store = tmp_path / "out.zarr"
    wanted = stream(tmp_path / "x.tif", FEW, store, block=16, progress="none").summary
    change_receipt(store, damage)
    with pytest.raises(ValueError, match=r"out.zarr has a damaged summary in its zarr.json. .* resume=True"):
        open_result(store)
    with pytest.raises(ValueError, match=r"out.zarr has a damaged receipt. Resume it"):
        read_receipt(store)
    assert verify(store, progress="none").intact
    assert resume(store, progress="none").summary == wanted == open_result(store).summary


def test_a_summary_is_part_of_the_digest(tmp_path: Path) -> None:
    """A number of the summary that was changed makes the record a damaged one."""
    store = tmp_path / "out.zarr"
    stream(IMAGE, FEW, store, block=16, progress="none")
    group = zarr.open_group(store)
    content: Any = group.attrs["mixture_pipeline"]
    assert LocalStore(store).read_record().summary is not None
    content["receipt"]["summary"]["classes"]["label"][0]["pixels"] += 1
    group.attrs["mixture_pipeline"] = content
    with pytest.raises(ValueError, match=r"out.zarr has a damaged record in its zarr.json"):
        open_result(store)
