"""The groups and arrays of a Zarr store: opened, and found from each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    Node = zarr.Array[Any] | zarr.Group

_ATTRIBUTES = ".zattrs"
# The files that make a directory a node, with its type if the name tells it. zarr prefers the first one too.
_KINDS = {"zarr.json": None, ".zarray": "array", ".zgroup": "group"}
# So many directories above an array may hold the group that names it as a level.
_GENERATIONS = 3


def open_node(directory: Path) -> Node | None:
    """Open the group or the array in a directory.

    Parameters
    ----------
    directory : Path

    Returns
    -------
    zarr.Array or zarr.Group, or None
        None if the directory isn't a node of a Zarr store. Metadata that a group has gathered of what is in
        it aren't used, because they may be older.

    Raises
    ------
    ValueError
        If the metadata can't be read, or name a codec that isn't available. The message names the file.
    """
    file = next((directory / name for name in _KINDS if (directory / name).is_file()), None)
    if file is None:
        return None
    content, kind = _read_json(file), _KINDS[file.name]
    if kind is None:
        kind = content.get("node_type")
    elif (directory / _ATTRIBUTES).is_file():
        _read_json(directory / _ATTRIBUTES)
    if kind not in ("array", "group"):
        raise ValueError(f"{file} has the node type {kind!r:.80}; wanted 'array' or 'group'")
    attributes = content.get("attributes", {})
    if not isinstance(attributes, dict):
        raise ValueError(f"{file} is damaged: its attributes are {attributes!r:.80}")  # noqa: TRY004  as below
    store = zarr.storage.LocalStore(directory, read_only=True)
    try:
        if kind == "group":
            return zarr.open_group(store, mode="r", use_consolidated=False)
        array = zarr.open_array(store, mode="r")
    except Exception as error:
        # Metadata that zarr doesn't know make it raise exceptions of many types.
        raise ValueError(f"{file} can't be opened with zarr {zarr.__version__}: {error}") from error
    if max(array.shape, default=0) > sys.maxsize:
        raise ValueError(f"{file} is damaged: the array has the shape {array.shape}")
    return array


def directory_of(node: Node) -> Path | None:
    """Return the directory of a node in a local store, or None."""
    store = node.store
    return Path(store.root, node.path).resolve() if isinstance(store, zarr.storage.LocalStore) else None


def with_absolute_root(node: Node) -> Node:
    """Return a node whose store is found after the working directory has changed."""
    store = node.store
    if not isinstance(store, zarr.storage.LocalStore) or store.root.is_absolute():
        return node
    store = type(store)(store.root.resolve(), read_only=store.read_only)
    if isinstance(node, zarr.Array):
        return zarr.open_array(store, path=node.path, mode="r")
    return zarr.open_group(store, path=node.path, mode="r")


def child_of(group: zarr.Group, path: str) -> Node | None:
    """Return the group or array at a path within a group, or None if there is none."""
    directory = _plain_directory(group)
    if directory is not None:
        return open_node(directory / path)
    found: Node | None = group.get(path)
    return found


def children_of(group: zarr.Group) -> Iterator[tuple[str, Node]]:
    """Yield the names of what is directly in a group, in order, with the groups and arrays."""
    directory = _plain_directory(group)
    if directory is None:
        yield from sorted(group.members(), key=lambda member: _in_order(member[0]))
    else:
        yield from nodes_in(directory)


def nodes_in(directory: Path) -> Iterator[tuple[str, Node]]:
    """Yield the names of what is directly in a directory, in order, with the groups and arrays."""
    for name in sorted((path.name for path in directory.iterdir() if path.is_dir()), key=_in_order):
        node = open_node(directory / name)
        if node is not None:
            yield name, node


def ancestors_of(node: Node) -> Iterator[tuple[zarr.Group, str]]:
    """Yield the groups in which a node lies, the nearest first, each with the path of the node in it."""
    directory = _plain_directory(node)
    if directory is not None:
        for parent in list(directory.parents)[:_GENERATIONS]:
            found = open_node(parent)
            if isinstance(found, zarr.Group):
                yield found, directory.relative_to(parent).as_posix()
        return
    names = [name for name in node.path.split("/") if name]
    for number in range(len(names) - 1, max(-1, len(names) - 1 - _GENERATIONS), -1):
        group = _found_in(node, "/".join(names[:number]))
        if isinstance(group, zarr.Group):
            yield group, "/".join(names[number:])


def sibling_of(node: Node, name: str) -> Node | None:
    """Return the group or array of a name beside a node, or None if there is none."""
    directory = _plain_directory(node)
    if directory is not None:
        return open_node(directory.parent / name)
    return _found_in(node, "/".join([*node.path.split("/")[:-1], name]))


def _found_in(node: Node, path: str) -> Node | None:
    """Return the group or array at a path of a node's store, or None if there is none that may be read."""
    try:
        found: Node = zarr.open(node.store, path=path, mode="r")
    except Exception:  # noqa: BLE001  a remote store may forbid to read other paths, with any exception
        return None
    return found


def _plain_directory(node: Node) -> Path | None:
    """Return the directory of a node whose files zarr's own class reads, or None."""
    # A class that is derived from this one may store other bytes in its files.
    return directory_of(node) if type(node.store) is zarr.storage.LocalStore else None


def _read_json(file: Path) -> dict[str, Any]:
    """Return the content of a metadata file."""
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is damaged: it isn't JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} is damaged: it holds {content!r:.80}; wanted a JSON object")  # noqa: TRY004  it is a fault of the file
    return content


def _in_order(name: str) -> tuple[int, int, str]:
    """Return a key by which numbers come first, in the order of their values."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
