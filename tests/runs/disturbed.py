"""What tests of disturbed runs share: the quantities of a run, and comparisons of stores."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import (
    Density,
    Label,
    Packed,
    Posterior,
    Progress,
    Receipt,
    load_model,
    stream,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forked import Running

    from pipeline.models.quantity import Quantity
    from pipeline.stores.store import Fault


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


def shards_of(store: Path) -> dict[str, tuple[bytes, int]]:
    """Read the shards of full resolution of a store or of what a killed run left: each is whole."""
    partial = store.with_name(f"{store.name}.partial")
    files = files_of(partial if partial.exists() else store)
    return {
        name: file
        for name, file in files.items()
        if re.search(r"(?:^|/)0/\w+/c/", name) and "partial" not in name
    }


def missing_from(store: Path) -> list[Fault]:
    """Return the shards of full resolution that a store lacks; no other fault is there."""
    found = verify(store, progress="none")
    assert not found.damaged
    return [fault for fault in found.missing if fault.level == 0]


def at_block(number: int, error: BaseException) -> Callable[[Progress], None]:
    """Make a listener that raises once so many blocks are done."""

    def listen(event: Progress) -> None:
        if event.blocks == number:
            raise error

    return listen


def resume_with(image: Any, store: Path, **options: Any) -> Receipt:
    """Go on with a run of all quantities, in blocks of 16."""
    return stream(image, QUANTITIES, store, block=16, progress="none", resume=True, **options)


def begin(image: Any, store: Path, **options: Any) -> None:
    """Interrupt a run after a few blocks."""
    settled = {"quantities": QUANTITIES, "block": 16, **options}
    with pytest.raises(KeyboardInterrupt):
        stream(image, store=store, progress=at_block(5, KeyboardInterrupt()), **settled)


def wait_for_shards(process: Running, store: Path) -> None:
    """Wait until a process has published a block of an unfinished store, or has ended."""
    folder = store.with_name(f"{store.name}.partial") / "labels/label/0/label/c"
    # A shard that isn't published yet has another name.
    while not process.has_ended() and not list(folder.glob("*/[0-9]")):
        time.sleep(0.005)
