"""Zarr reads a folder of objects, and says what is wrong in the words of files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from pipeline.images import object_clients
from pipeline.images.object_storage import ObjectFolder


def test_zarr_reads_a_folder(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array is read, also after it was sent to another process; a server that is gone is named."""
    files: dict[str, zarr.core.buffer.Buffer] = {}
    numbers = np.arange(60, dtype=np.uint16).reshape(6, 10)
    zarr.create_array(MemoryStore(files), data=numbers, shards=(4, 4), chunks=(2, 2))
    folder = ObjectFolder(f"{bucket}/x.zarr")
    for path, content in files.items():
        folder.write(path, [content.to_bytes()])
    array = zarr.open_array(folder.zarr_store(), mode="r")
    np.testing.assert_array_equal(array, numbers)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[1:3, 3:9], numbers[1:3, 3:9])  # noqa: S301
    with pytest.raises(FileNotFoundError):
        zarr.open_array(folder.folder("none").zarr_store(), mode="r")
    monkeypatch.setattr(object_clients, "_RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=rf"^{folder.url}/zarr\.json can't be read or written: "):
        zarr.open_array(folder.zarr_store(), mode="r", zarr_format=3)
