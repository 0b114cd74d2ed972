"""The seam: a kind of store must have all that a run needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.stores.local import LocalStore
from pipeline.stores.store import Fault, Store
from pipeline.testing.filling import FRESH, GRID, REPLACING, fill, make_receipt, make_record

if TYPE_CHECKING:
    from pathlib import Path


def test_a_store_must_be_whole() -> None:
    """A kind of store that lacks a method can't be made."""

    class Half(Store):
        def holds_shards(self) -> bool:
            return False

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_a_fault_names_its_shard() -> None:
    """A fault is a tuple of the layer, the block, the kind and the level, so that faults can be sorted."""
    faults = [Fault("label", (0, 1), "missing"), Fault("density", (1, 0), "damaged")]
    assert min(faults).layer == "density"
    assert faults[0] == ("label", (0, 1), "missing", 0)


def test_a_run_begins_a_store_once(tmp_path: Path) -> None:
    """An empty store is created; one that is there is kept, mended, and refused to another run."""
    store, record = LocalStore(tmp_path / "out.zarr"), make_record()
    store.begin(record, {})
    assert store.read_record() == record
    (store.directory / "labels" / "label" / "0" / "zarr.json").unlink()
    store.begin(replace(record, engines=dict.fromkeys(record.engines, "twin")), {"twin": "a", "numexpr": "a"})
    assert store.read_record() == record
    assert store.find_damaged(record) == []
    with pytest.raises(
        ValueError, match=r"can't be resumed: its image was another one \(1\) than it is now \(2\)"
    ):
        store.begin(make_record(identity="2"), {})


def test_skipped_blocks_replace_nothing(tmp_path: Path) -> None:
    """A store that lacks blocks is finished where there is no other, and doesn't replace a whole one."""
    store, record = LocalStore(tmp_path / "out.zarr"), make_record()
    receipt = {**make_receipt(record), "skipped": [{"block": [0, 0], "error": "the disk is on fire"}]}
    with store.opened_for_run(**FRESH) as opened:
        fill(opened, record, n_blocks=GRID.n_blocks - 1)
        opened.conclude(receipt)
    assert store.find().read_record().receipt == receipt
    message = "1 blocks failed, so .* isn't replaced; the first error was the disk is on fire. The others"
    with store.opened_for_run(**REPLACING) as opened:
        fill(opened, make_record(identity="2"), n_blocks=1)
        with pytest.raises(RuntimeError, match=message):
            opened.conclude(receipt)
        assert store.find().read_record() == replace(record, receipt=receipt)
        opened.conclude(make_receipt(record))
    assert store.find().read_record().image.identity == "2"
