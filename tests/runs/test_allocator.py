"""The allocator of workers: freed memory is kept during a run, and only where Dask says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.runs.allocator import _glibc

# The page faults of arrays of 4 MiB that are made and freed: before, while memory is kept, and afterwards.
_PROGRAM = """
import resource
import numpy as np
from pipeline.runs.allocator import ALLOCATOR

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**22, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def kept():
    ALLOCATOR.keep_freed()
    np.ones(2**22, np.uint8)
    return faults()

print(faults(), kept(), (ALLOCATOR.give_back(), faults())[1])
"""


def count_faults(**settings: str) -> tuple[int, int, int]:
    """Count page faults before, while memory is kept, and afterwards, with settings of the allocator."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, env=environment | settings, capture_output=True, text=True, check=True)
    before, kept, after = map(int, done.stdout.split())
    return before, kept, after


def test_memory_is_kept_while_tasks_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system clears the pages of each array anew, but for the time between."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    if _glibc() is None:
        pytest.skip("the C library isn't glibc")
    # Pages have 4 KiB, or up to 64 where another processor has them so.
    pages = 20 * 2**22 // os.sysconf("SC_PAGE_SIZE")
    before, kept, after = count_faults(MALLOC_TRIM_THRESHOLD_="65536")
    assert min(before, after) > pages // 2
    assert kept < pages // 20


def test_settings_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with the allocator's own habit, or whose user has set it fully, is left as it is."""
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    assert _glibc() is None
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "many")
    assert _glibc() is None
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    assert _glibc() is None
