"""Limits of memory: of control groups, of address space, of a worker."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from pipeline.runs import limits
from pipeline.runs.limits import available_memory

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

MIB = 2**20


def free() -> int:
    """Return what this process may have beside what it has."""
    return available_memory(1) - psutil.Process().memory_info().rss


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of control groups, of which this process is in none."""
    monkeypatch.setattr(limits, "_GROUPS", tmp_path)
    monkeypatch.setattr(limits, "_OWN_GROUPS", tmp_path / "own")
    return tmp_path


def write_group(folder: Path, limit: str, used: int, droppable: int, version: int = 2) -> None:
    """Write the files of a group."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")][
        2 - version
    ]
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {droppable}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_group_counts(groups: Path, version: int) -> None:
    """A group within a group has the memory of both; pages of files can be dropped."""
    root = groups if version == 2 else groups / "memory"
    write_group(root / "outer", str(200 * MIB), 150 * MIB, 30 * MIB, version)
    write_group(root / "outer" / "inner", "max" if version == 2 else str(2**62), 0, 0, version)
    line = "0::/outer/inner\n" if version == 2 else "4:cpu:/other\n3:memory,hugetlb:/outer/inner\n"
    (groups / "own").write_text(line)
    assert free() == pytest.approx(80 * MIB, abs=8 * MIB)
    write_group(root / "outer" / "inner", str(40 * MIB), 30 * MIB, 0, version)
    assert list(limits._free_in_groups()).count(10 * MIB) == 1


def test_no_groups(groups: Path) -> None:
    """Without control groups the machine's memory counts, and so it does in the root group."""
    assert list(limits._free_in_groups()) == []
    (groups / "own").write_text("0::/\n")
    assert list(limits._free_in_groups()) == []
    assert free() > 0


CODE = """
import resource, sys
import pipeline
from pipeline.runs.limits import available_memory
import psutil
before = available_memory(2)
memory = psutil.Process().memory_info()
limit = memory.vms + 2**30
resource.setrlimit(getattr(resource, sys.argv[1]), (limit, resource.RLIM_INFINITY))
print(before, available_memory(2), available_memory(4), memory.rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_resources_count(kind: str) -> None:
    """What is left of a limit counts, without the stacks and arenas of threads."""
    done = subprocess.run([sys.executable, "-c", CODE, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, two, four, resident = map(int, done.stdout.split())
    assert two < before
    assert resident < two
    assert two - four == pytest.approx(2 * limits._THREAD_SPACE, abs=4 * MIB)
    if kind == "RLIMIT_AS":
        assert two < resident + 2**30


def test_a_worker_has_its_own_limit(processes: Client) -> None:
    """Within a task of a cluster its worker's limit counts."""
    found = processes.submit(available_memory, 1, pure=False).result()
    workers = processes.scheduler_info(n_workers=-1)["workers"].values()
    assert found <= max(worker["memory_limit"] for worker in workers)
