"""The chunk of a Zarr array that can't be read, found for the message of an error."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pipeline.images.file import COPY_AGAIN
from pipeline.images.selection import meet_pieces
from pipeline.images.zarr_nodes import directory_of

if TYPE_CHECKING:
    import zarr


def damage_in(array: zarr.Array[Any], places: tuple[range, ...], error: Exception) -> Exception:
    """Return the error to raise where reading an array with zarr-python failed.

    Parameters
    ----------
    array : zarr.Array
    places : tuple of range
        The places along each axis that were read.
    error : Exception
        What zarr-python or a codec raised.

    Returns
    -------
    ValueError or OSError
        Its message names the file that can't be read, or the array if every file can be read by itself.
    """
    # The system's errors have a number and name their file, as those of gzip don't.
    if isinstance(error, OSError) and error.errno is not None:
        return error
    directory, shape = directory_of(array), array.shards or array.chunks
    for pieces in itertools.product(*(meet_pieces(*axis) for axis in zip(places, shape, strict=True))):
        number = tuple(piece[0] for piece in pieces)
        key = array.metadata.encode_chunk_key(number)
        try:
            array[tuple(slice(n * size, (n + 1) * size) for n, size in zip(number, shape, strict=True))]
        except Exception as reason:  # noqa: BLE001  each codec has exceptions of its own
            name = "/".join(filter(None, [array.path, key])) if directory is None else directory / key
            return ValueError(f"{name} can't be decoded: it is damaged ({reason}). {COPY_AGAIN}")
    return ValueError(f"{directory or array.path or 'the Zarr array'} can't be read: {error}")
