"""The Zarr group that a run writes: one shard a block, which is the ledger of what is done."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from pipeline.images.grid import Grid
from pipeline.models.encoding import Packed, read_quantity
from pipeline.models.quantity import no_data_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

# The key of the group's attributes under which this package keeps its own.
ATTRIBUTE = "mixture_pipeline"
_AXES = ({"name": "y", "type": "space"}, {"name": "x", "type": "space"})
_CLASS_AXIS = {"name": "c", "type": "channel"}
# Beside the levels of an image that is packed: an array of its blocks' largest errors.
_ERRORS = "largest_error"
_METADATA = "zarr.json"


class Fault(NamedTuple):
    """A shard that isn't as it should be."""

    result: str
    block: tuple[int, int]
    kind: Literal["missing", "damaged"]


def create(path: Path, grid: Grid, quantities: Mapping[str, Quantity], attributes: Mapping[str, Any]) -> None:
    """Create the group and its empty arrays.

    Parameters
    ----------
    path : Path
        An empty directory.
    grid : Grid
        Its blocks become shards, its chunks the shards' chunks.
    quantities : mapping of str to Quantity
        Each becomes a sub-group that is an OME-Zarr 0.5 image of one level, with the classes of a posterior
        first. What is packed gets an array of its blocks' largest errors beside it.
    attributes : mapping
        What is recorded of the run; written last, so that a store that has them is created whole.
    """
    group = zarr.create_group(path)
    for name, quantity in quantities.items():
        _create_result(group, grid, name, quantity)
    group.attrs[ATTRIBUTE] = {"version": version("mixture-pipeline"), **attributes}
    for metadata in [path / _METADATA, *(file for name in quantities for file in _metadata(path, name))]:
        _flush(metadata)


def _create_result(group: zarr.Group, grid: Grid, name: str, quantity: Quantity) -> None:
    dtype = quantity.output_dtype()
    axes = _AXES if quantity.planes is None else (_CLASS_AXIS, *_AXES)
    leading = () if quantity.planes is None else (len(quantity.planes),)
    image = group.create_group(name, attributes={"ome": _multiscale(name, axes)})
    image.create_array(
        "0",
        shape=(*leading, *grid.shape),
        shards=(*leading, *grid.block),
        chunks=(*(1 for _ in leading), *grid.chunk),
        dtype=dtype,
        fill_value=no_data_value(dtype),
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
        dimension_names=[axis["name"] for axis in axes],
        attributes=quantity.decoding if isinstance(quantity, Packed) else None,
    )
    if isinstance(quantity, Packed):
        image.create_array(
            _ERRORS,
            shape=grid.counts,
            chunks=(1, 1),
            dtype="float32",
            fill_value=np.nan,
            compressors=[Crc32cCodec()],
        )


def _metadata(path: Path, name: str) -> list[Path]:
    """List the metadata files of a result."""
    places = [path / name, path / name / "0", path / name / _ERRORS]
    return [place / _METADATA for place in places if place.exists()]


def _flush(file: Path) -> None:
    """Bring a file to the disk: a power cut may lose shards, which is noticed, but not the metadata."""
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())


def mend_metadata(path: Path, grid: Grid, quantities: Mapping[str, Quantity]) -> None:
    """Write the metadata of results anew where they aren't as they were written.

    Parameters
    ----------
    path : Path
        Of a store that :func:`create` made.
    grid, quantities
        With which it did.
    """
    group = zarr.open_group(path, mode="r+")
    for name, quantity in quantities.items():
        if not has_metadata(path, grid, name, quantity):
            for file in _metadata(path, name):
                file.unlink(missing_ok=True)
            _create_result(group, grid, name, quantity)


def has_metadata(path: Path, grid: Grid, name: str, quantity: Quantity) -> bool:
    """Tell whether the metadata of a result are those that :func:`create` writes."""
    wanted = zarr.create_group(zarr.storage.MemoryStore())
    _create_result(wanted, grid, name, quantity)
    arrays = ["0", _ERRORS] if isinstance(quantity, Packed) else ["0"]
    try:
        found = zarr.open_group(path, mode="r")
        same = found[name].attrs.get("ome") == wanted[name].attrs["ome"]
        for array in arrays:
            one, other = (group[f"{name}/{array}"].metadata.to_dict() for group in (found, wanted))
            # As text, in which NaN equals itself.
            same = same and repr(one) == repr(other)
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise whatever comes
        return False
    return same


