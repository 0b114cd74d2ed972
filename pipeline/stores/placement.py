"""Where a run writes: in a directory beside its output until the store is whole, one run at a time.

The store of a run that is at work, or was interrupted, is ``OUT.partial``. While a new store takes the place
of an old one, the old one is ``OUT.replaced`` for a moment. Both carry a mark, so that a foreign directory
that happens to have such a name is never removed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.stores.layout import METADATA, SHARDS
from pipeline.stores.lock import locked
from pipeline.stores.target import (
    MARK,
    check_free,
    check_left,
    check_target,
    is_created,
    replaced,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ORPHAN = re.compile(r"\.[0-9a-f]{32}\.partial$")


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
    places = [path, unfinished(path.resolve())]
    for directory in reversed(places) if to_resume else places:
        if directory.exists():
            return directory
    raise FileNotFoundError(f"{path} doesn't exist")


def holds_shards(directory: Path) -> bool:
    """Return whether any block has been written to a directory."""
    return any(path.is_file() for path in directory.glob(SHARDS))


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        # The path was checked when the run was planned, and time may have passed since.
        check_target(path, sources=(), overwrite=overwrite, resume=resume)
        directory = _prepare(path, overwrite=overwrite, resume=resume)
        try:
            yield directory
        except BaseException:
            if directory != path and not holds_shards(directory):
                _forget(directory)
            raise
        if directory != path:
            _replace(directory, path)


def _prepare(path: Path, *, overwrite: bool, resume: bool) -> Path:
    """Return the directory that a run shall write to, empty or with what an earlier run wrote."""
    partial = unfinished(path)
    _recover(path, resume=resume)
    if not (overwrite or resume):
        # The last line may have put an old store back.
        check_free(path)
    if partial.exists() and resume:
        if is_created(partial):
            _remove_orphans(partial)
            return partial
        if holds_shards(partial):
            raise FileExistsError(
                f"{partial} can't be resumed, because its {METADATA} can't be read. Overwrite it "
                "(overwrite=True, --overwrite), or remove it."
            )
        _discard(partial)
    if path.exists() and resume:
        _remove_orphans(path)
        return path
    if partial.exists():
        _discard(partial)
    partial.mkdir()
    (partial / MARK).touch()
    return partial


def _recover(path: Path, *, resume: bool) -> None:
    """Tidy up after a run that was killed while it replaced a store."""
    partial, old = unfinished(path), replaced(path)
    for place in (partial, old):
        if place.exists():
            check_left(place)
    if old.exists() and path.exists():
        _discard(old)
    elif old.exists() and not (partial.exists() and resume):
        old.rename(path)
        (path / MARK).unlink(missing_ok=True)


def _replace(directory: Path, path: Path) -> None:
    """Move a whole store to its place, and remove the old one."""
    old = replaced(path)
    if path.exists():
        # The old store is removed at once, so the new one must survive a power cut from here on.
        if hasattr(os, "sync"):
            os.sync()
        (path / MARK).touch()
        path.rename(old)
    directory.rename(path)
    (path / MARK).unlink(missing_ok=True)
    if old.exists():
        _discard(old)


def _forget(directory: Path) -> None:
    """Remove a directory in which the thread of zarr may still be creating files."""
    for _ in range(20):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.05)


def _discard(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise OSError(f"{directory} can't be removed: {error}. Remove it yourself.") from error


def _remove_orphans(directory: Path) -> None:
    """Remove the temporary files of killed writers: zarr writes a file under such a name, then renames it."""
    for orphan in directory.rglob("*.partial"):
        if _ORPHAN.search(orphan.name) and orphan.is_file():
            orphan.unlink(missing_ok=True)
