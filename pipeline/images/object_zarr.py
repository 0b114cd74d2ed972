"""Folders of objects as stores of Zarr, whose errors are those of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zarr.storage import ObjectStore

from pipeline.images.object_clients import url_of_store
from pipeline.images.object_storage import told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class ReadStore(ObjectStore[Any]):
    """A folder of objects that Zarr reads. Its errors name the object, and hold no secrets."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an object or a part of it, or return None if it isn't there."""
        with told(url_of_store(self.store) or "", key):
            return await super().get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of objects."""
        with told(url_of_store(self.store) or "", ""):
            return await super().get_partial_values(prototype, key_ranges)