def write_block(
    path: Path,
    name: str,
    grid: Grid,
    index: tuple[int, int],
    values: NDArray[Any],
    *,
    error: float | None = None,
) -> int:
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
    values : ndarray, shape (h, w) or (planes, h, w)
        Of the block's region.
    error : float, optional
        The largest one of what is packed.

    Returns
    -------
    int
        The size of the shard on disk, in bytes.
    """
    if error is not None:
        # First, since the shard says that the block is done.
        zarr.open_array(path, path=f"{name}/{_ERRORS}", mode="r+")[index] = error
    array = zarr.open_array(path, path=f"{name}/0", mode="r+")
    # A block that equals the fill value is stored too: the shard's existence says that it is done.
    array = array.with_config({"write_empty_chunks": True})
    shard = _shard(path, name, array, index)
    # At the image's edges zarr would read a shard that is there, which may be damaged.
    shard.unlink(missing_ok=True)
    array[..., *grid.region(index)] = values
    return shard.stat().st_size


def check_block(path: Path, index: tuple[int, int], names: Iterable[str]) -> list[Fault]:
    """Check the shards of one block by the checksums that they hold.

    Parameters
    ----------
    path : Path
        Of the store.
    index : tuple of int
        The block's.
    names : iterable of str
        Of the results.

    Returns
    -------
    list of Fault
        The shards that are missing or damaged.
    """
    faults = []
    for name in names:
        array = zarr.open_array(path, path=f"{name}/0", mode="r")
        shard = _shard(path, name, array, index)
        if not shard.is_file():
            faults.append(Fault(name, index, "missing"))
        elif not (_is_whole(shard, array, index) and _has_error(path, name, index)):
            faults.append(Fault(name, index, "damaged"))
    return faults


def _shard(path: Path, name: str, array: zarr.Array[Any], index: tuple[int, int]) -> Path:
    leading = (0,) * (array.ndim - len(index))
    return path / name / "0" / array.metadata.encode_chunk_key((*leading, *index))


def _is_whole(shard: Path, array: zarr.Array[Any], index: tuple[int, int]) -> bool:
    """Decode a shard, whose index and chunks have checksums; zarr takes an empty file for an absent one."""
    if not shard.stat().st_size:
        return False
    rows, columns = (slice(i * n, (i + 1) * n) for i, n in zip(index, (array.shards or ())[-2:], strict=True))
    try:
        for plane in range(array.shape[0]) if array.ndim > len(index) else [...]:
            array[plane, rows, columns]
    except Exception:  # noqa: BLE001  damaged bytes make decoders raise whatever comes
        return False
    return True


def _has_error(path: Path, name: str, index: tuple[int, int]) -> bool:
    """Tell whether the largest error of a block is recorded, if its result is packed."""
    if not (path / name / _ERRORS).exists():
        return True
    try:
        error: Any = zarr.open_array(path, path=f"{name}/{_ERRORS}", mode="r")[index]
    except Exception:  # noqa: BLE001  the same
        return False
    return not np.isnan(error)


def finish(path: Path, receipt: Mapping[str, Any]) -> None:
    """Record in the store that it is complete."""
    group = zarr.open_group(path, mode="r+")
    group.attrs[ATTRIBUTE] = {**read_attributes(path), "receipt": dict(receipt)}
    _flush(path / _METADATA)


def largest_errors(path: Path, names: Sequence[str]) -> dict[str, float]:
    """Give the largest error of each result that is packed, over all blocks that are written."""
    errors = {}
    for name in names:
        if (path / name / _ERRORS).exists():
            blocks = np.asarray(zarr.open_array(path, path=f"{name}/{_ERRORS}", mode="r"))
            errors[name] = float(np.nanmax(blocks, initial=0.0))
    return errors


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
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise whatever comes
        attributes = {}
    found: Any = attributes.get(ATTRIBUTE)
    if found is None:
        raise ValueError(f"{path} isn't a result of mixture-pipeline")
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004  it is the file that is wrong, not an argument's type
            f"{path} has a damaged record in its zarr.json. Overwrite it."
        )
    return found


def read_record(path: Path) -> dict[str, Any]:
    """Read what is recorded of a run, as :func:`read_attributes` does, and check that it is all there.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it isn't a result of this package, or what is recorded is damaged.
    """
    found = read_attributes(path)
    try:
        _check_record(found)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{path} has a damaged record in its zarr.json. Overwrite it.") from None
    return found


def _check_record(found: Any) -> None:  # noqa: ANN401  JSON is whatever the file holds
    for key in ("image", "mask", "no_data", "grid", "results"):
        found[key]
    for record in found["results"].values():
        read_quantity(record)
    grid_of(found)
    if not isinstance(found.get("receipt", {}), dict):
        raise TypeError("receipt")


def read_grid(path: Path) -> Grid:
    """Read a store's division into blocks and chunks."""
    return grid_of(read_record(path))


def grid_of(record: Mapping[str, Any]) -> Grid:
    """Give the division into blocks and chunks that a record tells."""
    grid = record["grid"]
    (height, width), (tall, wide), (low, narrow) = (grid[key] for key in ("shape", "block", "chunk"))
    return Grid((height, width), (tall, wide), (low, narrow))


def _multiscale(name: str, axes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Describe one level as OME-Zarr 0.5 wants it (https://ngff.openmicroscopy.org/0.5/)."""
    scale = {"type": "scale", "scale": [1.0] * len(axes)}
    image = {
        "name": name,
        "axes": list(axes),
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    return {"version": "0.5", "multiscales": [image]}
