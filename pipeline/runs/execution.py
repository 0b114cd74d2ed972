"""The execution of a run: its blocks, a few at a time, until none is missing."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pipeline.compute.engines import ENGINES
from pipeline.runs.progress import reporting
from pipeline.runs.receipt import Receipt
from pipeline.runs.task import run_task
from pipeline.runs.threads import n_threads
from pipeline.stores.record import Record, check_resumable, current_version
from pipeline.stores.verification import check_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.images.grid import Grid
    from pipeline.images.image import Image
    from pipeline.images.masking import MaskedPart
    from pipeline.runs.executor import Executor, Outcome
    from pipeline.runs.options import Options
    from pipeline.runs.progress import Reporter
    from pipeline.runs.task import Done, Job
    from pipeline.stores.store import Index, Store

    # A block, and the arguments of its task.
    Call = tuple[Index, tuple[MaskedPart, Index, tuple[str, ...]]]


def execute(
    job: Job, image: Image, executor: Executor, reasons: Mapping[str, str], options: Options
) -> Receipt:
    """Compute the blocks that a store lacks, and publish the store once it is whole.

    Parameters
    ----------
    job : Job
        Its store is the address of the results.
    image : Image
    executor : Executor
    reasons : mapping of str to str
        Why the engine of each output was chosen.
    options : Options
        The complete options, with their defaults.

    Returns
    -------
    Receipt

    Raises
    ------
    OSError, ValueError, RuntimeError
        If a block fails, or the store can't be resumed or replaced: see :func:`stream`.
    """
    address = job.store.address
    with job.store.opened_for_run(overwrite=options["overwrite"], resume=options["resume"]) as store:
        job = replace(job, store=store)
        record = make_record(job, image)
        is_fresh = not store.is_created
        if is_fresh:
            store.create(record)
        else:
            check_resumable(address, store.read_record(), record, numerics=numerics())
            store.mend_metadata(record)
        tally = _Tally(image.name, job.grid, options["on_error"])
        started = time.perf_counter()
        with reporting(options["progress"], job.grid.n_blocks, job.grid.n_pixels) as reporter:
            try:
                # The outcomes are closed before the executor, so that no block is at work afterwards.
                with executor:
                    calls = _calls(job, image, record, tally, reporter, is_fresh=is_fresh)
                    ended = executor.outcomes(run_task, executor.share(job), calls)
                    with closing(ended):
                        for outcome in ended:
                            tally.add(outcome, reporter)
            except BaseException as error:
                if store.holds_shards():
                    error.add_note(
                        f"{reporter.progress.blocks} of {job.grid.n_blocks} blocks are done. Go on with "
                        f"resume=True, or: mixture-pipeline resume {address}"
                    )
                raise
        receipt = Receipt(
            store=address,
            pixels=job.grid.n_pixels,
            blocks=job.grid.n_blocks,
            kept_blocks=tally.kept,
            kept_pixels=reporter.progress.kept_pixels,
            seconds=time.perf_counter() - started,
            bytes_written=tally.n_bytes,
            peak_memory=reporter.progress.peak_memory,
            engine=" and ".join(sorted(set(job.engines.values()))),
            engine_reason="; ".join(dict.fromkeys(reasons.values())),
            largest_errors=store.largest_errors(job.outputs),
            skipped=tally.skipped,
        )
        _check_replacement(store, tally)
        store.finish(asdict(receipt))
    return receipt


def make_record(job: Job, image: Image) -> Record:
    """Return the record of a run that hasn't finished."""
    return Record(
        image=image.description,
        mask=image.mask_description,
        no_data=image.no_data,
        grid=job.grid,
        outputs=job.outputs,
        engines=dict(job.engines),
        version=current_version(),
    )


def numerics() -> dict[str, str]:
    """Return a label for each engine; engines with the same label compute the same bits."""
    return {name: "reference" if engine.is_reference else name for name, engine in ENGINES.items()}


class _Tally:
    """Counts of the blocks that were written, kept and skipped."""

    def __init__(self, image: str, grid: Grid, on_error: str) -> None:
        self._image, self._grid, self._on_error = image, grid, on_error
        self.kept = self.n_bytes = 0
        self.skipped: list[dict[str, Any]] = []

    def add(self, outcome: Outcome[Index, Done], reporter: Reporter) -> None:
        """Count a block that has ended; raise the error of a block that failed, or note it."""
        if outcome.error is None:
            done = outcome.result
            self.n_bytes += done.n_bytes
            reporter.advance(done.pixels, memory=done.memory)
            return
        index, error = outcome.key, outcome.error
        rows, columns = self._grid.region(index)
        message = str(error) or type(error).__name__
        # Readers of files mostly name the file.
        of_image = "" if self._image in message else f" of {self._image}"
        if self._on_error == "raise" or not isinstance(error, Exception):
            kinds = [kind for kind in (OSError, ValueError) if isinstance(error, kind)]
            raise (*kinds, RuntimeError)[0](
                f"block {index}{of_image}, rows {rows.start} to {rows.stop}, columns {columns.start} to "
                f"{columns.stop}: {message}"
            ) from error
        self.skipped.append(
            {
                "block": list(index),
                "rows": [rows.start, rows.stop],
                "columns": [columns.start, columns.stop],
                "error": message,
            }
        )
        reporter.advance(self._grid.pixels(index), skipped=True)


def _calls(
    job: Job, image: Image, record: Record, tally: _Tally, reporter: Reporter, *, is_fresh: bool
) -> Iterator[Call]:
    """Yield the task of each block that is missing or damaged."""
    names = tuple(output.name for output in job.outputs)
    pending = (
        ((index, names) for index in job.grid.blocks())
        if is_fresh
        else _faulty_blocks(job, record, tally, reporter)
    )
    for index, wanted in pending:
        yield index, (image.part(job.grid.region(index)), index, wanted)


def _faulty_blocks(
    job: Job, record: Record, tally: _Tally, reporter: Reporter
) -> Iterator[tuple[Index, tuple[str, ...]]]:
    """Check the blocks that an earlier run left, and yield those that lack outputs."""
    for index, faults in check_blocks(job.store, record, n_threads()):
        if faults:
            yield index, tuple(fault.output for fault in faults)
        else:
            tally.kept += 1
            reporter.advance(job.grid.pixels(index), kept=True)


def _check_replacement(store: Store, tally: _Tally) -> None:
    """Raise RuntimeError if the store lacks blocks and would replace an older one."""
    if not (tally.skipped and store.is_unfinished):
        return
    if store.find().is_unfinished:
        return
    kept = "The others are kept: go on with resume=True" if store.holds_shards() else "None is done."
    raise RuntimeError(
        f"{len(tally.skipped)} blocks failed, so {store.address} isn't replaced; the first error was "
        f"{tally.skipped[0]['error']}. {kept}"
    )
