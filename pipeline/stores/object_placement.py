"""Where a run writes in object storage: in a folder of its own until its store is whole, one run at a time.

While a run is at work, its store is ``OUT.partial/TOKEN``, and ``OUT.partial/lease`` names it. The folder of
a fresh run is another one each time, so that a late task of a run that is over never writes into a newer
store. Object storage can't rename: a whole store is copied to its address, the metadata of its root last, so
that nothing opens there before all of it is there. An old store stays until the new one is whole, and then
loses the metadata of its root first. The new one stays in its folder until all is copied, and a run that
resumes copies it again if need be.

A run asks for its lease before it removes or publishes anything. Since no server removes an object on a
condition, a process that is suspended just then, for longer than another run waits, can still send that one
request.
"""

from __future__ import annotations

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from pipeline.images.object_storage import ObjectFolder
from pipeline.stores import lease
from pipeline.stores.layout import METADATA, read_attribute_of
from pipeline.stores.target import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.stores.lease import Lease

T = TypeVar("T")
# The key of the attribute of a published root that names the run.
RUN = "mixture-pipeline-run"
# Names of the folders of runs.
_TOKEN = re.compile(r"[0-9a-f]{32}")
# The shards of the full resolution of all layers.
_SHARD = re.compile(r"(?:(?:packed|labels)/[^/]+/)?0/[^/]+/c/")
# Requests at once, most of whose time is waiting.
_THREADS = 16
# Objects that one request removes.
_AT_ONCE = 1000


def beside(target: ObjectFolder) -> ObjectFolder:
    """Return the folder of the lease of an address and of its unfinished store."""
    return ObjectFolder(f"{target.url}.partial")


def is_created(folder: ObjectFolder) -> bool:
    """Return whether a folder has a record, which is the last thing that creating a store writes."""
    try:
        return read_attribute_of(folder.read(METADATA)) is not None
    except FileNotFoundError:
        return False


def holds_shards(folder: ObjectFolder) -> bool:
    """Return whether any block has been written to a folder."""
    return any(_SHARD.match(name) for name, _ in folder.names())


def each(function: Callable[[str], T], paths: Iterable[str]) -> list[T]:
    """Call a function with each path, several at once, and return the results in order."""
    results: list[T] = []
    paths = iter(paths)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(paths, _AT_ONCE)):
            results += pool.map(function, batch)
    return results


