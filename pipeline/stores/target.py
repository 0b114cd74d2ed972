"""Whether a run may write to a place: what it would destroy, and what is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.stores.layout import METADATA, read_attribute

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A file that marks a directory beside the output as that of a run.
MARK = ".mixture-pipeline"
# A file that marks a store as one that is replaced or discarded. It is the last that is removed of the store.
OBSOLETE = ".mixture-pipeline-obsolete"
# A store with such a name would be taken for an image.
IMAGE_SUFFIXES = {
    ".bmp",
    ".exr",
    ".gif",
    ".jp2",
    ".jpeg",
    ".jpg",
    ".ndpi",
    ".png",
    ".svs",
    ".tif",
    ".tiff",
    ".webp",
}


def check_target(path: Path, *, sources: Iterable[Path], overwrite: bool, resume: bool) -> None:
    """Refuse an output that would destroy something.

    Parameters
    ----------
    path : Path
        The place of the store.
    sources : iterable of Path
        The files and directories that the run reads.
    overwrite, resume : bool
        As for :func:`opened_for_run`.

    Raises
    ------
    FileExistsError
        If something is there already that isn't a result of this package, or that may be neither replaced
        nor resumed.
    ValueError
        If the output is the source, if one of the two or another Zarr store lies inside the other, or if the
        name of a new store is that of an image file.
    """
    output = path.resolve()
    places = (output, unfinished(output), replaced(output))
    for source in sources:
        read = source.resolve()
        if any(place == read or place in read.parents or read in place.parents for place in places):
            raise ValueError(
                f"output {path} and image {source} lie inside one another. Choose another output."
            )
    for parent in output.parents:
        if (parent / METADATA).exists():
            raise ValueError(f"output {path} lies inside the Zarr store {parent}. Choose another output.")
    if not path.exists():
        _check_suffix(path)
    elif not is_created(path):
        raise FileExistsError(
            f"{path} exists and isn't a result of mixture-pipeline, so it isn't overwritten. Choose another "
            "output, or remove it yourself."
        )
    if not (overwrite or resume):
        check_free(output)


def _check_suffix(path: Path) -> None:
    """Raise ValueError for a new store that would have the name of an image file."""
    if path.suffix.lower() in IMAGE_SUFFIXES and not unfinished(path.resolve()).exists():
        raise ValueError(
            f"output {path} has the name of an image file, but results are written to a directory, which "
            f"becomes a Zarr store. Choose another name, for example {path.with_suffix('.zarr')}."
        )


def check_free(path: Path) -> None:
    """Raise FileExistsError if a store is at a resolved path, or an unfinished one beside it."""
    partial = unfinished(path)
    if partial.exists() and not is_obsolete(partial):
        check_left(partial)
        raise FileExistsError(
            f"{partial} is the store of a run that was interrupted, or that is still at work. Resume it "
            "to go on with it (resume=True, --resume), or overwrite it (overwrite=True, --overwrite)."
        )
    if path.exists():
        raise FileExistsError(
            f"{path} exists. Choose another output, mend it (resume=True, --resume), or overwrite it "
            "(overwrite=True, --overwrite)."
        )


def unfinished(path: Path) -> Path:
    """Return the directory in which a run writes until its store is whole."""
    return path.with_name(f"{path.name}.partial")


def replaced(path: Path) -> Path:
    """Return the directory in which an old store is while a new one takes its place."""
    return path.with_name(f"{path.name}.replaced")


def is_created(directory: Path) -> bool:
    """Return whether a directory has a record, which is the last thing that creating a store writes."""
    return read_attribute(directory) is not None


def is_obsolete(directory: Path) -> bool:
    """Return whether a directory is what is left of a store that was replaced or discarded."""
    return (directory / OBSOLETE).exists()


def check_left(place: Path) -> None:
    """Raise FileExistsError unless a run left this directory."""
    if not _is_left(place):
        raise FileExistsError(
            f"{place} is in the way, and no run of mixture-pipeline left it. Remove it yourself."
        )


def _is_left(directory: Path) -> bool:
    """Return whether a directory is empty, or carries a mark of a run."""
    marks = (directory / MARK, directory / OBSOLETE)
    return directory.is_dir() and (any(mark.exists() for mark in marks) or not any(directory.iterdir()))
