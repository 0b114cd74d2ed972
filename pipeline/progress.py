"""Who is told how far a run has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

if TYPE_CHECKING:
    # tqdm is a class that takes a parameter to type checkers only.
    Bar = tqdm[Any]

MODES = ("auto", "none")


def progress_bar(total: int, mode: str) -> Bar:
    """Make a progress bar that counts pixels.

    Parameters
    ----------
    total : int
        Pixels of the whole run.
    mode : str
        ``"auto"`` draws a bar in a notebook or a terminal, and nothing where standard error is neither;
        ``"none"`` draws nothing.

    Returns
    -------
    tqdm.tqdm
        A context manager with an ``update(pixels)`` method.

    Raises
    ------
    ValueError
        For another mode.
    """
    if mode not in MODES:
        raise ValueError(f"progress is {mode!r}; wanted one of {', '.join(MODES)}")
    disable = None if mode == "auto" else True
    return tqdm(total=total, unit="pixel", unit_scale=True, disable=disable, smoothing=0.05)
