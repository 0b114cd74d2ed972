"""Tests of the reader of chunks: it reads what zarr-python reads, and notices damage."""

from __future__ import annotations

import pickle
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import LZ4, LZMA, Blosc, Delta, Zlib, Zstd
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

from pipeline.images.zarr_chunks import ChunkReader, chunk_reader

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (37, 50, 3)
CODECS: dict[str, Any] = {
    "none": None,
    "blosc": BloscCodec(cname="lz4", shuffle="bitshuffle"),
    "blosc zstd crc32c": [BloscCodec(cname="zstd"), Crc32cCodec()],
    "zstd": ZstdCodec(),
    "zstd crc32c": [ZstdCodec(), Crc32cCodec()],
    "crc32c": Crc32cCodec(),
    "gzip": GzipCodec(),
    "gzip crc32c": [GzipCodec(), Crc32cCodec()],
}
# A dtype and options of version 2 of the format; codecs that aren't known by name decode by themselves.
OLD_CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("uint16", {"compressors": None}),
    "blosc": (">u2", {"compressors": Blosc("lz4", shuffle=2)}),
    "zstd": ("<f4", {"compressors": Zstd()}),
    "zlib": ("uint8", {"compressors": Zlib()}),
    "lzma": ("bool", {"compressors": LZMA()}),
    "lz4": (">f8", {"compressors": LZ4()}),
    "delta zstd": ("int16", {"compressors": Zstd(), "filters": [Delta("int16")]}),
    "delta blosc": ("int32", {"compressors": Blosc(), "filters": [Delta("int32")]}),
}


def make(path: Path, dtype: str = "uint16", **options: Any) -> zarr.Array[Any]:
    """Write an array of random numbers, whose last rows are missing."""
    options = {"chunks": (8, 16, 3), "fill_value": 7, **options}
    array = zarr.create_array(path, shape=SHAPE, dtype=dtype, **options)
    array[:30] = np.random.default_rng(0).integers(0, 99, (30, *SHAPE[1:])).astype(dtype)
    return zarr.open_array(path, mode="r")


def reader_of(array: zarr.Array[Any], path: Path) -> ChunkReader:
    """Return the reader, pickled as it is on its way to a worker."""
    reader = pickle.loads(pickle.dumps(chunk_reader(array, path)))  # noqa: S301  this process's own
    assert isinstance(reader, ChunkReader)
    return reader


def whole(reader: ChunkReader) -> Any:
    """Read everything."""
    return reader.read(tuple(map(range, SHAPE)))


@pytest.mark.parametrize("shards", [None, (16, 48, 3)])
@pytest.mark.parametrize("codecs", CODECS)
def test_numbers_are_those_of_zarr(tmp_path: Path, codecs: str, shards: tuple[int, ...] | None) -> None:
    """Whatever the codecs are, in files and in shards; chunks that aren't stored have the fill value."""
    array = make(tmp_path, compressors=CODECS[codecs], shards=shards)
    np.testing.assert_array_equal(whole(reader_of(array, tmp_path)), array[:])


@pytest.mark.parametrize("dtype", ["bool", "int8", ">u2", "<i4", "float16", ">f4", "float64", "int64"])
def test_dtypes_of_any_order(tmp_path: Path, dtype: str) -> None:
    """Numbers of either byte order have the same values."""
    array = make(tmp_path, dtype, shards=(16, 48, 3), fill_value=1)
    np.testing.assert_array_equal(whole(reader_of(array, tmp_path)), array[:])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", OLD_CODECS)
def test_version_2_is_that_of_zarr(tmp_path: Path, name: str, order: Any) -> None:
    """Any codec of numcodecs is read, in either order of axes, and whatever separates numbers in names."""
    dtype, options = OLD_CODECS[name]
    for separator in "./":
        path, keys = tmp_path / str(separator == "."), {"name": "v2", "separator": separator}
        array = make(path, dtype, zarr_format=2, order=order, chunk_key_encoding=keys, **options)
        assert (path / separator.join("000")).is_file()
        np.testing.assert_array_equal(whole(reader_of(array, path)), array[:])


def test_version_2_without_a_fill_value(tmp_path: Path) -> None:
    """Chunks that aren't stored are 0 where no value is named."""
    array = make(tmp_path, zarr_format=2, fill_value=None)
    np.testing.assert_array_equal(whole(reader_of(array, tmp_path)), array[:])
    assert not whole(reader_of(array, tmp_path))[32:].any()


