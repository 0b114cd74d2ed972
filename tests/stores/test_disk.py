"""What is written is whole and on the disk, or not there; two names can be exchanged at once."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.stores import disk


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the paths of what is flushed, as they are at that moment."""
    paths: list[str] = []

    def note(opened: int) -> None:
        paths.append(os.fspath(Path(f"/proc/self/fd/{opened}").readlink()))

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_a_new_file_is_checked_beforehand(tmp_path: Path) -> None:
    """Whatever is there stays, even a link that leads nowhere; URLs and missing directories are refused."""
    disk.check_new_file(tmp_path / "new", overwrite=False)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "old").mkdir()
    for name in ("link", "old"):
        with pytest.raises(FileExistsError, match=f"{name} exists. Choose another name, or overwrite it"):
            disk.check_new_file(tmp_path / name, overwrite=False)
        disk.check_new_file(tmp_path / name, overwrite=True)
    with pytest.raises(FileNotFoundError, match=r"no/new can't be written; wanted a directory .*no that may"):
        disk.check_new_file(tmp_path / "no" / "new", overwrite=False)
    with pytest.raises(ValueError, match=r"^s3://b/x.png is a URL, and only runs write there; wanted a path"):
        disk.check_new_file(Path("s3://b/x.png"), overwrite=True)


@pytest.mark.parametrize(
    "content",
    [b"", b"one\r\ntwo\n", np.arange(100, dtype=np.uint8).data, np.zeros(0, np.uint8).data],
    ids=["empty", "lines", "array", "empty array"],
)
def test_a_file_is_written(tmp_path: Path, content: Any) -> None:
    """Bytes and arrays are written as they are, in place of what there was, into missing directories."""
    path = tmp_path / "deep" / "er" / "file"
    for _ in range(2):
        disk.write_file(path, content)
        assert path.read_bytes() == bytes(content)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, flushed: list[str]) -> None:
    """What is flushed is the temporary file, with all of its content."""
    disk.write_file(tmp_path / "file", b"content")
    ((folder, name),) = (os.path.split(path) for path in flushed)
    assert folder == str(tmp_path)
    assert name.startswith("file.")
    assert name.endswith(".partial")


def test_all_of_a_file_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may write less than it is given, as it does for more than two gigabytes."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda opened, content: write(opened, content[:3]))
    disk.write_file(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_file_that_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The error names the file, the file that was there stays, and nothing else is left."""
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*file'"):
        disk.write_file(path, b"after")
    monkeypatch.undo()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_are_removed(tmp_path: Path) -> None:
    """What killed writers left goes, and nothing else that has a similar name."""
    (tmp_path / "c" / "0").mkdir(parents=True)
    others = [tmp_path / "out.partial", tmp_path / "c" / f"{31 * '0'}.partial"]
    for path in (*others, tmp_path / "c" / "0" / f"1.{32 * 'a'}.partial", tmp_path / f"x.{32 * '0'}.partial"):
        path.touch()
    disk.remove_temporary_files(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(others)


def test_directories_are_flushed_from_below(tmp_path: Path, flushed: list[str]) -> None:
    """A name is on the disk before the directory that it leads to has its own name there."""
    disk.make_directory(tmp_path / "a" / "b")
    assert sorted(flushed) == [str(tmp_path), str(tmp_path / "a")]
    flushed.clear()
    disk.make_directory(tmp_path / "a" / "b")
    assert flushed == []
    disk.sync_tree(tmp_path)
    assert flushed == [str(path) for path in (tmp_path / "a" / "b", tmp_path / "a", tmp_path)]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_systems_that_dont_flush_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Windows doesn't open directories, and some network disks don't flush them; other errors are raised."""

    def fail(number: int) -> Any:
        def call(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        return call

    monkeypatch.setattr(os, "fsync", fail(error))
    disk.sync_directory(tmp_path)
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path}'"):
        disk.sync_directory(tmp_path)
    monkeypatch.setattr(os, "open", fail(errno.EACCES))
    disk.sync_directory(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems can't exchange two names")
def test_names_are_exchanged(tmp_path: Path) -> None:
    """Each directory has the other's name then; if one is missing, nothing has changed."""
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
        (place / place.name).touch()
    assert not disk.exchange(one, tmp_path / "none")
    assert disk.exchange(one, other)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.glob("*/*"))] == [
        "one/other",
        "other/one",
    ]


def test_systems_that_dont_exchange_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such call, that is said."""
    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", lambda _: object())
        assert not disk.exchange(tmp_path / "one", tmp_path / "other")
    monkeypatch.setattr(sys, "platform", "win32")
    assert not disk.exchange(tmp_path / "one", tmp_path / "other")
