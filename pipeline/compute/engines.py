"""All engines: the choice among them, and the evaluation of an array of pixels by several of them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.compute.color_table import MOST_KEPT, MOST_MEMORY
from pipeline.compute.numba_engine import NumbaEngine
from pipeline.compute.numexpr_engine import NumexprEngine
from pipeline.compute.numpy_engine import NumpyEngine
from pipeline.compute.table_engine import TableEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.compute.engine import Engine
    from pipeline.models.output import Output

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (NumexprEngine(), TableEngine(), NumpyEngine(), NumbaEngine())
}
ENGINE_NAMES = ("auto", *ENGINES)
# A missing engine is named if it would be so many times as fast.
_WORTH = 2


class Choice(NamedTuple):
    """The name of an engine, and the reason why it was chosen."""

    engine: str
    reason: str


# A caller of many small images asks for the same choice again and again.
@lru_cache(maxsize=64)
def choose_engine(engine: str, output: Output, dtype: np.dtype[Any], n_pixels: int) -> Choice:
    """Choose the engine that computes an output.

    Parameters
    ----------
    engine : str
        The request of the caller, one of :data:`ENGINE_NAMES`. ``"auto"`` takes the fastest engine whose
        results are at most one unit in the last place from those of the reference.
    output : Output
    dtype : dtype
        The dtype of the pixels.
    n_pixels : int
        The number of pixels of the whole image.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        If there is no such engine, or it can't compute the output from such pixels.
    """
    if engine not in ENGINE_NAMES:
        raise ValueError(f"engine is {engine!r}; wanted one of {', '.join(ENGINE_NAMES)}")
    if engine != "auto":
        if (reason := ENGINES[engine].obstacle(output, dtype)) is not None:
            raise ValueError(f"engine is {engine!r}, but {reason}. Use engine='auto'.")
        return Choice(engine, "as asked for")
    return _fastest(output, dtype, n_pixels)


def _fastest(output: Output, dtype: np.dtype[Any], n_pixels: int, *, without: Engine | None = None) -> Choice:
    """Choose the engine with the lowest estimate among those that are exact enough and don't refuse."""
    candidates = [one for one in ENGINES.values() if one.is_close(output) and one is not without]
    refusals = {one: one.refusal(output, dtype) for one in candidates}
    able = {one: one.seconds(output, dtype, n_pixels) for one in candidates if refusals[one] is None}
    seconds = {one.name: time for one, time in able.items() if one.missing is None}
    reasons = [reason for reason in refusals.values() if reason is not None]
    if not seconds:
        raise ValueError(f"no engine can compute {output.name!r}: {'; '.join(reasons)}")
    fastest = min(seconds, key=seconds.__getitem__)
    reasons += [
        f"{one.missing}, with which it would take {time:.2g} s"
        for one, time in able.items()
        if one.missing is not None and _WORTH * time < seconds[fastest]
    ]
    if len(seconds) > 1:
        times = ", ".join(
            f"{name} {time:.2g} s" for name, time in sorted(seconds.items(), key=lambda i: i[1])
        )
        reasons.append(f"estimated times for {n_pixels} pixels in one thread: {times}")
    return Choice(fastest, "; ".join(reasons) or "the only engine")


def choose_engines(
    engine: str, outputs: Sequence[Output], dtype: np.dtype[Any], n_pixels: int
) -> list[Choice]:
    """Choose the engine of each output of a run that computes all of them block by block.

    Parameters
    ----------
    engine, dtype, n_pixels
        As for :func:`choose_engine`.
    outputs : sequence of Output

    Returns
    -------
    list of Choice
        The choice for each output alone, except that a process keeps 1 GiB of tables at most: outputs whose
        tables don't fit are computed by another engine, those first for which it is fastest. Else each block
        would fill tables that the next block has lost.

    Raises
    ------
    ValueError
        As :func:`choose_engine` says.
    """
    choices = [choose_engine(engine, output, dtype, n_pixels) for output in outputs]
    table = ENGINES[TableEngine.name]
    tabled = [number for number, choice in enumerate(choices) if choice.engine == table.name]
    if engine != "auto" or len(tabled) <= MOST_KEPT // MOST_MEMORY:
        return choices
    others = {n: _fastest(outputs[n], dtype, n_pixels, without=table).engine for n in tabled}
    seconds = {n: ENGINES[name].seconds(outputs[n], dtype, n_pixels) for n, name in others.items()}
    kept: list[int] = []
    for number in sorted(tabled, key=lambda n: -seconds[n]):
        fitting = [*kept, number]
        if table.process_bytes([outputs[n] for n in sorted(fitting)], dtype) <= MOST_KEPT:
            kept = fitting
        else:
            reason = f"its table doesn't fit the {MOST_KEPT // 2**20} MiB of tables that a process keeps"
            choices[number] = Choice(others[number], reason)
    return choices


def evaluate_pixels(
    pixels: NDArray[Any], outputs: Sequence[Output], engines: Sequence[str], *, serial: bool
) -> tuple[list[NDArray[Any]], list[float]]:
    """Compute several outputs at every pixel of an array.

    Parameters
    ----------
    pixels : ndarray, shape (..., C)
        Boolean, integer or floating point, of any strides.
    outputs : sequence of Output
    engines : sequence of str
        The name of the engine for each output, as :func:`choose_engine` returns it.
    serial : bool
        If True, everything happens in the calling thread, as a task among many needs it.

    Returns
    -------
    results : list of ndarray, shape (n_results, ...)
        One array for each output, of its dtype. An output without an extra axis has one result.
    largest_errors : list of float
        The largest error of each output whose encoding is lossy, and 0 for the others.
    """
    shape = pixels.shape[:-1]
    results = [np.empty((output.n_results, *shape), output.dtype) for output in outputs]
    errors = [0.0] * len(outputs)
    if not math.prod(shape):
        return results, errors
    rows = pixels.reshape(-1, *pixels.shape[-2:]) if pixels.ndim > 1 else pixels[np.newaxis, np.newaxis]
    views = [result.reshape(len(result), *rows.shape[:-1]) for result in results]
    for name in dict.fromkeys(engines):
        numbers = [number for number, chosen in enumerate(engines) if chosen == name]
        largest = ENGINES[name].evaluate(
            rows,
            [outputs[number] for number in numbers],
            [views[number] for number in numbers],
            serial=serial,
        )
        for number, error in zip(numbers, largest, strict=True):
            errors[number] = error
    return results, errors
