"""The store: readable as OME-Zarr, one file a block, and checked byte by byte."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Density, Label, Packed, Posterior, store
from pipeline.images.grid import Grid
from pipeline.stores.local import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.models.quantity import Quantity

GRID = Grid((50, 70), (32, 48), (16, 16))
CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES: dict[str, Quantity] = {
    "density": Density(random_mixture(2, 3)),
    "chances": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}


def fill(path: Path, grid: Grid = GRID) -> None:
    """Create a store and write random numbers to every block of every result."""
    store.create(path, grid, QUANTITIES, {"note": "here"})
    random = np.random.default_rng(0)
    for index in grid.blocks():
        extent = tuple(s.stop - s.start for s in grid.region(index))
        store.write_block(path, "density", grid, index, random.random(extent, np.float32))
        codes = random.integers(0, 255, (2, *extent), np.uint8)
        store.write_block(path, "chances", grid, index, codes, error=0.25)
        store.write_block(path, "label", grid, index, random.integers(0, 2, extent, np.uint8))


def shard_of(path: Path, name: str, index: tuple[int, int]) -> Path:
    """Give the file of a block."""
    folder = path / name / "0" / "c"
    return (folder / "0" if name == "chances" else folder) / str(index[0]) / str(index[1])


@pytest.mark.parametrize(
    ("name", "axes", "dtype", "fill_value"),
    [
        ("density", ["y", "x"], "float32", math.nan),
        ("chances", ["c", "y", "x"], "uint8", 255),
        ("label", ["y", "x"], "uint8", 255),
    ],
)
def test_layout_is_ome_zarr(
    tmp_path: Path, name: str, axes: list[str], dtype: str, fill_value: float
) -> None:
    """Each result is an OME-Zarr 0.5 image whose shards are the blocks, with checksums."""
    fill(tmp_path / "out.zarr")
    image = zarr.open_group(tmp_path / "out.zarr" / name, mode="r")
    ome: Any = image.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == axes
    (level,) = multiscale["datasets"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": [1.0] * len(axes)}]
    array: Any = zarr.open_array(tmp_path / "out.zarr", path=f"{name}/{level['path']}", mode="r")
    leading = (2,) * (len(axes) - 2)
    assert (array.shape, array.shards) == ((*leading, *GRID.shape), (*leading, *GRID.block))
    assert array.chunks == (*(1 for _ in leading), *GRID.chunk)
    assert list(array.metadata.dimension_names) == axes
    assert array.dtype == dtype
    np.testing.assert_equal(array.fill_value, fill_value)
    metadata = json.loads((tmp_path / "out.zarr" / name / "0" / "zarr.json").read_text())
    (sharding,) = (codec["configuration"] for codec in metadata["codecs"])
    assert [codec["name"] for codec in sharding["codecs"]] == ["bytes", "blosc", "crc32c"]
    assert [codec["name"] for codec in sharding["index_codecs"]] == ["bytes", "crc32c"]


def test_how_packed_integers_are_decoded_is_beside_them(tmp_path: Path) -> None:
    """Another reader finds in the array's attributes what the integers stand for."""
    fill(tmp_path / "out.zarr")
    attributes = zarr.open_array(tmp_path / "out.zarr", path="chances/0", mode="r").attrs.asdict()
    assert (attributes["offset"], attributes["no_data"], attributes["exponential"]) == (0, 255, False)
    assert attributes["factor"] == pytest.approx(1 / 254)
    assert zarr.open_array(tmp_path / "out.zarr", path="density/0", mode="r").attrs.asdict() == {}


def test_every_block_is_one_file(tmp_path: Path) -> None:
    """A shard a block, even where every value is the fill value; its size is reported."""
    path = tmp_path / "out.zarr"
    store.create(path, GRID, QUANTITIES, {})
    size = store.write_block(path, "density", GRID, (1, 1), np.full((18, 22), np.nan))
    files = [file for file in (path / "density" / "0" / "c").rglob("*") if file.is_file()]
    assert [file.relative_to(path).as_posix() for file in files] == ["density/0/c/1/1"]
    assert files[0].stat().st_size == size > 0
    assert store.check_block(path, (1, 1), ["density"]) == []


