"""Verification: exactly the blocks that are missing or damaged are named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.grid import Grid
from pipeline.stores import layout, verification
from pipeline.stores.local import LocalStore
from pipeline.stores.store import Fault
from pipeline.stores.verification import Verification, check_blocks
from pipeline.testing.filling import LAYERS, fill, make_record, make_values

if TYPE_CHECKING:
    from pathlib import Path

# 4 x 5 blocks, of which those at the edges are cut.
GRID = Grid((110, 150), (32, 32), (16, 16))
BLOCKS = [block.index for block in GRID.blocks()]
RECORD = make_record(GRID)
BY_NAME = {layer.name: layer for layer in LAYERS}
# Each level has as many shards of a layer.
SHARDS = [GRID.level(level).n_blocks for level in range(GRID.n_levels)]
N_SHARDS = len(LAYERS) * sum(SHARDS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Give a whole store, which every test leaves whole."""
    store = LocalStore(tmp_path_factory.mktemp("verification") / "out.zarr")
    fill(store, RECORD)
    return store


def verify(store: LocalStore, threads: int = 2) -> Verification:
    """Check all blocks of a store."""
    record = store.read_record()
    found = [fault for _, faults in check_blocks(store, record, threads) for fault in faults]
    return Verification.from_faults(store, record, found)


def shard_of(store: LocalStore, fault: Fault) -> Path:
    """Return the file of a shard."""
    return store.directory / layout.shard_path(BY_NAME[fault.layer], fault.block, fault.level)


def files_of(store: LocalStore) -> dict[str, tuple[bytes, int]]:
    """Read every file of blocks, with the time when it was written."""
    files = (file for file in store.directory.glob("**/c/**/*") if file.is_file())
    return {
        file.relative_to(store.directory).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in files
    }


PLACES = [(block.index, level) for level in range(GRID.n_levels) for block in GRID.level(level).blocks()]
FAULTS = st.builds(
    lambda name, place, kind: Fault(name, place[0], kind, place[1]),
    st.sampled_from(list(BY_NAME)),
    st.sampled_from(PLACES),
    st.sampled_from(["missing", "damaged"]),
)


# A fault, and the place and the bits of a byte that is changed. They are drawn before the store is touched,
# because hypothesis may end an example wherever it draws.
DAMAGES = st.lists(
    st.tuples(FAULTS, st.integers(0, 2**20), st.integers(1, 255)),
    max_size=6,
    unique_by=lambda damage: (damage[0].layer, damage[0].block, damage[0].level),
)


@settings(max_examples=4)
@given(DAMAGES)
def test_exactly_the_faults_are_named_and_mended(
    store: LocalStore, damages: list[tuple[Fault, int, int]]
) -> None:
    """Each shard that is deleted or has another byte is named, and writing it again mends the store."""
    before = files_of(store)
    faults = [fault for fault, _, _ in damages]
    for fault, place, change in damages:
        shard = shard_of(store, fault)
        if fault.kind == "missing":
            shard.unlink()
        else:
            content = bytearray(shard.read_bytes())
            content[place % len(content)] ^= change
            shard.write_bytes(content)
    found = verify(store)
    assert sorted(found.faults) == sorted(faults)
    assert set(found.missing) == {fault for fault in faults if fault.kind == "missing"}
    assert set(found.damaged) == {fault for fault in faults if fault.kind == "damaged"}
    assert (found.n_shards, found.complete, found.intact) == (N_SHARDS, True, not faults)
    for name, index, _, level in found.faults:
        block = GRID.level(level)[index]
        values = make_values(BY_NAME[name], block)
        store.write_block(BY_NAME[name], block, values, level=level, error=0.25).publish()
    after = files_of(store)
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }
    written = {name for name in after if after[name][1] != before[name][1]}
    assert {name for name in written if "largest_error" not in name} == {
        shard_of(store, fault).relative_to(store.directory).as_posix() for fault in faults
    }
    assert verify(store).intact


