"""The store in object storage passes the contract on a real server; what only objects can have."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pipeline.images.object_storage import ObjectFolder
from pipeline.stores import layout, lease
from pipeline.stores.local import LocalStore
from pipeline.stores.objects import ObjectStore
from pipeline.stores.store import Fault
from pipeline.testing.filling import (
    FRESH,
    GRID,
    LAYERS,
    REPLACING,
    RESUMED,
    fill,
    interrupt,
    make_receipt,
    make_record,
    make_values,
)
from pipeline.testing.stores import StoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from object_server import ObjectServer

    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Index, Store


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew leases often, so that few seconds are spent waiting for a dead one."""
    monkeypatch.setattr(lease, "INTERVAL", 1.0)


class TestObjectStore(StoreContract):
    """A store in a bucket passes the contract of stores."""

    @pytest.fixture
    def store(self, bucket: str) -> ObjectStore:
        """Give a store in an empty bucket."""
        return ObjectStore(f"{bucket}/deep/a b/out.zarr")

    def read_shard(self, store: Store, layer: Layer, index: Index) -> bytes:
        """Return the bytes of a shard."""
        assert isinstance(store, ObjectStore)
        return store.folder.read(layout.shard_path(layer, index))

    def write_shard(self, store: Store, layer: Layer, index: Index, content: bytes | None) -> None:
        """Replace the bytes of a shard, or remove the shard."""
        assert isinstance(store, ObjectStore)
        path = layout.shard_path(layer, index)
        if content is None:
            store.folder.remove([path])
        else:
            store.folder.write(path, [content])


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    """Give a store in an empty bucket."""
    return ObjectStore(f"{bucket}/out.zarr")


def names_of(store: ObjectStore, bucket: str) -> set[str]:
    """Return the names of all objects of a bucket, without the address of the store."""
    prefix = store.address.removeprefix(f"{bucket}/")
    return {name.removeprefix(f"{prefix}/") for name, _ in ObjectFolder(bucket).names()}


def test_the_layout_is_that_of_a_directory(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    """A published store has the same objects as a directory has files, with the same content."""
    local = LocalStore(tmp_path / "out.zarr")
    for one in (local, store):
        with one.opened_for_run(**FRESH) as opened:
            fill(opened, make_record())
    files = [path for path in local.directory.rglob("*") if path.is_file()]
    wanted = {path.relative_to(local.directory).as_posix(): path.read_bytes() for path in files}
    assert names_of(store, bucket) == set(wanted)
    assert {name: store.folder.read(name) for name in wanted} == wanted


def test_a_task_of_an_ended_run_writes_nothing(store: ObjectStore, bucket: str) -> None:
    """A task that outlives its run changes nothing, neither before another run begins nor afterwards."""
    interrupt(store, FRESH, make_record(), n_blocks=2)
    with store.opened_for_run(**RESUMED) as opened:
        late = pickle.loads(pickle.dumps(opened))  # noqa: S301  made on this line
        opened.finish(make_receipt(make_record()))
    before = names_of(store, bucket)
    values = make_values(LAYERS[0], GRID[1, 1])
    with pytest.raises(BlockingIOError, match="another run has taken over"):
        late.write_block(LAYERS[0], GRID[1, 1], values).publish()
    for write in (lambda: late.create(make_record()), lambda: late.finish(make_receipt(make_record()))):
        with pytest.raises(BlockingIOError):
            write()
    assert names_of(store, bucket) == before
    with store.opened_for_run(**REPLACING) as opened:
        fill(opened, make_record(identity="2"))
        during = names_of(store, bucket)
        with pytest.raises(BlockingIOError):
            late.write_block(LAYERS[0], GRID[1, 1], values).publish()
        assert names_of(store, bucket) == during


def test_a_run_that_was_taken_over_ends(store: ObjectStore) -> None:
    """A run whose lease another one has taken, since it was suspended, ends and publishes nothing."""

    def run() -> None:
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record(), n_blocks=1)
            place = ObjectFolder(f"{store.address}.partial")
            left = lease.read(place)
            assert left is not None
            place.write(lease.NAME, [replace(left, token=32 * "0").encode()])
            fill(opened, make_record())

    with pytest.raises(BlockingIOError, match="another run has taken over"):
        run()
    assert store.find().is_unfinished
    with store.opened_for_run(**RESUMED) as opened:
        assert opened.check_block(LAYERS, (0, 0)) == []


