"""The local store passes the contract; its files, and the damage that only files can have."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.records import MASK, ZONES

from pipeline.images.grid import Grid
from pipeline.stores import layout
from pipeline.stores.local import LocalStore
from pipeline.stores.store import Fault
from pipeline.testing.filling import GRID, LAYERS, fill, make_receipt, make_record, make_values
from pipeline.testing.stores import StoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Index, Store


class TestLocalStore(StoreContract):
    """A directory passes the contract of stores."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        """Give a store in a folder that doesn't exist yet."""
        return LocalStore(tmp_path / "deep" / "out.zarr")

    def read_shard(self, store: Store, layer: Layer, index: Index) -> bytes:
        """Return the bytes of a shard."""
        assert isinstance(store, LocalStore)
        return (store.directory / layout.shard_path(layer, index)).read_bytes()

    def write_shard(self, store: Store, layer: Layer, index: Index, content: bytes | None) -> None:
        """Replace the bytes of a shard, or remove the shard."""
        assert isinstance(store, LocalStore)
        path = store.directory / layout.shard_path(layer, index)
        path.unlink() if content is None else path.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Give a whole store."""
    store = LocalStore(tmp_path / "out.zarr")
    fill(store, make_record())
    return store


def test_every_block_is_one_file(tmp_path: Path) -> None:
    """A block is one file of the size that is returned, at the path that the layout says."""
    store = LocalStore(tmp_path / "out.zarr")
    store.create(make_record())
    shard = store.write_block(LAYERS[0], GRID[1, 1], make_values(LAYERS[0], GRID[1, 1]))
    shard.publish()
    files = [file for file in (store.directory / "0" / "image" / "c").rglob("*") if file.is_file()]
    assert [file.relative_to(store.directory).as_posix() for file in files] == ["0/image/c/0/1/1"]
    assert files[0].stat().st_size == shard.n_bytes > 0


@pytest.mark.parametrize(
    "content", [None, b"", b"12345678", b"1234567"], ids=["gone", "empty", "other", "cut"]
)
def test_a_lost_error_is_noticed_and_mended(store: LocalStore, content: bytes | None) -> None:
    """A packed block whose largest error isn't known any more isn't whole; written again, it is."""
    entry = store.directory / "largest_errors" / "chances" / "c" / "1" / "1"
    whole = entry.read_bytes()
    if content is None:
        entry.unlink()
    else:
        entry.write_bytes(content)
    assert store.check_block(LAYERS, (1, 1)) == [Fault("chances", (1, 1), "damaged")]
    assert store.check_block(LAYERS, (0, 1)) == []
    store.write_block(LAYERS[1], GRID[1, 1], np.zeros((2, 18, 22), np.uint8), error=0.25).publish()
    assert entry.read_bytes() == whole
    assert store.check_block(LAYERS, (1, 1)) == []
    assert store.largest_errors(LAYERS) == {"chances": 0.25}


def test_what_a_lost_worker_was_writing_isnt_published(store: LocalStore) -> None:
    """A store that is finished holds no temporary file of a worker that was lost on the way."""
    orphan = store.directory / "0" / "image" / "c" / "0" / "0" / f"1.{32 * '0'}.partial"
    orphan.write_bytes(b"half")
    store.finish(make_receipt(make_record()))
    assert not orphan.exists()


def test_a_directory_is_no_shard(store: LocalStore) -> None:
    """Where something else has the name of a shard, the shard is missing."""
    shard = store.directory / layout.shard_path(LAYERS[2], (0, 0))
    shard.unlink()
    shard.mkdir()
    assert store.check_block(LAYERS, (0, 0)) == [Fault("label", (0, 0), "missing")]


def test_damage_is_noticed_by_any_reader(store: LocalStore) -> None:
    """A flipped byte in the data of a shard makes reading fail, instead of giving other numbers."""
    shard = store.directory / layout.shard_path(LAYERS[0], (0, 0))
    content = bytearray(shard.read_bytes())
    content[20] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)checksum|crc"):
        zarr.open_array(store.directory, path="0/image", mode="r")[0, :16, :16]
    with pytest.raises(ValueError, match=r"(?i)checksum|crc"):
        store.read_block(LAYERS[0], GRID[0, 0])
    assert store.read_block(LAYERS[0], GRID[0, 1]).shape == (1, 32, 22)


SMALL = st.integers(1, 12)


@settings(max_examples=10)
@given(st.tuples(st.integers(1, 30), st.integers(1, 30)), st.tuples(SMALL, SMALL), st.tuples(SMALL, SMALL))
def test_a_block_writes_its_own_file_alone(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int],
    chunk: tuple[int, int],
    times: tuple[int, int],
) -> None:
    """For any shape, blocks and chunks, each block is one file that no other block touches."""
    grid = Grid(shape, (chunk[0] * min(times[0], 4), chunk[1] * min(times[1], 4)), chunk)
    store = LocalStore(tmp_path_factory.mktemp("store") / "out.zarr")
    store.create(make_record(grid, LAYERS[0].outputs))
    folder = store.directory / "0" / "image" / "c"
    before: dict[Path, int] = {}
    for number, block in enumerate(grid.blocks()):
        store.write_block(LAYERS[0], block, np.full((1, *block.extent), number, np.float32)).publish()
        files = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
        assert files.items() >= before.items()
        assert len(files) == number + 1
        before = files
    assert len(before) == grid.n_blocks
    stored = np.asarray(store.open_level(LAYERS[0]))
    for number, block in enumerate(grid.blocks()):
        assert (stored[0][block.region] == number).all()


@pytest.mark.parametrize(
    "place", ["0", "2/image", "largest_errors/chances", "labels/label/0/label", "labels/label"]
)
@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_metadata_are_mended(store: LocalStore, place: str, content: bytes | None) -> None:
    """Metadata that a power cut lost or cut short are written again, and no shard is."""
    file = store.directory / place / "zarr.json"
    before, record = file.read_bytes(), store.read_record()
    shards = {path: path.stat().st_mtime_ns for path in store.directory.glob("**/c/**/*")}
    file.unlink() if content is None else file.write_bytes(content)
    names = {"0": "density", "2": "density", "largest_errors": "chances", "labels": "label"}
    assert [layer.name for layer in store.find_damaged(record)] == [names[place.partition("/")[0]]]
    store.mend_metadata(record)
    assert file.read_bytes() == before
    assert store.find_damaged(record) == []
    assert {path: path.stat().st_mtime_ns for path in store.directory.glob("**/c/**/*")} == shards


def test_other_zones_are_recorded(store: LocalStore) -> None:
    """Mending records the zones of the run and keeps the receipt; equal ones write nothing."""
    root, before = store.directory / "zarr.json", store.read_record()
    assert before.receipt is not None
    zarr.open_group(store.directory).attrs["spatial"] = {"crs": "EPSG:4326"}
    for zones in (ZONES, MASK, None):
        store.mend_metadata(make_record(zones=zones))
        assert store.read_record() == replace(before, zones=zones)
        written = root.stat().st_mtime_ns
        store.mend_metadata(make_record(zones=zones))
        assert root.stat().st_mtime_ns == written
    assert zarr.open_group(store.directory).attrs["spatial"] == {"crs": "EPSG:4326"}


def test_an_array_of_another_program_is_read_block_by_block(store: LocalStore) -> None:
    """What Zarr writes into a store is what a block of it is read as, clipped to the image."""
    array = zarr.open_array(store.directory, path="packed/chances/0/chances")
    random = np.random.default_rng(8)
    array[:] = values = random.integers(0, 255, array.shape).astype(np.uint8)
    for block in GRID.blocks():
        np.testing.assert_array_equal(store.read_block(LAYERS[1], block), values[:, *block.region])


def test_other_attributes_of_the_root_are_kept(store: LocalStore) -> None:
    """The attributes that another program added to the root group survive the receipt."""
    zarr.open_group(store.directory).attrs["spatial"] = {"crs": "EPSG:4326"}
    store.finish(make_receipt(make_record()))
    assert zarr.open_group(store.directory).attrs["spatial"] == {"crs": "EPSG:4326"}


def mixture_of(record: dict[str, Any]) -> Any:
    """Return the content of the first mixture in the content of a record."""
    return record["outputs"][0]["quantity"]["mixture"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record: record.update(grid={}),
            "damaged record in its zarr.json.*overwrite=True, --overwrite",
        ),
        (lambda record: record.update(receipt={"a": 1}), "damaged record"),
        (
            lambda record: record.pop("format"),
            "has a record in an old format, which mixture-pipeline .* wrote",
        ),
        (lambda record: record.update(format=6), "has a record of format 6; .* Upgrade mixture-pipeline"),
        (lambda record: mixture_of(record)["weights"].__setitem__(0, 0.6), "damaged record"),
    ],
)
def test_a_damaged_record_is_refused(store: LocalStore, change: Any, message: str) -> None:
    """A store whose record is damaged or has another format is a store still, which can be overwritten."""
    record = store.read_record().to_dict()
    change(record)
    zarr.open_group(store.directory).attrs["mixture_pipeline"] = record
    with pytest.raises(ValueError, match=message):
        store.read_record()
    assert store.is_created
    store.check([], overwrite=True, resume=False)


def test_other_things_are_no_stores(tmp_path: Path) -> None:
    """Nothing, a directory, a file and a foreign Zarr group are told apart from a result."""
    with pytest.raises(FileNotFoundError, match=r"none.zarr doesn't exist"):
        LocalStore(tmp_path / "none.zarr").read_record()
    (tmp_path / "text").write_text("hello")
    zarr.create_group(tmp_path / "other.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="f4")
    (tmp_path / "cut.zarr").mkdir()
    (tmp_path / "cut.zarr" / "zarr.json").write_text("{")
    for name in (".", "text", "other.zarr", "array.zarr", "cut.zarr"):
        store = LocalStore(tmp_path / name)
        assert not store.is_created
        with pytest.raises(ValueError, match="isn't a result of mixture-pipeline"):
            store.read_record()


def test_a_relative_address_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address stays as it was given, and a run's store doesn't depend on the working directory."""
    monkeypatch.chdir(tmp_path)
    store = LocalStore("out.zarr")
    with store.opened_for_run(overwrite=False, resume=False) as opened:
        assert opened.address == "out.zarr"
        assert opened.directory.is_absolute()
        content = pickle.dumps(opened)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        fill(pickle.loads(content), make_record())  # noqa: S301  made above
    assert LocalStore(tmp_path / "out.zarr").find().read_record().is_complete
    assert repr(store) == "LocalStore('out.zarr', 'out.zarr')"


def test_scratch_is_beside_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest directory that exists is written to, if it can be."""
    store = LocalStore(tmp_path / "deep" / "er" / "out.zarr")
    assert store.scratch == tmp_path
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert store.scratch is None
