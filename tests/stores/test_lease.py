"""One run at a time holds a lease; one that a killed run left is taken over by one alone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.images.object_storage import ObjectFolder
from pipeline.stores import lease
from pipeline.stores.lease import Content


@pytest.fixture
def folder(bucket: str, monkeypatch: pytest.MonkeyPatch) -> ObjectFolder:
    """Give the folder of a lease that is renewed often."""
    monkeypatch.setattr(lease, "INTERVAL", 1.0)
    return ObjectFolder(f"{bucket}/out.zarr.partial")


def put(folder: ObjectFolder, content: Content) -> None:
    """Leave a lease as a killed run leaves it."""
    folder.write(lease.NAME, [content.encode()])


def test_a_lease_is_held_by_one(folder: ObjectFolder) -> None:
    """While it is held it changes and others are refused; then nothing is left of it."""
    with lease.held(folder, "OUT") as held:
        first = lease.read(folder)
        lease.check(folder, held.content.token)
        with (
            pytest.raises(BlockingIOError, match="another run is writing OUT"),
            lease.held(folder, "OUT"),
        ):
            pass
        second = lease.read(folder)
        assert first is not None
        assert second is not None
        assert second.beat > first.beat
        assert (second.token, second.is_held) == (first.token, True)
    assert lease.read(folder) is None
    with pytest.raises(BlockingIOError, match=r"another run has taken over s3://.*out\.zarr\.partial"):
        lease.check(folder, held.content.token)


def test_a_lease_stays_where_it_names_a_store(folder: ObjectFolder) -> None:
    """A run that is over leaves the name of its store, and the next one goes on without waiting."""
    tokens = []

    def run() -> None:
        with lease.held(folder, "OUT") as held:
            tokens.append(held.content.token)
            held.note(store="a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    left = lease.read(folder)
    assert left is not None
    assert (left.store, left.is_held) == ("a", False)
    with pytest.raises(BlockingIOError):
        lease.check(folder, tokens[0])
    with lease.held(folder, "OUT") as again:
        assert again.before.store == again.content.store == "a"
        again.note(store=None)
    assert lease.read(folder) is None


def test_a_dead_lease_is_taken_over_by_one(folder: ObjectFolder) -> None:
    """Of several runs that find the lease of a killed one, one gets it."""
    put(folder, Content("dead", store="a", is_publishing=True, beat=9))

    def hold(_: int) -> str | None:
        try:
            with lease.held(folder, "OUT") as held:
                assert (held.before.token, held.content.store) == ("dead", "a")
                assert held.content.is_publishing
                time.sleep(3)
                return held.content.token
        except BlockingIOError:
            return None

    with ThreadPoolExecutor(4) as pool:
        assert len([token for token in pool.map(hold, range(4)) if token]) == 1


def test_a_run_notices_that_its_lease_is_lost(folder: ObjectFolder) -> None:
    """Whoever was suspended, and finds another run's lease, writes nothing into it any more."""
    other = Content("other", beat=1)
    with lease.held(folder, "OUT") as held:
        put(folder, other)
        with pytest.raises(BlockingIOError):
            lease.check(folder, held.content.token)
        with pytest.raises(BlockingIOError, match="another run has taken over"):
            held.note(store="b")
    assert held.is_lost
    assert lease.read(folder) == other


def test_a_lost_lease_is_noticed_in_the_background(folder: ObjectFolder) -> None:
    """The renewal finds out by itself."""
    with lease.held(folder, "OUT") as held:
        put(folder, Content("other"))
        deadline = time.monotonic() + 60
        while not held.is_lost and time.monotonic() < deadline:
            time.sleep(0.05)
    assert held.is_lost
    assert lease.read(folder) == Content("other")


def test_a_server_that_fails_for_a_while_is_asked_again(
    folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal that fails is tried again."""
    with lease.held(folder, "OUT") as held:
        beat, write_if = held.content.beat, ObjectFolder.write_if
        failures = [OSError("gone"), OSError("gone")]

        def fail(self: ObjectFolder, *arguments: object) -> object:
            if failures:
                raise failures.pop()
            return write_if(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(ObjectFolder, "write_if", fail)
        deadline = time.monotonic() + 60
        while held.content.beat < beat + 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not failures
        assert held.content.beat >= beat + 2
        assert not held.is_lost


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"token": "a", "more": 1}'])
def test_a_damaged_lease_is_nobodys(folder: ObjectFolder, content: bytes) -> None:
    """What isn't a lease is replaced."""
    folder.write(lease.NAME, [content])
    with lease.held(folder, "OUT") as held:
        assert not held.before.is_held
        assert held.content.store is None


def test_a_server_without_conditions_is_refused(
    folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that ignores conditions can't keep two runs apart."""

    def ignore(self: ObjectFolder, path: str, content: bytes, *_: object) -> str:
        self.write(path, [content])
        return self.facts(path).version

    monkeypatch.setattr(ObjectFolder, "write_if", ignore)
    with (
        pytest.raises(OSError, match=r"ignores the condition.*needs conditional puts"),
        lease.held(folder, "O"),
    ):
        pass
    assert lease.read(folder) is None
