"""A run: the blocks of a job submitted a few at a time, here or on a Dask cluster, until none is missing."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runs.executor import n_threads, submitting
from pipeline.runs.task import Done, Job
from pipeline.stores.placement import find_store, holds_shards, opened_for_run
from pipeline.runs.progress import check_mode, reporting
from pipeline.stores.local import create, finish, largest_errors, mend_metadata, read_record
from pipeline.stores.verification import check_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from distributed import Client

    from pipeline.images.grid import Grid
    from pipeline.images.opening import Inputs, Source
    from pipeline.runs.progress import Listener, Reporter

    Index = tuple[int, int]
    # A block, and the results that it lacks.
    Pending = tuple[Index, tuple[str, ...]]

ON_ERROR = ("raise", "skip")
# Blocks after which all in flight are awaited: Dask's scheduler notes each task of a computation for as long
# as it goes on, and a new one begins when nothing is in flight.
_STINT = 500


@dataclass(frozen=True)
class Receipt:
    """What a finished run did.

    Attributes
    ----------
    store : str
        Where the results are.
    pixels : int
        Pixels of the image.
    blocks : int
        Blocks of the image, each with one shard a result.
    kept_blocks, kept_pixels : int
        Of these, the ones that an earlier run had done, which this one left as they were.
    seconds : float
        From the first block's submission to the last one's end.
    bytes_written : int
        Size of the shards that this run wrote.
    peak_memory : int
        The highest resident memory of a process that computed blocks, in bytes, sampled as each block is
        written.
    engine : str
        How blocks were computed: ``"numexpr"`` or ``"table"``.
    engine_reason : str
        Why.
    largest_errors : dict of str to float
        Of each result that is packed, over all blocks: see :class:`Packed`.
    skipped : list of dict
        Blocks that failed and were passed over: ``"block"``, ``"rows"``, ``"columns"`` and ``"error"``.
    """

    store: str
    pixels: int
    blocks: int
    kept_blocks: int
    kept_pixels: int
    seconds: float
    bytes_written: int
    peak_memory: int
    engine: str
    engine_reason: str
    largest_errors: dict[str, float] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        pixels = self.pixels - self.kept_pixels
        rate = pixels / self.seconds / 1e6 if self.seconds else 0.0
        kept = f"{self.kept_blocks} of them kept, " if self.kept_blocks else ""
        skipped = f"{len(self.skipped)} of them skipped, " if self.skipped else ""
        blocks = "1 block" if self.blocks == 1 else f"{self.blocks} blocks"
        return (
            f"{pixels / 1e6:.1f} megapixels in {self.seconds:.1f} s ({rate:.1f} megapixels a second), "
            f"{blocks}, {kept}{skipped}{self.bytes_written / 1e6:.1f} MB written, peak memory "
            f"{self.peak_memory / 2**30:.2f} GiB, engine {self.engine} ({self.engine_reason})"
        )


def read_receipt(store: str | os.PathLike[str]) -> Receipt | None:
    """Read the receipt that a store keeps of its run, None if the run didn't finish.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it isn't a result of this package.
    """
    recorded = read_record(find_store(Path(store))).get("receipt")
    try:
        return None if recorded is None else Receipt(**recorded)
    except TypeError:
        raise ValueError(f"{store} has a damaged receipt. Resume it, or overwrite it.") from None


@dataclass(frozen=True)
class Options:
    """What :func:`stream` may be told, which says what each means."""

    block: int | tuple[int, int] | None = None
    memory_limit: int | str | None = None
    mask: str | os.PathLike[str] | Source | None = None
    no_data: float | None = None
    resume: bool = False
    overwrite: bool = False
    on_error: str = "raise"
    progress: str | Listener = "auto"
    client: Client | None = None

    def check(self) -> None:
        """Raise ValueError if one of them has no such value."""
        check_mode(self.progress)
        if self.on_error not in ON_ERROR:
            raise ValueError(f"on_error is {self.on_error!r}; wanted one of {', '.join(ON_ERROR)}")
        if self.resume and self.overwrite:
            raise ValueError("got resume and overwrite; wanted one of them, or neither")


def execute(job: Job, inputs: Inputs, store: Path, options: Options) -> Receipt:
    """Do what a store lacks of a job, and put the store in its place once it is whole.

    Parameters
    ----------
    job : Job
        Its directory is chosen here.
    inputs : Inputs
    store : Path
    options : Options

    Returns
    -------
    Receipt

    Raises
    ------
    Exception
        As :func:`stream` says.
    """
    with opened_for_run(store, overwrite=options.overwrite, resume=options.resume) as directory:
        job = replace(job, directory=directory)
        record = _record(job, inputs)
        fresh = not (directory / "zarr.json").exists()
        if fresh:
            recorded = record
            create(directory, job.grid, job.quantities, record)
        else:
            recorded = read_record(directory)
            _check_same(store, recorded, record)
            mend_metadata(directory, job.grid, job.quantities)
        tally = _Tally(inputs.name)
        started = time.perf_counter()
        with reporting(options.progress, job.grid.n_blocks, job.grid.n_pixels) as reporter:
            pending = _all_blocks(job) if fresh else _faulty_blocks(job, tally, reporter)
            try:
                # Closed before the submitter is, so that no block is at work when an error goes on.
                with (
                    submitting(options.client, job) as (submit, window),
                    closing(_windowed(submit, inputs, job.grid, pending, window)) as finished,
                ):
                    for index, done in finished:
                        tally.add(job.grid, index, done, reporter, options.on_error)
            except BaseException as error:
                if holds_shards(directory):
                    error.add_note(
                        f"{reporter.progress.blocks} of {job.grid.n_blocks} blocks are done. Go on with "
                        f"resume=True, or: mixture-pipeline resume {store}"
                    )
                raise
        receipt = Receipt(
            store=os.fspath(store),
            pixels=job.grid.n_pixels,
            blocks=job.grid.n_blocks,
            kept_blocks=tally.kept,
            kept_pixels=reporter.progress.kept_pixels,
            seconds=time.perf_counter() - started,
            bytes_written=tally.n_bytes,
            peak_memory=reporter.progress.peak_memory,
            engine=" and ".join(sorted({request.engine for request in job.requests.values()})),
            engine_reason="; ".join(dict.fromkeys(request.reason for request in job.requests.values())),
            largest_errors=largest_errors(directory, list(job.requests)),
            skipped=tally.skipped,
        )
        # A store that lacked nothing keeps the receipt of the run that made it.
        if tally.kept < job.grid.n_blocks or "receipt" not in recorded:
            finish(directory, asdict(receipt))
        if tally.skipped and store.exists() and not directory.samefile(store):
            kept = (
                "The others are kept: go on with resume=True" if holds_shards(directory) else "None is done."
            )
            raise RuntimeError(
                f"{len(tally.skipped)} blocks failed, so {store} isn't replaced; the first was of "
                f"{tally.skipped[0]['error']}. {kept}"
            )
    return receipt


class _Tally:
    """What blocks have come to, one by one."""

    def __init__(self, image: str) -> None:
        self._image = image
        self.kept = self.n_bytes = 0
        self.skipped: list[dict[str, Any]] = []

    def add(
        self, grid: Grid, index: Index, done: Done | Exception, reporter: Reporter, on_error: str
    ) -> None:
        """Count a block that is done, and raise of one that failed or note it."""
        if isinstance(done, Done):
            self.n_bytes += done.n_bytes
            reporter.advance(done.pixels, memory=done.memory)
            return
        rows, columns = grid.region(index)
        message = str(done) or type(done).__name__
        # What reads files mostly names them.
        of_image = "" if self._image in message else f" of {self._image}"
        if on_error == "raise":
            kinds = [kind for kind in (OSError, ValueError) if isinstance(done, kind)]
            raise (*kinds, RuntimeError)[0](
                f"block {index}{of_image}, rows {rows.start} to {rows.stop}, columns {columns.start} to "
                f"{columns.stop}: {message}"
            ) from done
        self.skipped.append(
            {
                "block": list(index),
                "rows": [rows.start, rows.stop],
                "columns": [columns.start, columns.stop],
                "error": message,
            }
        )
        reporter.advance(grid.pixels(index), skipped=True)


def _all_blocks(job: Job) -> Iterator[Pending]:
    names = tuple(job.requests)
    return ((index, names) for index in job.grid.blocks())


def _faulty_blocks(job: Job, tally: _Tally, reporter: Reporter) -> Iterator[Pending]:
    """Check what an earlier run left, block by block, and give what is missing or damaged."""
    for index, faults in check_blocks(job.directory, job.grid, tuple(job.requests), n_threads()):
        if faults:
            yield index, tuple(fault.result for fault in faults)
        else:
            tally.kept += 1
            reporter.advance(job.grid.pixels(index), kept=True)


def _windowed(
    submit: Callable[..., Future[Done]],
    inputs: Inputs,
    grid: Grid,
    pending: Iterable[Pending],
    window: int,
) -> Generator[tuple[Index, Done | Exception]]:
    """Keep `window` blocks in flight and yield each as it is done, or what it failed of."""
    flying: dict[Future[Done], Index] = {}
    waiting = iter(pending)
    stint = max(_STINT, 50 * window)
    submitted = 0
    try:
        while True:
            while len(flying) < window and (submitted % stint or not flying):
                if (block := next(waiting, None)) is None:
                    break
                submitted += 1
                index, names = block
                flying[submit(inputs.cut(grid.region(index)), index, names)] = index
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                yield flying.pop(future), _outcome(future)
    finally:
        # Nothing may write any more once the caller goes on.
        wait(flying)


def _outcome(future: Future[Done]) -> Done | Exception:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  a block may fail of anything; the caller decides
        return error


def _record(job: Job, inputs: Inputs) -> dict[str, Any]:
    """Describe a run as its store records it: what another must share to go on with it."""
    grid = {"shape": job.grid.shape, "block": job.grid.block, "chunk": job.grid.chunk}
    results = {name: quantity.to_dict() for name, quantity in job.quantities.items()}
    record: dict[str, Any] = json.loads(json.dumps({**inputs.describe(), "grid": grid, "results": results}))
    return record


def _check_same(store: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        before = found.get(key)
        if _essence(before) != _essence(value):
            name, was, now = _difference(key, _essence(before), _essence(value))
            raise ValueError(
                f"{store} can't be resumed: its {name} was {was!s:.200}, and is now {now!s:.200}. Resume "
                "with what the run began with, or overwrite it."
            )


def _essence(recorded: Any) -> Any:  # noqa: ANN401  anything JSON holds
    """Leave out where an image was found: its identity tells it from others."""
    if isinstance(recorded, dict):
        return {key: value for key, value in recorded.items() if key != "path"}
    return recorded


def _difference(name: str, was: Any, now: Any) -> tuple[str, Any, Any]:  # noqa: ANN401  anything JSON holds
    """Give the first of what differs, as deep as it has a name."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                return _difference(f"{name} {key}", was.get(key), now.get(key))
    return name, was, now
