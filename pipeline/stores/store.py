"""The seam `Store`: where the results of a run are written, and read again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np

from pipeline.stores.resumption import check_resumable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray

    from pipeline.images.grid import Block
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record

# The row and the column of a block.
Index = tuple[int, int]
# The numbers of each channel of a block, one array (h, w) for each, or one array (J, h, w).
Planes: TypeAlias = "NDArray[Any] | Sequence[NDArray[Any]]"


class Fault(NamedTuple):
    """A shard that is missing or damaged.

    Attributes
    ----------
    layer : str
        The names of the outputs in the shard.
    block : tuple of int
        The row and the column of the block.
    kind : str
        ``"missing"`` or ``"damaged"``.
    level : int
        The level of resolution; 0 is full resolution.
    """

    layer: str
    block: Index
    kind: Literal["missing", "damaged"]
    level: int = 0


class Written(AbstractContextManager["Written"]):
    """A block of a layer that a store has taken, but that another program doesn't see yet.

    It is a context manager: at its end the block is discarded, unless it was published.

    Attributes
    ----------
    n_bytes : int
        The size of the shard in bytes.
    """

    n_bytes: int

    @abstractmethod
    def publish(self) -> None:
        """Make the block a part of the store that survives a power cut, which may take a while.

        Raises
        ------
        OSError
            If that fails. The block isn't in the store then.
        """


class Store(ABC):
    """A place for the results of a run; small and picklable, so that every task writes by itself.

    Attributes
    ----------
    address : str
        The place as the user gave it.
    holds_whole_shards : bool
        Whether a shard is in memory as a whole until it is published.
    """

    address: str
    holds_whole_shards: bool = False

    @abstractmethod
    def check(self, sources: Iterable[Path | str], *, overwrite: bool, resume: bool) -> None:
        """Check whether a run that reads these files and directories, or objects behind URLs, may write here.

        Raises
        ------
        FileExistsError
            If something is there that isn't a result of this package, or that may be neither replaced nor
            resumed.
        ValueError
            If the place can't be an output: it is a source, one of the two lies inside the other, or its name
            is unsuitable.
        """

    @abstractmethod
    def opened_for_run(self, *, overwrite: bool, resume: bool) -> AbstractContextManager[Self]:
        """Give a run the store that it writes to, and publish that store under the address once it is whole.

        If the run fails, the blocks that it wrote are kept for another run to resume.

        Parameters
        ----------
        overwrite : bool
            Whether to replace a published store at the end, and to discard an unfinished one now.
        resume : bool
            Whether to continue an unfinished store, or else to mend a published one in its place.

        Raises
        ------
        FileExistsError
            If a store is there and may be neither replaced nor resumed.
        BlockingIOError
            If another run is writing there.
        """

    @abstractmethod
    def find(self, *, to_resume: bool = False) -> Self:
        """Return the store that a run left under the address.

        Parameters
        ----------
        to_resume : bool
            If False, a published store comes before an unfinished one; if True, after it.

        Raises
        ------
        FileNotFoundError
            If there is neither.
        """

    @property
    @abstractmethod
    def is_unfinished(self) -> bool:
        """Whether this is the unfinished store of a run, and not one that is published under the address."""

    @property
    @abstractmethod
    def is_created(self) -> bool:
        """Whether :meth:`create` has been called on what is there."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A text that is different for another store, and for the same one after it was replaced."""

    @property
    @abstractmethod
    def free_bytes(self) -> int | None:
        """The free space in bytes where the store will be, or None if that isn't known."""

    @property
    @abstractmethod
    def scratch(self) -> Path | None:
        """A directory on the disk of the store where files can be written for a while, or None."""

    @abstractmethod
    def create(self, record: Record) -> None:
        """Write the metadata of all layers, and then the record."""

    @abstractmethod
    def mend_metadata(self, record: Record) -> None:
        """Write the metadata again where they aren't those of a run that goes on with the store.

        The zones of the record become those of the run, since they change no shard.
        """

    def begin(self, record: Record, numerics: Mapping[str, str], *, is_vouched: bool = False) -> None:
        """Create the store for a run, or check that the run may go on with it and mend its metadata.

        Parameters
        ----------
        record : Record
            The record of the run.
        numerics, is_vouched
            As for :func:`check_resumable`.

        Raises
        ------
        ValueError
            If another run began the store.
        """
        if self.is_created:
            found = self.read_record()
            check_resumable(self.address, found, record, numerics=numerics, is_vouched=is_vouched)
            self.mend_metadata(record)
        else:
            self.create(record)

    @abstractmethod
    def find_damaged(self, record: Record) -> list[Layer]:
        """Return the layers whose metadata aren't as :meth:`create` wrote them."""

    @abstractmethod
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

        A store that a run was given writes nothing once that run has ended and another has begun.

        Parameters
        ----------
        layer : Layer
        block : Block
            A block of the grid of the level.
        planes : sequence of ndarray, shape (h, w), or ndarray, shape (J, h, w)
            The stored numbers of each channel in the block's region, which is clipped to the image.
        level : int
            The level of resolution; 0 is full resolution.
        error : float, optional
            The largest error of the block. A layer whose encoding is lossy needs it at level 0; others ignore
            it.

        Returns
        -------
        Written

        Raises
        ------
        BlockingIOError
            If another run is writing there.
        """

    @abstractmethod
    def read_block(
        self, layer: Layer, block: Block, *, level: int = 0, planes: slice = slice(None)
    ) -> NDArray[Any]:
        """Read the stored numbers of a region of a level, shape (J, h, w), or some planes of them.

        A block that isn't there has no data.

        Raises
        ------
        ValueError, OSError
            If the shard is damaged.
        """

    def check_block(self, layers: Sequence[Layer], index: Index, *, level: int = 0) -> list[Fault]:
        """Return the shards of one block that are missing or damaged, in the order of the layers."""
        found = [(layer.name, self.find_fault(layer, index, level)) for layer in layers]
        return [Fault(name, index, kind, level) for name, kind in found if kind is not None]

    @abstractmethod
    def find_fault(self, layer: Layer, index: Index, level: int) -> Literal["missing", "damaged"] | None:
        """Return the fault of a shard, or None if it has none.

        A layer whose encoding is lossy has a fault at level 0 also if the largest error of the block isn't
        recorded.
        """

    @abstractmethod
    def holds_shards(self) -> bool:
        """Return whether any block has been written."""

    def largest_errors(self, layers: Sequence[Layer]) -> dict[str, float]:
        """Return the largest error over all written blocks, for each layer whose encoding is lossy."""
        return {
            layer.name: float(np.nanmax(self.read_errors(layer), initial=0.0))
            for layer in layers
            if layer.encoding.is_lossy
        }

    @abstractmethod
    def read_errors(self, layer: Layer) -> NDArray[Any]:
        """Read the largest error of each block of a lossy layer, NaN for one that isn't written."""

    @abstractmethod
    def finish(self, receipt: Mapping[str, Any]) -> None:
        """Add the receipt of the run to the record, which says that the run has finished.

        All that the run wrote survives a power cut from then on.

        The receipt must be one that a :class:`Record` can have.
        """

    def conclude(self, receipt: Mapping[str, Any]) -> None:
        """Finish the store, unless it lacks blocks and would replace an older one.

        Raises
        ------
        RuntimeError
            If the older store stays, because blocks were skipped.
        """
        skipped = receipt["skipped"]
        if skipped and self.is_unfinished and not self.find().is_unfinished:
            kept = "The others are kept: go on with resume=True" if self.holds_shards() else "None is done."
            raise RuntimeError(
                f"{len(skipped)} blocks failed, so {self.address} isn't replaced; the first error was "
                f"{skipped[0]['error']}. {kept}"
            )
        self.finish(receipt)

    @abstractmethod
    def read_record(self) -> Record:
        """Read the record.

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        ValueError
            If this isn't a result of this package, or the record is damaged.
        """

    @abstractmethod
    def open_level(self, layer: Layer, level: int = 0) -> zarr.Array[Any]:
        """Open the array of a layer's level for reading; level 0 is the full resolution.

        Raises
        ------
        FileNotFoundError
            If there is no such level.
        """
