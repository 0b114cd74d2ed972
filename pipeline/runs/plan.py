"""A plan of a run: what it will do and need, known before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dask.utils import format_bytes, format_time

from pipeline.compute.counters import is_worth_compiling
from pipeline.compute.engines import ENGINES, Choice, choose_engines
from pipeline.compute.summarizing import check_zones
from pipeline.images.grid import Grid, choose_grids
from pipeline.images.labels import open_labels
from pipeline.images.opening import open_image
from pipeline.images.remote import places_of
from pipeline.models.table import emphasize, html_facts
from pipeline.runs.execution import execute, numerics
from pipeline.runs.executors import choose_executor
from pipeline.runs.memory import Need, parse_limit, project_need
from pipeline.runs.probe import probe
from pipeline.runs.progress import reporting
from pipeline.runs.task import Job
from pipeline.stores.store_kinds import open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from pipeline.images.image import Image
    from pipeline.images.labels import Labels
    from pipeline.images.opening import ImageLike
    from pipeline.images.source import Source
    from pipeline.models.output import Output
    from pipeline.runs.executor import Executor
    from pipeline.runs.options import Options
    from pipeline.runs.progress import Listener
    from pipeline.runs.receipt import Receipt
    from pipeline.stores.record import Record
    from pipeline.stores.store import Store


@dataclass(frozen=True)
class Plan:
    """A run before it starts.

    Attributes
    ----------
    store : str
        Where the results will be.
    grid : Grid
        The blocks and chunks of the image.
    engines : dict of str to str
        The engine of each result, and why it was chosen.
    tasks : int
        The number of tasks, one for each block.
    threads : int
        The number of blocks that a process computes at once. Of several processes, this and the next two are
        those of the one that has the least room.
    peak_memory : int
        Projected resident memory of a process that computes blocks, in bytes.
    memory_limit : int
        The memory that such a process may use, in bytes.
    output_bytes : int or None
        Projected size of the store, from a probe; None without one.
    free_disk : int or None
        The free space where the store will be, in bytes; None if it isn't known.
    seconds : float or None
        Projected duration, from a probe; None without one.
    warning : str or None
        A sentence that says why the model doesn't suit the pixels of the probe, if it doesn't, and what
        would.
    """

    store: str
    grid: Grid
    engines: dict[str, str]
    tasks: int
    threads: int
    peak_memory: int
    memory_limit: int
    output_bytes: int | None
    free_disk: int | None
    seconds: float | None
    warning: str | None
    _job: Job = field(repr=False)
    _image: Image = field(repr=False)
    _executor: Executor = field(repr=False)
    _zones: Labels | None = field(repr=False)
    _reasons: dict[str, str] = field(repr=False)
    _options: Options = field(repr=False)

    def validate(self) -> None:
        """Raise ValueError if the run can't fit the memory or the disk. The message says what would fit."""
        if self.peak_memory > self.memory_limit:
            threads = "thread" if self.threads == 1 else "threads"
            raise ValueError(
                f"the run needs {format_bytes(self.peak_memory)} with blocks of {_sides(self.grid.block)} in "
                f"{self.threads} {threads}, and may use {format_bytes(self.memory_limit)}. {self._remedy()}"
            )
        size, free = self.output_bytes, self.free_disk
        if size is not None and free is not None and size > free:
            raise ValueError(
                f"the store needs about {format_bytes(size)}, and {self.store} has {format_bytes(free)} "
                "free. Choose another disk, or pack the results: see Packed."
            )

    def execute(self) -> Receipt:
        """Execute the run, as :func:`stream` does.

        Returns
        -------
        Receipt
        """
        self.validate()
        return execute(
            self._job,
            self._image,
            self.grid,
            self._executor,
            zones=self._zones,
            reasons=self._reasons,
            options=self._options,
        )

    def estimated(self) -> Plan:
        """Return the plan with estimates of time and size from a probe of the image.

        Returns
        -------
        Plan
            Without estimates if the run doesn't fit the memory, since the probe might not fit it either.
        """
        if self.peak_memory > self.memory_limit:
            return self
        estimate = probe(self._job, self._image, self._executor, self.grid)
        return replace(
            self, seconds=estimate.seconds, output_bytes=estimate.n_bytes, warning=estimate.warning
        )

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        return html_facts(
            (name, emphasize(value) if name == "warning" else value) for name, value in self._rows()
        )

    def _rows(self) -> list[tuple[str, str]]:
        shape, pixels = _sides(self.grid.shape), self.grid.n_pixels / 1e6
        size = "unknown" if self.output_bytes is None else f"about {format_bytes(self.output_bytes)}"
        free = "" if self.free_disk is None else f", {format_bytes(self.free_disk)} free"
        facts = self._image.masking.facts
        rows = [
            ("store", self.store),
            ("image", f"{shape} pixels ({pixels:.1f} megapixels)"),
            *([("validity", "; ".join(facts))] if facts else []),
            ("blocks", f"{self.tasks} of {_sides(self.grid.block)}, in chunks of {_sides(self.grid.chunk)}"),
            *((f"engine of {name}", engine) for name, engine in self.engines.items()),
            *self._executor.facts,
            ("peak memory", f"{format_bytes(self.peak_memory)} of {format_bytes(self.memory_limit)}"),
            ("output", f"{size}{free}"),
        ]
        if self.seconds is not None:
            rows.append(("time", f"about {format_time(self.seconds)}"))
        if self.warning is not None:
            rows.append(("warning", self.warning))
        return rows

    def _remedy(self) -> str:
        """Say what would fit."""
        # A run that has begun keeps its blocks.
        grids = (
            [self.grid]
            if self._options["resume"]
            else choose_grids(self._image.extent, tile=self._image.tile, unit=self._image.unit, block=None)
        )
        for grid in grids:
            need = self._project(grid)
            if need.fits:
                return f"Leave block out, or pass block={grid.block}: that needs {format_bytes(need.memory)}."
        need = self._project(grids[-1], threads=1)
        least = f"The run takes at least {format_bytes(need.memory)}"
        if not self._executor.is_local and not need.fits:
            return f"{least}. Give the workers more memory; Dask lets a run use a part of their limit."
        if self.threads == 1 or not need.fits:
            return f"{least}. Raise the limit."
        if not self._executor.is_local:
            return f"{least}, on workers with one thread."
        return f"{least}, with one thread: dask.config.set(num_workers=1), or DASK_NUM_WORKERS=1 outside."

    def _project(self, grid: Grid, threads: int | None = None) -> Need:
        limit = parse_limit(self._options["memory_limit"])
        return project_need(
            self._job, self._image, self._zones, grid, self._executor, limit=limit, threads=threads
        )


