"""The layout: every output is an OME-Zarr image, and other readers open all of it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray
import zarr

from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores import layout
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore
from pipeline.testing.filling import CLASSES, GRID, LAYERS, OUTPUTS, fill, make_record, make_values

if TYPE_CHECKING:
    from pathlib import Path

PACKED = make_outputs(
    {
        "half": Packed(Density(CLASSES["b"]), "float16"),
        "chances": Packed(Posterior(CLASSES), "uint8"),
        "one": Packed(Posterior(CLASSES, only="b"), "uint16"),
        "log": Packed(Density(CLASSES["b"]), "uint16", 1e-12, 1.0, "log"),
    }
)
# Two outputs that share an array, a posterior among them, and two labels.
MANY = make_outputs(
    {
        "density": Density(CLASSES["b"]),
        "chances": Posterior(CLASSES),
        "label": Label(CLASSES),
        "other": Label(CLASSES, {"a": 1, "b": 9}),
    }
)


def chunks_of(shard: bytes, n_chunks: int) -> list[bytes | None]:
    """Return the stored chunks of a shard by its index, None for those that aren't stored."""
    index = np.frombuffer(shard[-16 * n_chunks - 4 : -4], "<u8").reshape(-1, 2).tolist()
    absent = [2**64 - 1] * 2
    return [None if entry == absent else shard[entry[0] : sum(entry)] for entry in index]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give the directory of a whole store."""
    fill(LocalStore(tmp_path / "out.zarr"), make_record())
    return tmp_path / "out.zarr"


@pytest.mark.parametrize(
    ("path", "axes", "dtype", "fill_value"),
    [
        ("", ["c", "y", "x"], "float32", math.nan),
        ("packed/chances", ["c", "y", "x"], "uint8", 255),
        ("labels/label", ["y", "x"], "uint8", 255),
    ],
)
def test_layout_is_ome_zarr(root: Path, path: str, axes: list[str], dtype: str, fill_value: float) -> None:
    """Each layer is an OME-Zarr 0.5 image whose shards are the blocks, with checksums."""
    image = zarr.open_group(root, path=path, mode="r")
    ome: Any = image.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == axes
    n_channels = 2 if path.startswith("packed") else 1
    leading = (n_channels,) * (len(axes) - 2)
    assert len(multiscale["datasets"]) == GRID.n_levels == 4
    for number, level in enumerate(multiscale["datasets"]):
        grid = GRID.level(number)
        array: Any = image[level["path"]]
        assert (array.shape, array.shards) == ((*leading, *grid.shape), (*leading, *grid.block))
        assert array.chunks == (*(1 for _ in leading), *grid.chunk)
        assert list(array.metadata.dimension_names) == axes
        assert array.dtype == dtype
        np.testing.assert_equal(array.fill_value, fill_value)
        metadata = json.loads((root / array.path / "zarr.json").read_text())
        (sharding,) = (codec["configuration"] for codec in metadata["codecs"])
        assert [codec["name"] for codec in sharding["codecs"]] == ["bytes", "blosc", "crc32c"]
        assert [codec["name"] for codec in sharding["index_codecs"]] == ["bytes", "crc32c"]


@pytest.mark.parametrize("outputs", [OUTPUTS, PACKED, OUTPUTS[2:], MANY])
def test_paths_are_those_of_the_files(tmp_path: Path, outputs: Any) -> None:
    """The paths of metadata and shards are where zarr writes them, and there are no others."""
    store, record = LocalStore(tmp_path / "out.zarr"), make_record(outputs=outputs)
    fill(store, record)
    files = {
        path.relative_to(store.directory).as_posix() for path in store.directory.rglob("*") if path.is_file()
    }
    wanted = {layout.METADATA, *layout.encode_metadata(record)}
    for layer in arrange(outputs):
        for level in range(GRID.n_levels):
            blocks = GRID.level(level).blocks()
            wanted |= {layout.shard_path(layer, block.index, level) for block in blocks}
        if layer.encoding.is_lossy:
            wanted |= {layout.error_path(layer, block.index) for block in GRID.blocks()}
    assert files == wanted
    found = {path for pattern in layout.SHARDS for path in store.directory.glob(pattern) if path.is_file()}
    assert {path.relative_to(store.directory).as_posix() for path in found} == {
        layout.shard_path(layer, block.index) for layer in arrange(outputs) for block in GRID.blocks()
    }


def test_the_decoding_of_packed_integers_is_beside_them(root: Path) -> None:
    """Another reader finds in the attributes of an array what its integers stand for."""
    for level in range(GRID.n_levels):
        array = zarr.open_array(root, path=f"packed/chances/{level}/chances", mode="r")
        attributes: Any = array.attrs.asdict()
        assert (attributes["add_offset"], attributes["_FillValue"]) == (0, 255)
        assert attributes["exponential"] is False
        assert attributes["scale_factor"] == pytest.approx(1 / 254)
    assert zarr.open_array(root, path="0/image", mode="r").attrs.asdict() == {}


@pytest.mark.parametrize("outputs", [OUTPUTS, PACKED, OUTPUTS[2:], MANY])
def test_xarray_opens_every_level(tmp_path: Path, outputs: Any) -> None:
    """Every array names its dimensions, and no two of different lengths in a group have the same name."""
    store = LocalStore(tmp_path / "out.zarr")
    fill(store, make_record(outputs=outputs))
    for layer in arrange(outputs):
        for level in range(GRID.n_levels):
            block, path = GRID.level(level)[0, 0], layer.array_path(level)
            group, _, name = path.rpartition("/")
            with xarray.open_zarr(store.directory, group=group, consolidated=False) as decoded:
                assert decoded[name].dims[-2:] == ("y", "x")
            with xarray.open_zarr(
                store.directory, group=group, consolidated=False, mask_and_scale=False
            ) as found:
                stored = np.asarray(found[name][..., *block.region]).reshape(layer.n_channels, *block.extent)
                np.testing.assert_array_equal(stored, make_values(layer, block))


def test_xarray_decodes_packed_results(root: Path) -> None:
    """What xarray makes of the integers are the values, by the conventions of CF."""
    with xarray.open_zarr(root, group="packed/chances/0", consolidated=False) as found:
        stored = make_values(LAYERS[1], GRID[0, 0])
        wanted = OUTPUTS[1].encoding.decode(stored)
        np.testing.assert_allclose(np.asarray(found["chances"])[:, *GRID[0, 0].region], wanted, rtol=1e-6)


@pytest.mark.parametrize("place", ["", "0", "0/image", "largest_errors/chances", "labels"])
@pytest.mark.parametrize("consolidated", [False, True])
def test_other_metadata_are_noticed(root: Path, place: str, consolidated: bool) -> None:
    """Metadata that are cut, or say something else, aren't those that were written."""
    owners = {"largest_errors/chances": ["chances"], "labels": ["label"]}
    damaged = owners.get(place, ["density"])
    if consolidated:
        with pytest.warns(Warning, match="[Cc]onsolidated"):
            zarr.consolidate_metadata(zarr.storage.LocalStore(root))
    assert layout.find_damaged(root, make_record()) == []
    file = root / place / "zarr.json"
    whole = file.read_text()
    for content in ("", whole[:-9], whole.replace('"0.5"', '"0.4"').replace("float32", "float64")):
        file.write_text(content)
        if place == "0" and content:
            continue
        found = [layer.name for layer in layout.find_damaged(root, make_record())]
        assert found == damaged or (place == "" and len(found) == 3)
    file.write_text(whole)
    assert layout.find_damaged(root, make_record()) == []


