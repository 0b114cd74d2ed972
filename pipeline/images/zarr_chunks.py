"""The chunks of local Zarr arrays, read and decoded one after the other in the thread of a task.

zarr-python hands every chunk to other threads and copies it several times. In the time in which it reads an
image, two to three images are read this way. It serves arrays with the common codecs, in files or in shards
(https://zarr-specs.readthedocs.io/en/latest/v3/core/), and version 2 of the format with any codec; others are
read by zarr-python.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from zarr.codecs import ShardingCodec, ShardingCodecIndexLocation
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.storage import LocalStore

from pipeline.images.selection import meet_pieces
from pipeline.images.zarr_codecs import (
    CHECKSUM_BYTES,
    check_size,
    codec_names,
    copies_of,
    decode_chunk,
    old_codecs,
    without_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import RawIOBase
    from pathlib import Path

    import zarr
    from numcodecs.abc import Codec
    from numpy.typing import NDArray

    Ranges = tuple[range, ...]
    # The number of a piece along each axis, where its places lie in what is read, and where in the piece.
    Meeting = tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]

# The offset of a chunk that isn't stored, in the index of a shard.
_ABSENT = 2**64 - 1


@dataclass(frozen=True)
class ChunkReader:
    """What is known of the files of an array.

    Attributes
    ----------
    directory : Path
        The directory of the array.
    name_file : callable
        It returns the path of a file in the directory, given its number along each axis.
    file_shape, chunk_shape : tuple of int
        The shapes of what a file and a chunk hold. They are the same, unless files are shards.
    dtype : dtype
        As the numbers are stored.
    fill_value : object
        The number that fills chunks that aren't stored.
    codecs : tuple of str or numcodecs.abc.Codec
        The codecs of a chunk after ``bytes``, by their names or themselves.
    order : {"C", "F"}
        Whether the numbers of a chunk lie in the file with the last or with the first axis varying fastest.
    index : tuple of (bool, bool), optional
        Whether the index of a shard is at its end, and whether it has a checksum.
    """

    directory: Path
    name_file: Callable[[tuple[int, ...]], str]
    file_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Any
    codecs: tuple[str | Codec, ...]
    index: tuple[bool, bool] | None
    order: Literal["C", "F"] = "C"

    @property
    def decoding_bytes(self) -> int:
        """The memory to decode one chunk, with a copy of the index of a shard."""
        n_numbers = math.prod(self.chunk_shape)
        index = 32 * (math.prod(self.file_shape) // n_numbers)
        return copies_of(self.codecs) * n_numbers * self.dtype.itemsize + index

    def read(self, places: Ranges) -> NDArray[Any]:
        """Read some places along each axis, which ascend, in this machine's byte order.

        Raises
        ------
        OSError
            If a file can't be read.
        ValueError
            If a file is damaged. The message has its path.
        """
        out = np.empty(tuple(map(len, places)), self.dtype.newbyteorder("="))
        # Chunks are decoded to the same memory one after the other, which isn't needed if none is stored.
        memory: NDArray[Any] | None = None
        for number, target, within in _meet(places, self.file_shape):
            axes = zip(within, self.file_shape, strict=True)
            inner = tuple(range(*one.indices(length)) for one, length in axes)
            memory = self._read_file(self.directory / self.name_file(number), inner, memory, out[target])
        return out

    def _read_file(
        self, path: Path, places: Ranges, memory: NDArray[Any] | None, out: NDArray[Any]
    ) -> NDArray[Any] | None:
        """Fill an array with some places of a file, and return the memory for a chunk."""
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            out[...] = self.fill_value
            return memory
        with file:
            try:
                size = file.seek(0, os.SEEK_END)
                offsets = self._read_index(file, size)
                for number, target, within in _meet(places, self.chunk_shape):
                    offset, length = (0, size) if offsets is None else offsets[number].tolist()
                    if offset == length == _ABSENT:
                        out[target] = self.fill_value
                        continue
                    # Without codecs, the length is known before anything is read.
                    if not self.codecs:
                        check_size(length, math.prod(self.chunk_shape) * self.dtype.itemsize)
                    whole = self._flat(out[target])
                    if whole is not None:
                        decode_chunk(self.codecs, _read(file, offset, length, size), whole)
                        continue
                    if memory is None:
                        memory = np.empty(math.prod(self.chunk_shape), self.dtype)
                    decode_chunk(self.codecs, _read(file, offset, length, size), memory)
                    out[target] = self._shaped(memory)[within]
            except ValueError as error:
                raise ValueError(f"{path} is damaged: {error}") from error
            except OSError as error:
                # The system doesn't name a file that is open.
                raise OSError(error.errno, error.strerror, str(path)) from error
        return memory

    def _read_index(self, file: RawIOBase, size: int) -> NDArray[np.uint64] | None:
        """Read where the chunks of a shard are: their offsets and lengths."""
        if self.index is None:
            return None
        is_last, has_checksum = self.index
        counts = [whole // part for whole, part in zip(self.file_shape, self.chunk_shape, strict=True)]
        length = 16 * int(np.prod(counts)) + CHECKSUM_BYTES * has_checksum
        content = _read(file, max(0, size - length) if is_last else 0, length, size)
        if has_checksum:
            content = without_checksum(content)
        return np.frombuffer(content, "<u8").reshape(*counts, 2)

    def _flat(self, target: NDArray[Any]) -> NDArray[Any] | None:
        """Return an array in one dimension if it can take the numbers of a chunk as they are, or None."""
        turned = target.T if self.order == "F" else target
        if target.shape != self.chunk_shape or target.dtype != self.dtype or not turned.flags.c_contiguous:
            return None
        return turned.reshape(-1)

    def _shaped(self, chunk: NDArray[Any]) -> NDArray[Any]:
        """Give the numbers of a chunk its axes."""
        if self.order == "F":
            return chunk.reshape(self.chunk_shape[::-1]).T
        return chunk.reshape(self.chunk_shape)


def chunk_reader(array: zarr.Array[Any], directory: Path | None) -> ChunkReader | None:
    """Return a reader of the chunks of an array, or None if zarr-python must read it.

    Parameters
    ----------
    array : zarr.Array
    directory : Path or None
        The directory of the array, if it is a local one.

    Returns
    -------
    ChunkReader or None
        None for other stores, and for codecs or dtypes that are rarely used.
    """
    metadata = array.metadata
    # A class that is derived from this one may store other bytes in its files.
    if directory is None or type(array.store) is not LocalStore or array.dtype.kind not in "biuf":
        return None
    if not isinstance(metadata, ArrayV3Metadata):
        return _old_reader(array, directory)
    codecs, chunk_shape, index = metadata.codecs, array.chunks, None
    if len(codecs) == 1 and isinstance(shards := codecs[0], ShardingCodec):
        codecs, chunk_shape = shards.codecs, shards.chunk_shape
        has_checksum = codec_names(shards.index_codecs) == ("crc32c",)
        is_plain = has_checksum or codec_names(shards.index_codecs) == ()
        if not is_plain or _order(shards.index_codecs) != "little":
            return None
        index = (shards.index_location is ShardingCodecIndexLocation.end, has_checksum)
    names = codec_names(codecs)
    if names is None:
        return None
    dtype = array.dtype.newbyteorder("<" if _order(codecs) == "little" else ">")
    name_file = partial(_name_file, metadata)
    file_shape = array.shards or array.chunks
    fill_value = array.fill_value
    return ChunkReader(directory, name_file, file_shape, chunk_shape, dtype, fill_value, names, index)


def _old_reader(array: zarr.Array[Any], directory: Path) -> ChunkReader:
    """Return the reader of an array in version 2 of the format."""
    metadata: Any = array.metadata
    return ChunkReader(
        directory,
        partial(_name_file, metadata),
        array.chunks,
        array.chunks,
        array.dtype,
        # Numbers are 0 where none is named, as zarr-python has it.
        0 if array.fill_value is None else array.fill_value,
        old_codecs(metadata.compressor, tuple(metadata.filters or ())),
        None,
        metadata.order,
    )


def _name_file(metadata: ArrayV2Metadata | ArrayV3Metadata, number: tuple[int, ...]) -> str:
    return metadata.encode_chunk_key(number)


def _order(codecs: Sequence[object]) -> str:
    """Return the order of the bytes of a number, "little" or "big"."""
    endian = getattr(codecs[0], "endian", None)
    return "little" if endian is None else endian.value


def _meet(places: Ranges, shape: Sequence[int]) -> Iterator[Meeting]:
    """Yield the pieces of such a shape that hold some places along each axis."""
    if not places:
        yield (), (), ()
        return
    for number, target, within in meet_pieces(places[0], shape[0]) if len(places[0]) else ():
        for numbers, targets, withins in _meet(places[1:], shape[1:]):
            yield (number, *numbers), (target, *targets), (within, *withins)


def _read(file: RawIOBase, offset: int, length: int, size: int) -> memoryview:
    """Read so many bytes of a file of a size."""
    if offset + length > size:
        raise ValueError(f"it has {size} bytes; wanted {length} from byte {offset} on")
    file.seek(offset)
    content = file.read(length) or b""
    # The system may return less at a time.
    while len(content) < length:
        more = file.read(length - len(content))
        if not more:
            raise ValueError("it has become shorter")
        content += more
    return memoryview(content)