def test_an_unfinished_run(tmp_path: Path) -> None:
    """The blocks that a run hasn't reached are missing, and the run is unfinished even if none is missing."""
    for n_blocks in (13, len(BLOCKS)):
        store = LocalStore(tmp_path / str(n_blocks))
        fill(store, RECORD, n_blocks=n_blocks)
        found = verify(store)
        assert not found.complete
        assert not found.intact
        assert not found.damaged
        lacking = [fault.block for fault in found.missing if fault.level == 0]
        assert lacking == [b for b in BLOCKS[n_blocks:] for _ in LAYERS]
        assert str(found).endswith("; the run is unfinished, or skipped blocks")


def test_a_skipped_block_is_missing(tmp_path: Path) -> None:
    """A run that skipped a block is neither complete nor intact."""
    store = LocalStore(tmp_path / "out.zarr")
    fill(store, RECORD, n_blocks=19)
    store.finish({"pixels": GRID.n_pixels, "blocks": 20, "skipped": [{"block": [3, 4]}]})
    found = verify(store)
    assert {fault for fault in found.faults if fault.level < 3} == {
        Fault(name, (3, 4), "missing", level) for name in BY_NAME for level in range(3)
    }
    assert not found.complete
    assert not found.intact


def test_the_text_of_a_verification(store: LocalStore) -> None:
    """One line says how many shards there are, and how many of them are faulty."""
    assert str(verify(store)) == f"{N_SHARDS} shards, all intact"
    shard = shard_of(store, Fault("label", (3, 4), "missing"))
    content = shard.read_bytes()
    shard.unlink()
    assert str(verify(store)) == f"{N_SHARDS} shards, 1 missing, 0 damaged"
    shard.write_bytes(content)
    assert verify(store).store == store.address
    one = Verification("out.zarr", 1, (), complete=True)
    assert str(one) == "1 shard, all intact"


def test_reading_changes_nothing(store: LocalStore) -> None:
    """Checking leaves every file, and its time, as they were."""
    before = files_of(store)
    verify(store)
    assert files_of(store) == before


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_come_in_their_order(store: LocalStore, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of threads, and no more than were given, each block comes once, row by row."""
    pools = []

    def watched(number: int) -> ThreadPoolExecutor:
        pools.append(number)
        return ThreadPoolExecutor(number)

    monkeypatch.setattr(verification, "ThreadPoolExecutor", watched)
    found = list(check_blocks(store, RECORD, threads))
    tiers = [block.index for _, tier in GRID.tiers() for block in tier.blocks()]
    assert [block.index for block, _ in found] == tiers
    assert tiers[: len(BLOCKS)] == BLOCKS
    assert not any(faults for _, faults in found)
    assert pools == [threads]


@pytest.mark.parametrize(
    "place", ["0", "2/image", "largest_errors/chances", "labels/label/0/label", "labels/label"]
)
@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_without_metadata_nothing_can_be_read(store: LocalStore, place: str, content: bytes | None) -> None:
    """Without its metadata all shards of an output are damaged, until the metadata are mended."""
    file = store.directory / place / "zarr.json"
    before, shards = file.read_bytes(), files_of(store)
    file.unlink() if content is None else file.write_bytes(content)
    names = {"0": "density", "2": "density", "largest_errors": "chances", "labels": "label"}
    found = verify(store)
    assert len(found.damaged) == sum(SHARDS)
    assert {fault.layer for fault in found.faults} == {names[place.partition("/")[0]]}
    store.mend_metadata(RECORD)
    assert file.read_bytes() == before
    assert files_of(store) == shards
    assert verify(store).intact


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("0/image", '"shape": [\n    1,\n    110', '"shape": [\n    1,\n    100'),
        ("0/image", '"data_type": "float32"', '"data_type": "float64"'),
        ("labels/label", '"0.5"', '"0.4"'),
    ],
)
def test_metadata_that_say_something_else_are_damage(
    store: LocalStore, place: str, old: str, new: str
) -> None:
    """Metadata that can be read but are wrong are damage, too."""
    file = store.directory / place / "zarr.json"
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    assert len(verify(store).damaged) == sum(SHARDS)
    store.mend_metadata(RECORD)
    assert file.read_text() == before
    assert verify(store).intact
