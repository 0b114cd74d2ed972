"""Results as files for other programs."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from pipeline.images.remote import is_url
from pipeline.results.result import open_result
from pipeline.runs.progress import reporting
from pipeline.stores.disk import check_new_file

if TYPE_CHECKING:
    import os

    from pipeline.results.result import Result
    from pipeline.runs.progress import Listener

Format = Literal["ome-tiff", "cog", "geojson", "ome-zarr-0.4"]
FORMATS: tuple[Format, ...] = ("ome-tiff", "cog", "geojson", "ome-zarr-0.4")
# The format that the end of a file's name stands for.
_SUFFIXES: dict[str, Format] = {
    ".tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".geojson": "geojson",
    ".json": "geojson",
    ".zarr": "ome-zarr-0.4",
}


def export(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    result: str | None = None,
    format: Format | None = None,  # noqa: A002  the usual name
    overwrite: bool = False,
    progress: str | Listener = "auto",
) -> Path:
    """Write a result to a file that other programs open, block by block.

    Parameters
    ----------
    store : path
        A store that :func:`stream` wrote.
    path : path
        The file, or the directory of OME-Zarr. It appears when it is whole.
    result : str, optional
        The name of the result; a store with only one needs none, and OME-Zarr takes all by default. A result
        that is packed is written as the values that its numbers stand for.
    format : str, optional
        ``"ome-tiff"``, a tiled pyramid for QuPath and Fiji; ``"cog"``, a Cloud Optimized GeoTIFF;
        ``"geojson"``, the outlines of a label's classes as polygons; or ``"ome-zarr-0.4"``, Zarr 2 without
        shards. By default the end of the name decides: ``.tif`` or ``.tiff`` for OME-TIFF, ``.geojson`` or
        ``.json``, and ``.zarr``.
    overwrite : bool
        Whether a file that is there may be replaced.
    progress : str or callable
        As for :func:`stream`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If the file exists and may not be replaced.
    FileNotFoundError
        If there is no store, or it is unfinished.
    ModuleNotFoundError
        If the format needs a package that isn't installed.
    ValueError
        If the format can't hold the result, or it isn't known which result or which format is wanted.
    """
    found, target = open_result(store), Path(path)
    kind = _choose_format(target, format)
    names = _choose_results(found, kind, result)
    _check_target(target, None if is_url(store) else Path(store), overwrite=overwrite)
    temporary = target.with_name(f"{target.name}.{uuid4().hex}.partial")
    try:
        _write(found, names, kind, temporary, progress)
        _replace(temporary, target)
    finally:
        _remove(temporary)
    return target


def _write(found: Result, names: list[str], kind: Format, path: Path, progress: str | Listener) -> None:
    """Write results in a format, whose module is imported only now, as are the libraries that it needs."""
    if kind == "ome-tiff":
        from pipeline.results.ome_tiff import count_tiles, write_ome_tiff  # noqa: PLC0415  see above

        with reporting(progress, *count_tiles(found, names[0])) as reporter:
            write_ome_tiff(found, names[0], path, reporter=reporter)
    elif kind == "cog":
        from pipeline.results.cog import write_cog  # noqa: PLC0415  see above
        from pipeline.results.ome_tiff import count_tiles  # noqa: PLC0415  see above

        with reporting(progress, *count_tiles(found, names[0])) as reporter:
            write_cog(found, names[0], path, reporter=reporter)
    elif kind == "geojson":
        from pipeline.results.geojson import count_label_tiles, write_geojson  # noqa: PLC0415  see above

        with reporting(progress, *count_label_tiles(found)) as reporter:
            write_geojson(found, names[0], path, reporter=reporter)
    else:
        from pipeline.results.ome_zarr_v2 import count_chunks, write_ome_zarr_v2  # noqa: PLC0415  see above

        with reporting(progress, *count_chunks(found, names)) as reporter:
            write_ome_zarr_v2(found, names, path, reporter=reporter)


def _choose_format(target: Path, format: str | None) -> Format:  # noqa: A002  as in export
    """Return the format that is asked for, or that the name stands for."""
    wanted = _SUFFIXES.get(target.suffix.lower()) if format is None else format
    for known in FORMATS:
        if wanted == known:
            return known
    if format is None:
        raise ValueError(
            f"{target} doesn't tell a format; wanted a name that ends with {', '.join(_SUFFIXES)}, or one of "
            f"{', '.join(FORMATS)} as format="
        )
    raise ValueError(f"format is {format!r}; wanted one of {', '.join(FORMATS)}")


def _choose_results(found: Result, kind: Format, wanted: str | None) -> list[str]:
    """Return the names of the results to write."""
    names = list(found)
    if wanted is not None and wanted not in names:
        raise ValueError(f"result is {wanted!r}, but {found.address} has {', '.join(names)}")
    if kind == "geojson":
        labels = [name for name in names if found.outputs[name].label_names is not None]
        if wanted is not None and wanted not in labels:
            raise ValueError(f"{wanted} isn't a label, so it has no outlines; wanted {_either(labels)}")
        names = labels
    if wanted is not None:
        return [wanted]
    if kind == "ome-zarr-0.4" or len(names) == 1:
        return names
    raise ValueError(
        f"{found.address} has the results {', '.join(names)}, and a file of {kind} holds one; say which: "
        "result=, --result"
        if names
        else f"{found.address} has no label, and outlines are those of a label's classes"
    )


def _either(labels: list[str]) -> str:
    return f"one of {', '.join(labels)}" if labels else "a store with a label"


def _check_target(target: Path, store: Path | None, *, overwrite: bool) -> None:
    """Raise an error if writing would destroy something."""
    if store is not None:
        resolved, source = target.resolve(), store.resolve()
        if resolved == source or source in resolved.parents or resolved in source.parents:
            raise ValueError(f"{target} and {store} lie inside one another; choose another file")
    check_new_file(target, overwrite=overwrite)


def _replace(temporary: Path, target: Path) -> None:
    """Give what was written its name; a directory that is replaced is removed first."""
    if target.is_dir() and not target.is_symlink():
        old = target.with_name(f"{target.name}.{uuid4().hex}.replaced")
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old)
    else:
        temporary.replace(target)


def _remove(place: Path) -> None:
    """Remove what is left of a file or directory that wasn't finished."""
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            place.unlink()
