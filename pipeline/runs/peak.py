"""The resident memory of this process: now, and its high-water mark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil

_STATUS = Path("/proc/self/status")
_MARK = b"VmHWM:"


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


def high_water() -> int:
    """Return the highest resident memory in bytes that this process has had since it started.

    Returns
    -------
    int
        The mark of the system, which is never reset here: others may be watching it. If the system has none,
        the resident memory now.
    """
    memory: Any = psutil.Process().memory_info()
    if sys.platform == "linux":
        # The mark of getrusage may be that of a parent process.
        try:
            status = _STATUS.read_bytes()
            return int(status[status.index(_MARK) + len(_MARK) :].split(None, 1)[0]) * 2**10
        except (OSError, ValueError):
            pass
    elif sys.platform == "win32":
        return int(memory.peak_wset)
    elif sys.platform == "darwin":
        import resource  # noqa: PLC0415  Windows has none

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return int(memory.rss)
