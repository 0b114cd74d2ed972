"""The lock of a store, which one run at a time holds.

It is the system's lock of a file, which ends with the process that holds it. Some mounts have no such locks:
NFS without its lock daemon, or Lustre without the option ``flock``. There a file that exists is the lock, the
mark. It names its process and its computer, so that one which a killed run left is recognized on the same
computer.
"""

from __future__ import annotations

import errno
import warnings
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock

# The errors of file systems that can't lock a file.
_CANT_LOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Parameters
    ----------
    path : Path
        The place of the store. Its directory exists.

    Raises
    ------
    BlockingIOError
        If another run holds the lock.
    OSError
        If the directory can't be written to.

    Warns
    -----
    RuntimeWarning
        If the file system can't lock files, so that a file that exists is the lock.
    """
    refusal = _why_unlockable(path)
    with ExitStack() as held:
        mark = path.with_name(f".{path.name}.softlock")
        if refusal is None:
            _lock_file(path, held)
        # A mark is another run's then, or one that a killed run left.
        if refusal or mark.exists():
            _write_mark(path, mark, held)
        if refusal:
            _check_unlocked(path, refusal)
            warnings.warn(
                f"the file system of {path.parent} can't lock files ({refusal}), so the file {mark.name} "
                "there keeps other runs off. If this run is killed and another computer is to go on with it, "
                "remove that file first.",
                RuntimeWarning,
                stacklevel=1,
            )
        yield


def _why_unlockable(path: Path) -> str | None:
    """Return the error of a file system that can't lock files, or None if it can."""
    try:
        import fcntl  # noqa: PLC0415  Windows lacks it, and can lock files everywhere
    except ImportError:
        return None
    try:
        # The file has no name, so that whoever is killed here leaves nothing.
        with TemporaryFile(dir=path.parent) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _CANT_LOCK:
                    raise
                return error.strerror
    except OSError as error:
        raise _unwritable(path, error) from error
    return None


def _lock_file(path: Path, held: ExitStack) -> None:
    """Lock a file beside the store until the stack is closed."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  costs a tenth of a second, and only runs need it

    # The library by itself would fall back to another kind of lock for one of the errors.
    lock = FileLock(_locked_file(path), blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"another run is writing {path}. Wait until it ends, or end it.") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    held.callback(_unlock, lock)


def _locked_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _unlock(lock: BaseFileLock) -> None:
    # The file is removed while the lock is held, because it might be another run's afterwards. Windows
    # doesn't allow that, and keeps the file.
    with suppress(PermissionError):
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _write_mark(path: Path, mark: Path, held: ExitStack) -> None:
    """Write a file that keeps other runs off until the stack is closed."""
    from filelock import SoftFileLock, Timeout  # noqa: PLC0415  see above

    # Some releases remove what a dead process left in one try, and write their own file in the next one.
    lock = SoftFileLock(mark, timeout=0.1)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"another run is writing {path}, or was killed: {mark} has the number of its process and the "
            "name of its computer. Wait until it ends, or remove the file if it has ended."
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from error
    held.callback(lock.release)


def _check_unlocked(path: Path, refusal: str) -> None:
    """Raise if a run may hold the system's lock: locks may be out of reach for a moment only."""
    file = _locked_file(path)
    if file.exists():
        raise BlockingIOError(
            f"another run may be writing {path}: {file} is there, and whether it is locked can't be found "
            f"out ({refusal}). Wait until that run ends, or remove the file if there is none."
        )


def _unwritable(path: Path, error: OSError) -> OSError:
    return OSError(f"can't write to {path.parent}: {error.strerror}. Choose another output.")
