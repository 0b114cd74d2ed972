"""The execution of a run: its blocks, a few at a time, until none is missing."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.compute.engines import ENGINES
from pipeline.compute.plausibility import Nearness
from pipeline.compute.summarizing import Totals
from pipeline.runs.progress import reporting
from pipeline.runs.receipt import Receipt
from pipeline.runs.task import coarsen_task, compute_pixel, run_task
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.images.grid import Block, Grid
    from pipeline.images.image import Image
    from pipeline.images.labels import Labels
    from pipeline.images.masking import MaskedPart
    from pipeline.images.source import Part, Source
    from pipeline.runs.executor import Executor, Outcome
    from pipeline.runs.options import Options
    from pipeline.runs.progress import Reporter
    from pipeline.runs.task import Done, Job


# Seconds between two reports of coarser levels.
_EVERY = 2.0


def execute(
    job: Job,
    image: Image,
    grid: Grid,
    executor: Executor,
    *,
    zones: Labels | None,
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
    zones : Labels or None
        The zones that the summary counts one by one.
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
    zoned = None if zones is None else zones.source
    record = _make_record(job, image, grid, zoned, options["identity"])
    with job.store.opened_for_run(overwrite=options["overwrite"], resume=options["resume"]) as store:
        store.begin(record, numerics(), is_vouched=options["identity"] is not None)
        totals = Totals(job.outputs, None if zones is None else zones.names)
        tally = _Tally(image.name, options["on_error"], totals)
        started = time.perf_counter()
        with reporting(options["progress"], grid.n_blocks, grid.n_pixels) as reporter:
            try:
                if executor.is_local and grid.n_blocks:
                    _compile(job, image, reporter)
                elif not executor.is_local:
                    reporter.begin("; ".join(f"{name}: {fact}" for name, fact in executor.facts))
                # The outcomes are closed before the executor, so that no block is at work afterwards.
                with executor:
                    shared = executor.share(replace(job, store=store))
                    with closing(executor.outcomes(run_task, shared, _calls(image, grid, zoned))) as ended:
                        for outcome in ended:
                            tally.add(outcome, reporter)
                    _coarsen(shared, grid, executor, tally, reporter)
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
            largest_errors=store.largest_errors(job.layers),
            skipped=tally.skipped,
            retries=tally.retries,
            warning=tally.nearness.warning,
            validity=image.masking.facts,
            summary=totals.result(grid.n_pixels, image.source.geometry.pixel_area),
        )
        store.conclude(receipt.to_dict())
    return receipt


def _calls(
    image: Image, grid: Grid, zones: Source | None
) -> Iterator[tuple[Block, tuple[MaskedPart, Block, dict[int, Block], Part | None]]]:
    """Yield each block with the arguments of its task."""
    for block in grid.blocks():
        part = None if zones is None else zones.part(block.region)
        yield block, (image.part(block.region), block, grid.coarser(0, block.index), part)


def _coarsen(shared: Any, grid: Grid, executor: Executor, tally: _Tally, reporter: Reporter) -> None:  # noqa: ANN401  as Executor.share returns it
    """Make the levels that are coarser than those that each block has of its own."""
    # What a skipped block would be part of isn't made, so that a run that computes the block makes it.
    lacking = {tuple(block["block"]) for block in tally.skipped}
    for level, tier in islice(grid.tiers(), 1, None):
        due, levels = time.monotonic() + _EVERY, " and ".join(map(str, grid.levels_from(level)))
        # The shards of the level lie four by four in a block.
        across = tier.block[0] // grid.level(level).block[0]
        lacking = {(row // across, column // across) for row, column in lacking}
        calls = (
            (block, (level, block, grid.coarser(level, block.index)))
            for block in tier.blocks()
            if block.index not in lacking
        )
        with closing(executor.outcomes(coarsen_task, shared, calls)) as ended:
            for number, outcome in enumerate(ended, 1):
                if outcome.error is not None:
                    raise failure(outcome.key, f"level {level}", outcome.error) from outcome.error
                tally.n_bytes += outcome.result
                tally.retries += outcome.retries
                if time.monotonic() > due:
                    reporter.begin(f"making levels {levels}: block {number} of {tier.n_blocks}")
                    due = time.monotonic() + _EVERY


def _make_record(job: Job, image: Image, grid: Grid, zones: Source | None, identity: str | None) -> Record:
    """Make the record of a run, with the identity of the image if the caller gave one."""
    description = image.description
    return Record(
        image=description if identity is None else replace(description, identity=identity),
        masks=tuple(mask.description for mask in image.masking.masks),
        has_alpha=image.masking.has_alpha,
        no_data=image.no_data,
        grid=grid,
        outputs=job.outputs,
        engines=dict(job.engines),
        version=current_version(),
        zones=None if zones is None else zones.description,
    )


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


def failure(block: Block, image: str, error: BaseException) -> Exception:
    """Return the error of a pass over an image in which a block failed.

    Parameters
    ----------
    block : Block
    image : str
        The name of the image.
    error : BaseException
        The error of the block.

    Returns
    -------
    OSError, ValueError or RuntimeError
        Of the kind of the error of the block. It names the block.
    """
    message = str(error) or type(error).__name__
    # Readers of files mostly name the file.
    of_image = "" if image in message else f" of {image}"
    kinds = [kind for kind in (OSError, ValueError) if isinstance(error, kind)]
    return (*kinds, RuntimeError)[0](
        f"block {block.index}{of_image}, rows {block.rows.start} to {block.rows.stop}, columns "
        f"{block.columns.start} to {block.columns.stop}: {message}"
    )


class _Tally:
    """Counts of the blocks that were written, kept and skipped."""

    def __init__(self, image: str, on_error: str, totals: Totals) -> None:
        self._image, self._on_error, self._totals = image, on_error, totals
        self.kept = self.n_bytes = self.retries = 0
        self.nearness = Nearness()
        self.skipped: list[dict[str, Any]] = []

    def add(self, outcome: Outcome[Block, Done], reporter: Reporter) -> None:
        """Count a block that has ended; raise the error of a block that failed, or note it."""
        self.retries += outcome.retries
        if outcome.error is not None:
            self._add_failed(outcome.key, outcome.error)
            reporter.advance(outcome.key.n_pixels, skipped=True)
            return
        done = outcome.result
        reporter.advance(done.pixels, memory=done.memory, kept=done.is_kept)
        self.kept += done.is_kept
        self.n_bytes += done.n_bytes
        self.nearness = self.nearness.plus(done.nearness)
        self._totals.add(done.summary)

    def _add_failed(self, block: Block, error: BaseException) -> None:
        """Raise the error of a block, or note it if blocks may be skipped."""
        if self._on_error == "raise" or not isinstance(error, Exception):
            raise failure(block, self._image, error) from error
        message = str(error) or type(error).__name__
        self.skipped.append(
            {
                "block": list(block.index),
                "rows": [block.rows.start, block.rows.stop],
                "columns": [block.columns.start, block.columns.stop],
                "error": message,
            }
        )