def test_damaged_metadata_are_mended(store: ObjectStore) -> None:
    """Metadata that are gone or damaged are noticed by their layers, and written again."""
    with store.opened_for_run(**FRESH) as opened:
        fill(opened, make_record())
    found = store.find()
    found.folder.remove([f"{LAYERS[0].array_path(1)}/zarr.json"])
    found.folder.write(f"{LAYERS[2].array_path()}/zarr.json", [b"{"])
    assert found.find_damaged(make_record()) == [LAYERS[0], LAYERS[2]]
    assert found.check_block(LAYERS[2:], (0, 0)) == [Fault("label", (0, 0), "damaged")]
    before = found.identity
    with store.opened_for_run(**RESUMED) as opened:
        opened.mend_metadata(make_record())
        assert opened.find_damaged(make_record()) == []
        assert opened.check_block(LAYERS, (0, 0)) == []
    assert store.find().identity == before
    assert store.find().read_record().is_complete


def test_a_server_that_fails_is_no_damage(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that can't be read now isn't taken for a damaged one."""
    fill(store, make_record())
    read = ObjectFolder.read
    for ending in ("c/1/1", "0/chances/zarr.json", "chances/c/0/1/1", "largest_errors/chances/zarr.json"):

        def fail(self: ObjectFolder, path: str, ending: str = ending) -> bytes:
            if path.endswith(ending):
                raise OSError("the server fails")
            return read(self, path)

        with monkeypatch.context() as patched:
            patched.setattr(ObjectFolder, "read", fail)
            with pytest.raises(OSError, match="the server fails"):
                store.find().check_block(LAYERS, (1, 1))
    assert store.find().check_block(LAYERS, (1, 1)) == []


@pytest.mark.parametrize("content", [None, b"", b"12345678"])
def test_a_lost_error_is_noticed_and_mended(store: ObjectStore, content: bytes | None) -> None:
    """A packed block whose largest error isn't known any more isn't whole; written again, it is."""
    fill(store, make_record())
    path = layout.error_path(LAYERS[1], (1, 1))
    whole = store.folder.read(path)
    store.folder.remove([path])
    if content is not None:
        store.folder.write(path, [content])
    assert store.check_block(LAYERS, (1, 1)) == [Fault("chances", (1, 1), "damaged")]
    store.write_block(LAYERS[1], GRID[1, 1], make_values(LAYERS[1], GRID[1, 1]), error=0.25).publish()
    assert store.folder.read(path) == whole
    assert store.check_block(LAYERS, (1, 1)) == []


def test_what_isnt_published_is_not_sent(
    store: ObjectStore, bucket: str, object_server: ObjectServer
) -> None:
    """A block that is discarded costs no request."""
    store.create(make_record())
    with store.write_block(LAYERS[0], GRID[0, 0], make_values(LAYERS[0], GRID[0, 0])) as shard:
        before = len(object_server.requests(bucket))
    assert shard.n_bytes > 0
    assert len(object_server.requests(bucket)) == before
    assert not store.holds_shards()


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_number_of_requests_is_bounded(
    store: ObjectStore, bucket: str, object_server: ObjectServer, layer: Layer
) -> None:
    """Each shard costs as many requests as the class says, once the metadata are known."""
    lossy = int(layer.encoding.is_lossy)
    blocks = list(GRID.blocks())
    with store.opened_for_run(**FRESH) as opened:
        opened.create(make_record())
        opened.check_block([layer], (0, 0))
        opened.write_block(layer, blocks[0], make_values(layer, blocks[0]), error=0.5).publish()
        # Between two counts, the lease may be renewed.
        count = partial(_count, object_server, bucket)
        before = count()
        for block in blocks[1:]:
            opened.check_block([layer], block.index)
            opened.write_block(layer, block, make_values(layer, block), error=0.5).publish()
        assert count() - before == (3 + lossy) * (len(blocks) - 1)
        opened.check_block([layer], (0, 0))
        opened.read_block(layer, blocks[0])
        before = count()
        for block in blocks[1:]:
            opened.check_block([layer], block.index)
            opened.read_block(layer, block)
        assert count() - before <= (2 + lossy) * (len(blocks) - 1)
        opened.finish(make_receipt(make_record()))
        before = count()
    # Each object is copied, many are removed at once, and what is there is looked for.
    assert count() - before <= len(names_of(store, bucket)) + 20


def _count(server: ObjectServer, bucket: str) -> int:
    return len(
        [path for method, path, _ in server.requests(bucket) if method != "PUT" or "lease" not in path]
    )
