"""PBM, PGM, PPM, PAM and PFM: their headers, and their samples, which lie in the file as they are."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.photo_facts import RefusalError, check_rows, header_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header

_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
# The letter tells bits, gray and color as text and as bytes, any samples (7), and floats.
_PLAIN = re.compile(rb"P([1-6Ff])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})")
_MOST = re.compile(_SPACE + rb"([-+.\deE]{1,40})\s")
_PAM = re.compile(rb"P7\s(.*?)^ENDHDR\n", re.DOTALL | re.MULTILINE)
_PAM_SAMPLES = {b"GRAYSCALE": 1, b"BLACKANDWHITE": 1, b"GRAYSCALE_ALPHA": 2, b"RGB": 3, b"RGB_ALPHA": 4}
_BITS, _TEXTS, _COLORS, _FLOATS = b"14", b"123", b"36F", b"Ff"
_HEADER_BYTES = 4096
_SHALLOW, _DEEP = 255, 65535


class _Layout(NamedTuple):
    """How the samples lie in the file: their dtype is that of text, of bits, or of bytes."""

    letter: bytes
    height: int
    width: int
    n_samples: int
    dtype: np.dtype[Any]
    start: int


def is_pnm(content: Content) -> bool:
    """Return whether a file is one of these, by its first line."""
    return bool(re.match(rb"P[1-7Ff][\s#]", content[:3]))


def read_pnm(content: Content) -> Header:
    """Read the header of a PBM, PGM, PPM, PAM or PFM.

    Parameters
    ----------
    content : bytes-like

    Returns
    -------
    Header
        Samples are stored as they are, whatever their highest value is; those of a PBM are 0 or 255.

    Raises
    ------
    RefusalError
        If it is too small for its size, or its samples have another meaning.
    IndexError
        If it is damaged.
    """
    pnm = _read_layout(content)
    return header_of((pnm.height, pnm.width), pnm.n_samples, pnm.dtype.newbyteorder("=").str)


def decode_pnm(content: Content, frame: int) -> NDArray[Any]:
    """Return the samples of a PBM, PGM, PPM, PAM or PFM."""
    del frame
    pnm = _read_layout(content)
    shape = pnm.height, pnm.width, pnm.n_samples
    if pnm.letter in _TEXTS:
        return _read_text(content, pnm).reshape(shape)
    if pnm.letter in _BITS:
        n_bytes = -(-pnm.width // 8)
        rows = np.frombuffer(content, np.uint8, pnm.height * n_bytes, pnm.start).reshape(pnm.height, -1)
        return (1 - np.unpackbits(rows, axis=1)[:, : pnm.width, np.newaxis]) * np.uint8(_SHALLOW)
    samples = np.frombuffer(content, pnm.dtype, math.prod(shape), pnm.start).reshape(shape)
    return (samples[::-1] if pnm.letter in _FLOATS else samples).astype(pnm.dtype.newbyteorder("="))


def _read_text(content: Content, pnm: _Layout) -> NDArray[Any]:
    """Return samples that are written as numbers; those of a PBM need no space between them."""
    text = re.sub(rb"#[^\r\n]*", b"", content[pnm.start :])
    numbers = re.findall(rb"[01]" if pnm.letter in _BITS else rb"\d+", text)
    samples = np.array(numbers[: pnm.height * pnm.width * pnm.n_samples]).astype(np.int64)
    if samples.max() > np.iinfo(pnm.dtype).max:
        raise IndexError("a sample beyond its highest value")
    if pnm.letter in _BITS:
        return (1 - samples.astype(np.uint8)) * np.uint8(_SHALLOW)
    return samples.astype(pnm.dtype.newbyteorder("="))


def _read_layout(content: Content) -> _Layout:
    head = content[:_HEADER_BYTES]
    if head[:2] == b"P7":
        return _read_pam(content, head)
    found = _PLAIN.match(head)
    if found is None:
        raise IndexError("a PNM without a header")
    letter, (width, height) = found[1], map(int, found.group(2, 3))
    n_samples, start = 3 if letter in _COLORS else 1, found.end() + 1
    most = _SHALLOW
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    if letter not in _BITS:
        stated = _MOST.match(head, found.end())
        if stated is None:
            raise IndexError("a PNM without a highest value")
        start = stated.end()
        if letter in _FLOATS:
            dtype = np.dtype("<f4" if float(stated[1]) < 0 else ">f4")
        else:
            most = int(stated[1])
            dtype = _dtype_of(most)
    pnm = _Layout(letter, height, width, n_samples, dtype, start)
    return _checked(content, pnm)


def _read_pam(content: Content, head: bytes) -> _Layout:
    """Read the header of a PAM, whose lines are names with values."""
    found = _PAM.match(head)
    if found is None:
        raise IndexError("a PAM without the end of its header")
    lines = [line.split(None, 1) for line in found[1].splitlines() if line.strip() and line[:1] != b"#"]
    facts = {line[0]: line[-1].strip() for line in lines}
    height, width, depth, most = (int(facts[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL"))
    kind = facts.get(b"TUPLTYPE", {1: b"GRAYSCALE", 3: b"RGB"}.get(depth, b""))
    if _PAM_SAMPLES.get(kind) != depth:
        raise RefusalError(
            f"is a PAM of {depth} samples of type {kind.decode('ascii', 'replace')!r}; wanted GRAYSCALE or "
            "RGB, with _ALPHA or without. Read it with NumPy, and pass the array."
        )
    return _checked(content, _Layout(b"7", height, width, depth, _dtype_of(most), found.end()))


def _dtype_of(most: int) -> np.dtype[Any]:
    if not 0 < most <= _DEEP:
        raise IndexError("a PNM with a highest value beyond 65535")
    return np.dtype(np.uint8 if most <= _SHALLOW else ">u2")


def _checked(content: Content, pnm: _Layout) -> _Layout:
    """Check that the file has as many bytes as its samples need at least."""
    n_values = pnm.width * pnm.n_samples
    if pnm.letter in _BITS:
        row = n_values if pnm.letter in _TEXTS else -(-n_values // 8)
    else:
        row = 2 * n_values if pnm.letter in _TEXTS else n_values * pnm.dtype.itemsize
    # The last number of a text needs no space behind it.
    is_text = pnm.letter in _TEXTS and pnm.letter not in _BITS
    check_rows(content, pnm.height, pnm.width, pnm.start + pnm.height * row - is_text)
    return pnm
