"""Tests of the groups and arrays of Zarr stores, in directories and elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zarr

from pipeline.images.zarr_nodes import (
    ancestors_of,
    child_of,
    children_of,
    directory_of,
    nodes_in,
    open_node,
    sibling_of,
    with_absolute_root,
)


def write(store: Any, version: Any = 3) -> zarr.Group:
    """Write groups and arrays: a/b/0, a/b/c, 2 and 10."""
    root = zarr.open_group(store, mode="w", zarr_format=version)
    for path in ("a/b/0", "a/b/c", "10", "2"):
        root.create_array(path, shape=(3, 4), dtype="u1", attributes={"path": path})
    return root


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("is_local", [True, False])
def test_nodes_find_each_other(tmp_path: Path, version: int, is_local: bool) -> None:
    """Children, siblings and the groups above are found in a directory as in memory."""
    root = write(tmp_path / "x" if is_local else {}, version)
    assert [name for name, _ in children_of(root)] == ["2", "10", "a"]
    array = child_of(root, "a/b/0")
    assert isinstance(array, zarr.Array)
    assert array.attrs["path"] == "a/b/0"
    sibling = sibling_of(array, "c")
    assert isinstance(sibling, zarr.Array)
    assert sibling.attrs["path"] == "a/b/c"
    assert sibling_of(array, "d") is child_of(root, "a/d") is None
    assert [path for _, path in ancestors_of(array)] == ["0", "b/0", "a/b/0"]
    assert directory_of(array) == (tmp_path / "x" / "a" / "b" / "0" if is_local else None)


def test_directories_that_are_no_nodes(tmp_path: Path) -> None:
    """They are passed over, and what is in them is found by its path."""
    write(tmp_path / "x")
    (tmp_path / "x" / "other").mkdir()
    (tmp_path / "file").touch()
    assert open_node(tmp_path) is open_node(tmp_path / "x" / "other") is None
    assert [name for name, _ in nodes_in(tmp_path)] == ["x"]
    (tmp_path / "x" / "a" / "b" / "zarr.json").unlink()
    array = open_node(tmp_path / "x" / "a" / "b" / "0")
    assert array is not None
    assert [path for _, path in ancestors_of(array)] == ["b/0", "a/b/0"]


def test_gathered_metadata_are_not_believed(tmp_path: Path) -> None:
    """They may be older than those of the array."""
    write(tmp_path / "x", 2)
    zarr.consolidate_metadata(tmp_path / "x", zarr_format=2)
    zarr.open_array(tmp_path / "x" / "2", mode="r+").attrs["path"] = "new"
    array = child_of(zarr.open_group(tmp_path / "x", mode="r"), "2")
    assert array is not None
    assert array.attrs["path"] == "new"


def test_a_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups and arrays are found from another working directory."""
    monkeypatch.chdir(tmp_path)
    write("x")
    nodes = [with_absolute_root(zarr.open(path, mode="r")) for path in ("x", "x/2")]
    monkeypatch.chdir("/")
    assert [directory_of(node) for node in nodes] == [tmp_path / "x", tmp_path / "x" / "2"]
    assert nodes[1].attrs["path"] == "2"


@pytest.mark.parametrize(
    ("version", "path", "content", "message"),
    [
        (3, "zarr.json", '{"zarr_format": 3, "nod', r"zarr.json is damaged: it isn't JSON \(Unterminated"),
        (3, "zarr.json", b"\xff\xfe\x00", r"zarr.json is damaged: it isn't JSON"),
        (3, "zarr.json", "[1]", r"zarr.json is damaged: it holds \[1\]; wanted a JSON object"),
        (3, "zarr.json", "{}", "zarr.json has the node type None; wanted 'array' or 'group'"),
        (3, "2/zarr.json", '{"node_type": "array", "zarr_format": 3}', "2/zarr.json can.t be opened"),
        (3, "zarr.json", '{"node_type": []}', r"zarr.json has the node type \[\]; wanted"),
        (3, "zarr.json", '{"node_type": "group", "attributes": 7}', "damaged: its attributes are 7"),
        (2, ".zattrs", "{", ".zattrs is damaged: it isn't JSON"),
        (2, "2/.zarray", "", "2/.zarray is damaged: it isn't JSON"),
        (2, "2/.zarray", '{"zarr_format": 2}', "2/.zarray can't be opened with zarr"),
    ],
)  # fmt: skip
def test_damaged_metadata_are_named(
    tmp_path: Path, version: int, path: str, content: Any, message: str
) -> None:
    """The error names the file."""
    write(tmp_path / "x", version)
    file = tmp_path / "x" / Path(path)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        open_node(file.parent)


def test_a_size_that_no_array_has_is_damage(tmp_path: Path) -> None:
    """Its places couldn't be counted."""
    write(tmp_path / "x", 2)
    file = tmp_path / "x" / "2" / ".zarray"
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps({**content, "shape": [3, 2**70]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"\.zarray is damaged: the array has the shape \(3, 1180591"):
        open_node(file.parent)


def test_what_a_store_forbids_is_not_there() -> None:
    """A remote store may let read the array alone, and not what is beside it or above."""

    class Forbidding(zarr.storage.MemoryStore):
        async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
            if not key.startswith("a/0"):
                raise PermissionError(13, key)
            return await super().get(key, *arguments, **options)

    store = zarr.storage.MemoryStore()
    zarr.create_array(store, name="a/0", shape=(3, 4), dtype="u1")
    array = zarr.open_array(Forbidding(store._store_dict), path="a/0", mode="r")
    assert list(ancestors_of(array)) == []
    assert sibling_of(array, "spatial_ref") is None


def test_a_codec_that_isnt_there_is_named(tmp_path: Path) -> None:
    """An array that other software has written isn't damaged."""
    write(tmp_path / "x", 2)
    file = tmp_path / "x" / "2" / ".zarray"
    file.write_text(file.read_text(encoding="utf-8").replace('"blosc"', '"unknown"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"\.zarray can't be opened with zarr .*unknown"):
        open_node(file.parent)