def make_plan(
    image: ImageLike,
    outputs: tuple[Output, ...],
    store: str | os.PathLike[str],
    options: Options,
    *,
    awaits_workers: bool = False,
) -> Plan:
    """Plan a run, without estimates of its time and size.

    Parameters
    ----------
    image : path, Image or array
    outputs : tuple of Output
    store : path
    options : Options
        The complete options, with their defaults: see :func:`complete`.
    awaits_workers : bool
        Whether to wait for the first worker of a cluster that has none yet, whose memory the plan depends on.

    Returns
    -------
    Plan

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As :func:`stream` says.
    """
    place = open_store(store)
    executor, limit = choose_executor(options["client"]), parse_limit(options["memory_limit"])
    model = outputs[0].quantity
    image = open_image(
        image, channel_axis=options["channel_axis"], mask=options["mask"], no_data=options["no_data"]
    ).fitted(model.n_channels, model.channels)
    zones = _open_zones(options["zones"], image, outputs)
    sources = image.sources if zones is None else (*image.sources, zones.source)
    place.check(places_of(sources), overwrite=options["overwrite"], resume=options["resume"])
    _check_pieces(sources, executor)
    if awaits_workers:
        _await_workers(executor, options["progress"])
    begun = _read_begun(place) if options["resume"] else None
    block, at_once = options["block"], executor.total_threads
    grids = choose_grids(image.extent, tile=image.tile, unit=image.unit, block=block, n_threads=at_once)
    if begun and block is None:
        grids = [begun.grid]
    choices = _choose_engines(outputs, image, begun)
    engines = {name: choice.engine for name, choice in choices.items()}
    for name in set(engines.values()) if executor.is_local else ():
        ENGINES[name].prepare()
    job = Job(place, outputs, engines)
    for grid in grids:
        need = project_need(job, image, zones, grid, executor, limit=limit)
        if need.fits:
            break
    if is_worth_compiling(outputs, engines.values(), grid.n_pixels, has_zones=zones is not None):
        counting = replace(job, counts_by_loop=True)
        more = project_need(counting, image, zones, grid, executor, limit=limit)
        if more.fits:
            job, need = counting, more
    return Plan(
        store=place.address,
        grid=grid,
        engines={name: f"{choice.engine} ({choice.reason})" for name, choice in choices.items()},
        tasks=grid.n_blocks,
        threads=need.threads,
        peak_memory=need.memory,
        memory_limit=need.limit,
        output_bytes=None,
        free_disk=place.free_bytes,
        seconds=None,
        warning=None,
        _job=job,
        _image=image,
        _executor=executor,
        _zones=zones,
        _reasons={name: choice.reason for name, choice in choices.items()},
        _options=options,
    )


