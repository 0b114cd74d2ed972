"""How loops are compiled by Numba, which is an extra: only modules that need it import this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

# A product and a sum may be rounded together. No other liberty is allowed, so that NaN and infinities work.
_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
inlined = njit(inline="always")


def compiled(function: F) -> F:
    """Compile a function at its first call, and keep the code on the disk if there is a place for it."""
    try:
        return cast("F", njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:
        # Neither the directory of the package nor that of the user's caches can be written to.
        return cast("F", njit(**_OPTIONS)(function))