@pytest.mark.parametrize("name", OLD_CODECS)
def test_damage_of_version_2_names_the_file(tmp_path: Path, name: str) -> None:
    """A file that is cut is refused, and one with other bytes too if its codec notices."""
    dtype, options = OLD_CODECS[name]
    reader = reader_of(make(tmp_path, dtype, zarr_format=2, **options), tmp_path)
    file = tmp_path / "0.0.0"
    content = file.read_bytes()
    for cut in (content[: len(content) // 2], content[:3], b""):
        file.write_bytes(cut)
        with pytest.raises(ValueError, match=r"0\.0\.0 is damaged: a chunk (has|can't be decoded)"):
            whole(reader)
    for place in np.random.default_rng(3).integers(0, len(content), 20):
        file.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with suppress(ValueError):
            assert whole(reader).shape == SHAPE


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("is_checked", [False, True])
def test_an_index_lies_at_either_end(tmp_path: Path, location: str, is_checked: bool) -> None:
    """The index of a shard may be its beginning, and may have no checksum."""
    sharding = ShardingCodec(
        chunk_shape=(8, 16, 3),
        index_location=location,
        **({} if is_checked else {"index_codecs": [zarr.codecs.BytesCodec()]}),
    )
    metadata: Any = {"shape": SHAPE, "dtype": "uint8", "chunks": (16, 48, 3), "zarr_format": 3}
    array = zarr.create(store=str(tmp_path), codecs=[sharding], fill_value=7, **metadata)
    array[:30] = np.random.default_rng(0).integers(0, 99, (30, *SHAPE[1:]))
    np.testing.assert_array_equal(whole(reader_of(array, tmp_path)), array[:])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.booleans())
def test_any_places_are_read(tmp_path: Path, data: st.DataObject, is_sharded: bool) -> None:
    """Regions with any steps equal those of the whole array."""
    path = tmp_path / str(is_sharded)
    if not path.exists():
        make(path, shards=(16, 48, 3) if is_sharded else None)
    array = zarr.open_array(path, mode="r")
    slices = [
        slice(*data.draw(st.tuples(st.integers(0, n), st.integers(0, n), st.integers(1, 20)))) for n in SHAPE
    ]
    places = tuple(range(*one.indices(n)) for one, n in zip(slices, SHAPE, strict=True))
    np.testing.assert_array_equal(reader_of(array, path).read(places), array[:][tuple(slices)])


def test_other_arrays_are_left_to_zarr(tmp_path: Path) -> None:
    """Other codecs, other dtypes and other stores have no reader."""
    twice = make(tmp_path / "7", compressors=[ZstdCodec(), BloscCodec()])
    assert chunk_reader(twice, tmp_path / "7") is None
    turned = make(tmp_path / "4", filters=[TransposeCodec(order=(2, 0, 1))])
    assert chunk_reader(turned, tmp_path / "4") is None
    assert chunk_reader(make(tmp_path / "5", "complex64"), tmp_path / "5") is None
    assert chunk_reader(make(tmp_path / "6"), None) is None


class _Changed(zarr.storage.LocalStore):
    """A store whose files may hold other bytes than its arrays."""


def test_a_store_of_another_class_is_left_to_zarr(tmp_path: Path) -> None:
    """A derived class may encrypt what it stores."""
    make(tmp_path)
    array = zarr.open_array(_Changed(tmp_path), mode="r")
    assert chunk_reader(array, tmp_path) is None


def test_bytes_after_a_chunk_are_ignored(tmp_path: Path) -> None:
    """Blosc tells its length, as zarr-python knows too."""
    array = make(tmp_path, compressors=CODECS["blosc"])
    file = tmp_path / "c" / "0" / "0" / "0"
    file.write_bytes(file.read_bytes() + bytes(5))
    np.testing.assert_array_equal(whole(reader_of(array, tmp_path)), array[:])


def test_chunks_that_are_not_stored_take_no_memory(tmp_path: Path) -> None:
    """A chunk larger than any memory is the fill value while it isn't stored."""
    array = zarr.create_array(tmp_path, shape=(5, 5), chunks=(2**22, 2**22), dtype="u1", fill_value=3)
    reader = reader_of(array, tmp_path)
    np.testing.assert_array_equal(reader.read((range(5), range(5))), np.full((5, 5), 3))
    (tmp_path / "c" / "0").mkdir(parents=True)
    (tmp_path / "c" / "0" / "0").write_bytes(b"short")
    with pytest.raises((ValueError, MemoryError)):
        reader.read((range(5), range(5)))


@pytest.mark.parametrize("size", [2**62, 2**63])
def test_a_size_that_no_memory_holds_is_damage(tmp_path: Path, size: int) -> None:
    """A frame of Zstd may tell any size."""
    array = make(tmp_path, compressors=ZstdCodec())
    frame = struct.pack("<I", 0xFD2FB528) + b"\xe0" + struct.pack("<Q", size) + b"\1\0\0"
    (tmp_path / "c" / "0" / "0" / "0").write_bytes(frame)
    with pytest.raises(ValueError, match=f"c/0/0/0 is damaged: a chunk has {size} bytes; wanted 768"):
        whole(reader_of(array, tmp_path))


@pytest.mark.parametrize("shards", [None, (16, 48, 3)])
@pytest.mark.parametrize("codecs", ["none", "blosc", "zstd"])
def test_a_cut_file_is_damaged(tmp_path: Path, codecs: str, shards: tuple[int, ...] | None) -> None:
    """A file that ends anywhere is refused with its path."""
    array = make(tmp_path, compressors=CODECS[codecs], shards=shards)
    reader, file = reader_of(array, tmp_path), tmp_path / "c" / "0" / "0" / "0"
    content = file.read_bytes()
    for share in np.random.default_rng(1).uniform(0, 1, 20):
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=r"c/0/0/0 is damaged: \w"):
            whole(reader)


@pytest.mark.parametrize("shards", [None, (16, 48, 3)])
def test_a_flipped_byte_is_noticed_by_checksums(tmp_path: Path, shards: tuple[int, ...] | None) -> None:
    """With checksums, any other byte is refused; without, nothing worse than other numbers comes of it."""
    for codecs in ("blosc zstd crc32c", "zstd crc32c", "crc32c", "blosc", "none"):
        array = make(tmp_path / codecs, compressors=CODECS[codecs], shards=shards)
        reader, file = reader_of(array, tmp_path / codecs), tmp_path / codecs / "c" / "0" / "0" / "0"
        content = file.read_bytes()
        for place in np.random.default_rng(2).integers(0, len(content), 20):
            file.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
            if "crc32c" in codecs:
                with pytest.raises(ValueError, match="c/0/0/0 is damaged: a checksum doesn't fit"):
                    whole(reader)
                continue
            with suppress(ValueError):
                assert whole(reader).shape == SHAPE
