"""The steps of the campaign, and what must hold after each of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from runs.attempts import DAMAGED, NOTHING, Output
from runs.present import check_published, shards_of
from runs.scenery import ARRAY, FILE, RELEASED, Run, at_block
from stores.released_stores import released_stores

from pipeline import open_result, verify

# Most of the time a run is one that isn't refused.
WAYS = st.sampled_from(["next", "overwrite", "run", "resume", "go on"])
BLOCKS = st.sampled_from([1, 1, 2, 3, 5])
# A run has some 200 calls on the small image, and 700 on the large one.
CALLS = st.integers(0, 250) | st.integers(0, 800)


class Campaign(Output, RuleBasedStateMachine):
    """One output, and all that may happen to it."""

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Output.__init__(self)

    # What the user changes.

    @rule(what=st.sampled_from(["model", "image", "file"]))
    def change(self, what: str) -> None:
        """Use the other model or the other image from now on, or write other pixels to the image file."""
        self._count(f"change the {what}")
        if what == "model":
            self.model = "other" if self.model == "one" else "one"
        elif what == "image":
            self.image = ARRAY if self.image == FILE else FILE
        else:
            self._write()

    @rule(version=st.sampled_from([None, *sorted(released_stores())]))
    def start_over(self, version: str | None) -> None:
        """Remove the output, as a user may, or go on with one that an earlier version wrote in its place."""
        self._count("upgrade" if version else "remove the output")
        self.place.clear()
        self.published.set(None)
        self.unfinished.set(None)
        if version is not None:
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
        assert error is None or self.place.full_message in str(error) or self._was_refused, error

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
        self.change("model")
        self._attempt("overwrite", self._undisturbed)

    @precondition(lambda self: self.workers.may_die)
    @rule(way=WAYS, number=BLOCKS)
    def lose_a_worker(self, way: str, number: int) -> None:
        """Kill a worker of the cluster when so many blocks are done."""
        self._count("lose a worker")
        self._attempt(way, lambda *given: self._start(*given, at_block(number, self.workers.kill_one)))

    # Damage.

    @rule(
        number=st.integers(0, 10**6),
        byte=st.integers(0, 10**6),
        mask=st.integers(1, 255),
        unfinished=st.booleans(),
    )
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
            if present is self.published and present.is_root_hurt and self.place.is_publishing:
                # A run that is killed while it publishes may have removed the record of the old store.
                present.set(None)
            if present is self.unfinished and not self._is_left():
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

    @precondition(lambda self: self.published.run or self.unfinished.run)
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
        """Check what is there, if it has changed."""
        if not self._has_changed():
            return
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
        if run is None or not self._has_changed():
            return
        if self.published.run is None and not self.unfinished.is_root_hurt:
            assert not verify(self.place.address, progress="none").complete
        there = self.place.unfinished.everything()
        for path, _ in shards_of(run, self.scenery.expected(run).record.grid):
            if path in there and path not in self.unfinished.before:
                assert there[path][0] == self.scenery.shard(run, path), path
