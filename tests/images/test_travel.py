"""What holds an open file stays in its process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from pipeline.images.travel import can_travel

if TYPE_CHECKING:
    from pathlib import Path


def test_what_travels(tmp_path: Path) -> None:
    """An array can be sent, an open file and a lock can't."""
    assert can_travel(np.zeros(3))
    assert not can_travel(threading.Lock())
    with (tmp_path / "x").open("wb") as file:
        assert not can_travel(file)
