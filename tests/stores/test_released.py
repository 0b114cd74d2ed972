"""Stores of released versions: this version opens every one of them, and goes on with its own series."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from expected import assert_right
from stores.released_stores import BLOCK, CLASSES, QUANTITIES, make_image, released_stores, unpack

from pipeline import evaluate, open_result, stream, verify
from pipeline.stores.record import current_version
from pipeline.stores.resumption import _series

CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
STORES = released_stores()


def state_of(store: Path) -> dict[str, tuple[bytes, int]]:
    """Read every file of a store, with the time when it was written."""
    return {
        file.relative_to(store).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in store.rglob("*")
        if file.is_file()
    }


@pytest.fixture(params=STORES)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give the store of a version; its parent's name is the version."""
    store = tmp_path / request.param / "out.zarr"
    unpack(request.param, store)
    return store


def test_every_release_has_its_store() -> None:
    """Each version that the changelog calls released has a store here, and so has the one that comes next."""
    found = re.findall(r"^## (\d\S*?),", CHANGELOG, re.MULTILINE)
    assert found
    assert set(found) <= set(STORES)


def test_a_released_store_is_opened(released: Path) -> None:
    """All values of all levels and the summary are right, and no shard is missing or damaged."""
    image, result = make_image(), open_result(released)
    assert_right(result, image, QUANTITIES)
    labels = evaluate(image, QUANTITIES["label"])
    assert result.summary is not None
    areas = {zone.name: zone.pixels for zone in result.summary.classes["label"]}
    assert areas == {name: np.count_nonzero(labels == number) for number, name in enumerate(CLASSES)}
    found = verify(released, progress="none")
    assert found.intact
    assert found.n_shards > 3 * 15


def test_a_released_store_is_resumed(released: Path) -> None:
    """A version of the same series keeps all blocks and changes none; another one refuses by name."""
    before = state_of(released)
    options: dict[str, Any] = {"block": BLOCK, "progress": "none", "resume": True}
    version = released.parent.name
    if _series(version) == _series(current_version()):
        receipt = stream(make_image(), QUANTITIES, released, **options)
        assert receipt.kept_blocks == receipt.blocks == 5
        before["zarr.json"] = state_of(released)["zarr.json"]
    else:
        with pytest.raises(ValueError, match=f"mixture-pipeline {re.escape(version)} began it"):
            stream(make_image(), QUANTITIES, released, **options)
    assert state_of(released) == before
    assert_right(open_result(released), make_image(), QUANTITIES)
