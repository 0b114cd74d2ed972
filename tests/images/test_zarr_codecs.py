"""Tests of the codecs of chunks: what they decode, what they refuse, and the memory that they take."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numcodecs import LZ4, Blosc, Delta, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from pipeline.images.zarr_codecs import (
    _zstd_size,
    check_size,
    codec_names,
    copies_of,
    decode_chunk,
    old_codecs,
    without_checksum,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = np.arange(5000, dtype="<u2")


def decode(content: bytes, *codecs: Any, like: NDArray[Any] = NUMBERS) -> NDArray[Any]:
    """Decode a content to numbers as many as these."""
    out = np.empty_like(like)
    decode_chunk(codecs, memoryview(content), out)
    return out


def test_names_of_codecs() -> None:
    """Codecs that are known have names; one compresses, and checksums may follow."""
    assert codec_names([BytesCodec()]) == ()
    assert codec_names([BytesCodec(), BloscCodec(), Crc32cCodec()]) == ("blosc", "crc32c")
    assert codec_names([BytesCodec(), GzipCodec()]) == ("zlib",)
    assert codec_names([BytesCodec(), ZstdCodec(), ZstdCodec()]) is None
    assert codec_names([TransposeCodec(order=(1, 0)), BytesCodec()]) is None
    assert old_codecs(None, ()) == ()
    assert [old_codecs(one, ()) for one in (Blosc(), Zstd(), Zlib(), GZip(), LZ4())] == [
        ("blosc",),
        ("zstd",),
        ("zlib",),
        ("zlib",),
        (LZ4(),),
    ]
    delta = Delta("u2")
    assert old_codecs(Blosc(), (delta,)) == (delta, Blosc())


@pytest.mark.parametrize("codec", [Blosc(), Zstd(), Zlib(), GZip(), LZ4()], ids=repr)
def test_contents_are_those_of_numcodecs(codec: Any) -> None:
    """A content that is cut, or that has another size, is refused."""
    (name,) = old_codecs(codec, ())
    content = bytes(codec.encode(NUMBERS))
    np.testing.assert_array_equal(decode(content, name), NUMBERS)
    for damaged in (content[:-9], content[:3], b"", b"other" * 99):
        with pytest.raises(ValueError, match=r"a chunk (can't be decoded|has)"):
            decode(damaged, name)
    for other in (NUMBERS[:-1], np.arange(5001, dtype="<u2")):
        with pytest.raises(ValueError, match=r"a chunk (has \d+ bytes; wanted 10000|can't be decoded)"):
            decode(bytes(codec.encode(other)), name)


def test_a_bomb_doesnt_go_off() -> None:
    """No more is decoded than a chunk has."""
    for content, name in ((gzip.compress(bytes(10**8), 1), "zlib"), (Zstd().encode(bytes(10**8)), "zstd")):
        with pytest.raises(ValueError, match=r"a chunk has (10001|100000000) bytes; wanted 10000"):
            decode(content, name)


@pytest.mark.parametrize("size", [1, 255, 256, 300, 65_791, 65_792, 70_000])
@pytest.mark.parametrize("checksum", [False, True])
def test_zstandard_tells_its_size(size: int, checksum: bool) -> None:
    """The header's length depends on the size, whose bytes have an offset if there are two."""
    content = Zstd(checksum=checksum).encode(bytes(size))
    assert _zstd_size(memoryview(content)) == size
    assert _zstd_size(memoryview(content)[:4]) is None
    assert _zstd_size(memoryview(b"other" * 9)) is None


def test_zstandard_without_a_size() -> None:
    """A stream doesn't tell its size in the header."""
    body = NUMBERS.tobytes()
    content = b"\x28\xb5\x2f\xfd\x00\x58" + (len(body) << 3 | 1).to_bytes(3, "little") + body
    assert _zstd_size(memoryview(content)) is None
    np.testing.assert_array_equal(decode(content, "zstd"), NUMBERS)


def test_checksums_and_sizes() -> None:
    """The last four bytes are the checksum."""
    with pytest.raises(ValueError, match="a checksum doesn't fit"):
        without_checksum(memoryview(b"12345678"))
    with pytest.raises(ValueError, match="a chunk has 3 bytes; wanted 4"):
        check_size(3, 4)


def test_memory() -> None:
    """Codecs take a chunk two to five times."""
    assert [copies_of(codecs) for codecs in ((), ("blosc",), ("blosc", "crc32c"))] == [2, 2, 3]
    assert [copies_of(codecs) for codecs in (("zlib", "crc32c"), (Delta("u2"), LZ4()))] == [4, 5]
