"""Whenever a run is killed, what opens under the address is whole, and another run goes on."""

from __future__ import annotations

from pathlib import Path
from threading import Lock, current_thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from pipeline.images import object_storage
from pipeline.images.grid import Grid
from pipeline.images.object_storage import ObjectFolder
from pipeline.stores import lease, object_placement
from pipeline.stores.objects import ObjectStore
from pipeline.testing.filling import FRESH, LAYERS, REPLACING, RESUMED, make_receipt, make_record, make_values

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL, LAYER = Grid((16, 16), (16, 16), (16, 16)), LAYERS[0]
CHANGES = {"put", "delete", "copy"}


class Killed(BaseException):
    """The process doesn't live any more."""


class Dying:
    """Obstore in a process that is killed before a request that changes something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: float = np.inf
        self._ask, self._counting = object_storage.ask, Lock()
        monkeypatch.setattr(object_storage, "ask", self.ask)

    def ask(self, function: str, *arguments: Any, **options: Any) -> Any:
        """Send a request of a process that lives."""
        is_renewal = current_thread().name == "lease"
        with self._counting:
            if function in CHANGES and not is_renewal:
                self.left -= 1
            if self.left < 0:
                # A thread of its own would report what ends it.
                raise BlockingIOError if is_renewal else Killed
        return self._ask(function, *arguments, **options)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Dying:
    """Give what kills this process, and renew leases often."""
    monkeypatch.setattr(lease, "INTERVAL", 0.1)
    return Dying(monkeypatch)


@pytest.fixture
def places(bucket: str) -> Iterator[Iterator[ObjectStore]]:
    """Give stores whose places are empty."""
    return iter(ObjectStore(f"{bucket}/{number}/out.zarr") for number in range(1000))


def write(store: ObjectStore, options: dict[str, bool], identity: str) -> None:
    """Run on an image of an identity, or go on with the run that began."""
    with store.opened_for_run(**options) as opened:
        if opened.is_created:
            record = opened.read_record()
        else:
            record = make_record(SMALL, LAYER.outputs, identity)
            opened.create(record)
        for block in SMALL.blocks():
            if opened.check_block([LAYER], block.index):
                values = make_values(LAYER, block, int(record.image.identity or 0))
                opened.write_block(LAYER, block, values).publish()
        opened.finish(make_receipt(record))


def read_identity(store: ObjectStore) -> str | None:
    """Return the identity of the image of the store that opens under the address, which must be right."""
    folder = ObjectFolder(store.address)
    try:
        array = np.asarray(zarr.open_group(folder.zarr_store(), mode="r")["0/image"])
    except FileNotFoundError:
        return None
    record = ObjectStore(store.address).read_record()
    assert record.is_complete
    np.testing.assert_array_equal(array, make_values(LAYER, SMALL[0, 0], int(record.image.identity or 0)))
    return record.image.identity


def killed(dying: Dying, after: int, store: ObjectStore, options: dict[str, bool], identity: str) -> bool:
    """Return whether a run was killed after so many changes."""
    dying.left = after
    try:
        write(store, options, identity)
    except Killed:
        return True
    finally:
        dying.left = np.inf
    return False


@pytest.mark.parametrize(
    ("is_old", "then", "step"),
    [(False, RESUMED, 1), (True, RESUMED, 1), (False, REPLACING, 4), (True, REPLACING, 3)],
    ids=["fresh, resume", "replacing, resume", "fresh, overwrite", "replacing, overwrite"],
)
def test_a_run_is_killed_at_any_moment(
    dying: Dying, places: Iterator[ObjectStore], is_old: bool, then: dict[str, bool], step: int
) -> None:
    """The old store, the new one or none opens, and the next run ends with a whole store and nothing else.

    A run that resumes keeps what was written, even while it was being published.
    """
    seen, number = set(), 0
    for number, store in enumerate(places):
        if is_old:
            write(store, FRESH, "1")
        if not killed(dying, step * number, store, REPLACING if is_old else FRESH, "2"):
            break
        found = read_identity(store)
        seen.add(found)
        try:
            left = store.find(to_resume=True)
            assert found is not None or left.is_unfinished
            wanted = left.read_record().image.identity if then is RESUMED else "3"
        except FileNotFoundError:
            assert not is_old
            wanted = "3"
        write(store, then, "3")
        assert read_identity(store) == wanted
        names = [name for name, _ in ObjectFolder(store.address.removesuffix("out.zarr")).names()]
        assert all(name.startswith("out.zarr/") for name in names), (number, names)
        assert len(names) == 4
    assert step * number > 10
    assert seen == ({"1", "2", None} if is_old else {"2", None})


def test_foreign_objects_stay(places: Iterator[ObjectStore]) -> None:
    """What no run wrote is neither replaced nor removed."""
    store = next(places)
    folder = ObjectFolder(store.address)
    folder.write("notes.txt", [b"mine"])
    for options in (FRESH, REPLACING, RESUMED):
        with pytest.raises(FileExistsError, match=r"out\.zarr exists and isn't a result of mixture-pipeline"):
            store.check([], **options)
    beside = object_placement.beside(folder)
    beside.write("other/notes.txt", [b"mine"])
    folder.remove(["notes.txt"])
    write(store, FRESH, "1")
    write(store, REPLACING, "2")
    assert beside.read("other/notes.txt") == b"mine"


def test_places_that_can_not_be_outputs(bucket: str, places: Iterator[ObjectStore]) -> None:
    """A bucket, a place in a Zarr store and the name of an image are refused."""
    with pytest.raises(ValueError, match=r"is a whole bucket. Choose a name in it"):
        ObjectStore(bucket).check([], **FRESH)
    store = next(places)
    write(store, FRESH, "1")
    with pytest.raises(
        ValueError, match=r"deep/out\.zarr lies inside the Zarr store s3://.*/0/out\.zarr\. Choose"
    ):
        ObjectStore(f"{store.address}/deep/out.zarr").check([], **FRESH)
    with pytest.raises(ValueError, match=r"x\.TIF has the name of an image file.* for example x\.zarr"):
        ObjectStore(f"{bucket}/x.TIF").check([], **FRESH)


def test_outputs_and_images_lie_apart(bucket: str) -> None:
    """An image isn't replaced by its own results."""
    store = ObjectStore(f"{bucket}/a/out.zarr")
    for place in ("a/out.zarr", "a/out.zarr/0/image", "a", "a/out.zarr.partial/x"):
        with pytest.raises(
            ValueError, match=rf"a/out\.zarr and image {bucket}/{place} lie inside one another"
        ):
            store.check([f"{bucket}/{place}"], **REPLACING)
    store.check([f"{bucket}/a/out", f"{bucket}/a/out.zarr2", Path("a/out.zarr"), "the image"], **FRESH)


