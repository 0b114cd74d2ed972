"""Shards: zarr reads what is encoded. That chunks have zarr's bytes is tested in test_layout.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec

from pipeline.stores.shard import encode_shard

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = st.sampled_from(["uint8", "uint16", "float16", "float32", "float64"])


@settings(max_examples=60)
@given(DTYPES, st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.integers(0, 3))
def test_zarr_reads_a_shard(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, counts: tuple[int, int], extent: Any, n_results: int
) -> None:
    """Zarr reads the values of a block of any dtype and extent, and the fill value beyond it."""
    extent = tuple(min(length, 16 * count) for length, count in zip(extent, counts, strict=True))
    leading = (n_results,) if n_results else ()
    shard = (*leading, *(16 * count for count in counts))
    array = zarr.create_array(
        tmp_path_factory.mktemp("array"),
        shape=shard,
        shards=shard,
        chunks=(*(1 for _ in leading), 16, 16),
        dtype=dtype,
        fill_value=7,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
    )
    root: Any = array.store
    configuration = json.loads((root.root / "zarr.json").read_text())["codecs"][0]["configuration"]
    values = np.random.default_rng(0).integers(0, 5, (*leading, *extent)).astype(dtype)
    content = list(encode_shard(configuration, shard, values if leading else [values], 7))
    path = root.root / "/".join(["c", *("0" for _ in shard)])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(content))
    region = (..., *map(slice, extent))
    found = np.asarray(array[:])
    np.testing.assert_array_equal(found[region], values)
    found[region] = 7
    assert (found == 7).all()


def test_every_byte_has_a_checksum(tmp_path: Path) -> None:
    """Zarr refuses a shard of which any bit of the stored chunks or of the index has changed."""
    array = zarr.create_array(
        tmp_path, shape=(32, 32), shards=(32, 32), chunks=(16, 16), dtype="float32", compressors=Crc32cCodec()
    )
    blosc = {"name": "blosc", "configuration": BloscCodec(cname="lz4", typesize=4).to_dict()["configuration"]}
    del array
    described = json.loads((tmp_path / "zarr.json").read_text())
    configuration = described["codecs"][0]["configuration"]
    configuration["codecs"].insert(1, blosc)
    (tmp_path / "zarr.json").write_text(json.dumps(described))
    values = np.random.default_rng(0).normal(size=(32, 32)).astype("float32")
    content = b"".join(encode_shard(configuration, (32, 32), [values], 0.0))
    path = tmp_path / "c" / "0" / "0"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    np.testing.assert_array_equal(zarr.open_array(tmp_path, mode="r")[:], values)
    for place in (0, 5, len(content) // 2, len(content) - 70, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"."):
            zarr.open_array(tmp_path, mode="r")[:]
