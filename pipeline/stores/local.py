"""The store in a local or mounted directory. The shards in it are the ledger of the blocks that are done."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4

import numpy as np
import zarr

from pipeline.stores import disk, layout, placement, target
from pipeline.stores.record import read_record
from pipeline.stores.store import Store, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record
    from pipeline.stores.store import Index, Planes


class _Shard(Written):
    """A shard that is written, and what must be on the disk before it."""

    def __init__(self, drafts: Iterable[disk.Draft]) -> None:
        with ExitStack() as unpublished:
            self._drafts = [unpublished.enter_context(draft) for draft in drafts]
            self._unpublished = unpublished.pop_all()
        self.n_bytes = self._drafts[-1].n_bytes

    def publish(self) -> None:
        """Bring each file to the disk and give it its name, the shard last."""
        for draft in self._drafts:
            draft.publish()

    def __exit__(self, *_: object) -> None:
        """Remove what wasn't published."""
        self._unpublished.close()


class LocalStore(Store):
    """The results of a run in a directory.

    Parameters
    ----------
    address : path
        The place of the store.
    directory : Path, optional
        The directory that is written to and read, by default the one at the address. While a run is at work,
        it is another one.
    run : str, optional
        The name of the run that writes. Nothing is written once another run is at work there.
    """

    def __init__(
        self, address: str | os.PathLike[str], directory: Path | None = None, run: str | None = None
    ) -> None:
        self.address = os.fspath(address)
        self.directory = Path(address) if directory is None else directory
        self._run = run

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, {str(self.directory)!r})"

    def check(self, sources: Iterable[Path | str], *, overwrite: bool, resume: bool) -> None:
        """Raise ValueError or FileExistsError if a run that reads these sources may not write here."""
        files = [source for source in sources if isinstance(source, Path)]
        target.check_target(Path(self.address), sources=files, overwrite=overwrite, resume=resume)

    @contextmanager
    def opened_for_run(self, *, overwrite: bool, resume: bool) -> Iterator[Self]:
        """Give a run the store that it writes to, and publish it under the address once it is whole."""
        path = Path(self.address)
        with placement.opened_for_run(path, overwrite=overwrite, resume=resume) as directory:
            yield type(self)(self.address, directory, uuid4().hex)

    def find(self, *, to_resume: bool = False) -> Self:
        """Return the store that a run left: the published one, or first the unfinished one `to_resume`."""
        return type(self)(self.address, placement.find_store(Path(self.address), to_resume=to_resume))

    @property
    def is_unfinished(self) -> bool:
        """Whether this is the unfinished store of a run, and not one that is published under the address."""
        return self.directory == target.unfinished(Path(self.address).resolve())

    @property
    def is_created(self) -> bool:
        """Whether :meth:`create` has been called on what is there."""
        return target.is_created(self.directory)

    @property
    def identity(self) -> str:
        """The path of the directory, and the time when its record was written."""
        record = self.directory.resolve() / layout.METADATA
        return f"{record}, {record.stat().st_mtime_ns}"

    @property
    def free_bytes(self) -> int:
        """The free space in bytes where the store will be."""
        return shutil.disk_usage(self._parent).free

    @property
    def scratch(self) -> Path | None:
        """The directory in which the store will be, or the nearest one above it, if it can be written to."""
        return self._parent if os.access(self._parent, os.W_OK | os.X_OK) else None

    @property
    def _parent(self) -> Path:
        return next(parent for parent in Path(self.address).resolve().parents if parent.exists())

    def create(self, record: Record) -> None:
        """Write the metadata of all layers, and then the record.

        The directory must be empty, or not exist. All of it is on the disk before any shard is written.
        """
        self._take_over()
        self._write_files(layout.encode_metadata(record))
        disk.write_file(self.directory / layout.METADATA, layout.encode_root(record))
        disk.sync_tree(self.directory)

    def mend_metadata(self, record: Record) -> None:
        """Write the metadata of layers again where they aren't as :meth:`create` wrote them.

        The zones are written again where they are others than those of the run.
        """
        self._take_over()
        damaged = self.find_damaged(record)
        if damaged:
            self._write_files(layout.encode_metadata(record, damaged))
        found = self.read_record()
        if damaged or found.zones != record.zones:
            root = self.directory / layout.METADATA
            disk.write_file(root, layout.encode_root(replace(found, zones=record.zones), root.read_bytes()))

    def find_damaged(self, record: Record) -> list[Layer]:
        """Return the layers whose metadata aren't as :meth:`create` wrote them."""
        return layout.find_damaged(self.directory, record)

    def write_block(
        self,
        layer: Layer,
        block: Block,
        planes: Planes,
        *,
        level: int = 0,
        error: float | None = None,
    ) -> Written:
        """Write one block of a layer, which is a part of the store once it is published.

        A damaged shard stays until then.
        """
        self._check_run()
        files = layout.encode_files(self._metadata, layer, block, planes, level=level, error=error)
        drafts = (disk.Draft(self.directory / path, parts, base=self.directory) for path, parts in files)
        written = _Shard(drafts)
        try:
            # Another run that begins later removes the drafts, so that they can't be published any more.
            self._check_run()
        except OSError:
            written.__exit__()
            raise
        return written

    def read_block(
        self, layer: Layer, block: Block, *, level: int = 0, planes: slice = slice(None)
    ) -> NDArray[Any]:
        """Read the stored numbers of a block of a layer, shape (J, h, w), or some planes of them."""
        directory = self.directory / layer.array_path(level)
        return layer.read(self.open_level(layer, level), block.region, planes, directory=directory)

    def find_fault(self, layer: Layer, index: Index, level: int) -> Literal["missing", "damaged"] | None:
        """Return the fault of a shard, by the checksums that it holds, or None if it has none."""
        shard = self.directory / layout.shard_path(layer, index, level)
        if not shard.is_file():
            return "missing"
        is_whole = self._is_whole(layer, shard, index, level) and self._has_error(layer, index, level)
        return None if is_whole else "damaged"

    def holds_shards(self) -> bool:
        """Return whether any block has been written."""
        return placement.holds_shards(self.directory)

    def read_errors(self, layer: Layer) -> NDArray[Any]:
        """Read the largest error of each block of a layer whose encoding is lossy."""
        return np.asarray(self._open(layer.errors_path))

    def finish(self, receipt: Mapping[str, Any]) -> None:
        """Add the receipt of the run to the record, once all that the receipt speaks of is on the disk.

        The shards and the metadata are there since they were written, but their names may not be. The ranges
        of channels are written too.
        """
        record = replace(self.read_record(), receipt=dict(receipt))
        # A cluster may have lost a worker while it was writing.
        disk.remove_temporary_files(self.directory)
        self._write_files(layout.encode_ranges(record))
        disk.sync_tree(self.directory)
        root = self.directory / layout.METADATA
        disk.write_file(root, layout.encode_root(record, root.read_bytes()))
        disk.sync_directory(self.directory)

    def read_record(self) -> Record:
        """Read the record.

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        ValueError
            If this isn't a result of this package, or the record is damaged.
        """
        if not self.directory.exists():
            raise FileNotFoundError(f"{self.directory} doesn't exist")
        return read_record(str(self.directory), layout.read_attribute(self.directory))

    def open_level(self, layer: Layer, level: int = 0) -> zarr.Array[Any]:
        """Open the array of a layer's level for reading; level 0 is the full resolution."""
        return self._open(layer.array_path(level))

    def _open(self, path: str) -> zarr.Array[Any]:
        return zarr.open_array(self.directory, path=path, mode="r")

    def _take_over(self) -> None:
        """Let no other run write any more."""
        if self._run is not None:
            disk.write_file(self.directory / target.MARK, self._run.encode())

    def _check_run(self) -> None:
        """Raise OSError unless the run that this store was given to is the one at work in the directory."""
        if self._run is None:
            return
        if not self.directory.is_dir():
            raise FileNotFoundError(
                f"{self.directory} isn't there. On a cluster, each worker must see the store under this "
                "path; where there is no shared disk, write to object storage"
            )
        mark = self.directory / target.MARK
        if not mark.is_file() or mark.read_text(encoding="utf-8") != self._run:
            raise BlockingIOError(f"another run has taken over {self.address}, so nothing more is written")

    def _write_files(self, files: Mapping[str, bytes]) -> None:
        """Write files under their paths in the store, those that aren't there with this content."""
        for path, content in files.items():
            file = self.directory / path
            if not file.is_file() or file.read_bytes() != content:
                disk.write_file(file, content)

    def _metadata(self, path: str) -> bytes:
        """Return the metadata file of the array at a path."""
        return (self.directory / path / layout.METADATA).read_bytes()

    def _is_whole(self, layer: Layer, shard: Path, index: Index, level: int) -> bool:
        """Return whether a shard can be decoded: its index and its chunks have checksums."""
        if not shard.stat().st_size:
            # zarr takes an empty file for an absent one.
            return False
        try:
            array = self.open_level(layer, level)
        except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
            return False
        return layer.is_whole(array, index, directory=self.directory / layer.array_path(level))

    def _has_error(self, layer: Layer, index: Index, level: int) -> bool:
        """Return whether the largest error of a block is recorded, if the encoding of its layer is lossy."""
        if level or not layer.encoding.is_lossy:
            return True
        try:
            error: Any = self._open(layer.errors_path)[index]
        except Exception:  # noqa: BLE001  damaged bytes or metadata make zarr raise any exception
            return False
        return not np.isnan(error)
