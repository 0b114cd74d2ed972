"""The campaign: runs, faults and damage in any order, on every kind of store and of executor.

Whatever happens, what opens under the name of an output is complete and right, or says that it isn't; and an
operation that is refused changes nothing. `tests/runs/failures/test_campaign.py` tries a few short sequences.
Many long ones are tried in the folder `tests` by

    python -m runs.campaign --minutes 60
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import dask
from forked import Server
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from runs.places import PLACES
from runs.present import Present, check_published, is_of_block, shards_of
from runs.scenery import ARRAY, FILE, RELEASED, Run, Scenery, at_block, start
from runs.workers import WORKERS
from stores.released_stores import released_stores

from pipeline import open_image, open_result, verify
from pipeline.stores import layout
from pipeline.stores.store_kinds import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runs.places import Files, Place
    from runs.workers import Workers

WAYS = st.sampled_from(["run", "overwrite", "resume", "go on"])
BLOCKS = st.integers(0, 6)
CALLS = st.integers(0, 200) | st.integers(0, 1000)


class Refusal(NamedTuple):
    """An error that an operation is refused with."""

    kind: type[Exception]
    message: str

    def is_one(self, error: BaseException | None) -> bool:
        """Return whether an error is this one."""
        return isinstance(error, self.kind) and re.search(self.message, str(error)) is not None


IN_THE_WAY = Refusal(FileExistsError, r"\(resume=True, --resume\).*overwrite|isn't a result of mixture-pipeline")
FOREIGN = Refusal(FileExistsError, r"isn't a result of mixture-pipeline, so it isn't overwritten")
DAMAGED = Refusal(ValueError, r"isn't a result of|damaged record|old format|record of format|can't read")
UNREADABLE = Refusal(FileExistsError, r"can't be resumed, because its zarr.json can't be read")
OTHER = Refusal(ValueError, r"can't be resumed: (its .* was |mixture-pipeline .* began it)")
NOTHING = Refusal(FileNotFoundError, r"doesn't exist")


class Campaign(RuleBasedStateMachine):
    """One output, and all that may happen to it."""

    workers: ClassVar[Workers]
    kind_of_place: ClassVar[str]
    scenery: ClassVar[Scenery]
    server: ClassVar[Server]
    folder: ClassVar[Path]
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._place_folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.place: Place = PLACES[self.kind_of_place](self._place_folder)
        self.file = self._place_folder / "image.npy"
        self.version, self.image, self.model = -1, FILE, "one"
        self.identities: list[str | None] = []
        self._write()
        self.published, self.unfinished = Present(), Present()

    def teardown(self) -> None:
        """Remove the output and the image."""
        shutil.rmtree(self._place_folder)

    # What the user changes.

    @rule()
    def change_the_model(self) -> None:
        """Use the other model from now on."""
        self._count("change the model")
        self.model = "other" if self.model == "one" else "one"

    @rule()
    def change_the_image(self) -> None:
        """Use the other image from now on."""
        self._count("change the image")
        self.image = ARRAY if self.image == FILE else FILE

    @rule()
    def write_the_image_again(self) -> None:
        """Write other pixels to the image file."""
        self._count("write the image again")
        self._write()

    @rule()
    def remove_the_output(self) -> None:
        """Remove all that is there, as a user may."""
        self._count("remove the output")
        self.place.clear()
        self.published.set(None)
        self.unfinished.set(None)

    @precondition(lambda self: self.published.run is None)
    @rule(version=st.sampled_from(sorted(released_stores())))
    def upgrade(self, version: str) -> None:
        """Go on with the store that an earlier version wrote."""
        self.remove_the_output()
        self._count("upgrade")
        self.place.unpack(version)
        self.published.set(Run(RELEASED, 0, "released"))
        self._attempt("resume", self._undisturbed, self.published.run)

    # Runs, undisturbed and disturbed.

    @rule(way=WAYS)
    def run(self, way: str) -> None:
        """Run to the end."""
        self._count(way)
        self._attempt(way, self._undisturbed)

    @rule(way=WAYS, number=BLOCKS)
    def interrupt(self, way: str, number: int) -> None:
        """Interrupt a run from its listener."""

        def act() -> None:
            raise KeyboardInterrupt

        self._count("interrupt")
        self._attempt(way, lambda *given: self._start(*given, at_block(number, act)))

    @rule(way=WAYS, number=CALLS)
    def fill_the_disk(self, way: str, number: int) -> None:
        """Let the disk be full from some call on, and make room afterwards."""

        def disturbed(*given: Any) -> BaseException | None:
            with self.place.full(number, self.workers.everywhere):
                return self._start(*given)

        self._count("fill the disk")
        error = self._attempt(way, disturbed)
        assert error is None or "No space left on device" in str(error) or self._was_refused, error

    @rule(way=WAYS, number=BLOCKS)
    def kill_at_a_block(self, way: str, number: int) -> None:
        """Kill the process of a run when so many blocks are done."""
        self._count("kill at a block")
        self._attempt(way, lambda *given: self._kill(*given, "block", number))

    @rule(way=WAYS, number=CALLS)
    def kill_at_a_call(self, way: str, number: int) -> None:
        """Kill the process of a run before one of its calls that change something."""
        self._count("kill at a call")
        self._attempt(way, lambda *given: self._kill(*given, "call", number))

    @rule(way=WAYS, number=BLOCKS)
    def kill_and_overwrite(self, way: str, number: int) -> None:
        """Kill the process of a run, and overwrite what it left with another model at once."""
        self._count("kill and overwrite")
        if self.published.is_root_hurt:
            return
        self._attempt(way, lambda *given: self._kill(*given, "block", number), may_go_on=True)
        self.change_the_model()
        self._attempt("overwrite", self._undisturbed)

    @precondition(lambda self: self.workers.may_die)
    @rule(way=WAYS, number=BLOCKS)
    def lose_a_worker(self, way: str, number: int) -> None:
        """Kill a worker of the cluster when so many blocks are done."""
        self._count("lose a worker")
        self._attempt(way, lambda *given: self._start(*given, at_block(number, self.workers.kill_one)))

    # Damage.

    @rule(number=st.integers(0, 10**6), byte=st.integers(0, 10**6), mask=st.integers(1, 255), unfinished=st.booleans())
    def damage_a_byte(self, number: int, byte: int, mask: int, unfinished: bool) -> None:
        """Change a byte of any file."""
        self._count("damage a byte")
        chosen = self._choose(number, unfinished)
        if chosen:
            files, present, path = chosen
            content = bytearray(files.read(path) or b"")
            content[byte % len(content)] ^= mask
            present.before.setdefault(path, files.read(path) or b"")
            files.write(path, bytes(content))

    @rule(number=st.integers(0, 10**6), unfinished=st.booleans())
    def delete_a_file(self, number: int, unfinished: bool) -> None:
        """Delete any file, most of which are shards."""
        self._count("delete a file")
        chosen = self._choose(number, unfinished)
        if chosen:
            files, present, path = chosen
            present.before.setdefault(path, files.read(path) or b"")
            files.delete(path)
            if unfinished and not self._is_left():
                # Without the record and all shards, this is nothing that a run would go on with.
                present.set(None)

    @precondition(lambda self: self.published.before or self.unfinished.before)
    @rule()
    def bring_back(self) -> None:
        """Bring back all that was damaged or deleted."""
        self._count("bring back")
        for files, present in self._both():
            for path, content in present.before.items():
                files.write(path, content)
            present.before.clear()

    @rule()
    def verify(self) -> None:
        """Verify what is there, which changes nothing; that it is right is checked after every step."""
        self._count("verify")
        before = self._snapshot()
        try:
            verify(self.place.address, progress="none")
        except (FileNotFoundError, ValueError) as error:
            refusals = (NOTHING, DAMAGED)
            assert any(refusal.is_one(error) for refusal in refusals), error  # noqa: PT017  it mostly succeeds
        assert self._snapshot() == before

    # What must hold.

    @invariant()
    def what_opens_is_right_or_says_that_it_isnt(self) -> None:
        """Check what is there."""
        if self.published.run is not None:
            deleted = self._deleted(self.place.published, self.published)
            check_published(self.place.address, self.published, deleted, self.scenery)
            return
        try:
            open_result(self.place.address)
        except FileNotFoundError as error:
            assert "doesn't exist" in str(error) or "is unfinished" in str(error), error  # noqa: PT017
        else:
            raise AssertionError("nothing was finished here")

    @invariant()
    def what_is_unfinished_is_right_as_far_as_it_goes(self) -> None:
        """Check the shards of an unfinished store, whose others say that they are missing."""
        run = self.unfinished.run
        if run is None:
            return
        if self.published.run is None and not self.unfinished.is_root_hurt:
            assert not verify(self.place.address, progress="none").complete
        for path, _ in shards_of(run, self.scenery.expected(run).record.grid):
            content = self.place.unfinished.read(path)
            if content is not None and path not in self.unfinished.before:
                assert content == self.scenery.shard(run, path), path

    # How it is done.

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
            (number, path): (files.read(path), files.version(path))
            for number, (files, present) in enumerate(self._both())
            if present.run is not None
            for path in files.list()
        }

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
        self, way: str, disturbed: Callable[..., BaseException | None], run: Run | None = None, *, may_go_on: bool = False
    ) -> BaseException | None:
        """Try a run, and check how it ends, and what is there afterwards."""
        run = run or self._wanted(way)
        refusals, may_run = self._refusals(way, run)
        before = self._snapshot()
        error = disturbed(way, run)
        if not may_go_on:
            self.workers.wait()
        self._was_refused = any(refusal.is_one(error) for refusal in refusals)
        if self._was_refused or not may_run:
            if not self._was_refused:
                # Whatever disturbs the run may come first.
                assert disturbed != self._undisturbed, error
                assert error is not None
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
            receipt = start(way, self._image_of(run), run.model, self.place.address, self.workers.client, listener)
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
            "settings": {key: dask.config.get(key) for key in ("scheduler", "num_workers") if dask.config.get(key, None)},
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
            assert self.published.run is None
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


def make_machine(kind_of_place: str, workers: Workers, server: Server, folder: Path) -> type[Campaign]:
    """Make the campaign of a kind of store and of executor, in an empty folder."""
    (folder / "expected").mkdir(parents=True)
    attributes: dict[str, Any] = {
        "kind_of_place": kind_of_place,
        "workers": workers,
        "server": server,
        "folder": folder,
        "scenery": Scenery(folder / "expected"),
        "counts": Counter(),
    }
    return type("Campaign", (Campaign,), attributes)


def try_sequences(machine: type[Campaign], number: int | None, *, examples: int, steps: int) -> None:
    """Try sequences of steps: random ones of a seed, or the same ones every time if the seed is None."""
    chosen = settings(
        phases=[Phase.generate],
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    tried = machine if number is None else seed(number)(machine)
    run_state_machine_as_test(tried, settings=chosen)


def main() -> int:
    """Try all kinds by turns with new seeds until time is over, and return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, help="of the first sequences; the next ones have the numbers after it")
    parser.add_argument("--executor", choices=list(WORKERS), action="append", help="by default all of them")
    parser.add_argument("--place", choices=list(PLACES), action="append", help="by default all of them")
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    number = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    end = time.monotonic() + 60 * options.minutes
    total: Counter[str] = Counter()
    kinds = [(place, name) for place in options.place or PLACES for name in options.executor or WORKERS]
    with tempfile.TemporaryDirectory() as name, Server(Path(name), "runs.killed:main") as server:
        while time.monotonic() < end:
            for place, executor in kinds:
                folder = Path(name, str(number))
                with WORKERS[executor]() as workers:
                    machine = make_machine(place, workers, server, folder)
                    print(f"seed {number}: {place}, {executor}", flush=True)
                    try:
                        try_sequences(machine, number, examples=options.examples, steps=options.steps)
                    except Exception:  # noqa: BLE001  whatever is found ends the campaign
                        traceback.print_exc()
                        print(f"FAILED: python -m runs.campaign --seed {number} --place '{place}' --executor '{executor}'")
                        return 1
                    print(f"    {machine.counts.total()} steps: {dict(machine.counts.most_common())}", flush=True)
                    total += machine.counts
                shutil.rmtree(folder)
                number += 1
                if time.monotonic() > end:
                    break
    print(f"{total.total()} steps, and nothing was wrong: {dict(total.most_common())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