@pytest.mark.parametrize("index", list(GRID.blocks()))
@pytest.mark.parametrize("name", list(QUANTITIES))
def test_any_flipped_byte_is_noticed_and_mended(tmp_path: Path, name: str, index: tuple[int, int]) -> None:
    """Whichever byte of a shard is another, the block is damaged; written again, it is as it was."""
    path = tmp_path / "out.zarr"
    fill(path)
    shard = shard_of(path, name, index)
    whole = shard.read_bytes()
    values = np.asarray(zarr.open_array(path, path=f"{name}/0", mode="r")[..., *GRID.region(index)])
    # The index of the shard's chunks is at its end.
    places = np.random.default_rng(1).integers(0, len(whole), 12)
    for place in (*places, 0, len(whole) - 1, len(whole) - 6):
        content = bytearray(whole)
        content[place] ^= 0x20
        shard.write_bytes(content)
        assert store.check_block(path, index, QUANTITIES) == [Fault(name, index, "damaged")], place
    error = 0.25 if name == "chances" else None
    store.write_block(path, name, GRID, index, values, error=error)
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"x", None], ids=["empty", "one byte", "half"])
def test_cut_shards_are_damaged(tmp_path: Path, content: bytes | None) -> None:
    """What a power failure leaves of a file is no block."""
    path = tmp_path / "out.zarr"
    fill(path)
    shard = shard_of(path, "label", (0, 1))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert store.check_block(path, (0, 1), QUANTITIES) == [Fault("label", (0, 1), "damaged")]
    assert store.check_block(path, (0, 0), QUANTITIES) == []


def test_missing_shards_are_named(tmp_path: Path) -> None:
    """A shard that isn't there is missing, of the results that are asked about."""
    path = tmp_path / "out.zarr"
    fill(path)
    for name in ("density", "chances"):
        shard_of(path, name, (1, 0)).unlink()
    wanted = [Fault("density", (1, 0), "missing"), Fault("chances", (1, 0), "missing")]
    assert store.check_block(path, (1, 0), QUANTITIES) == wanted
    assert store.check_block(path, (1, 0), ["label"]) == []


@pytest.mark.parametrize(
    "content", [None, b"", b"12345678", b"1234567"], ids=["gone", "empty", "other", "cut"]
)
def test_a_lost_error_is_noticed_and_mended(tmp_path: Path, content: bytes | None) -> None:
    """A packed block whose largest error isn't known any more isn't whole; written again, it is."""
    path = tmp_path / "out.zarr"
    fill(path)
    entry = path / "chances" / "largest_error" / "c" / "1" / "1"
    whole = entry.read_bytes()
    if content is None:
        entry.unlink()
    else:
        entry.write_bytes(content)
    assert store.check_block(path, (1, 1), QUANTITIES) == [Fault("chances", (1, 1), "damaged")]
    assert store.check_block(path, (0, 1), QUANTITIES) == []
    store.write_block(path, "chances", GRID, (1, 1), np.zeros((2, 18, 22), np.uint8), error=0.25)
    assert entry.read_bytes() == whole
    assert store.check_block(path, (1, 1), QUANTITIES) == []
    assert store.largest_errors(path, ["chances"]) == {"chances": 0.25}


def test_a_directory_is_no_shard(tmp_path: Path) -> None:
    """Where something else has a shard's name, the shard is missing."""
    path = tmp_path / "out.zarr"
    fill(path)
    shard_of(path, "label", (0, 0)).unlink()
    shard_of(path, "label", (0, 0)).mkdir()
    assert store.check_block(path, (0, 0), QUANTITIES) == [Fault("label", (0, 0), "missing")]


def test_damage_is_noticed_by_any_reader(tmp_path: Path) -> None:
    """A flipped byte in a shard's data makes reading it fail, rather than give other numbers."""
    fill(tmp_path / "out.zarr")
    shard = shard_of(tmp_path / "out.zarr", "density", (0, 0))
    content = bytearray(shard.read_bytes())
    content[20] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)checksum|crc"):
        zarr.open_array(tmp_path / "out.zarr", path="density/0", mode="r")[:16, :16]


