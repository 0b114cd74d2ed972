"""Runs of one output, undisturbed or not: how each may end, and what may be there afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import dask
from runs.places import PLACES
from runs.present import Present, is_of_block
from runs.scenery import ARRAY, FILE, RELEASED, Run, start

from pipeline import open_image
from pipeline.stores import lease
from pipeline.stores.store_kinds import open_store

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from forked import Server
    from runs.places import Files, Place
    from runs.scenery import Scenery
    from runs.workers import Workers


class Refusal(NamedTuple):
    """An error that an operation is refused with."""

    kind: type[Exception]
    message: str

    def is_one(self, error: BaseException | None) -> bool:
        """Return whether an error is this one."""
        return isinstance(error, self.kind) and re.search(self.message, str(error)) is not None


IN_THE_WAY = Refusal(
    FileExistsError, r"\(resume=True, --resume\).*overwrite|isn't a result of mixture-pipeline"
)
FOREIGN = Refusal(FileExistsError, r"isn't a result of mixture-pipeline, so it isn't overwritten")
DAMAGED = Refusal(ValueError, r"isn't a result of|damaged record|old format|record of format|can't read")
UNREADABLE = Refusal(FileExistsError, r"can't be resumed, because its zarr.json can't be read")
OTHER = Refusal(ValueError, r"can't be resumed: (its .* was |mixture-pipeline .* began it)")
NOTHING = Refusal(FileNotFoundError, r"doesn't exist")


class Output:
    """One output, what must be there, and runs that write to it.

    Attributes
    ----------
    workers, kind_of_place, scenery, server, folder
        What all outputs of a campaign share.
    counts : Counter
        How often each rule was carried out.
    ends : Counter
        How often runs ended in each way.
    published, unfinished : Present
        What must be there.
    version : int
        How often the image file was written again.
    image, model : str
        Those of the next run.
    """

    workers: ClassVar[Workers]
    kind_of_place: ClassVar[str]
    scenery: ClassVar[Scenery]
    server: ClassVar[Server]
    folder: ClassVar[Path]
    counts: ClassVar[Counter[str]]
    ends: ClassVar[Counter[str]]

    def __init__(self) -> None:
        self._place_folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.place: Place = PLACES[self.kind_of_place](self._place_folder)
        self.file = self._place_folder / "image.npy"
        self.version, self.image, self.model = -1, FILE, "one"
        self._step = -1
        self._last: Any = None
        self._now: Any = None
        self.identities: list[str | None] = []
        self._write()
        self.published, self.unfinished = Present(), Present()

    def teardown(self) -> None:
        """Remove the output and the image."""
        self.place.clear()
        shutil.rmtree(self._place_folder)

    def _write(self) -> None:
        self.version += 1
        self.scenery.write_file(self.file, self.version)
        self.identities.append(open_image(self.file).description.identity)

    def _count(self, name: str) -> None:
        self.counts[name] += 1

    def _both(self) -> Iterator[tuple[Files, Present]]:
        yield self.place.published, self.published
        yield self.place.unfinished, self.unfinished

    def _choose(self, number: int, unfinished: bool) -> tuple[Files, Present, str] | None:
        """Choose a file, the same one for the same number; None if there are none."""
        # Where there is only one store, it is that one.
        unfinished = self.published.run is None or (unfinished and self.unfinished.run is not None)
        files, present = list(self._both())[unfinished]
        paths = files.list() if present.run is not None else []
        # Half of the time it is one of those that aren't of blocks, which are fewer.
        metadata = [path for path in paths if not is_of_block(path)]
        chosen = metadata if number % 2 and metadata else paths
        chosen = [path for path in chosen if files.read(path)]
        return (files, present, chosen[number // 2 % len(chosen)]) if chosen else None

    def _deleted(self, files: Files, present: Present) -> set[str]:
        return {path for path in present.before if files.read(path) is None}

    def _snapshot(self) -> dict[tuple[int, str], Any]:
        return {
            (number, path): file
            for number, (files, present) in enumerate(self._both())
            if present.run is not None
            for path, file in files.everything().items()
        }

    def _has_changed(self) -> bool:
        """Return whether anything has changed since the end of the last step."""
        now = (self.published.run, self.unfinished.run, self._snapshot())
        if self.counts.total() != self._step:
            self._step, self._last, self._now = self.counts.total(), self._now, now
        return self._last != now

    def _wanted(self, way: str) -> Run:
        """Return what a run is to be of."""
        if way == "go on":
            left = self.unfinished.run or self.published.run
            if left is not None:
                return left._replace(version=self.version if left.image == FILE else 0)
        return Run(self.image, self.version if self.image == FILE else 0, self.model)

    def _image_of(self, run: Run) -> Any:
        return os.fspath(self.file) if run.image == FILE else run.pixels

    def _refusals(self, way: str, run: Run) -> tuple[list[Refusal], bool]:
        """Return the errors that a run may be refused with, and whether it may run."""
        published, left = self.published, self.unfinished
        foreign = [FOREIGN] if published.run and published.is_root_hurt else []
        if way == "run":
            is_free = published.run is None and not self.place.is_taken
            return ([], True) if is_free else ([IN_THE_WAY], False)
        if way == "overwrite":
            return foreign, True
        target = left if left.run is not None else published
        if target.run is None:
            return ([NOTHING], False) if way == "go on" else ([], True)
        if target.is_root_hurt:
            # A byte may make no difference.
            return [*foreign, DAMAGED, UNREADABLE, OTHER, NOTHING], True
        if target.run != run:
            return [*foreign, OTHER], False
        return [*foreign, *([OTHER] if run.image == RELEASED else [])], True

    def _attempt(
        self,
        way: str,
        disturbed: Callable[..., BaseException | None],
        run: Run | None = None,
        *,
        may_go_on: bool = False,
    ) -> BaseException | None:
        """Try a run, and check how it ends, and what is there afterwards."""
        if way == "next":
            way = "go on" if self.unfinished.run else "overwrite" if self.published.run else "run"
        run = run or self._wanted(way)
        refusals, may_run = self._refusals(way, run)
        before = self._snapshot()
        error = disturbed(way, run)
        if not may_go_on:
            self.workers.wait()
        self._was_refused = any(refusal.is_one(error) for refusal in refusals)
        self.ends["finished" if error is None else "refused" if self._was_refused else "disturbed"] += 1
        if self._was_refused or not may_run:
            if not self._was_refused:
                # Whatever disturbs the run may come first.
                assert disturbed != self._undisturbed, error
                assert error is not None
            if not self._is_left() and not any(n and is_of_block(path) for n, path in before):
                # A run that fails discards an unfinished store without any block, whoever began it.
                self.unfinished.set(None)
                before = {key: file for key, file in before.items() if key[0] == 0}
            assert self._snapshot() == before, error
        elif error is None:
            self.published.set(run)
            self.unfinished.set(None)
            assert not self.place.is_taken
            assert self._recorded() == run
        else:
            assert disturbed != self._undisturbed, error
            if not may_go_on:
                self._settle(run)
        return error

    def _undisturbed(self, way: str, run: Run) -> BaseException | None:
        return self._start(way, run)

    def _start(self, way: str, run: Run, listener: Any = "none") -> BaseException | None:
        """Start a run here, and return its error."""
        try:
            receipt = start(
                way, self._image_of(run), run.model, self.place.address, self.workers.client, listener
            )
        except (OSError, ValueError, RuntimeError, KeyboardInterrupt) as error:
            return error
        assert receipt.blocks == self.scenery.expected(run).record.grid.n_blocks
        assert not receipt.skipped
        return None

    def _kill(self, way: str, run: Run, moment: str, number: int) -> BaseException | None:
        """Start a run in another process, and return an error that stands for its end."""
        request = {
            "way": way,
            "run": run,
            "place": self.kind_of_place,
            "folder": os.fspath(self._place_folder),
            "file": os.fspath(self.file),
            "scheduler": self.workers.address,
            "environment": {key: value for key, value in os.environ.items() if key.startswith("AWS_")},
            "interval": lease.INTERVAL,
            "settings": {
                key: dask.config.get(key)
                for key in ("scheduler", "num_workers")
                if dask.config.get(key, None)
            },
            "moment": moment,
            "number": number,
        }
        done = self.server(json.dumps(request))
        if done.returncode == 0:
            return None
        if done.returncode < 0:
            return SystemExit(done.returncode)
        # The process says in its last line how it was refused.
        kind, _, message = done.stderr.strip().splitlines()[-1].partition(": ")
        errors = (FileExistsError, FileNotFoundError, ValueError)
        found = next((error for error in errors if error.__name__ == kind), None)
        assert found is not None, done.stderr
        return found(message)

    def _recorded(self, *, to_resume: bool = False) -> Run | None:
        """Return what the store that is found is of, None if that can't be read."""
        try:
            record = open_store(self.place.address).find(to_resume=to_resume).read_record()
        except ValueError:
            return None
        for run in self._possible():
            expected = self.scenery.expected(run).record
            if record.outputs == expected.outputs and record.image.identity == self._identity(run, expected):
                return run
        raise AssertionError(f"nothing like this was run: {record}")

    def _possible(self) -> Iterator[Run]:
        """Yield everything that could have been run."""
        for model in ("one", "other"):
            for version in range(self.version, -1, -1):
                yield Run(FILE, version, model)
            yield Run(ARRAY, 0, model)
        yield Run(RELEASED, 0, "released")

    def _identity(self, run: Run, expected: Any) -> str | None:
        if run.image != FILE:
            return str(expected.image.identity)
        return self.identities[run.version]

    def _is_left(self) -> bool:
        """Return whether there is an unfinished store to go on with."""
        try:
            return bool(open_store(self.place.address).find(to_resume=True).is_unfinished)
        except FileNotFoundError:
            return False

    def _settle(self, run: Run) -> None:
        """Find out what a run that was disturbed has left, which must be something that it can leave."""
        store = open_store(self.place.address)
        try:
            found, left = store.find(), store.find(to_resume=True)
        except FileNotFoundError:
            assert self.published.run is None
            self.unfinished.set(None)
            return
        if found.is_unfinished:
            assert self.published.run is None or self.place.is_publishing
            self.published.set(None)
        else:
            self._settle_one(self.published, self.place.published, self._recorded(), run)
        if left.is_unfinished:
            self._settle_one(self.unfinished, self.place.unfinished, self._recorded(to_resume=True), run)
        else:
            self.unfinished.set(None)

    def _settle_one(self, present: Present, files: Files, recorded: Run | None, run: Run) -> None:
        """Expect what is there: what was there, of which a part may have been mended, or the new run."""
        if recorded is None:
            assert present.is_root_hurt
            return
        assert recorded in {present.run, run}
        if recorded != present.run:
            present.set(recorded)
        # A run writes the record again, whose receipt is another one then.
        present.before = {
            path: content for path, content in present.before.items() if files.read(path) != content
        }
