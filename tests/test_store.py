"""The store: whole or not at all, checked, and readable as OME-Zarr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from pipeline import store
from pipeline.grid import Grid

if TYPE_CHECKING:
    from pathlib import Path

GRID = Grid((50, 70), (32, 48), (16, 16))
DTYPES = {"density": np.dtype("float32")}


def fill(path: Path) -> None:
    """Create a store and write every block."""
    store.create(path, GRID, DTYPES, {"note": "here"})
    for number, index in enumerate(GRID.blocks()):
        rows, columns = GRID.region(index)
        values = np.full((rows.stop - rows.start, columns.stop - columns.start), number, np.float32)
        store.write_block(path, "density", GRID, index, values)


def test_layout_is_ome_zarr(tmp_path: Path) -> None:
    """Each result is an OME-Zarr 0.5 image whose shards are the blocks, with checksums."""
    fill(tmp_path / "out.zarr")
    image = zarr.open_group(tmp_path / "out.zarr" / "density", mode="r")
    multiscale = image.attrs["ome"]["multiscales"][0]  # type: ignore[index,call-overload]
    assert image.attrs["ome"]["version"] == "0.5"  # type: ignore[index,call-overload]
    assert [axis["name"] for axis in multiscale["axes"]] == ["y", "x"]
    array = zarr.open_array(
        tmp_path / "out.zarr", path=f"density/{multiscale['datasets'][0]['path']}", mode="r"
    )
    assert (array.shape, array.shards, array.chunks) == (GRID.shape, GRID.block, GRID.chunk)
    assert array.metadata.dimension_names == ("y", "x")  # type: ignore[union-attr]
    assert np.isnan(array.fill_value)  # type: ignore[arg-type]
    metadata = json.loads((tmp_path / "out.zarr" / "density" / "0" / "zarr.json").read_text())
    inner = [codec["name"] for codec in metadata["codecs"][0]["configuration"]["codecs"]]
    assert inner == ["bytes", "blosc", "crc32c"]
    assert array[40, 60] == 3


def test_every_block_is_one_file(tmp_path: Path) -> None:
    """A shard a block, even where every value is the fill value; its size is reported."""
    store.create(tmp_path / "out.zarr", GRID, DTYPES, {})
    size = store.write_block(tmp_path / "out.zarr", "density", GRID, (1, 1), np.full((18, 22), np.nan))
    files = [path for path in (tmp_path / "out.zarr" / "density" / "0" / "c").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path / "out.zarr").as_posix() for path in files] == ["density/0/c/1/1"]
    assert files[0].stat().st_size == size > 0


def test_damage_is_noticed(tmp_path: Path) -> None:
    """A flipped byte in a shard's data makes reading it fail, rather than give other numbers."""
    fill(tmp_path / "out.zarr")
    shard = tmp_path / "out.zarr" / "density" / "0" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[20] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)checksum|crc"):
        zarr.open_array(tmp_path / "out.zarr", path="density/0", mode="r")[:16, :16]


def test_attributes(tmp_path: Path) -> None:
    """What is recorded of a run is read back, with a receipt once it is complete."""
    path = tmp_path / "out.zarr"
    fill(path)
    assert store.read_attributes(path)["note"] == "here"
    assert "receipt" not in store.read_attributes(path)
    store.finish(path, {"pixels": 3500})
    assert store.read_attributes(path)["receipt"] == {"pixels": 3500}
    assert store.read_attributes(path)["note"] == "here"


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    """A store whose run fails is removed."""

    def fail() -> None:
        with store.written_aside(tmp_path / "out.zarr", overwrite=False) as aside:
            fill(aside)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_old_result_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """An overwritten result can be read meanwhile, stays if the new run fails, and goes if it succeeds."""
    path = tmp_path / "out.zarr"
    fill(path)
    store.finish(path, {"run": 1})

    def write(error: type[Exception] | None) -> None:
        with store.written_aside(path, overwrite=True) as aside:
            fill(aside)
            store.finish(aside, {"run": 2})
            assert store.read_attributes(path)["receipt"] == {"run": 1}
            if error:
                raise error("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(OSError)
    assert store.read_attributes(path)["receipt"] == {"run": 1}
    write(None)
    assert store.read_attributes(path)["receipt"] == {"run": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


def test_of_two_runs_the_first_to_finish_stays(tmp_path: Path) -> None:
    """Two runs on one output write apart; the later is refused, and removes only its own."""
    path = tmp_path / "out.zarr"

    def late() -> None:
        with store.written_aside(path, overwrite=False) as aside:
            fill(aside)
            with store.written_aside(path, overwrite=False) as other:
                fill(other)
                store.finish(other, {"run": 1})

    with pytest.raises(FileExistsError, match=r"was written by another run meanwhile. It is left as it is"):
        late()
    assert store.read_attributes(path)["receipt"] == {"run": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_followed(tmp_path: Path, dangling: bool) -> None:
    """Where the output is a link, what it points to is written, and the link stays."""
    path, link = tmp_path / "out.zarr", tmp_path / "link.zarr"
    link.symlink_to(path)
    if not dangling:
        fill(path)
    with store.written_aside(link, overwrite=not dangling) as aside:
        fill(aside)
        store.finish(aside, {"run": 2})
    assert link.is_symlink()
    assert store.read_attributes(path)["receipt"] == {"run": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.zarr", "out.zarr"]


def test_targets_that_are_refused(tmp_path: Path) -> None:
    """Nothing foreign is overwritten, nothing at all without being told, never the source."""
    result, foreign = tmp_path / "out.zarr", tmp_path / "photos"
    fill(result)
    foreign.mkdir()
    with pytest.raises(FileExistsError, match=r"out.zarr exists.*ask to overwrite"):
        store.check_target(result, overwrite=False, source=None)
    store.check_target(result, overwrite=True, source=None)
    with pytest.raises(FileExistsError, match="isn't a result of mixture-pipeline"):
        store.check_target(foreign, overwrite=True, source=None)
    for source in (result, result / "density", tmp_path):
        with pytest.raises(ValueError, match="lie inside one another"):
            store.check_target(result, overwrite=True, source=source)
    with pytest.raises(ValueError, match="lies inside the Zarr store"):
        store.check_target(result / "inner.zarr", overwrite=False, source=None)
    with pytest.raises(ValueError, match="got a URL"):
        store.check_target(type(result)("s3://bucket/out.zarr"), overwrite=False, source=None)
