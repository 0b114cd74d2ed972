"""The high-water mark: what a process had at most, however short it had it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

import psutil
import pytest

from pipeline.runs import peak
from pipeline.runs.peak import high_water, resident

if TYPE_CHECKING:
    from pathlib import Path


# In a process of its own, since what other tests have freed may go back to the system at any moment.
FREED = """
import numpy as np
from pipeline.runs.peak import high_water, resident

before, size = high_water(), high_water() - resident() + 2**26
array = np.ones(size, np.uint8)
risen = high_water()
del array
# The system counts in steps.
print(before < risen, high_water() >= risen - 2**20, resident() < risen)
"""


def test_what_was_freed_is_remembered() -> None:
    """The mark rises with an array that is larger than all before, and stays when it is freed."""
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3
    assert resident() == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="the mark of getrusage is that of Linux")
def test_without_proc_it_is_what_is_resident(tmp_path: Path) -> None:
    """Where the system's file is missing, or says nothing, the memory now counts."""
    for path, content in ((tmp_path / "none", None), (tmp_path / "empty", "Name: python")):
        if content is not None:
            path.write_text(content)
        with patch.object(peak, "_STATUS", path):
            assert high_water() == pytest.approx(resident(), rel=0.2)