SMALL = st.integers(1, 12)


@settings(deadline=None, max_examples=10)
@given(st.tuples(st.integers(1, 30), st.integers(1, 30)), st.tuples(SMALL, SMALL), st.tuples(SMALL, SMALL))
def test_a_block_writes_its_own_file_alone(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int],
    chunk: tuple[int, int],
    times: tuple[int, int],
) -> None:
    """Of any shape, blocks and chunks, each block is one file that no other block touches."""
    grid = Grid(shape, (chunk[0] * min(times[0], 4), chunk[1] * min(times[1], 4)), chunk)
    path = tmp_path_factory.mktemp("store") / "out.zarr"
    store.create(path, grid, {"density": QUANTITIES["density"]}, {})
    folder = path / "density" / "0" / "c"
    before: dict[Path, int] = {}
    for number, index in enumerate(grid.blocks()):
        extent = tuple(s.stop - s.start for s in grid.region(index))
        store.write_block(path, "density", grid, index, np.full(extent, number, np.float32))
        files = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
        assert files.items() >= before.items()
        assert len(files) == number + 1
        before = files
    assert len(before) == grid.n_blocks
    stored = np.asarray(zarr.open_array(path, path="density/0", mode="r"))
    for number, index in enumerate(grid.blocks()):
        assert (stored[grid.region(index)] == number).all()


def test_attributes(tmp_path: Path) -> None:
    """What is recorded of a run is read back, with a receipt once it is complete."""
    path = tmp_path / "out.zarr"
    fill(path)
    assert store.read_attributes(path)["note"] == "here"
    assert "receipt" not in store.read_attributes(path)
    store.finish(path, {"pixels": 3500})
    assert store.read_attributes(path)["receipt"] == {"pixels": 3500}
    assert store.read_attributes(path)["note"] == "here"


def test_the_grid_is_read_back(tmp_path: Path) -> None:
    """A store knows its blocks."""
    grid = {"shape": list(GRID.shape), "block": list(GRID.block), "chunk": list(GRID.chunk)}
    record: dict[str, Any] = {"grid": grid, "image": {}, "mask": None, "no_data": None, "results": {}}
    store.create(tmp_path / "out.zarr", GRID, QUANTITIES, record)
    assert store.read_grid(tmp_path / "out.zarr") == GRID
    group = zarr.open_group(tmp_path / "out.zarr")
    for damaged in ({"grid": {}}, {"grid": {**grid, "shape": "ab"}}, {"results": [1]}, {"receipt": "x"}):
        group.attrs["mixture_pipeline"] = {**record, **damaged}
        with pytest.raises(ValueError, match=r"damaged record in its zarr.json. Overwrite it"):
            store.read_grid(tmp_path / "out.zarr")


def test_largest_errors(tmp_path: Path) -> None:
    """The largest error is of the blocks that are written, of what is packed alone."""
    path = tmp_path / "out.zarr"
    store.create(path, GRID, QUANTITIES, {})
    assert store.largest_errors(path, list(QUANTITIES)) == {"chances": 0}
    for index, error in zip(GRID.blocks(), (0.25, 0.5, 0.125), strict=False):
        extent = tuple(s.stop - s.start for s in GRID.region(index))
        store.write_block(path, "chances", GRID, index, np.zeros((2, *extent), np.uint8), error=error)
    assert store.largest_errors(path, list(QUANTITIES)) == {"chances": 0.5}


def test_what_is_no_store(tmp_path: Path) -> None:
    """Nothing, a directory, a file and another's Zarr group are told apart from a result."""
    with pytest.raises(FileNotFoundError, match=r"none.zarr doesn't exist"):
        store.read_attributes(tmp_path / "none.zarr")
    (tmp_path / "text").write_text("hello")
    zarr.create_group(tmp_path / "other.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="f4")
    (tmp_path / "cut.zarr").mkdir()
    (tmp_path / "cut.zarr" / "zarr.json").write_text("{")
    for name in (".", "text", "other.zarr", "array.zarr", "cut.zarr"):
        with pytest.raises(ValueError, match="isn't a result of mixture-pipeline"):
            store.read_attributes(tmp_path / name)
