"""The identity of a Zarr array: what its store tells of its content, without reading it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import zarr
from dask.base import tokenize

from pipeline.images.file import show_time
from pipeline.images.remote import address_of
from pipeline.images.zarr_nodes import directory_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zarr.core.buffer import Buffer


def identify_zarr(array: zarr.Array[Any]) -> str | None:
    """Return the identity of a Zarr array by what its store tells of it.

    Parameters
    ----------
    array : zarr.Array

    Returns
    -------
    str or None
        For a local directory or a ZIP file: the size and the time of what is stored; for an array in memory:
        a digest of its chunks; for a remote array: its address and its metadata. None for any other store.
    """
    store, metadata = array.store, tokenize(array.metadata.to_dict())
    directory = directory_of(array)
    if directory is not None:
        return f"{_describe_files(directory)}, metadata {metadata}"
    if isinstance(store, zarr.storage.ZipStore):
        status = store.path.stat()
        return f"{status.st_size} bytes, modified {show_time(status.st_mtime_ns)}, {array.path} {metadata}"
    if isinstance(store, zarr.storage.MemoryStore):
        # zarr has no other way to its bytes than by asynchronous calls.
        return f"{_digest_chunks(store._store_dict, array.path)}, metadata {metadata}"  # noqa: SLF001
    address = address_of(array)
    return None if address is None else f"{address}, metadata {metadata}"


def _digest_chunks(chunks: Mapping[str, Buffer], path: str) -> str:
    """Return a digest of the stored bytes of an array."""
    digest = hashlib.sha256()
    for key in sorted(key for key in chunks if key.startswith(path)):
        content = chunks[key].to_bytes()
        digest.update(f"{key} {len(content)}\n".encode())
        digest.update(content)
    return f"content {digest.hexdigest()}"


def _describe_files(path: Path) -> str:
    """Return the number, size and last change of a directory's files, and a digest of each one's."""
    digest = hashlib.sha256()
    n_files = n_bytes = last = 0
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            file = os.path.join(folder, name)  # noqa: PTH118  there may be millions
            status = os.stat(file)  # noqa: PTH116  the same
            digest.update(f"{file[len(str(path)) :]} {status.st_size} {status.st_mtime_ns}\n".encode())
            n_files, n_bytes, last = n_files + 1, n_bytes + status.st_size, max(last, status.st_mtime_ns)
    return f"{n_files} files of {n_bytes} bytes, modified {show_time(last)}, digest {digest.hexdigest()}"
