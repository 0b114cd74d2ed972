"""The options of a run: the one list of their names, types and defaults."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from pipeline.images.opening import AUTO
from pipeline.runs.progress import check_mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from pipeline.images.opening import ImageLike, NoDataLike
    from pipeline.runs.progress import Listener

ON_ERROR = ("raise", "skip")

F = TypeVar("F", bound="Callable[..., Any]")


class Options(TypedDict, total=False):
    """The options of :func:`stream` and :func:`plan`; the docstring of :func:`stream` explains them."""

    block: int | tuple[int, int] | None
    memory_limit: int | str | None
    channel_axis: int | None
    mask: ImageLike | None
    no_data: NoDataLike
    zones: ImageLike | None
    identity: str | None
    resume: bool
    overwrite: bool
    on_error: str
    progress: str | Listener
    client: Client | None


DEFAULTS: Options = {
    "block": None,
    "memory_limit": None,
    "channel_axis": -1,
    "mask": AUTO,
    "no_data": AUTO,
    "zones": None,
    "identity": None,
    "resume": False,
    "overwrite": False,
    "on_error": "raise",
    "progress": "auto",
    "client": None,
}


def complete(options: Options) -> Options:
    """Add the defaults to some options, and check all of them.

    Raises
    ------
    TypeError
        If there is no option of a name, or a flag is neither True nor False.
    ValueError
        If an option can't have its value, or two options exclude each other.
    """
    for name in options:
        if name not in DEFAULTS:
            similar = difflib.get_close_matches(name, DEFAULTS, n=1)
            advice = f"Did you mean {similar[0]}?" if similar else f"Wanted one of {', '.join(DEFAULTS)}."
            raise TypeError(f"there is no option {name!r}. {advice}")
    completed = cast("Options", {**DEFAULTS, **options})
    check_mode(completed["progress"])
    if completed["on_error"] not in ON_ERROR:
        raise ValueError(f"on_error is {completed['on_error']!r}; wanted one of {', '.join(ON_ERROR)}")
    if not isinstance(completed["identity"], str | None):
        raise TypeError(f"identity is {completed['identity']!r:.80}; wanted a text or None")
    for flag in ("resume", "overwrite"):
        if completed[flag] not in {True, False}:
            raise TypeError(f"{flag} is {completed[flag]!r:.80}; wanted True or False")
    if completed["resume"] and completed["overwrite"]:
        raise ValueError("got both resume and overwrite; wanted one of them, or neither")
    return completed


def shows_options(function: F) -> F:
    """Let ``help`` show the options of a function by name, with their defaults, instead of ``**options``."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    hints = Options.__annotations__
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in DEFAULTS.items()
    ]
    function.__signature__ = signature.replace(parameters=[*named, *options])  # type: ignore[attr-defined]  # inspect reads it
    return function
