"""The store in object storage passes the contract on a real server; what only objects can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.stores import layout, lease
from pipeline.stores.objects import ObjectStore
from pipeline.testing.stores import StoreContract

if TYPE_CHECKING:
    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Index, Store


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew leases often, so that few seconds are spent waiting for a dead one."""
    monkeypatch.setattr(lease, "INTERVAL", 0.4)


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
