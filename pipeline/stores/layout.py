"""The layout of a store: the paths, shapes and metadata of its groups and arrays, and the contents of files.

A store is a Zarr group. Each output is a group in it that is an OME-Zarr 0.5 image, with the arrays of its
levels, "0", "1" and so on. One block is one shard. Beside the levels of an output whose encoding is lossy
lies an array with the largest error of each block.

Zarr makes the content of metadata files in memory, because it doesn't bring to the disk what it writes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from pipeline.models.quantity import no_data_value
from pipeline.stores.shard import encode_shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from zarr.storage import StoreLike

    from pipeline.images.geometry import Geometry
    from pipeline.models.output import Output
    from pipeline.stores.record import Record
    from pipeline.stores.store import Index

# The name of every metadata file.
METADATA = "zarr.json"
# The key of the root group's attribute that holds the record.
ATTRIBUTE = "mixture_pipeline"
# A pattern of the paths of all shards of the full resolution, and of the folders that hold them.
SHARDS = "*/0/c/**/*"
_ERRORS = "largest_error"
_AXES = ({"name": "y", "type": "space"}, {"name": "x", "type": "space"})
_UNIT = {"unit": "micrometer"}
_CLASS_AXIS = {"name": "c", "type": "channel"}
# These aren't the axes of an image, whose lengths they don't have.
_ERROR_DIMENSIONS = ("block_row", "block_column")


def level_path(name: str, level: int = 0) -> str:
    """Return the path of the array of an output's level; level 0 is the full resolution."""
    return f"{name}/{level}"


def errors_path(name: str) -> str:
    """Return the path of the array of the largest errors of an output's blocks."""
    return f"{name}/{_ERRORS}"


def array_paths(output: Output) -> list[str]:
    """Return the paths of all arrays of an output."""
    return [level_path(output.name), *([errors_path(output.name)] if output.encoding.is_lossy else [])]


def shard_path(output: Output, index: Index) -> str:
    """Return the path of the shard of a block."""
    leading = () if output.class_names is None else (0,)
    return "/".join([level_path(output.name), "c", *map(str, (*leading, *index))])


def error_path(output: Output, index: Index) -> str:
    """Return the path of the file that holds the largest error of a block."""
    return "/".join([errors_path(output.name), "c", *map(str, index)])


def create_output(group: zarr.Group, record: Record, output: Output) -> None:
    """Create the group of an output and its empty arrays.

    Parameters
    ----------
    group : zarr.Group
        The root of the store.
    record : Record
        The blocks of its grid become the shards, and its chunks the chunks of the shards. The levels are
        placed where the image is.
    output : Output
        If it has class names, their axis comes first, all classes are in one shard, and every class has
        chunks of its own.
    """
    grid, leading = record.grid, () if output.class_names is None else (output.n_results,)
    multiscale = _multiscale(output, record.image.geometry)
    axes = multiscale["axes"]
    image = group.create_group(
        output.name, attributes={"ome": {"version": "0.5", "multiscales": [multiscale]}}
    )
    image.create_array(
        "0",
        shape=(*leading, *grid.shape),
        shards=(*leading, *grid.block),
        chunks=(*(1 for _ in leading), *grid.chunk),
        dtype=output.dtype,
        fill_value=output.no_data,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
        dimension_names=[axis["name"] for axis in axes],
        attributes=output.encoding.attributes,
    )
    if output.encoding.is_lossy:
        image.create_array(
            _ERRORS,
            shape=grid.counts,
            chunks=(1, 1),
            dtype="float32",
            fill_value=np.nan,
            compressors=[Crc32cCodec()],
            dimension_names=_ERROR_DIMENSIONS,
        )


def encode_output(record: Record, output: Output) -> dict[str, bytes]:
    """Return the contents of the metadata files of an output under their paths in the store."""
    files: dict[str, Buffer] = {}
    create_output(zarr.create_group(MemoryStore(files)), record, output)
    return {path: content.to_bytes() for path, content in files.items() if path != METADATA}


