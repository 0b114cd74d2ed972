"""Progress of a run as events, and what shows them: a bar, lines of a log, or the caller's own function."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm.std import tqdm

MODES = ("auto", "bar", "log", "none")
# Seconds between two lines of a log.
_EVERY = 10.0
_logger = logging.getLogger("pipeline.progress")


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    blocks, total_blocks : int
        Blocks that are done, and all blocks.
    pixels, total_pixels : int
        Pixels of the blocks that are done, and of all blocks.
    skipped : int
        Blocks that failed and were skipped, among those that are done.
    kept_pixels : int
        Pixels of blocks that an earlier run had written, among those that are done.
    seconds : float
        Time since the start.
    peak_memory : int
        The highest resident memory of a process that computes blocks, in bytes; 0 if it isn't known.
    stage : str
        What is done before the first block, for example "compiling loops"; empty once blocks are computed.
    """

    total_blocks: int
    total_pixels: int
    blocks: int = 0
    pixels: int = 0
    skipped: int = 0
    kept_pixels: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    stage: str = ""

    @property
    def pixels_per_second(self) -> float:
        """The mean rate so far, without blocks that were kept."""
        return (self.pixels - self.kept_pixels) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """The time that the rest takes at this rate; infinite before the first block has been computed."""
        left, rate = self.total_pixels - self.pixels, self.pixels_per_second
        return left / rate if rate else float("inf") if left else 0.0

    def __str__(self) -> str:
        if self.stage:
            return f"{self.stage}, {_clock(self.seconds)} gone"
        share = self.pixels / self.total_pixels if self.total_pixels else 1.0
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        memory = f", peak memory {_gibibytes(self.peak_memory)}" if self.peak_memory else ""
        return (
            f"{share:.1%}: block {self.blocks} of {self.total_blocks}{skipped}, "
            f"{self.pixels_per_second / 1e6:.1f} megapixels a second, {_clock(self.seconds)} gone, "
            f"{_clock(self.seconds_left)} left{memory}"
        )


Listener = Callable[[Progress], object]


class Reporter:
    """Count blocks, and tell a listener about each one."""

    def __init__(self, listener: Listener, total_blocks: int, total_pixels: int) -> None:
        self._listener = listener
        self._started = time.perf_counter()
        self.progress = Progress(total_blocks, total_pixels)

    def advance(self, pixels: int, *, memory: int = 0, skipped: bool = False, kept: bool = False) -> None:
        """Count one block more."""
        before = self.progress
        self.progress = replace(
            before,
            blocks=before.blocks + 1,
            pixels=before.pixels + pixels,
            skipped=before.skipped + skipped,
            kept_pixels=before.kept_pixels + pixels * kept,
            seconds=time.perf_counter() - self._started,
            peak_memory=max(before.peak_memory, memory),
            stage="",
        )
        self._listener(self.progress)

    def begin(self, stage: str) -> None:
        """Tell what is done before the first block."""
        seconds = time.perf_counter() - self._started
        self.progress = replace(self.progress, stage=stage, seconds=seconds)
        self._listener(self.progress)


def check_mode(progress: str | Listener) -> None:
    """Raise ValueError unless `progress` is a mode or a function."""
    if not (callable(progress) or progress in MODES):
        raise ValueError(f"progress is {progress!r}; wanted one of {', '.join(MODES)}, or a function")


@contextmanager
def reporting(progress: str | Listener, total_blocks: int, total_pixels: int) -> Iterator[Reporter]:
    """Show the progress of a run, block by block.

    Parameters
    ----------
    progress : str or callable
        ``"bar"`` draws a bar in a notebook or on standard error. In a notebook without ipywidgets it is a bar
        of characters. ``"log"`` logs a line every ten seconds to the logger ``pipeline.progress``, at level
        INFO; if no logging has been set up, the lines go to standard error. ``"auto"`` draws a bar in a
        notebook or terminal, and logs lines elsewhere.
        ``"none"`` does neither. A function is called with a :class:`Progress` for each block, and before the
        first one if loops must be compiled, in the thread that called the run.
    total_blocks, total_pixels : int
        All blocks and pixels of the run.

    Yields
    ------
    Reporter

    Raises
    ------
    ValueError
        If there is no such mode.
    """
    check_mode(progress)
    if callable(progress):
        yield Reporter(progress, total_blocks, total_pixels)
    elif progress == "bar" or (progress == "auto" and _is_watched()):
        bar: tqdm[Any]
        with _bar_class()(total=total_pixels, unit="pixel", unit_scale=True, smoothing=0.05) as bar:
            yield Reporter(_draw_on(bar), total_blocks, total_pixels)
    elif progress == "none":
        yield Reporter(lambda _: None, total_blocks, total_pixels)
    else:
        with _visible_log():
            yield Reporter(_log_lines(), total_blocks, total_pixels)


def _is_watched() -> bool:
    """Return whether somebody sees a bar: in a notebook, or where standard error is a terminal."""
    return _is_notebook() or sys.stderr.isatty()


def _is_notebook() -> bool:
    """Return whether this process is a Jupyter kernel."""
    # IPython is imported in every process that is one.
    ipython = sys.modules.get("IPython")
    # The shell of a kernel knows it, and the shell of a terminal has none.
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def _bar_class() -> type[tqdm[Any]]:
    """Return the class for bars: widgets where a notebook can show them, and else characters."""
    if _is_notebook():
        from tqdm import notebook  # noqa: PLC0415  imports IPython

        if getattr(notebook, "IProgress", None):
            # It knows the kernels' consoles that can't show widgets. Without ipywidgets it would warn.
            from tqdm.auto import tqdm as tqdm_auto  # noqa: PLC0415  imports IPython

            return tqdm_auto
    from tqdm.std import tqdm  # noqa: PLC0415  takes a while, and only bars need it

    return tqdm


def _draw_on(bar: tqdm[Any]) -> Listener:
    def draw(event: Progress) -> None:
        memory = f", {_gibibytes(event.peak_memory)}" if event.peak_memory else ""
        text = event.stage or f"block {event.blocks} of {event.total_blocks}{memory}"
        # Nothing else is drawn while a stage lasts.
        bar.set_postfix_str(text, refresh=bool(event.stage))
        bar.update(event.pixels - bar.n)

    return draw


@contextmanager
def _visible_log() -> Iterator[None]:
    """Send the lines to standard error while no logging has been set up."""
    if _logger.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = _logger.level
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)


def _log_lines() -> Listener:
    due = _EVERY

    def log(event: Progress) -> None:
        nonlocal due
        if event.stage or event.seconds >= due:
            due = event.seconds + _EVERY
            _logger.info("%s", event)

    return log


def _gibibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB"


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
