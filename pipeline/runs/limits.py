"""The limits of this process's memory: the machine, control groups, resource limits, a Dask worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Files of version 2 and of version 1: the limit, what is used of it, pages of files that can be dropped.
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# Address space that each thread takes beside what is resident: its stack, and an arena of the allocator.
_THREAD_SPACE = 8 * 2**20 + 64 * 2**20
# Threads that zarr starts: its loop, and those that decode and encode.
_ZARR_THREADS = 1 + 4


def available_memory(threads: int) -> int:
    """Return the resident memory in bytes that this process may come to have.

    Parameters
    ----------
    threads : int
        The number of threads that will compute: each one takes address space, which may be limited too.

    Returns
    -------
    int
        The least of what is free on the machine, in the control groups of the process, within its resource
        limits and within the limit of its Dask worker, each with what the process has by now.
    """
    process = psutil.Process()
    memory = process.memory_info()
    free = [psutil.virtual_memory().available, *_free_in_groups(), *_free_in_limits(memory, threads)]
    limits = list(_worker_limit())
    return int(max(0, min([*(memory.rss + size for size in free), *limits])))


def _free_in_groups() -> Iterator[int]:
    """Yield what is free in each control group that holds this process."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root = _GROUPS / "memory" if kinds else _GROUPS
        group = root / path.lstrip("/")
        # Within a container the path may be that of the host, which isn't there.
        for folder in {root, *(one for one in (group, *group.parents) if one.is_relative_to(root))}:
            for limit, usage, droppable in _GROUP_FILES:
                try:
                    most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
                    stat = dict(one.split() for one in (folder / "memory.stat").read_text().splitlines())
                    yield max(0, most - used + int(stat.get(droppable, 0)))
                except (OSError, ValueError):
                    continue  # no such file, or "max"


def _free_in_limits(memory: Any, threads: int) -> Iterator[int]:  # noqa: ANN401  psutil's
    """Yield what the resource limits leave: of address space, and of data."""
    try:
        import resource  # noqa: PLC0415  Windows has none
    except ImportError:
        return
    used = {resource.RLIMIT_AS: memory.vms, resource.RLIMIT_RSS: memory.rss}
    if sys.platform == "linux":
        used[resource.RLIMIT_DATA] = memory.data
    for kind, size in used.items():
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            space = 0 if kind == resource.RLIMIT_RSS else (threads + _ZARR_THREADS) * _THREAD_SPACE
            yield limit - size - space


def _worker_limit() -> Iterator[int]:
    """Yield the limit of the Dask worker that this process is, if it is one."""
    worker_module = sys.modules.get("distributed.worker")
    if worker_module is None:
        return
    try:
        limit = worker_module.get_worker().memory_manager.memory_limit
    except (ValueError, AttributeError):
        return
    if limit:
        yield int(limit)
