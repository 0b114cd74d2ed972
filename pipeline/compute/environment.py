"""The import of numexpr, whatever the environment says about its threads.

numexpr reads three environment variables when it is imported. A text that isn't a number ends its import with
a traceback, and a number that it can't use makes it print an error and compute with one thread.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST, _OWN, _OPENMP = "NUMEXPR_MAX_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS"
# The threads that numexpr allows if nothing else is said, and those that fit the integers of its C code.
_DEFAULT_MOST, _LARGEST = 64, 2**31 - 1


def import_numexpr() -> Any:  # noqa: ANN401  the module has no types
    """Import numexpr with an environment that it can read.

    Returns
    -------
    module
        The module ``numexpr``. If somebody has imported it before, it is as they imported it.

    Warns
    -----
    RuntimeWarning
        If a variable that numexpr reads has a value that isn't a number of threads. It is ignored.
    """
    if "numexpr" in sys.modules:
        return sys.modules["numexpr"]
    changes, complaints = readable_threads(os.environ)
    for complaint in complaints:
        # The place is the environment and no line of code, so the warning is one line.
        warnings.warn_explicit(complaint, RuntimeWarning, "environment", 0)
    with _changed_environment(changes):
        return import_module("numexpr")


def readable_threads(environment: Mapping[str, str]) -> tuple[dict[str, str | None], list[str]]:
    """Return the changes to the environment with which numexpr can read its variables.

    Parameters
    ----------
    environment : mapping of str to str

    Returns
    -------
    changes : dict of str to str or None
        The variables that must have another value, or None where they must not be set. A list of numbers in
        ``OMP_NUM_THREADS``, one for each nested level of OpenMP, becomes its first number; more threads than
        the highest number that is allowed become that number.
    complaints : list of str
        What is wrong with each variable that is to be ignored.
    """
    changes: dict[str, str | None] = {}
    complaints = []
    most = _DEFAULT_MOST
    for name in (_MOST, _OWN, _OPENMP):
        text = environment.get(name)
        if text is None:
            continue
        number = _read_threads(text.partition(",")[0] if name == _OPENMP else text)
        if number is None and text:
            complaints.append(
                f"{name} is {text!r}; wanted a whole number of threads, at least 1. "
                "It is ignored: unset it or correct it."
            )
        if number is not None and name == _MOST:
            most = number
        wanted = None if number is None else str(min(number, most))
        if text != wanted:
            changes[name] = wanted
        if wanted and name == _OWN:
            # numexpr doesn't read the last one then.
            break
    return changes, complaints


def _read_threads(text: str) -> int | None:
    """Return a number of threads, or None if there is none in the text."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 1 <= number <= _LARGEST else None


@contextmanager
def _changed_environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change the environment for a moment."""
    before = {name: os.environ[name] for name in changes}
    try:
        for name, value in changes.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        yield
    finally:
        os.environ.update(before)


numexpr = import_numexpr()
