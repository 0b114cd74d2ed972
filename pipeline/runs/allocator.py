"""The C library's allocator in a worker of Dask, which would give back all memory at once.

Dask starts its workers with ``MALLOC_TRIM_THRESHOLD_=65536``, so that memory that was freed goes back to the
system. It also ends glibc's habit to learn how large the blocks are that a program takes again and again, so
that the system must clear the pages of each array anew. A block of 16 megapixels took twice as long.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

# The parameters of mallopt, in glibc's malloc.h.
_TRIM, _MAP = -1, -3
# Where glibc's own habit ends, on a machine of 64 bits: blocks up to this size are kept, and twice as much at
# the end of the memory; and where it starts.
_LARGEST, _FIRST = 2**25, 2**17
_SETTINGS = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"


class _Allocator:
    """The allocator of this process."""

    def __init__(self) -> None:
        self._keeps = False

    def keep_freed(self) -> None:
        """Keep memory that was freed for the next array, where Dask's setting says otherwise."""
        if not self._keeps and (library := _glibc()):
            library.mallopt(_MAP, _LARGEST)
            library.mallopt(_TRIM, 2 * _LARGEST)
            self._keeps = True

    def give_back(self) -> None:
        """Give back what was kept, and go on as Dask's setting says."""
        if self._keeps and (library := _glibc()):
            library.mallopt(_MAP, _FIRST)
            library.mallopt(_TRIM, int(os.environ[_SETTINGS[0]]))
            library.malloc_trim(0)
            self._keeps = False


def _glibc() -> Any:  # noqa: ANN401  a library has no types
    """Return the C library if it is glibc with only the first of the settings, as Dask starts its workers."""
    trim, other = (os.environ.get(name) for name in _SETTINGS)
    if trim is None or not trim.isdecimal() or other is not None:
        return None
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        # A static program, or Windows.
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


ALLOCATOR = _Allocator()