def test_folders_above_may_be_closed(places: Iterator[ObjectStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to a folder, and not look above it, can write a store there."""
    store, is_there = next(places), ObjectFolder.is_there

    def refuse(self: ObjectFolder, path: str) -> bool:
        if not self.url.endswith("out.zarr"):
            raise PermissionError("not yours")
        return is_there(self, path)

    monkeypatch.setattr(ObjectFolder, "is_there", refuse)
    write(store, FRESH, "1")
    assert read_identity(store) == "1"


def test_a_run_that_was_suspended_removes_nothing(
    dying: Dying, places: Iterator[ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that wakes up while it publishes, after another one has replaced its store, ends."""
    store, remove = next(places), ObjectFolder.remove
    monkeypatch.setattr(lease.Lease, "_renew", lambda _: None)
    write(store, FRESH, "1")

    def sleep(self: ObjectFolder, paths: list[str]) -> None:
        # Its first request to remove something is sent before it is suspended.
        remove(self, paths)
        with monkeypatch.context() as awake:
            awake.setattr(ObjectFolder, "remove", remove)
            write(store, REPLACING, "3")

    with pytest.raises(BlockingIOError, match="another run has taken over"):
        _replace_while(store, sleep, monkeypatch)
    assert read_identity(store) == "3"
    assert dying.left == np.inf


def _replace_while(store: ObjectStore, sleeping: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, store.opened_for_run(**REPLACING) as opened:
        record = make_record(SMALL, LAYER.outputs, "2")
        opened.create(record)
        opened.write_block(LAYER, SMALL[0, 0], make_values(LAYER, SMALL[0, 0], 2)).publish()
        opened.finish(make_receipt(record))
        patched.setattr(ObjectFolder, "remove", sleeping)


def test_an_unfinished_store_is_found_without_its_lease(dying: Dying, places: Iterator[ObjectStore]) -> None:
    """If somebody removes the lease, the newest store that a run began is resumed."""
    store = next(places)
    assert killed(dying, 9, store, FRESH, "2")
    beside = object_placement.beside(ObjectFolder(store.address))
    beside.remove([lease.NAME])
    assert store.find(to_resume=True).is_unfinished
    write(store, RESUMED, "3")
    assert read_identity(store) == "2"


def test_an_unfinished_store_without_metadata_is_named(dying: Dying, places: Iterator[ObjectStore]) -> None:
    """If the metadata of an unfinished store are gone, that is said, and overwriting goes on."""
    store = next(places)
    assert killed(dying, 9, store, FRESH, "2")
    store.find(to_resume=True).folder.remove(["zarr.json"])
    with pytest.raises(FileExistsError, match=r"can't be resumed, because its zarr\.json can't be read"):
        write(store, RESUMED, "3")
    write(store, REPLACING, "3")
    assert read_identity(store) == "3"


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_damaged_store_comes_before_an_unfinished_one(
    dying: Dying, places: Iterator[ObjectStore], is_deleted: bool
) -> None:
    """If the record of a published store is damaged or gone, that is said, as no run goes on there."""
    store = next(places)
    write(store, FRESH, "1")
    assert killed(dying, 7, store, REPLACING, "2")
    folder = ObjectFolder(store.address)
    if is_deleted:
        folder.remove(["zarr.json"])
    else:
        folder.write("zarr.json", [b"{"])
    assert not store.find().is_unfinished
    assert store.find(to_resume=True).is_unfinished
    with pytest.raises(ValueError, match="isn't a result of mixture-pipeline"):
        store.find().read_record()
    with pytest.raises(FileExistsError, match="isn't a result of mixture-pipeline"):
        write(store, RESUMED, "3")


def test_another_program_writes_the_root(
    dying: Dying, places: Iterator[ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root that appears while a run publishes isn't replaced, and the results stay."""
    store = next(places)
    copy = ObjectFolder.copy

    def copy_and_write(self: ObjectFolder, path: str, target: ObjectFolder) -> None:
        target.write("zarr.json", [b"{}"])
        copy(self, path, target)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectFolder, "copy", copy_and_write)
        with pytest.raises(FileExistsError, match="was written by another program"):
            write(store, FRESH, "2")
    ObjectFolder(store.address).remove(["zarr.json"])
    write(store, RESUMED, "3")
    assert read_identity(store) == "2"
    assert dying.left == np.inf


def test_what_can_not_be_removed_is_named(
    dying: Dying, places: Iterator[ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published store is whole, even if its former folder can't be removed; the next run does it."""
    store = next(places)
    remove = ObjectFolder.remove

    def refuse(self: ObjectFolder, paths: list[str]) -> None:
        if store.folder.url == self.url or paths == [lease.NAME]:
            remove(self, paths)
            return
        raise PermissionError("no")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectFolder, "remove", refuse)
        with pytest.warns(RuntimeWarning, match=r"is whole, but s3://.* can't be removed: no\. Remove it"):
            write(store, FRESH, "1")
    beside = object_placement.beside(ObjectFolder(store.address))
    assert read_identity(store) == "1"
    assert len(beside.folders()) == 1
    write(store, REPLACING, "2")
    assert (read_identity(store), beside.folders()) == ("2", [])
    assert dying.left == np.inf


def test_each_keeps_the_order() -> None:
    """Results come in the order of the paths, and the error of one is raised."""
    assert object_placement.each(len, ["a" * n for n in range(2500)]) == list(range(2500))
    with pytest.raises(FileNotFoundError):
        object_placement.each(lambda path: Path(path).read_bytes(), ["/nowhere"])
