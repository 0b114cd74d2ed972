"""Where a run writes: in a directory beside its output until the store is whole, one run at a time.

The store of a run that is at work, or was interrupted, is ``OUT.partial``. A new store takes the place of an
old one by exchanging their names, so that there is one of the two at any moment. Where the system can't do
that, the old one is ``OUT.replaced`` for a moment.

Two marks say what a directory is, whatever its name and whenever a run was killed. The directory of a run
carries one, so that a foreign directory that happens to have such a name is never removed. Once the run has
begun, it holds the name of the run, so that the tasks of a run that has ended, but which a cluster still
computes, write nothing into the directory of another one. A store carries the other mark from before it is
replaced or discarded until nothing else is left of it.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.stores import disk
from pipeline.stores.layout import METADATA, SHARDS
from pipeline.stores.lock import locked
from pipeline.stores.target import (
    MARK,
    OBSOLETE,
    check_free,
    check_left,
    check_target,
    is_created,
    is_obsolete,
    replaced,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def find_store(path: Path, *, to_resume: bool = False) -> Path:
    """Return the directory that a run left.

    Parameters
    ----------
    path : Path
        The place of the store.
    to_resume : bool
        If True, the directory of an unfinished run comes first; if False, the store itself.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    partial, old = unfinished(path.resolve()), replaced(path.resolve())
    # A run may have been killed before it began its store, or while it discarded one.
    is_left = partial.exists() and not is_obsolete(partial)
    is_begun = is_left and (is_created(partial) or holds_shards(partial))
    if to_resume and is_begun:
        return partial
    if path.exists():
        return path
    # A run was killed when the old store was aside, and the new one not in its place yet.
    if is_obsolete(old) and is_created(old):
        return old
    if is_begun:
        return partial
    raise FileNotFoundError(f"{path} doesn't exist")


def holds_shards(directory: Path) -> bool:
    """Return whether any block has been written to a directory."""
    return any(path.is_file() for pattern in SHARDS for path in directory.glob(pattern))


@contextmanager
def opened_for_run(path: Path, *, overwrite: bool, resume: bool) -> Iterator[Path]:
    """Give a run its directory, and move the directory to its place once it is whole.

    Parameters
    ----------
    path : Path
        The place of the store. A store that is there already stays, and can be read, until the new one is
        whole.
    overwrite : bool
        Whether the store that is there may be replaced at the end, and an unfinished one is discarded now.
    resume : bool
        Whether to go on with an unfinished store, or else to mend the store that is there.

    Yields
    ------
    Path
        The directory ``path.partial``, which no other run uses, or `path` itself if it is mended. If the run
        fails, its directory is kept for another run to resume, unless no block was written.

    Raises
    ------
    FileExistsError
        If there is a store that may be neither replaced nor resumed.
    BlockingIOError
        If another run is writing there.
    """
    path = path.resolve()
    disk.make_directory(path.parent)
    with locked(path):
        # The path was checked when the run was planned, and time may have passed since.
        check_target(path, sources=(), overwrite=overwrite, resume=resume)
        directory = _prepare(path, overwrite=overwrite, resume=resume)
        try:
            yield directory
        except BaseException:
            if directory != path and not holds_shards(directory):
                # The error that ended the run is the one to report.
                with suppress(OSError):
                    _discard(directory)
            raise
        if directory != path:
            _replace(directory, path)
        (path / MARK).unlink(missing_ok=True)


def _prepare(path: Path, *, overwrite: bool, resume: bool) -> Path:
    """Return the directory that a run shall write to, empty or with what an earlier run wrote."""
    partial = unfinished(path)
    _recover(path, resume=resume)
    if not (overwrite or resume):
        # The last line may have put an old store back.
        check_free(path)
    if partial.exists() and resume:
        if is_created(partial):
            disk.remove_temporary_files(partial)
            return partial
        if holds_shards(partial):
            raise FileExistsError(
                f"{partial} can't be resumed, because its {METADATA} can't be read. Overwrite it "
                "(overwrite=True, --overwrite), or remove it."
            )
        _discard(partial)
    if path.exists() and resume:
        disk.remove_temporary_files(path)
        return path
    if partial.exists():
        _discard(partial)
    partial.mkdir()
    (partial / MARK).touch()
    disk.sync_directory(partial)
    disk.sync_directory(path.parent)
    return partial


def _recover(path: Path, *, resume: bool) -> None:
    """Tidy up after a run that was killed while it replaced a store."""
    partial, old = unfinished(path), replaced(path)
    for place in (partial, old):
        if place.exists():
            check_left(place)
    if is_obsolete(partial):
        _discard(partial)
    if old.exists() and path.exists():
        _discard(old)
    elif old.exists() and not (partial.exists() and resume):
        old.rename(path)
        disk.sync_directory(path.parent)
    for mark in (MARK, OBSOLETE):
        (path / mark).unlink(missing_ok=True)


def _replace(directory: Path, path: Path) -> None:
    """Move a whole store to its place, and remove the old one once the new one is there."""
    old = replaced(path)
    if path.exists():
        (path / OBSOLETE).touch()
        disk.sync_directory(path)
        if disk.exchange(directory, path):
            old = directory
        else:
            path.rename(old)
            disk.sync_directory(path.parent)
            directory.rename(path)
    else:
        directory.rename(path)
    disk.sync_directory(path.parent)
    if old.exists():
        _discard(old)


def _discard(directory: Path) -> None:
    """Remove a directory, so that at any moment its mark says that what is left of it may be removed."""
    mark = directory / OBSOLETE
    try:
        mark.touch()
        disk.sync_directory(directory)
        for entry in list(directory.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != mark:
                entry.unlink()
        disk.sync_directory(directory)
        mark.unlink()
        directory.rmdir()
    except OSError as error:
        raise OSError(f"{directory} can't be removed: {error}. Remove it yourself.") from error
