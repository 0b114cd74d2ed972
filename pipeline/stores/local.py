"""The store in a local or mounted directory. The shards in it are the ledger of the blocks that are done."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import zarr

from pipeline.stores import disk, layout, placement, target
from pipeline.stores.record import read_record
from pipeline.stores.store import Fault, Store, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.models.output import Output
    from pipeline.stores.record import Record
    from pipeline.stores.store import Index


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
    """

    def __init__(self, address: str | os.PathLike[str], directory: Path | None = None) -> None:
        self.address = os.fspath(address)
        self.directory = Path(address) if directory is None else directory

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, {str(self.directory)!r})"

    def check(self, sources: Iterable[Path], *, overwrite: bool, resume: bool) -> None:
        """Raise ValueError or FileExistsError if a run that reads these sources may not write here."""
        target.check_target(Path(self.address), sources=sources, overwrite=overwrite, resume=resume)

    @contextmanager
    def opened_for_run(self, *, overwrite: bool, resume: bool) -> Iterator[Self]:
        """Give a run the store that it writes to, and publish it under the address once it is whole."""
        path = Path(self.address)
        with placement.opened_for_run(path, overwrite=overwrite, resume=resume) as directory:
            yield type(self)(self.address, directory)

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
        """Write the metadata of all outputs, and then the record.

        The directory must be empty, or not exist. All of it is on the disk before any shard is written.
        """
        for output in record.outputs:
            self._write_metadata(record, output)
        disk.write_file(self.directory / layout.METADATA, layout.encode_root(record.to_dict()))
        disk.sync_tree(self.directory)

    def mend_metadata(self, record: Record) -> None:
        """Write the metadata of outputs again where they aren't as :meth:`create` wrote them.

        The zones are written again where they are others than those of the run.
        """
        for output in record.outputs:
            if not self.has_metadata(record, output):
                self._write_metadata(record, output)
        found = self.read_record()
        if found.zones != record.zones:
            root = self.directory / layout.METADATA
            changed = replace(found, zones=record.zones)
            disk.write_file(root, layout.encode_root(changed.to_dict(), root.read_bytes()))

    def has_metadata(self, record: Record, output: Output) -> bool:
        """Return whether the metadata of an output are as :meth:`create` wrote them."""
        return layout.has_metadata(self.directory, record, output)

    def write_block(
        self, output: Output, block: Block, values: NDArray[Any], error: float | None = None
    ) -> Written:
        """Write one block of an output, which is a part of the store once it is published.

        A damaged shard stays until then.
        """
        files: list[tuple[str, Iterable[bytes]]] = []
        if output.encoding.is_lossy:
            if error is None:
                raise ValueError(f"block {block.index} of {output.name} has no error; its encoding is lossy")
            # The error is published first, because the shard says that the block is done.
            content = layout.encode_error(self._metadata(layout.errors_path(output.name)), block.index, error)
            files.append((layout.error_path(output, block.index), [content]))
        planes = values[0] if output.class_names is None else values
        shard = layout.encode_block(self._metadata(layout.level_path(output.name)), planes)
        files.append((layout.shard_path(output, block.index), shard))
        return _Shard(disk.Draft(self.directory / path, parts) for path, parts in files)

    def read_block(self, output: Output, block: Block) -> NDArray[Any]:
        """Read the stored numbers of a block of an output, shape (n_results, h, w)."""
        stored: NDArray[Any] = np.asarray(self.open_level(output)[(..., *block.region)])
        return stored.reshape(output.n_results, *block.extent)

    def check_block(self, outputs: Sequence[Output], index: Index) -> list[Fault]:
        """Return the shards of one block that are missing or damaged, by the checksums that they hold."""
        faults = []
        for output in outputs:
            shard = self.directory / layout.shard_path(output, index)
            if not shard.is_file():
                faults.append(Fault(output.name, index, "missing"))
            elif not (self._is_whole(output, shard, index) and self._has_error(output, index)):
                faults.append(Fault(output.name, index, "damaged"))
        return faults

    def holds_shards(self) -> bool:
        """Return whether any block has been written."""
        return placement.holds_shards(self.directory)

    def largest_errors(self, outputs: Sequence[Output]) -> dict[str, float]:
        """Return the largest error over all written blocks, for each output whose encoding is lossy."""
        errors = {}
        for output in outputs:
            if output.encoding.is_lossy:
                blocks = np.asarray(self._open(layout.errors_path(output.name)))
                errors[output.name] = float(np.nanmax(blocks, initial=0.0))
        return errors

    def finish(self, receipt: Mapping[str, Any]) -> None:
        """Add the receipt of the run to the record, once all that the receipt speaks of is on the disk.

        The shards and the metadata are there since they were written, but their names may not be.
        """
        record = replace(self.read_record(), receipt=dict(receipt))
        # A cluster may have lost a worker while it was writing.
        disk.remove_temporary_files(self.directory)
        disk.sync_tree(self.directory)
        root = self.directory / layout.METADATA
        disk.write_file(root, layout.encode_root(record.to_dict(), root.read_bytes()))
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

    def open_level(self, output: Output, level: int = 0) -> zarr.Array[Any]:
        """Open the array of an output's level for reading; level 0 is the full resolution."""
        return self._open(layout.level_path(output.name, level))

    def _open(self, path: str) -> zarr.Array[Any]:
        return zarr.open_array(self.directory, path=path, mode="r")

    def _write_metadata(self, record: Record, output: Output) -> None:
        """Write the metadata files of an output."""
        for path, content in layout.encode_output(record, output).items():
            disk.write_file(self.directory / path, content)

    def _metadata(self, path: str) -> bytes:
        """Return the metadata file of the array at a path."""
        return (self.directory / path / layout.METADATA).read_bytes()

    def _is_whole(self, output: Output, shard: Path, index: Index) -> bool:
        """Return whether a shard can be decoded: its index and its chunks have checksums."""
        if not shard.stat().st_size:
            # zarr takes an empty file for an absent one.
            return False
        try:
            array = self.open_level(output)
            lengths = (array.shards or ())[-2:]
            rows, columns = (slice(i * n, (i + 1) * n) for i, n in zip(index, lengths, strict=True))
            for plane in range(array.shape[0]) if array.ndim > len(index) else [...]:
                array[plane, rows, columns]
        except Exception:  # noqa: BLE001  damaged bytes make decoders raise any exception
            return False
        return True

    def _has_error(self, output: Output, index: Index) -> bool:
        """Return whether the largest error of a block is recorded, if the encoding of its output is lossy."""
        if not output.encoding.is_lossy:
            return True
        try:
            error: Any = self._open(layout.errors_path(output.name))[index]
        except Exception:  # noqa: BLE001  damaged bytes or metadata make zarr raise any exception
            return False
        return not np.isnan(error)