def encode_root(content: Mapping[str, Any], before: bytes | None = None) -> bytes:
    """Return the metadata file of the root group with a record.

    Parameters
    ----------
    content : mapping
        The content of the record.
    before : bytes, optional
        The metadata file that there is, whose other attributes are kept.
    """
    files: dict[str, Buffer] = {}
    if before is None:
        zarr.create_group(MemoryStore(files))
    else:
        files[METADATA] = default_buffer_prototype().buffer.from_bytes(before)
    zarr.open_group(MemoryStore(files), mode="r+").attrs[ATTRIBUTE] = dict(content)
    return files[METADATA].to_bytes()


def encode_block(metadata: bytes, values: NDArray[Any]) -> Iterator[bytes]:
    """Return the content of the shard of a block, which is encoded as it is iterated over.

    Parameters
    ----------
    metadata : bytes
        The metadata file of an output's level.
    values : ndarray
        The stored numbers of the block. A block of nothing but no data is stored too, because its shard says
        that it is done.

    Returns
    -------
    iterator of bytes
        The parts of the content one after the other.
    """
    described = json.loads(metadata)
    shape = described["chunk_grid"]["configuration"]["chunk_shape"]
    return encode_shard(described["codecs"][0]["configuration"], shape, values, no_data_value(values.dtype))


def encode_error(metadata: bytes, index: Index, error: float) -> bytes:
    """Return the content of the file that holds the largest error of a block.

    Parameters
    ----------
    metadata : bytes
        The metadata file of the array of the largest errors.
    index : tuple of int
        The row and the column of the block.
    error : float
    """
    files: dict[str, Buffer] = {METADATA: default_buffer_prototype().buffer.from_bytes(metadata)}
    array = zarr.open_array(MemoryStore(files), mode="r+").with_config({"write_empty_chunks": True})
    array[index] = error
    (content,) = (content for path, content in files.items() if path != METADATA)
    return content.to_bytes()


def has_metadata(root: StoreLike, record: Record, output: Output) -> bool:
    """Return whether the metadata of an output are those that :func:`create_output` writes.

    Parameters
    ----------
    root : str, Path or zarr store
        The place of the root group.
    record, output
        The arguments of :func:`create_output`.
    """
    wanted = zarr.create_group(MemoryStore())
    create_output(wanted, record, output)
    try:
        # Metadata that another program has gathered in the root group may be older than those of the arrays.
        found = zarr.open_group(root, mode="r", use_consolidated=False)
        if found[output.name].attrs.get("ome") != wanted[output.name].attrs["ome"]:
            return False
        for path in array_paths(output):
            one, other = (group[path].metadata.to_dict() for group in (found, wanted))
            # The texts are compared, in which NaN equals itself.
            if repr(one) != repr(other):
                return False
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
        return False
    return True


def read_attribute(root: StoreLike) -> Any:  # noqa: ANN401  JSON may hold anything
    """Return the content of the record, or None if there is none or it can't be read."""
    try:
        return zarr.open_group(root, mode="r").attrs.get(ATTRIBUTE)
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
        return None


def _multiscale(output: Output, geometry: Geometry) -> dict[str, Any]:
    """Return the description of an image of one level (https://ngff.openmicroscopy.org/0.5/)."""
    unit = {} if geometry.pixel_size is None else _UNIT
    leading = () if output.class_names is None else (_CLASS_AXIS,)
    size, origin = geometry.pixel_size or (1.0, 1.0), geometry.origin
    transforms = [{"type": "scale", "scale": [*(1.0 for _ in leading), *size]}]
    if any(origin):
        transforms.append({"type": "translation", "translation": [*(0.0 for _ in leading), *origin]})
    return {
        "name": output.name,
        "axes": [*leading, *({**axis, **unit} for axis in _AXES)],
        "datasets": [{"path": "0", "coordinateTransformations": transforms}],
    }
