"""The content of a shard: the compressed chunks of a block, each with a checksum, and an index of them.

This is Zarr's codec ``sharding_indexed`` around ``bytes``, ``blosc`` and ``crc32c``, as the layout has it
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/). It takes half of the time that
zarr-python takes, which hands every chunk to other threads and copies it several times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.stores.store import Planes

# The offset and the length of a chunk that isn't stored, in the index.
_ABSENT = 2**64 - 1
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


def encode_shard(
    configuration: Mapping[str, Any], shape: Sequence[int], planes: Planes, fill_value: float
) -> Iterator[bytes]:
    """Yield the content of a shard, chunk by chunk.

    Parameters
    ----------
    configuration : mapping
        That of the sharding codec in the metadata of the array.
    shape : sequence of int
        The shape of a whole shard, (H, W) or (J, H, W).
    planes : sequence of ndarray, shape (h, w)
        The numbers of each channel, which start at the first number of the shard and may be smaller.
    fill_value : float
        What fills up chunks that reach beyond the numbers. Chunks that lie wholly beyond aren't stored.

    Yields
    ------
    bytes
        The parts of the content one after the other. Whoever writes them as they come uses the same memory
        for all chunks, which takes far less time than new memory for each of them.
    """
    chunk_shape = tuple(configuration["chunk_shape"])
    blosc = next(codec["configuration"] for codec in configuration["codecs"] if codec["name"] == "blosc")
    codec = Blosc(blosc["cname"], blosc["clevel"], _SHUFFLES[blosc["shuffle"]], blosc["blocksize"])
    counts = [whole // side for whole, side in zip(shape, chunk_shape, strict=True)]
    index = np.full((*counts, 2), _ABSENT, "<u8")
    offset = 0
    sides, dtype = chunk_shape[-2:], planes[0].dtype
    for place in np.ndindex(*counts):
        plane = planes[place[0] if len(place) > len(sides) else 0]
        corner = tuple(slice(i * side, (i + 1) * side) for i, side in zip(place[-2:], sides, strict=True))
        chunk = np.ascontiguousarray(plane[corner])
        if not chunk.size:
            continue
        if chunk.shape != sides:
            whole = np.full(sides, fill_value, dtype)
            whole[tuple(map(slice, chunk.shape))] = chunk
            chunk = whole
        encoded = codec.encode(chunk)
        checksum = _checksum(encoded)
        index[place] = offset, len(encoded) + len(checksum)
        offset += len(encoded) + len(checksum)
        yield encoded
        yield checksum
    content = index.tobytes()
    yield content
    yield _checksum(content)


def _checksum(content: bytes) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(4, "little")