def test_an_attribute_that_isnt_there(tmp_path: Path) -> None:
    """Where no record is, or nothing can be read, there is no content."""
    assert layout.read_attribute(tmp_path / "none.zarr") is None
    root = tmp_path / "other.zarr" / "zarr.json"
    zarr.create_group(root.parent)
    assert layout.read_attribute(root.parent) is None
    root.write_bytes(layout.encode_root(make_record(), root.read_bytes()))
    assert layout.read_attribute(root.parent) == json.loads(json.dumps(make_record().to_dict()))
    root.write_text("{")
    assert layout.read_attribute(root.parent) is None


def test_the_files_are_those_that_zarr_writes(tmp_path: Path) -> None:
    """What is made in memory is, byte for byte, what zarr would write to a directory."""
    record, place = make_record(), tmp_path / "zarr"
    group = zarr.create_group(place)
    group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["label"]}})
    for layer in LAYERS:
        layout.create_layer(group, record, layer)
    for path, content in layout.encode_metadata(record).items():
        assert (place / path).read_bytes() == content
    for layer in LAYERS:
        array: Any = zarr.open_array(place, path=layer.array_path(), mode="r+")
        for block in GRID.blocks():
            values = make_values(layer, block)
            array[(..., *block.region)] = values[0] if layer.is_label else values
            metadata = (place / layer.array_path() / "zarr.json").read_bytes()
            content = b"".join(layout.encode_block(metadata, values))
            n_chunks = 6 * layer.n_channels
            # The order of the chunks in a shard may be another one.
            assert chunks_of(content, n_chunks) == chunks_of(
                (place / layout.shard_path(layer, block.index)).read_bytes(), n_chunks
            )
