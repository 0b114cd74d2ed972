"""Where a run writes: beside its output's place until the store is whole, one run at a time."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.stores.local import read_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ORPHAN = re.compile(r"\.[0-9a-f]{32}\.partial$")
# A file that says of a directory beside the output that it is this package's.
_MARK = ".mixture-pipeline"
# As a Path prints it: one slash. A single letter is a drive.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def check_target(path: Path, *, sources: Iterable[Path], overwrite: bool, resume: bool) -> None:
    """Refuse an output that would destroy something.

    Parameters
    ----------
    path : Path
        Where the store shall be.
    sources : iterable of Path
        Files and directories that the run reads.
    overwrite, resume : bool
        As of :func:`opened_for_run`.

    Raises
    ------
    FileExistsError
        If something is there already that isn't a result of this package, or may be neither replaced nor
        resumed.
    ValueError
        If the output is the source, or one lies inside the other.
    """
    if _URL.match(str(path)):
        raise ValueError(f"{path}: results are written to a local or mounted directory; got a URL")
    output = path.resolve()
    places = (output, unfinished(output), _replaced(output))
    for source in sources:
        read = source.resolve()
        if any(place == read or place in read.parents or read in place.parents for place in places):
            raise ValueError(
                f"output {path} and image {source} lie inside one another; choose another output"
            )
    for parent in output.parents:
        if (parent / "zarr.json").exists():
            raise ValueError(f"output {path} lies inside the Zarr store {parent}. Choose another output.")
    if path.exists() and not _is_created(path):
        raise FileExistsError(
            f"{path} exists and isn't a result of mixture-pipeline, so it isn't overwritten. Choose another "
            "output, or remove it yourself."
        )
    if not (overwrite or resume):
        _check_free(path.resolve())


def _check_free(path: Path) -> None:
    partial = unfinished(path)
    if partial.exists():
        _check_left(partial)
        raise FileExistsError(
            f"{partial} is what an unfinished run left, unless one is still at work. Ask to resume it, or to "
            "overwrite it."
        )
    if path.exists():
        raise FileExistsError(f"{path} exists. Choose another output, or ask to overwrite it.")


def unfinished(path: Path) -> Path:
    """Give the directory in which a run writes until its store is whole."""
    return path.with_name(f"{path.name}.partial")


def find_store(path: Path, *, to_resume: bool = False) -> Path:
    """Give the directory that a run left.

    Parameters
    ----------
    path : Path
        Where the store shall be.
    to_resume : bool
        True looks first for what an unfinished run left, False for the store itself.

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
    """Tell whether anything was written to a store."""
    return any(path.is_file() for path in directory.glob("*/0/c/**/*"))


@contextmanager
def opened_for_run(path: Path, *, overwrite: bool, resume: bool) -> Iterator[Path]:
    """Give a run its directory, and move what is whole then to its place.

    Parameters
    ----------
    path : Path
        Where the store shall be. What is there already stays, and can be read, until the new one is whole.
    overwrite : bool
        Whether what is there may be replaced then, and what an unfinished run left is discarded now.
    resume : bool
        Whether to go on with what an unfinished run left, or else to mend what is there.

    Yields
    ------
    Path
        The directory ``path.partial``, this run's own, or `path` itself where it is mended. If the run fails,
        what it wrote is kept for another to resume, unless it is nothing.

    Raises
    ------
    FileExistsError
        If there is something and it may be neither replaced nor resumed.
    BlockingIOError
        If another run is writing there.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  costs a tenth of a second that evaluation needn't

    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"another run is writing {path}. Wait for it, or end it.") from None
    except OSError as error:
        raise OSError(f"can't write to {path.parent}: {error.strerror}. Choose another output.") from error
    try:
        # Again: time may have passed since the run was planned.
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
    finally:
        # While it is held, lest another's is removed; Windows doesn't allow that, and keeps it.
        with suppress(PermissionError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _prepare(path: Path, *, overwrite: bool, resume: bool) -> Path:
    partial = unfinished(path)
    _recover(path, resume=resume)
    if not (overwrite or resume):
        # Of what is there now: the last line may have put an old store back.
        _check_free(path)
    if partial.exists() and resume:
        if _is_created(partial):
            _remove_orphans(partial)
            return partial
        if holds_shards(partial):
            raise FileExistsError(
                f"{partial} can't be resumed: its zarr.json can't be read. Ask to overwrite it, or remove it."
            )
        _discard(partial)
    if path.exists() and resume:
        _remove_orphans(path)
        return path
    if partial.exists():
        _discard(partial)
    partial.mkdir()
    (partial / _MARK).touch()
    return partial


def _recover(path: Path, *, resume: bool) -> None:
    """Tidy what a run left that was killed while it replaced a store."""
    partial, replaced = unfinished(path), _replaced(path)
    for place in (partial, replaced):
        if place.exists():
            _check_left(place)
    if replaced.exists() and path.exists():
        _discard(replaced)
    elif replaced.exists() and not (partial.exists() and resume):
        replaced.rename(path)
        (path / _MARK).unlink(missing_ok=True)


def _is_created(directory: Path) -> bool:
    try:
        read_attributes(directory)
    except ValueError:
        return False
    return True


def _check_left(place: Path) -> None:
    if not _is_left(place):
        raise FileExistsError(f"{place} is in the way, and isn't what a run left. Remove it yourself.")


def _is_left(directory: Path) -> bool:
    """Tell what a run left, which it has marked, from what is foreign."""
    return directory.is_dir() and ((directory / _MARK).exists() or not any(directory.iterdir()))


def _replace(directory: Path, path: Path) -> None:
    replaced = _replaced(path)
    if path.exists():
        # The old store goes at once: after a power cut the new one must be there.
        if hasattr(os, "sync"):
            os.sync()
        (path / _MARK).touch()
        path.rename(replaced)
    directory.rename(path)
    (path / _MARK).unlink(missing_ok=True)
    if replaced.exists():
        _discard(replaced)


def _forget(directory: Path) -> None:
    """Remove a directory in which zarr's own thread may still be creating something."""
    for _ in range(20):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.05)


def _discard(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise OSError(f"{directory} is to be removed, and can't be: {error}. Remove it.") from error


def _replaced(path: Path) -> Path:
    return path.with_name(f"{path.name}.replaced")


def _remove_orphans(directory: Path) -> None:
    """Remove the temporary files that killed writers left: zarr writes a file aside, then renames it."""
    for orphan in directory.rglob("*.partial"):
        if _ORPHAN.search(orphan.name) and orphan.is_file():
            orphan.unlink(missing_ok=True)
