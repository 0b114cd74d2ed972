"""The Zarr group that a run writes: created whole or not at all, one shard a block."""

from __future__ import annotations

import re
import shutil
import uuid
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.grid import Grid

# The key of the group's attributes under which this package keeps its own.
ATTRIBUTE = "mixture_pipeline"
_AXES = ("y", "x")
# As a Path prints it: one slash. A single letter is a drive.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def check_target(path: Path, *, overwrite: bool, source: Path | None) -> None:
    """Refuse an output that would destroy something.

    Parameters
    ----------
    path : Path
        Where the store shall be.
    overwrite : bool
        Whether an existing store may be replaced.
    source : Path or None
        The file or directory that the run reads.

    Raises
    ------
    FileExistsError
        If something is there already, unless it is a result of this package and `overwrite` is true.
    ValueError
        If the output is the source, or one lies inside the other.
    """
    if _URL.match(str(path)):
        raise ValueError(f"{path}: results are written to a local or mounted directory; got a URL")
    output = path.resolve()
    if source is not None:
        read = source.resolve()
        if output == read or output in read.parents or read in output.parents:
            raise ValueError(
                f"output {path} and image {source} lie inside one another; choose another output"
            )
    for parent in output.parents:
        if (parent / "zarr.json").exists():
            raise ValueError(f"output {path} lies inside the Zarr store {parent}. Choose another output.")
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists. Choose another output, or ask to overwrite it.")
    try:
        read_attributes(path)
    except (FileNotFoundError, ValueError):
        raise FileExistsError(
            f"{path} exists and isn't a result of mixture-pipeline, so it isn't overwritten. Choose another "
            "output, or remove it yourself."
        ) from None


@contextmanager
def written_aside(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Let a store be written beside its place, and move it there once it is whole.

    Parameters
    ----------
    path : Path
        Where the store shall be. Until the end, what is there stays and can be read.
    overwrite : bool
        Whether to replace what is there then.

    Yields
    ------
    Path
        A new directory beside it, this run's own. On failure it is removed; a killed run leaves it.

    Raises
    ------
    FileExistsError
        If another run has finished there meanwhile and `overwrite` is false.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    aside.mkdir()
    try:
        yield aside
        if overwrite and path.exists():
            replaced = aside.with_suffix(".replaced")
            path.rename(replaced)
            aside.rename(path)
            shutil.rmtree(replaced)
        else:
            _claim(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _claim(aside: Path, path: Path) -> None:
    try:
        # The system refuses this where a directory with something in it has appeared meanwhile.
        aside.rename(path)
    except OSError:
        if path.exists():
            raise FileExistsError(
                f"{path} was written by another run meanwhile. It is left as it is."
            ) from None
        raise


def create(
    path: Path, grid: Grid, dtypes: Mapping[str, np.dtype[Any]], attributes: Mapping[str, Any]
) -> None:
    """Create the group and its empty arrays.

    Parameters
    ----------
    path : Path
        An empty directory.
    grid : Grid
        Its blocks become shards, its chunks the shards' chunks.
    dtypes : mapping of str to dtype
        Each result's name and dtype. Each becomes a sub-group that is an OME-Zarr 0.5 image of one level.
    attributes : mapping
        What is recorded of the run.
    """
    group = zarr.create_group(
        path, attributes={ATTRIBUTE: {"version": version("mixture-pipeline"), **attributes}}
    )
    for name, dtype in dtypes.items():
        image = group.create_group(name, attributes={"ome": _multiscale(name)})
        image.create_array(
            "0",
            shape=grid.shape,
            shards=grid.block,
            chunks=grid.chunk,
            dtype=dtype,
            fill_value=np.nan,
            compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
            dimension_names=_AXES,
        )


def write_block(path: Path, name: str, grid: Grid, index: tuple[int, int], values: NDArray[Any]) -> int:
    """Write one block of one result.

    Parameters
    ----------
    path : Path
        Of the store.
    name : str
        Of the result.
    grid : Grid
        That the store was created with.
    index : tuple of int
        The block's.
    values : ndarray
        Of the block's region.

    Returns
    -------
    int
        The size of the shard on disk, in bytes.
    """
    array = zarr.open_array(path, path=f"{name}/0", mode="r+")
    # A block that equals the fill value is stored too: the shard's existence says that it is done.
    array = array.with_config({"write_empty_chunks": True})
    array[grid.region(index)] = values
    return (path / name / "0" / array.metadata.encode_chunk_key(index)).stat().st_size


def finish(path: Path, receipt: Mapping[str, Any]) -> None:
    """Record in the store that it is complete."""
    group = zarr.open_group(path, mode="r+")
    group.attrs[ATTRIBUTE] = {**read_attributes(path), "receipt": dict(receipt)}


def read_attributes(path: Path) -> dict[str, Any]:
    """Read what is recorded of a run.

    Parameters
    ----------
    path : Path
        Of the store.

    Returns
    -------
    dict
        With a ``receipt`` if the run finished.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it isn't a result of this package.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} doesn't exist")
    try:
        attributes = zarr.open_group(path, mode="r").attrs.asdict()
    except (OSError, ValueError, KeyError):
        attributes = {}
    found: Any = attributes.get(ATTRIBUTE)
    if found is None:
        raise ValueError(f"{path} isn't a result of mixture-pipeline")
    return dict(found)


def _multiscale(name: str) -> dict[str, Any]:
    """Describe one level as OME-Zarr 0.5 wants it (https://ngff.openmicroscopy.org/0.5/)."""
    scale = {"type": "scale", "scale": [1.0] * len(_AXES)}
    image = {
        "name": name,
        "axes": [{"name": axis, "type": "space"} for axis in _AXES],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    return {"version": "0.5", "multiscales": [image]}