def find_store(target: ObjectFolder, *, to_resume: bool = False) -> ObjectFolder:
    """Return the folder that a run left: the address, or first the unfinished store `to_resume`.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    partial = _find_partial(target)
    is_begun = partial is not None and (is_created(partial) or holds_shards(partial))
    if to_resume and is_begun and partial is not None:
        return partial
    # Unless a run was killed while it published, what is under the address is a store whose record may be
    # damaged, or something foreign.
    if target.is_there(METADATA):
        return target
    left, is_empty = lease.read(beside(target)), next(target.names(), None) is None
    if is_begun and partial is not None and (is_empty or (left is not None and left.is_publishing)):
        return partial
    if is_empty:
        raise FileNotFoundError(f"{target.url} doesn't exist")
    return target


def check_sources(target: ObjectFolder, sources: Iterable[object]) -> None:
    """Refuse an output that is a source, or if one of the two lies inside the other.

    Parameters
    ----------
    target : ObjectFolder
        The address of the store.
    sources : iterable of str
        The URLs of the objects that the run reads.

    Raises
    ------
    ValueError
        If there is such a source.
    """
    for source in map(str, sources):
        read = f"{ObjectFolder(source).url}/"
        for place in (f"{target.url}/", f"{beside(target).url}/"):
            if read.startswith(place) or place.startswith(read):
                raise ValueError(
                    f"output {target.url} and image {source} lie inside one another. Choose another output."
                )


def check_target(target: ObjectFolder, *, overwrite: bool, resume: bool) -> None:
    """Refuse an output that would destroy something.

    Raises
    ------
    FileExistsError
        If something is there already that isn't a result of this package, or that may be neither replaced
        nor resumed.
    ValueError
        If the output lies inside another Zarr store, or the name of a new store is that of an image file.
    """
    scheme, _, path = target.url.partition("://")
    bucket, *names = path.split("/")
    if not names:
        raise ValueError(
            f"{target.url} is a whole bucket. Choose a name in it, for example {target.url}/out.zarr."
        )
    for depth in range(len(names)):
        parent = ObjectFolder("/".join([f"{scheme}://{bucket}", *names[:depth]]))
        with suppress(PermissionError):
            # Whoever may write to a folder needn't be allowed to look above it.
            if not parent.is_there(METADATA):
                continue
            raise ValueError(
                f"output {target.url} lies inside the Zarr store {parent.url}. Choose another output."
            )
    left, is_published = lease.read(beside(target)), is_created(target)
    partial = _find_partial(target)
    is_begun = partial is not None and next(partial.names(), None) is not None
    is_ours = is_published or (left is not None and left.is_publishing)
    if not is_ours and next(target.names(), None) is not None:
        raise FileExistsError(
            f"{target.url} exists and isn't a result of mixture-pipeline, so it isn't overwritten. Choose "
            "another output, or remove it yourself."
        )
    stem, dot, suffix = names[-1].rpartition(".")
    if not (is_ours or is_begun) and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES:
        raise ValueError(
            f"output {target.url} has the name of an image file, but results are a Zarr store. Choose "
            f"another name, for example {stem}.zarr."
        )
    if not (overwrite or resume):
        _check_free(target, is_begun=is_begun, is_published=is_published)


def _check_free(target: ObjectFolder, *, is_begun: bool, is_published: bool) -> None:
    options = "(resume=True, --resume), or overwrite it (overwrite=True, --overwrite)."
    if is_begun:
        raise FileExistsError(
            f"{beside(target).url} is the store of a run that was interrupted, or that is still at work. "
            f"Resume it to go on with it {options}"
        )
    if is_published:
        raise FileExistsError(f"{target.url} exists. Choose another output, mend it {options}")


@contextmanager
def opened_for_run(
    target: ObjectFolder, *, overwrite: bool, resume: bool
) -> Iterator[tuple[ObjectFolder, str]]:
    """Give a run its folder and the token of its lease, and copy the folder to the address once it is whole.

    Parameters
    ----------
    target : ObjectFolder
        The address of the store.
    overwrite, resume : bool
        As for :meth:`Store.opened_for_run`.

    Raises
    ------
    FileExistsError
        If there is a store that may be neither replaced nor resumed.
    BlockingIOError
        If another run is writing there, or has taken the place over.
    """
    place = beside(target)
    with lease.held(place, target.url) as held:
        folder = _prepare(target, held, overwrite=overwrite, resume=resume)
        is_partial = folder.url != target.url
        try:
            yield folder, held.content.token
        except BaseException as error:
            if held.is_lost and isinstance(error, Exception):
                raise BlockingIOError(
                    f"another run has taken over {target.url}, so this one has ended"
                ) from error
            # The error that ended the run is the one to report.
            with suppress(OSError):
                if is_partial and not holds_shards(folder):
                    held.note(store=None)
                    _clear(folder, held)
            raise
        if is_partial:
            _publish(folder, target, held)


def _prepare(target: ObjectFolder, held: Lease, *, overwrite: bool, resume: bool) -> ObjectFolder:
    """Return the folder that a run shall write to, empty or with what an earlier run wrote."""
    if not held.before.token and (left := _find_left(beside(target))) is not None:
        held.note(store=_name_of(left))
    # The address was checked when the run was planned, and time may have passed since.
    check_target(target, overwrite=overwrite, resume=resume)
    partial, is_published = _find_partial(target), is_created(target)
    if resume and partial is not None:
        if is_created(partial):
            return _begin(target, held, partial)
        if holds_shards(partial):
            raise FileExistsError(
                f"{partial.url} can't be resumed, because its {METADATA} can't be read. Overwrite it "
                "(overwrite=True, --overwrite), or remove it."
            )
    if not is_published:
        # A run was killed while it copied its store, or removed the old one.
        _clear(target, held)
    if resume and is_published:
        return _begin(target, held, None)
    return _begin(target, held, beside(target).folder(uuid4().hex))


def _begin(target: ObjectFolder, held: Lease, folder: ObjectFolder | None) -> ObjectFolder:
    """Write into the lease where the store is, and remove those of other runs."""
    place, name = beside(target), None if folder is None else _name_of(folder)
    held.note(store=name, is_publishing=held.content.is_publishing and name == held.content.store)
    for other in place.folders():
        if _TOKEN.fullmatch(other) and other != name:
            _clear(place.folder(other), held)
    return target if folder is None else folder


def _publish(folder: ObjectFolder, target: ObjectFolder, held: Lease) -> None:
    """Copy a whole store to its address, in whose place an old one may be."""
    held.note(is_publishing=True)
    _clear(target, held)
    names = [name for name, _ in folder.names() if name != METADATA]
    for is_metadata in (False, True):
        each(
            lambda name: folder.copy(name, target),
            (name for name in names if _is_metadata(name) == is_metadata),
        )
    held.note()
    if target.write_if(METADATA, folder.read(METADATA), None, {RUN: held.content.token}) is None:
        raise FileExistsError(
            f"{target.url}/{METADATA} was written by another program, so the results stay in {folder.url}. "
            "Remove it, and resume the run (resume=True, --resume)."
        )
    # What is left of the folder belongs to nobody from here on, and the next run removes it.
    held.note(store=None, is_publishing=False)
    try:
        _clear(folder, held)
    except OSError as error:
        warnings.warn(
            f"{target.url} is whole, but {folder.url} can't be removed: {error}. Remove it yourself.",
            RuntimeWarning,
            stacklevel=1,
        )


def _clear(folder: ObjectFolder, held: Lease) -> None:
    """Remove a store: the metadata of its root first, then other metadata, so that nothing opens it."""
    held.note()
    folder.remove([METADATA])
    names = [name for name, _ in folder.names()]
    for is_metadata in (True, False):
        chosen = [name for name in names if _is_metadata(name) == is_metadata]
        for start in range(0, len(chosen), _AT_ONCE):
            held.note()
            folder.remove(chosen[start : start + _AT_ONCE])


def _is_metadata(name: str) -> bool:
    return name.rpartition("/")[2] == METADATA


def _find_partial(target: ObjectFolder) -> ObjectFolder | None:
    """Return the folder of the unfinished store of an address, whether there is anything in it or not."""
    place = beside(target)
    left = lease.read(place)
    if left is None:
        return _find_left(place)
    return None if left.store is None else place.folder(left.store)


def _find_left(place: ObjectFolder) -> ObjectFolder | None:
    """Return the folder of the newest unfinished store where somebody has removed the lease."""
    folders = [place.folder(name) for name in place.folders() if _TOKEN.fullmatch(name)]
    found = [folder for folder in folders if is_created(folder)]
    return max(found, key=lambda folder: folder.facts(METADATA).modified, default=None)


def _name_of(folder: ObjectFolder) -> str:
    return folder.url.rpartition("/")[2]
