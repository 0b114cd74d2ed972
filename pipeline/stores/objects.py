"""The store in object storage, such as S3. The shards in it are the ledger of the blocks that are done."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import zarr

from pipeline.images.object_storage import ObjectFolder, is_object_url
from pipeline.stores import layout, lease, object_placement
from pipeline.stores.record import read_record
from pipeline.stores.store import Store, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record
    from pipeline.stores.store import Index, Planes


class _Shard(Written):
    """A shard that is encoded, with what must be in the store before it, and isn't sent yet."""

    def __init__(self, store: ObjectStore, objects: Sequence[tuple[str, list[bytes]]]) -> None:
        self._store, self._objects = store, list(objects)
        self.n_bytes = sum(map(len, self._objects[-1][1]))

    def publish(self) -> None:
        """Send each object, the shard last, if the run still holds its lease."""
        self._store.check_lease()
        for path, content in self._objects:
            self._store.folder.write(path, content)
        self._objects.clear()

    def __exit__(self, *_: object) -> None:
        """Forget what wasn't sent."""
        self._objects.clear()


class ObjectStore(Store):
    """The results of a run below a URL.

    A run asks its server for the metadata of an array once in each process, and then for each shard: in a
    fresh run 3 requests (whether the shard is there, whether the lease is, and the shard itself), 4 where the
    encoding is lossy; in a run that resumes, or in :func:`verify`, 1 for a shard that is there, 2 where the
    encoding is lossy, and 1 more to count what is kept. Publishing copies each object and removes the old
    one, a thousand with one request. A shard is in memory as a whole until it is sent.

    Parameters
    ----------
    address : str
        A URL such as ``s3://bucket/folder/out.zarr``.
    place : str, optional
        The URL that is written to and read, by default the address. While a run is at work, it is another
        one.
    token : str, optional
        The token of the run's lease, without which nothing is written. By default no lease is needed.
    """

    holds_whole_shards = True

    def __init__(self, address: str, place: str | None = None, token: str | None = None) -> None:
        self.address = address
        self.folder = ObjectFolder(address if place is None else place)
        self._token = token
        # What this process has read of arrays whose metadata don't change during a run.
        self._known: dict[str, bytes] = {}
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, {self.folder.url!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str | None]]:
        return type(self), (self.address, self.folder.url, self._token)

    @property
    def _target(self) -> ObjectFolder:
        return ObjectFolder(self.address)

    def check(self, sources: Iterable[Path | str], *, overwrite: bool, resume: bool) -> None:
        """Raise ValueError or FileExistsError if a run that reads these sources may not write here."""
        object_placement.check_sources(self._target, filter(is_object_url, sources))
        object_placement.check_target(self._target, overwrite=overwrite, resume=resume)

    @contextmanager
    def opened_for_run(self, *, overwrite: bool, resume: bool) -> Iterator[Self]:
        """Give a run the store that it writes to, and publish it under the address once it is whole."""
        with object_placement.opened_for_run(self._target, overwrite=overwrite, resume=resume) as (
            folder,
            token,
        ):
            yield type(self)(self.address, folder.url, token)

    def find(self, *, to_resume: bool = False) -> Self:
        """Return the store that a run left: the published one, or first the unfinished one `to_resume`."""
        return type(self)(self.address, object_placement.find_store(self._target, to_resume=to_resume).url)

    @property
    def is_unfinished(self) -> bool:
        """Whether this is the unfinished store of a run, and not one that is published under the address."""
        return self.folder.url != self._target.url

    @property
    def is_created(self) -> bool:
        """Whether :meth:`create` has been called on what is there."""
        return object_placement.is_created(self.folder)

    @property
    def identity(self) -> str:
        """The URL, the version of the record, and the run that published it."""
        _, version, attributes = self.folder.read_version(layout.METADATA)
        return f"{self.folder.url}, {version}, {attributes.get(object_placement.RUN)}"

    @property
    def free_bytes(self) -> None:
        """None, since object storage has room for anything."""
        return

    @property
    def scratch(self) -> None:
        """None, since no files lie in object storage."""
        return

    def check_lease(self) -> None:
        """Raise BlockingIOError if this is the store of a run that has ended, or another has taken over."""
        if self._token is not None:
            lease.check(object_placement.beside(self._target), self._token)

    def create(self, record: Record) -> None:
        """Write the metadata of all layers, and then the record."""
        self.check_lease()
        self._write_all(layout.encode_metadata(record))
        self.folder.write(layout.METADATA, [layout.encode_root(record)])

    def mend_metadata(self, record: Record) -> None:
        """Write the metadata of layers again where they aren't as :meth:`create` wrote them.

        The zones are written again where they are others than those of the run.
        """
        damaged = self.find_damaged(record)
        if damaged:
            self.check_lease()
            self._write_all(layout.encode_metadata(record, damaged))
        found = self.read_record()
        if damaged or found.zones != record.zones:
            self._write_root(replace(found, zones=record.zones))

    def find_damaged(self, record: Record) -> list[Layer]:
        """Return the layers whose metadata aren't as :meth:`create` wrote them."""
        paths = [layout.METADATA, *layout.encode_metadata(record)]
        contents: list[bytes | None] = object_placement.each(self._read_or_none, paths)
        found = {path: content for path, content in zip(paths, contents, strict=True) if content is not None}
        return layout.find_damaged(layout.in_memory(found), record)

    def write_block(
        self,
        layer: Layer,
        block: Block,
        planes: Planes,
        *,
        level: int = 0,
        error: float | None = None,
    ) -> Written:
        """Encode one block of a layer, which is sent when it is published.

        A damaged shard stays until then.
        """
        files = layout.encode_files(self._metadata, layer, block, planes, level=level, error=error)
        return _Shard(self, [(path, [bytes(part) for part in parts]) for path, parts in files])

    def read_block(
        self, layer: Layer, block: Block, *, level: int = 0, planes: slice = slice(None)
    ) -> NDArray[Any]:
        """Read the stored numbers of a block of a layer, shape (J, h, w), or some planes of them."""
        array = self._array(layer, level)
        if planes == slice(None) and _is_shard(array, block):
            # One request for the shard as a whole, instead of one for each of its chunks.
            content = self._read_or_none(layout.shard_path(layer, block.index, level))
            array = self._of_shard(layer, block.index, level, content)
        return layer.read(array, block.region, planes)

    def find_fault(self, layer: Layer, index: Index, level: int) -> Literal["missing", "damaged"] | None:
        """Return the fault of a shard, by the checksums that it holds, or None if it has none."""
        shard = self._read_or_none(layout.shard_path(layer, index, level))
        if shard is None:
            return "missing"
        is_whole = self._is_whole(layer, shard, index, level) and self._has_error(layer, index, level)
        return None if is_whole else "damaged"

    def holds_shards(self) -> bool:
        """Return whether any block has been written."""
        return object_placement.holds_shards(self.folder)

    def read_errors(self, layer: Layer) -> NDArray[Any]:
        """Read the largest error of each block of a layer whose encoding is lossy."""
        return np.asarray(self._open(layer.errors_path))

    def finish(self, receipt: Mapping[str, Any]) -> None:
        """Add the receipt of the run to the record. The ranges of channels are written too."""
        self.check_lease()
        record = replace(self.read_record(), receipt=dict(receipt))
        self._write_all(layout.encode_ranges(record))
        self._write_root(record)

    def read_record(self) -> Record:
        """Read the record.

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        ValueError
            If this isn't a result of this package, or the record is damaged.
        """
        content = self._read_or_none(layout.METADATA)
        if content is None and next(self.folder.names(), None) is None:
            raise FileNotFoundError(f"{self.folder.url} doesn't exist")
        return read_record(self.folder.url, layout.read_attribute_of(content or b""))

    def open_level(self, layer: Layer, level: int = 0) -> zarr.Array[Any]:
        """Open the array of a layer's level for reading; level 0 is the full resolution."""
        return self._open(layer.array_path(level))

    def _open(self, path: str) -> zarr.Array[Any]:
        return zarr.open_array(self.folder.zarr_store(), path=path, mode="r", zarr_format=3)

    def _array(self, layer: Layer, level: int) -> zarr.Array[Any]:
        """Return the array of a layer's level, which a process opens once."""
        path = layer.array_path(level)
        if path not in self._arrays:
            self._arrays[path] = self._open(path)
        return self._arrays[path]

    def _of_shard(self, layer: Layer, index: Index, level: int, shard: bytes | None) -> zarr.Array[Any]:
        """Return an array in memory that holds one shard, or none."""
        path = layer.array_path(level)
        files = {layout.METADATA: self._metadata(path)}
        if shard is not None:
            files[layout.shard_path(layer, index, level).removeprefix(f"{path}/")] = shard
        return zarr.open_array(layout.in_memory(files), mode="r", zarr_format=3)

    def _read_or_none(self, path: str) -> bytes | None:
        try:
            return self.folder.read(path)
        except FileNotFoundError:
            return None

    def _write_all(self, files: Mapping[str, bytes]) -> None:
        """Write objects under their paths in the store, several at once."""
        object_placement.each(lambda path: self.folder.write(path, [files[path]]), files)
        self._known.clear()
        self._arrays.clear()

    def _write_root(self, record: Record) -> None:
        """Write the record, and keep all else that the metadata of the root hold."""
        content, _, attributes = self.folder.read_version(layout.METADATA)
        self.folder.write(layout.METADATA, [layout.encode_root(record, content)], attributes)

    def _metadata(self, path: str) -> bytes:
        """Return the metadata of the array at a path."""
        if path not in self._known:
            try:
                self._known[path] = self.folder.read(f"{path}/{layout.METADATA}")
            except FileNotFoundError:
                # The store of a run that has ended may be gone.
                self.check_lease()
                raise
        return self._known[path]

    def _has_metadata(self, path: str) -> bool:
        """Return whether the metadata of an array are there; a server that fails is no damage."""
        try:
            self._metadata(path)
        except FileNotFoundError:
            return False
        return True

    def _is_whole(self, layer: Layer, shard: bytes, index: Index, level: int) -> bool:
        """Return whether a shard can be decoded: its index and its chunks have checksums."""
        # zarr takes an empty object for an absent one.
        if not shard or not self._has_metadata(layer.array_path(level)):
            return False
        try:
            array = self._of_shard(layer, index, level, shard)
        except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
            return False
        return layer.is_whole(array, index)

    def _has_error(self, layer: Layer, index: Index, level: int) -> bool:
        """Return whether the largest error of a block is recorded, if the encoding of its layer is lossy."""
        if level or not layer.encoding.is_lossy:
            return True
        content = self._read_or_none(layout.error_path(layer, index))
        if content is None or not self._has_metadata(layer.errors_path):
            return False
        try:
            error = layout.decode_error(self._metadata(layer.errors_path), index, content)
        except Exception:  # noqa: BLE001  damaged bytes or metadata make zarr raise any exception
            return False
        return not np.isnan(error)


def _is_shard(array: zarr.Array[Any], block: Block) -> bool:
    """Return whether a block is all that a shard of an array holds."""
    sides, shape = (array.shards or array.chunks)[-2:], array.shape[-2:]
    return block.region == tuple(
        slice(number * side, min((number + 1) * side, length))
        for number, side, length in zip(block.index, sides, shape, strict=True)
    )
