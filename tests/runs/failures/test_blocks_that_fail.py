"""Blocks that fail: they are named or skipped, and computed later."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
from runs.disturbed import (
    QUANTITIES,
    SKIN,
    assert_same,
    files_of,
    shards_of,
)

from pipeline import (
    Density,
    LogDensity,
    Mixture,
    compute_densities,
    open_result,
    resume,
    stream,
    verify,
)
from pipeline.images.source import RegionPart
from pipeline.runs.receipt import read_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def set_on_fire(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
    """Fail of one block of a Dask image."""
    if block_info and block_info[0]["chunk-location"][:2] == (1, 0):
        raise OSError("the scanner is on fire")
    return block


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

    monkeypatch.setattr(RegionPart, "read", fail)
    cause = str(error) or type(error).__name__
    message = rf"block \(0, 0\) of {small}, rows 0 to 16, columns 0 to 16: {cause}"
    with dask.config.set(num_workers=1), pytest.raises(wanted, match=message) as caught:
        stream(small, QUANTITIES, tmp_path / "out.zarr", block=16, progress="none")
    assert caught.value.__cause__ is error
    assert list(tmp_path.iterdir()) == []


def test_a_read_error_in_the_middle(
    tmp_path: Path, small: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that fails ends the run with its block, file and cause; once it doesn't, the run goes on."""
    store, read = tmp_path / "out.zarr", RegionPart.read

    def fail(part: RegionPart) -> Any:
        if (part.region[0].start, part.region[1].start) == (32, 32):
            raise OSError(5, "Input/output error")
        return read(part)

    with monkeypatch.context() as patch:
        patch.setattr(RegionPart, "read", fail)
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
    store, read, events = tmp_path / "out.zarr", RegionPart.read, []

    def fail(part: RegionPart) -> Any:
        corner = (part.region[0].start, part.region[1].start)
        if corner in {(16, 32), (48, 48)}:
            raise OSError(5, "Input/output error")
        return read(part)

    with monkeypatch.context() as patch:
        patch.setattr(RegionPart, "read", fail)
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


def test_what_lacks_blocks_replaces_nothing(
    tmp_path: Path, small: Path, undisturbed: Path, broken: set[tuple[int, int]]
) -> None:
    """A run that skipped blocks leaves an older result alone, overwriting or resumed, until it is whole."""
    store, options = tmp_path / "out.zarr", {"block": 16, "progress": "none", "on_error": "skip"}
    stream(np.zeros((4, 5, 3), np.uint8), LogDensity(SKIN), store, progress="none")
    old = files_of(store)
    broken |= {(16, 32), (48, 48)}
    message = r"{} blocks failed, so .*out.zarr isn't replaced; the first error was \[Errno 5\] .*resume=True"
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


def test_levels_above_a_skipped_block_are_made_later(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """What a skipped block is part of is missing at each level, and is made when the block is."""
    photo = photo[:160, :160]
    image = da.from_array(photo, chunks=(16, 16, 3)).map_blocks(set_on_fire, dtype=np.uint8)
    store, wanted = tmp_path / "out.zarr", tmp_path / "wanted.zarr"
    options: dict[str, Any] = {"block": 16, "progress": "none", "identity": "photo"}
    stream(photo, Density(SKIN), wanted, **options)
    stream(image, Density(SKIN), store, on_error="skip", **options)
    found = verify(store, progress="none")
    assert {(fault.level, fault.block, fault.kind) for fault in found.faults} == {
        *((level, (1, 0), "missing") for level in (0, 1, 2)),
        *((level, (0, 0), "missing") for level in (3, 4)),
    }
    assert open_result(store).levels == ((160, 160), (80, 80), (40, 40), (20, 20), (10, 10))
    receipt = stream(photo, Density(SKIN), store, resume=True, **options)
    assert receipt.kept_blocks == 99
    assert_same(store, wanted)
