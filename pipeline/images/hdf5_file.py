"""Files of the format HDF5: opening them, the datasets that can be images, and where their numbers lie."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.images.file import COPY_AGAIN, open_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import h5py

    # The datasets that hold numbers, by file and name, with the shapes of their chunks.
    Held = dict[tuple[str, str], tuple[int, ...] | None]

SEPARATOR = "::"
# A file may hold thousands of datasets, of which so many are listed.
LISTED = 50
_MAGIC = b"\x89HDF\r\n\x1a\n"
# A block for the user may stand before the magic bytes.
_OFFSETS = (0, 512, 1024, 2048)


def is_hdf5(path: str) -> bool:
    """Return whether a file is of the format HDF5, by its first bytes."""
    with open_binary(path) as file:
        for offset in _OFFSETS:
            file.seek(offset)
            if file.read(len(_MAGIC)) == _MAGIC:
                return True
    return False


@contextmanager
def open_hdf5_file(path: str, name: str | None = None) -> Iterator[h5py.File]:
    """Open a file for reading; the library locks it if the file system can.

    Parameters
    ----------
    path : str
    name : str, optional
        What is read, in messages; by default the path.

    Yields
    ------
    h5py.File

    Raises
    ------
    ImportError
        If the package h5py isn't installed.
    ValueError
        For the errors of the library, while the file is opened and read.
    """
    try:
        import h5py  # noqa: PLC0415  readers are imported where they are used
    except ImportError as error:
        raise ImportError(
            f"{path} is an HDF5 file, for which h5py is needed: pip install 'mixture-pipeline[hdf5]'"
        ) from error
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except Exception as error:
        if isinstance(error, MemoryError) or path in str(error):
            raise
        # A damaged file makes the library raise exceptions of many types.
        reason = " ".join(str(error).split())
        raise ValueError(f"{name or path} can't be read as HDF5: {reason}. {COPY_AGAIN}") from error


def list_images(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the datasets of a file that can be images, by their names, without those of other files."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:  # noqa: ANN401  a group or a dataset
        shape = getattr(item, "shape", None)
        if shape is not None and len(shape) in {2, 3} and item.dtype.kind in "biuf":
            found[f"/{name}"] = item

    file.visititems(note)
    return found


def shorten(lines: Sequence[str], separator: str) -> str:
    """Return lines as one text, which counts them where they are many."""
    more = f"{separator}and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
    return separator.join(lines[:LISTED]) + more


def find_numbers(path: str, file: h5py.File, dataset: str) -> Held:
    """Return the datasets that hold the numbers of one: itself, or those of which a virtual one consists.

    Parameters
    ----------
    path : str
    file : h5py.File
        The file at the path, open.
    dataset : str

    Returns
    -------
    dict of (str, str) to tuple of int or None
        By file and name, the shapes of their chunks; None without chunks.

    Raises
    ------
    ValueError
        If there is no such dataset, or if its numbers can't be read: they are compressed by a filter that
        isn't installed, or lie in another file. Those of a virtual dataset whose files aren't there would
        silently be its fill value.
    """
    held: Held = {}
    _add_numbers(path, file, dataset, held)
    return held


def _add_numbers(path: str, file: h5py.File, dataset: str, held: Held) -> None:
    data = file.get(dataset)
    if data is None or not hasattr(data, "shape"):
        names = shorten(list(list_images(file)), ", ") or "none"
        raise ValueError(f"{path} has no dataset {dataset}; its datasets of two or three axes are: {names}")
    if Path(data.file.filename).resolve() != Path(path).resolve():
        raise ValueError(
            f"{dataset} in {path} is a link; wanted its target: {data.file.filename}{SEPARATOR}{data.name}"
        )
    if data.external:
        raise ValueError(
            f"{dataset} in {path} has its numbers in other files, such as {data.external[0][0]}. Copy them "
            "into one dataset: dask.array.from_array(h5py.File(IN)[NAME]).to_hdf5(OUT, NAME)."
        )
    _check_filters(path, data)
    held[path, dataset] = data.chunks
    for name, one in {(source.file_name, source.dset_name) for source in _sources(data)}:
        other = path if name == "." else str(Path(path).parent / name)
        if (other, one) in held:
            continue
        if not Path(other).is_file():
            raise ValueError(
                f"{dataset} in {path} has numbers in {other}, which is not there. Copy it there."
            )
        with open_hdf5_file(other) as opened:
            _add_numbers(other, opened, one, held)


def _sources(data: h5py.Dataset) -> list[Any]:
    return data.virtual_sources() if data.is_virtual else []


def _check_filters(path: str, data: h5py.Dataset) -> None:
    """Raise ValueError if the library lacks a filter by which the chunks of a dataset are compressed."""
    import h5py  # noqa: PLC0415  readers are imported where they are used

    options = data.id.get_create_plist()
    for number in range(options.get_nfilters()):
        code, _, _, label = options.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            name = label.decode(errors="replace")
            raise ValueError(
                f"{data.name} in {path} is compressed by the filter {code} ({name}), "
                "which isn't installed: pip install hdf5plugin, and set the environment variable "
                "HDF5_PLUGIN_PATH to its hdf5plugin.PLUGIN_PATH before Python starts."
            )
