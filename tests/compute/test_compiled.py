"""Tests of how loops are compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba

from pipeline.compute import compiled

if TYPE_CHECKING:
    import pytest


def add(one: float, other: float) -> float:
    """Return a sum."""
    return one + other


def test_loops_release_the_lock_and_are_kept() -> None:
    """Compiled code lets other threads of Python run, and is kept on the disk."""
    loop: Any = compiled.compiled(add)
    assert loop(1.0, 2.0) == 3
    assert loop.targetoptions["nogil"]
    assert loop.stats.cache_path is not None


def test_without_a_place_for_caches_loops_are_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no directory can be written to, Numba refuses to keep code; the loops work all the same."""

    def refuse(**options: Any) -> Any:
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(compiled, "njit", refuse)
    loop: Any = compiled.compiled(add)
    assert loop(1.0, 2.0) == 3
    assert loop.stats.cache_path is None
