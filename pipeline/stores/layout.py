"""The layout of a store: the paths, shapes and metadata of its groups and arrays, and the contents of files.

A store is a Zarr group with layers (:mod:`pipeline.stores.layers`), which are OME-Zarr images. Each level of
a layer is an array whose shards are blocks. The largest error of each block of a packed output is in an array
apart, with a file for each block.

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
from pipeline.stores import georeference, ome
from pipeline.stores.layers import LABELS, PACKED, arrange
from pipeline.stores.shard import encode_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from zarr.storage import StoreLike

    from pipeline.images.grid import Block
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record
    from pipeline.stores.store import Index, Planes

# The name of every metadata file.
METADATA = "zarr.json"
# The key of the root group's attribute that holds the record.
ATTRIBUTE = "mixture_pipeline"
# Patterns of the paths of all shards of the full resolution, and of the folders that hold them.
SHARDS = ("0/*/c/**/*", f"{PACKED}/*/0/*/c/**/*", f"{LABELS}/*/0/*/c/**/*")
# These aren't the axes of an image, whose lengths they don't have.
_ERROR_DIMENSIONS = ("block_row", "block_column")


def shard_path(layer: Layer, index: Index, level: int = 0) -> str:
    """Return the path of the shard of a block."""
    leading = (0,) * len(layer.leading)
    return "/".join([layer.array_path(level), "c", *map(str, (*leading, *index))])


def error_path(layer: Layer, index: Index) -> str:
    """Return the path of the file that holds the largest error of a block."""
    return "/".join([layer.errors_path, "c", *map(str, index)])


def create_layer(root: zarr.Group, record: Record, layer: Layer) -> None:
    """Create the groups of a layer and its empty arrays.

    Parameters
    ----------
    root : zarr.Group
        The root of the store.
    record : Record
        The blocks of its grid become the shards, and its chunks the chunks of the shards. The levels are
        placed where the image is.
    layer : Layer
        All its channels are in one shard, and every channel has chunks of its own.
    """
    image = root.require_group(layer.path) if layer.path else root
    image.update_attributes(_image_attributes(layer, record))
    for level in range(record.grid.n_levels):
        _create_level(root, record, layer, level)
    if layer.encoding.is_lossy:
        root.create_array(
            layer.errors_path,
            shape=record.grid.counts,
            chunks=(1, 1),
            dtype="float32",
            fill_value=np.nan,
            compressors=[Crc32cCodec()],
            dimension_names=_ERROR_DIMENSIONS,
        )


def _create_level(root: zarr.Group, record: Record, layer: Layer, level: int) -> None:
    """Create the group of a level, with its array, and the variable that says where it lies on a map."""
    grid, leading = record.grid.level(level), layer.leading
    geometry = record.image.geometry.coarser(2**level, 2**level)
    placed = georeference.level_attributes(geometry, grid)
    root.create_group(layer.level_path(level), attributes=placed)
    attributes = {**layer.encoding.attributes, **_units(layer), **placed}
    if placed:
        attributes[georeference.GRID_MAPPING] = georeference.SPATIAL_REF
        root.create_array(
            f"{layer.level_path(level)}/{georeference.SPATIAL_REF}",
            shape=(),
            dtype="int32",
            compressors=None,
            dimension_names=(),
            attributes=georeference.spatial_ref(geometry),
        )
    root.create_array(
        layer.array_path(level),
        shape=(*leading, *grid.shape),
        shards=(*leading, *grid.block),
        chunks=(*(1 for _ in leading), *grid.chunk),
        dtype=layer.dtype,
        fill_value=layer.no_data,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
        dimension_names=layer.axes,
        attributes=attributes,
    )


def _image_attributes(layer: Layer, record: Record) -> dict[str, Any]:
    coarsening = layer.outputs[0].quantity.coarsening
    return {
        ome.ATTRIBUTE: ome.describe_image(layer, record),
        **georeference.image_attributes(record.image.geometry, record.grid, coarsening),
    }


def _units(layer: Layer) -> dict[str, str]:
    """Return the unit of the values of a layer, if all its outputs have the same one."""
    (unit, *others) = {output.quantity.unit for output in layer.outputs}
    return {} if unit is None or others else {"units": unit}


def _root_attributes(record: Record) -> dict[str, Any]:
    """Return the attributes of the root: that it is an image, and the record."""
    layers = arrange(record.outputs)
    if layers[0].is_label:
        described = {ome.ATTRIBUTE: ome.describe_label_as_image(layers[0], record)}
    else:
        described = _image_attributes(layers[0], record)
    return {**described, ATTRIBUTE: record.to_dict()}


def encode_metadata(record: Record, layers: Collection[Layer] | None = None) -> dict[str, bytes]:
    """Return the contents of the metadata files of some layers, or all, under their paths in the store.

    That of the root isn't among them: see :func:`encode_root`.
    """
    files: dict[str, Buffer] = {}
    _create_all(MemoryStore(files), record)
    chosen = arrange(record.outputs) if layers is None else layers
    return {
        path: content.to_bytes()
        for path, content in files.items()
        if path != METADATA and any(layer.is_at(path.removesuffix(f"/{METADATA}")) for layer in chosen)
    }


def encode_ranges(record: Record) -> dict[str, bytes]:
    """Return the metadata files in which the ranges of channels are, without that of the root."""
    layers = [layer for layer in arrange(record.outputs) if layer.path and not layer.is_label]
    files = encode_metadata(record, layers)
    return {path: files[path] for path in (f"{layer.path}/{METADATA}" for layer in layers)}


def _create_all(place: StoreLike, record: Record) -> zarr.Group:
    root = zarr.create_group(place)
    layers = arrange(record.outputs)
    if any(layer.is_label for layer in layers):
        root.create_group(LABELS, attributes={ome.ATTRIBUTE: ome.list_labels(layers)})
    for layer in layers:
        create_layer(root, record, layer)
    return root


def encode_root(record: Record, before: bytes | None = None) -> bytes:
    """Return the metadata file of the root group with a record.

    Parameters
    ----------
    record : Record
    before : bytes, optional
        The metadata file that there is, whose other attributes are kept.
    """
    files: dict[str, Buffer] = {}
    if before is None:
        zarr.create_group(MemoryStore(files))
    else:
        files[METADATA] = default_buffer_prototype().buffer.from_bytes(before)
    zarr.open_group(MemoryStore(files), mode="r+").update_attributes(_root_attributes(record))
    return files[METADATA].to_bytes()


def encode_block(metadata: bytes, planes: Planes) -> Iterator[bytes]:
    """Return the content of the shard of a block, which is encoded as it is iterated over.

    Parameters
    ----------
    metadata : bytes
        The metadata file of the array of a level.
    planes : sequence of ndarray, shape (h, w)
        The stored numbers of each channel. A block of nothing but no data is stored too, because its shard
        says that it is done.

    Returns
    -------
    iterator of bytes
        The parts of the content one after the other.
    """
    described = json.loads(metadata)
    shape = described["chunk_grid"]["configuration"]["chunk_shape"]
    fill_value = no_data_value(planes[0].dtype)
    return encode_shard(described["codecs"][0]["configuration"], shape, planes, fill_value)


def encode_files(
    read: Callable[[str], bytes],
    layer: Layer,
    block: Block,
    planes: Planes,
    *,
    level: int,
    error: float | None,
) -> list[tuple[str, Iterable[bytes]]]:
    """Return the path and the content of each file of a block, the shard last.

    Parameters
    ----------
    read : callable
        It returns the metadata file of the array at a path.
    layer, block, planes, level, error
        As for :meth:`Store.write_block`.

    Raises
    ------
    ValueError
        If the encoding of the layer is lossy, and there is no error.
    """
    files: list[tuple[str, Iterable[bytes]]] = []
    if layer.encoding.is_lossy and level == 0:
        if error is None:
            raise ValueError(f"block {block.index} of {layer.name} has no error; its encoding is lossy")
        # The error is published first, because the shard says that the block is done.
        content = encode_error(read(layer.errors_path), block.index, error)
        files.append((error_path(layer, block.index), [content]))
    shard = encode_block(read(layer.array_path(level)), planes)
    return [*files, (shard_path(layer, block.index, level), shard)]


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


def decode_error(metadata: bytes, index: Index, content: bytes) -> float:
    """Return the largest error of a block that :func:`encode_error` encoded; NaN if the content is empty."""
    path = "/".join(["c", *map(str, index)])
    error: Any = zarr.open_array(in_memory({METADATA: metadata, path: content}), mode="r")[index]
    return float(error)


def in_memory(files: Mapping[str, bytes]) -> MemoryStore:
    """Return a store of Zarr that holds files under their paths."""
    buffer = default_buffer_prototype().buffer
    return MemoryStore({path: buffer.from_bytes(content) for path, content in files.items()})


def find_damaged(root: StoreLike, record: Record) -> list[Layer]:
    """Return the layers with groups or arrays whose metadata aren't as :func:`create_layer` writes them.

    Parameters
    ----------
    root : str, Path or zarr store
        The place of the root group.
    record : Record
        The record of the store. The ranges of channels may be others, since a run writes them at its end.
    """
    layers, wanted = arrange(record.outputs), _create_all(MemoryStore(), record)
    wanted.update_attributes(_root_attributes(record))
    del wanted.attrs[ATTRIBUTE]
    try:
        # Metadata that another program has gathered in the root group may be older than those of the arrays.
        found = zarr.open_group(root, mode="r", use_consolidated=False)
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
        return list(layers)
    nodes = [("", wanted), *wanted.members(max_depth=None)]
    damaged = [path for path, node in nodes if not _is_same(found, path, node)]
    # The first layer is the image that the root is.
    return [
        layer
        for layer in layers
        if any(layer.is_at(path) if path else layer is layers[0] for path in damaged)
    ]


def _is_same(found: zarr.Group, path: str, wanted: zarr.Group | zarr.Array[Any]) -> bool:
    """Return whether a store has a group or array with these metadata; a group may have more attributes."""
    try:
        node = found[path] if path else found
        if isinstance(wanted, zarr.Group):
            attributes = node.attrs.asdict()
            return all(
                _comparable(attributes.get(key)) == _comparable(value)
                for key, value in wanted.attrs.asdict().items()
            )
        # The texts are compared, in which NaN equals itself.
        return repr(node.metadata.to_dict()) == repr(wanted.metadata.to_dict())
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
        return False


def _comparable(attribute: Any) -> Any:  # noqa: ANN401  JSON may hold anything
    """Return an attribute as JSON holds it, without the ranges of channels."""
    if isinstance(attribute, dict):
        attribute = {key: value for key, value in attribute.items() if key != ome.CHANNELS}
    return json.loads(json.dumps(attribute))


def read_attribute(root: StoreLike) -> Any:  # noqa: ANN401  JSON may hold anything
    """Return the content of the record, or None if there is none or it can't be read."""
    try:
        return zarr.open_group(root, mode="r").attrs.get(ATTRIBUTE)
    except Exception:  # noqa: BLE001  damaged metadata make zarr raise any exception
        return None


def read_attribute_of(root: bytes) -> Any:  # noqa: ANN401  JSON may hold anything
    """Return the content of the record in the metadata file of a root, as :func:`read_attribute` does."""
    return read_attribute(in_memory({METADATA: root}))