def _open_zones(zones: ImageLike | None, image: Image, outputs: Sequence[Output]) -> Labels | None:
    """Open the zones of a run, if there are any."""
    if zones is None:
        return None
    opened = open_labels(zones, image.extent, by="feature", role="zones")
    check_zones(outputs, len(opened.names or ()))
    return opened


def _await_workers(executor: Executor, progress: str | Listener) -> None:
    """Wait for the first worker, and report it."""
    if not executor.is_ready:
        with reporting(progress, 0, 0) as reporter:
            executor.await_workers(reporter.begin)


def _check_pieces(sources: Sequence[Source], executor: Executor) -> None:
    """Raise ValueError for sources of which a task of the executor can't take pieces."""
    if not executor.is_local and any(source.is_held_by_cluster for source in sources):
        raise ValueError(
            "the image, its mask or its zones are persisted on the cluster, where a task can't take pieces "
            "of them. Pass them as they were before persist(), or store them: image.to_zarr(...)"
        )
    if not executor.is_local and not all(source.travels for source in sources):
        raise ValueError(
            "the image, its mask or its zones are read by an object that can't be sent to the workers of a "
            "cluster, such as an open file. Pass the path of the file, or store it before there is a client: "
            "open_image(...).to_dask().to_zarr(...)"
        )


def _read_begun(store: Store) -> Record | None:
    """Read the record of the store that is resumed, if there is a readable one."""
    try:
        return store.find(to_resume=True).read_record()
    except (FileNotFoundError, ValueError):
        return None


def _choose_engines(outputs: Sequence[Output], image: Image, begun: Record | None) -> dict[str, Choice]:
    """Choose the engines; a run that has begun goes on with ones that compute the same bits."""
    n_pixels, same = math.prod(image.extent), numerics()
    chosen = {}
    for output, choice in zip(outputs, choose_engines("auto", outputs, image.dtype, n_pixels), strict=True):
        chosen[output.name] = choice
        recorded = begun.engines.get(output.name, choice.engine) if begun else choice.engine
        if same.get(recorded, recorded) != same.get(choice.engine, choice.engine) and recorded in ENGINES:
            if (reason := ENGINES[recorded].obstacle(output, image.dtype)) is not None:
                raise ValueError(
                    f"{output.name!r} was begun with the engine {recorded!r}, and other engines have other "
                    f"last digits, but {reason}. Or begin anew: overwrite=True."
                )
            chosen[output.name] = Choice(recorded, "as the run began")
    return chosen


def _sides(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
