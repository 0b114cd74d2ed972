"""The codecs of the chunks of Zarr arrays, which decode into memory that the caller has."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numcodecs.gzip import GZip
from numcodecs.zlib import Zlib
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ZstdCodec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numcodecs.abc import Codec
    from numpy.typing import NDArray

    # The codecs of a chunk after `bytes`, by their names or themselves.
    Codecs = tuple[str | Codec, ...]

CHECKSUM_BYTES = 4
# The places of the sizes of the content and of the whole in a header of Blosc.
_CONTENT, _WHOLE, _HEADER = slice(4, 8), slice(12, 16), 16
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Decoders of zlib that take its headers and those of gzip.
_ANY_HEADER = 32 + zlib.MAX_WBITS
_BLOSC, _ZSTD = Blosc(), Zstd()
# The codecs that decode whatever their options are.
_NAMES = {BloscCodec: "blosc", ZstdCodec: "zstd", GzipCodec: "zlib", Crc32cCodec: "crc32c"}
_OLD_NAMES = {Blosc: "blosc", Zstd: "zstd", GZip: "zlib", Zlib: "zlib"}
# So many times the bytes of a chunk are taken at once to decode it: encoded, as decoded pieces that are
# joined, and in the caller's memory.
_COPIES, _MOST_COPIES = {"blosc": 2, "zstd": 3, "zlib": 4, "crc32c": 3}, 5


def codec_names(codecs: Sequence[object]) -> tuple[str, ...] | None:
    """Return the names of the codecs after ``bytes``, or None if a chunk can't be decoded here."""
    first, *rest = codecs
    names = tuple(_NAMES.get(type(codec), "") for codec in rest)
    is_known = isinstance(first, BytesCodec) and all(names)
    # One codec alone compresses, and it is the first one; checksums may follow.
    return names if is_known and set(names[1:]) <= {"crc32c"} else None


def old_codecs(compressor: Codec | None, filters: tuple[Codec, ...]) -> Codecs:
    """Return the codecs of version 2 of the format: by its name, if there is one of those that are known."""
    if compressor is None:
        return filters
    return (*filters, compressor) if filters else (_OLD_NAMES.get(type(compressor), compressor),)


def copies_of(codecs: Codecs) -> int:
    """Return how many times the bytes of a chunk are taken at once at most to decode it."""
    copies = (_COPIES[codec] if isinstance(codec, str) else _MOST_COPIES for codec in codecs)
    return max(copies, default=2)


def decode_chunk(codecs: Codecs, content: memoryview, out: NDArray[Any]) -> None:
    """Decode a chunk.

    Parameters
    ----------
    codecs : tuple of str or numcodecs.abc.Codec
        As :func:`codec_names` and :func:`old_codecs` return them.
    content : memoryview
        The chunk as it is stored.
    out : ndarray of one dimension
        It is filled with the numbers of the chunk.

    Raises
    ------
    ValueError
        If the content can't be decoded, or has another size than `out`.
    """
    first, *others = codecs or ("",)
    for codec in reversed(others):
        content = without_checksum(content) if codec == "crc32c" else _decode_any(codec, content)
    if first == "blosc":
        _decode_blosc(content, out)
        return
    if first == "zstd":
        size = _zstd_size(content)
        if size is not None:
            check_size(size, out.nbytes)
            _decode_any(_ZSTD, content, out)
            return
        content = _decode_any(_ZSTD, content)
    elif first == "zlib":
        content = _decode_zlib(content, out.nbytes)
    elif first == "crc32c":
        content = without_checksum(content)
    elif first:
        content = _decode_any(first, content)
    check_size(len(content), out.nbytes)
    out[:] = np.frombuffer(content, out.dtype)


def check_size(n_bytes: int, wanted: int) -> None:
    """Raise ValueError if a chunk doesn't have the bytes that it must have."""
    if n_bytes != wanted:
        raise ValueError(f"a chunk has {n_bytes} bytes; wanted {wanted}")


def without_checksum(content: memoryview) -> memoryview:
    """Return a content without the checksum at its end, after checking it."""
    body, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    if int(google_crc32c.value(bytes(body))).to_bytes(CHECKSUM_BYTES, "little") != checksum:
        raise ValueError("a checksum doesn't fit")
    return body


def _decode_any(codec: Any, content: memoryview, out: NDArray[Any] | None = None) -> memoryview:  # noqa: ANN401  any codec
    try:
        decoded: Any = np.frombuffer(codec.decode(content, out), np.uint8)
        return memoryview(decoded)
    except Exception as error:
        # Each codec has exceptions of its own.
        raise ValueError(f"a chunk can't be decoded: {error}") from error


def _decode_blosc(content: memoryview, out: NDArray[Any]) -> None:
    # Blosc trusts its header.
    n_bytes, n_encoded = (int.from_bytes(content[place], "little") for place in (_CONTENT, _WHOLE))
    if len(content) < max(_HEADER, n_encoded):
        raise ValueError(f"a chunk has {len(content)} encoded bytes; wanted {max(_HEADER, n_encoded)}")
    if n_bytes != out.nbytes:
        raise ValueError(f"a chunk has {n_bytes} bytes; wanted {out.nbytes}")
    try:
        _BLOSC.decode(content, out)
    except RuntimeError as error:
        raise ValueError(f"a chunk can't be decoded: {error}") from error


def _decode_zlib(content: memoryview, n_bytes: int) -> memoryview:
    decoder = zlib.decompressobj(_ANY_HEADER)
    try:
        # A damaged stream may be of any size.
        decoded = decoder.decompress(content, n_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"a chunk can't be decoded: {error}") from error
    if not decoder.eof and len(decoded) <= n_bytes:
        raise ValueError("a chunk can't be decoded: it is cut")
    return memoryview(decoded)


def _zstd_size(content: memoryview) -> int | None:
    """Return the size of the content that the header of Zstandard tells, or None if it doesn't (RFC 8878)."""
    if content[:4] != _ZSTD_MAGIC or len(content) <= len(_ZSTD_MAGIC):
        return None
    flags = content[len(_ZSTD_MAGIC)]
    is_single = flags >> 5 & 1
    length = (is_single, 2, 4, 8)[flags >> 6]
    start = 6 - is_single + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(content[start : start + length], "little")
    return (size + 256 if length == 2 else size) if length else None  # noqa: PLR2004  as the format has it
