"""A store in its place is whole, nothing foreign is touched, and one run writes at a time."""

from __future__ import annotations

import shutil
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from stores.numbered import OUTPUTS, fill, names, record_of, run_of, write

from pipeline.stores import disk, placement
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore
from pipeline.stores.target import MARK, OBSOLETE
from pipeline.testing.filling import FRESH, REPLACING, RESUMED

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_whole_is_moved(tmp_path: Path) -> None:
    """A store is beside its place while it is written, and in its place alone then."""
    path = tmp_path / "deep" / "out.zarr"
    with placement.opened_for_run(path, **FRESH) as directory:
        assert names(path.parent) == [".out.zarr.lock", "out.zarr.partial"]
        fill(directory, 1)
        assert not path.exists()
    assert names(path.parent) == ["out.zarr"]
    assert run_of(path) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full"), SystemExit(143)], ids=repr)
def test_what_a_failed_run_wrote_is_kept_and_resumed(tmp_path: Path, error: BaseException) -> None:
    """A run that fails leaves what it wrote, in a directory that says it isn't whole, and no lock."""
    path = tmp_path / "out.zarr"
    with pytest.raises(type(error)):
        write(path, 1, FRESH, error)
    assert names(tmp_path) == ["out.zarr.partial"]
    assert placement.find_store(path) == tmp_path / "out.zarr.partial"
    with placement.opened_for_run(path, **RESUMED) as directory:
        assert run_of(directory) == 1
        assert LocalStore(directory).check_block(arrange(OUTPUTS), (0, 0)) == []
    assert names(tmp_path) == ["out.zarr"]


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    """Where no block was written there is nothing to keep."""

    def fail() -> None:
        with placement.opened_for_run(tmp_path / "out.zarr", **FRESH) as directory:
            LocalStore(directory).create(record_of(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == []


def test_the_old_result_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """An overwritten result can be read meanwhile, stays if the new run fails, and goes if it succeeds."""
    path = tmp_path / "out.zarr"
    fill(path, 1)
    with placement.opened_for_run(path, **REPLACING) as directory:
        fill(directory, 2)
        assert run_of(path) == 1
    assert run_of(path) == 2
    with pytest.raises(OSError, match="disk full"):
        write(path, 3, REPLACING, OSError("disk full"))
    assert run_of(path) == 2
    assert names(tmp_path) == ["out.zarr", "out.zarr.partial"]
    write(path, 3, RESUMED)
    assert run_of(path) == 3
    assert names(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            FRESH,
            r"or that is still at work. Resume it to go on with it \(resume=True, --resume\), or overwrite",
        ),
        (REPLACING, None),
        (RESUMED, None),
    ],
    ids=["fresh", "overwrite", "resume"],
)
def test_what_is_done_with_an_unfinished_run(
    tmp_path: Path, options: dict[str, bool], wanted: str | None
) -> None:
    """It is refused, discarded or resumed, as is asked."""
    path = tmp_path / "out.zarr"
    fill(tmp_path / "out.zarr.partial", 1, finished=False)
    if wanted:
        with pytest.raises(FileExistsError, match=wanted):
            write(path, 2, options)
        assert run_of(tmp_path / "out.zarr.partial") == 1
        return
    assert write(path, 2, options) == tmp_path / "out.zarr.partial"
    assert run_of(path) == (1 if options["resume"] else 2)
    assert names(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize(
    ("options", "place"),
    [(FRESH, None), (REPLACING, "out.zarr.partial"), (RESUMED, "out.zarr")],
    ids=["fresh", "overwrite", "resume"],
)
def test_what_is_done_with_a_whole_store(tmp_path: Path, options: dict[str, bool], place: str | None) -> None:
    """It is refused, replaced or mended in its place, as is asked."""
    path = tmp_path / "out.zarr"
    fill(path, 1)
    if place is None:
        with pytest.raises(FileExistsError, match=r"out.zarr exists. Choose another output, mend it"):
            write(path, 2, options)
    else:
        assert write(path, 2, options) == tmp_path / place
    assert run_of(path) == (2 if options["overwrite"] else 1)
    assert names(tmp_path) == ["out.zarr"]


def test_a_failed_mending_removes_nothing(tmp_path: Path) -> None:
    """A store that is mended stays, whatever happens, even where it has no shard left."""
    path = tmp_path / "out.zarr"
    LocalStore(path).create(record_of(1))
    with pytest.raises(OSError, match="disk full"):
        write(path, 2, RESUMED, OSError("disk full"))
    assert run_of(path) == 1


@pytest.mark.parametrize("options", [FRESH, REPLACING, RESUMED], ids=["fresh", "overwrite", "resume"])
def test_a_kill_between_the_two_renames(tmp_path: Path, options: dict[str, bool]) -> None:
    """When the old store is aside and the new one isn't in its place yet, neither is lost unasked."""
    path = tmp_path / "out.zarr"
    fill(tmp_path / "out.zarr.replaced", 1)
    fill(tmp_path / "out.zarr.partial", 2)
    if options == FRESH:
        with pytest.raises(FileExistsError, match="Resume it to go on"):
            write(path, 3, options)
        assert (run_of(tmp_path / "out.zarr.replaced"), run_of(tmp_path / "out.zarr.partial")) == (1, 2)
        assert names(tmp_path) == ["out.zarr.partial", "out.zarr.replaced"]
        options = RESUMED
    write(path, 3, options)
    assert run_of(path) == (2 if options["resume"] else 3)
    assert names(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("options", [REPLACING, RESUMED], ids=["overwrite", "resume"])
@pytest.mark.parametrize("suffix", ["partial", "replaced"])
@pytest.mark.parametrize("is_cut", [True, False])
def test_a_kill_while_the_old_store_is_removed(
    tmp_path: Path, options: dict[str, bool], suffix: str, is_cut: bool
) -> None:
    """What is left of a replaced store, even without its metadata, goes with the next run."""
    path, left = tmp_path / "out.zarr", tmp_path / f"out.zarr.{suffix}"
    fill(path, 2)
    fill(left, 1)
    (left / MARK).unlink()
    (left / OBSOLETE).touch()
    if is_cut:
        (left / "zarr.json").unlink()
        (left / "0" / "image" / "zarr.json").unlink()
    for to_resume in (False, True):
        assert placement.find_store(path, to_resume=to_resume) == path
    with pytest.raises(FileExistsError, match=r"out.zarr exists"):
        write(path, 3, FRESH)
    write(path, 3, options)
    assert run_of(path) == (2 if options["resume"] else 3)
    assert names(tmp_path) == ["out.zarr"]


def test_the_old_store_is_found_while_it_is_aside(tmp_path: Path) -> None:
    """Where two names can't be exchanged, a reader finds the old store under its other name."""
    fill(tmp_path / "out.zarr.replaced", 1)
    fill(tmp_path / "out.zarr.partial", 2)
    (tmp_path / "out.zarr.replaced" / OBSOLETE).touch()
    assert run_of(placement.find_store(tmp_path / "out.zarr")) == 1
    assert run_of(placement.find_store(tmp_path / "out.zarr", to_resume=True)) == 2


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_name_is_never_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    """Where the system can exchange two names, no store is ever renamed away from its place."""
    path, renamed, rename = tmp_path / "out.zarr", [], type(tmp_path).rename

    def note(source: Path, target: Path) -> Path:
        renamed.append((source.name, target.name))
        return rename(source, target)

    monkeypatch.setattr(type(tmp_path), "rename", note)
    if not can_exchange:
        monkeypatch.setattr(disk, "exchange", lambda *_: False)
    elif sys.platform != "linux":
        pytest.skip("this system can't exchange two names")
    fill(path, 1)
    write(path, 2, REPLACING)
    two = [("out.zarr", "out.zarr.replaced"), ("out.zarr.partial", "out.zarr")]
    assert renamed == ([] if can_exchange else two)
    assert run_of(path) == 2
    assert names(tmp_path) == ["out.zarr"]
    assert not [file.name for file in path.iterdir() if file.name in {MARK, OBSOLETE}]


def test_marks_that_a_killed_run_left_in_a_store(tmp_path: Path) -> None:
    """A store that has its place already, or was going to be replaced, is mended as any other."""
    path = tmp_path / "out.zarr"
    fill(path, 1)
    for mark in (MARK, OBSOLETE):
        (path / mark).touch()
    assert placement.find_store(path) == path
    write(path, 2, RESUMED)
    assert run_of(path) == 1
    assert sorted(file.name for file in path.iterdir()) == ["0", "1", "2", "3", "zarr.json"]


@pytest.mark.parametrize("lost", [[], ["zarr.json"], ["zarr.json", "0/image/zarr.json"]], ids=len)
def test_a_kill_while_the_store_is_created(tmp_path: Path, lost: list[str]) -> None:
    """What has no attributes yet is begun anew."""
    partial = tmp_path / "out.zarr.partial"
    partial.mkdir()
    (partial / MARK).touch()
    LocalStore(partial).create(record_of(1))
    zarr.open_group(partial).attrs.clear()
    for name in lost:
        (partial / name).unlink()
    (partial / "zarr.0123.partial").touch()
    write(tmp_path / "out.zarr", 2, RESUMED)
    assert run_of(tmp_path / "out.zarr") == 2
    assert names(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}"], ids=repr)
def test_shards_without_a_record_arent_removed_unasked(tmp_path: Path, content: bytes | None) -> None:
    """What holds shards but can't say of which run is neither resumed nor begun anew, only overwritten."""
    partial = tmp_path / "out.zarr.partial"
    fill(partial, 1, finished=False)
    record = partial / "zarr.json"
    record.unlink() if content is None else record.write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"can't be resumed, because its zarr.json can't be r"):
        write(tmp_path / "out.zarr", 2, RESUMED)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    write(tmp_path / "out.zarr", 2, REPLACING)
    assert run_of(tmp_path / "out.zarr") == 2
    assert names(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("name", ["out.zarr", "out.zarr.partial"])
def test_temporary_files_are_cleaned(tmp_path: Path, name: str) -> None:
    """What zarr was writing when a run was killed goes when the store is resumed or mended."""
    directory = tmp_path / name
    fill(directory, 1, finished=name == "out.zarr")
    orphans = [
        directory / "0" / "image" / "c" / "0" / "0" / f"1.{32 * '0'}.partial",
        directory / f"zarr.{32 * 'f'}.partial",
    ]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    (directory / "notes.partial").write_text("somebody's")
    shards = sorted((directory / "0" / "image" / "c").rglob("[0-9]"))
    write(tmp_path / "out.zarr", 2, RESUMED)
    path = tmp_path / "out.zarr"
    assert [file.name for file in path.rglob("*.partial")] == ["notes.partial"]
    assert sorted((path / "0" / "image" / "c").rglob("[0-9]")) == [
        path / shard.relative_to(directory) for shard in shards
    ]


@pytest.mark.parametrize("options", [FRESH, REPLACING, RESUMED], ids=["fresh", "overwrite", "resume"])
@pytest.mark.parametrize("suffix", ["partial", "replaced"])
@pytest.mark.parametrize("kind", ["directory", "file", "array", "image"])
def test_what_is_in_the_way_is_refused(
    tmp_path: Path, options: dict[str, bool], suffix: str, kind: str
) -> None:
    """Something foreign with a name that a run needs is neither removed nor taken for a store."""
    foreign = tmp_path / f"out.zarr.{suffix}"
    if kind == "image":
        image = zarr.create_group(foreign).create_group("image")
        image.create_array("0", data=np.ones((5, 5)), chunks=(5, 5))
    elif kind == "array":
        zarr.create_array(foreign, data=np.ones((5, 5)), chunks=(5, 5))
    elif kind == "directory":
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("all of it")
    else:
        foreign.write_text("all of it")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=rf"{suffix} is in the way, and no run of mixture-p"):
        write(tmp_path / "out.zarr", 1, options)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("options", [FRESH, REPLACING, RESUMED], ids=["fresh", "overwrite", "resume"])
def test_two_runs_on_one_output(tmp_path: Path, options: dict[str, bool]) -> None:
    """While a run writes, another is refused and touches nothing; then the place is free."""
    path = tmp_path / "out.zarr"
    with placement.opened_for_run(path, **FRESH) as directory:
        fill(directory, 1)
        for _ in range(2):
            with pytest.raises(BlockingIOError, match=r"another run is writing .*out.zarr. Wait until"):
                write(path, 2, options)
    assert run_of(path) == 1
    write(path, 3, REPLACING)
    assert run_of(path) == 3
    assert names(tmp_path) == ["out.zarr"]


def test_what_came_meanwhile_isnt_overwritten(tmp_path: Path) -> None:
    """Something foreign that came since the run was planned is refused still."""
    path = tmp_path / "out.zarr"
    path.mkdir()
    (path / "thesis.txt").write_text("all of it")
    for options in (FRESH, REPLACING, RESUMED):
        with pytest.raises(
            FileExistsError, match="isn't a result of mixture-pipeline, so it isn't overwritten"
        ):
            write(path, 1, options)
    assert (path / "thesis.txt").read_text() == "all of it"
    assert names(tmp_path) == ["out.zarr"]


def test_of_many_runs_at_once_one_writes(tmp_path: Path) -> None:
    """However many start together, at most one is inside at any time, and none breaks another."""
    path, inside, most, ended = tmp_path / "places" / "out.zarr", 0, 0, []
    fill(tmp_path / "any.zarr", 1)

    def attempt() -> None:
        nonlocal inside, most
        for _ in range(30):
            try:
                with placement.opened_for_run(path, **REPLACING) as directory:
                    inside += 1
                    most = max(most, inside)
                    shutil.copytree(tmp_path / "any.zarr", directory, dirs_exist_ok=True)
                    inside -= 1
            except BlockingIOError:
                ended.append("refused")
            else:
                ended.append("done")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(ended) == 120
    assert "done" in ended
    assert names(path.parent) == ["out.zarr"]


def test_a_lock_that_a_killed_run_left(tmp_path: Path) -> None:
    """The system frees a dead process's lock; its file is no hindrance."""
    (tmp_path / ".out.zarr.lock").touch()
    write(tmp_path / "out.zarr", 1, FRESH)
    assert names(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_followed(tmp_path: Path, dangling: bool) -> None:
    """Where the output is a link, what it points to is written, and the link stays."""
    path, link = tmp_path / "out.zarr", tmp_path / "link.zarr"
    link.symlink_to(path)
    if not dangling:
        fill(path, 1)
    with pytest.raises(OSError, match="disk full"):
        write(link, 2, REPLACING, OSError("disk full"))
    assert placement.find_store(link, to_resume=True) == tmp_path / "out.zarr.partial"
    write(link, 2, RESUMED)
    assert link.is_symlink()
    assert run_of(path) == 2
    assert names(tmp_path) == ["link.zarr", "out.zarr"]


def test_finding_a_store(tmp_path: Path) -> None:
    """A store is read where it is whole and resumed where it isn't; where there is neither, that is said."""
    path = tmp_path / "out.zarr"
    with pytest.raises(FileNotFoundError, match=r"out.zarr doesn't exist"):
        placement.find_store(path)
    fill(path, 1)
    assert placement.find_store(path) == path
    fill(tmp_path / "out.zarr.partial", 2, finished=False)
    assert placement.find_store(path) == path
    assert placement.find_store(path, to_resume=True) == tmp_path / "out.zarr.partial"
