"""The execution of a run: its blocks, a few at a time, until none is missing."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pipeline.compute.engines import ENGINES
from pipeline.compute.plausibility import Nearness
from pipeline.runs.progress import reporting
from pipeline.runs.receipt import Receipt
from pipeline.runs.task import compute_pixel, run_task
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.images.grid import Block, Grid
    from pipeline.images.image import Image
    from pipeline.runs.executor import Executor, Outcome
    from pipeline.runs.options import Options
    from pipeline.runs.progress import Reporter
    from pipeline.runs.task import Done, Job


def execute(
    job: Job,
    image: Image,
    grid: Grid,
    executor: Executor,
    *,
    reasons: Mapping[str, str],
    options: Options,
) -> Receipt:
    """Compute the blocks that a store lacks, and publish the store once it is whole.

    Parameters
    ----------
    job : Job
        Its store is the address of the results.
    image : Image
    grid : Grid
        The blocks of the image.
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
    identity = options["identity"]
    description = image.description
    record = Record(
        image=description if identity is None else replace(description, identity=identity),
        mask=image.mask_description,
        no_data=image.no_data,
        grid=grid,
        outputs=job.outputs,
        engines=dict(job.engines),
        version=current_version(),
    )
    with job.store.opened_for_run(overwrite=options["overwrite"], resume=options["resume"]) as store:
        store.begin(record, numerics(), is_vouched=identity is not None)
        calls = ((block, (image.part(block.region), block)) for block in grid.blocks())
        tally = _Tally(image.name, options["on_error"])
        started = time.perf_counter()
        with reporting(options["progress"], grid.n_blocks, grid.n_pixels) as reporter:
            try:
                if executor.is_local and grid.n_blocks:
                    _compile(job, image, reporter)
                # The outcomes are closed before the executor, so that no block is at work afterwards.
                with executor:
                    ended = executor.outcomes(run_task, executor.share(replace(job, store=store)), calls)
                    with closing(ended):
                        for outcome in ended:
                            tally.add(outcome, reporter)
            except BaseException as error:
                if store.holds_shards():
                    error.add_note(
                        f"{reporter.progress.blocks} of {grid.n_blocks} blocks are done. Go on with "
                        f"resume=True, or: mixture-pipeline resume {job.store.address}"
                    )
                raise
        receipt = Receipt(
            store=job.store.address,
            pixels=grid.n_pixels,
            blocks=grid.n_blocks,
            kept_blocks=tally.kept,
            kept_pixels=reporter.progress.kept_pixels,
            seconds=time.perf_counter() - started,
            bytes_written=tally.n_bytes,
            peak_memory=reporter.progress.peak_memory,
            engine=" and ".join(sorted(set(job.engines.values()))),
            engine_reason="; ".join(dict.fromkeys(reasons.values())),
            largest_errors=store.largest_errors(job.outputs),
            skipped=tally.skipped,
            warning=tally.nearness.warning,
        )
        store.conclude(asdict(receipt))
    return receipt


def _compile(job: Job, image: Image, reporter: Reporter) -> None:
    """Compile what the blocks will need, by computing one pixel, so that no thread waits for another."""
    outputs = [output for output in job.outputs if ENGINES[job.engines[output.name]].compiles]
    if outputs:
        reporter.begin("compiling loops, or loading compiled ones")
        # The blocks tell what is wrong, and where.
        with suppress(Exception):
            compute_pixel(job, image, outputs)


def numerics() -> dict[str, str]:
    """Return a label for each engine; engines with the same label compute the same bits."""
    return {name: "reference" if engine.is_reference else name for name, engine in ENGINES.items()}


class _Tally:
    """Counts of the blocks that were written, kept and skipped."""

    def __init__(self, image: str, on_error: str) -> None:
        self._image, self._on_error = image, on_error
        self.kept = self.n_bytes = 0
        self.nearness = Nearness()
        self.skipped: list[dict[str, Any]] = []

    def add(self, outcome: Outcome[Block, Done], reporter: Reporter) -> None:
        """Count a block that has ended; raise the error of a block that failed, or note it."""
        if outcome.error is not None:
            self._add_failed(outcome.key, outcome.error)
            reporter.advance(outcome.key.n_pixels, skipped=True)
            return
        done = outcome.result
        reporter.advance(done.pixels, memory=done.memory, kept=done.is_kept)
        self.kept += done.is_kept
        self.n_bytes += done.n_bytes
        self.nearness = self.nearness.plus(done.nearness)

    def _add_failed(self, block: Block, error: BaseException) -> None:
        """Raise the error of a block, or note it if blocks may be skipped."""
        message = str(error) or type(error).__name__
        # Readers of files mostly name the file.
        of_image = "" if self._image in message else f" of {self._image}"
        if self._on_error == "raise" or not isinstance(error, Exception):
            kinds = [kind for kind in (OSError, ValueError) if isinstance(error, kind)]
            raise (*kinds, RuntimeError)[0](
                f"block {block.index}{of_image}, rows {block.rows.start} to {block.rows.stop}, columns "
                f"{block.columns.start} to {block.columns.stop}: {message}"
            ) from error
        self.skipped.append(
            {
                "block": list(block.index),
                "rows": [block.rows.start, block.rows.stop],
                "columns": [block.columns.start, block.columns.stop],
                "error": message,
            }
        )
