"""The layout: every output is an OME-Zarr image, and other readers open all of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray
import zarr

from pipeline.images.geometry import Geometry
from pipeline.models.class_quantities import Posterior
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores import layout
from pipeline.stores.local import LocalStore
from pipeline.testing.stores import CLASSES, GRID, OUTPUTS, fill, make_record, make_values

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
    ("name", "axes", "dtype", "fill_value"),
    [
        ("density", ["y", "x"], "float32", math.nan),
        ("chances", ["c", "y", "x"], "uint8", 255),
        ("label", ["y", "x"], "uint8", 255),
    ],
)
def test_layout_is_ome_zarr(root: Path, name: str, axes: list[str], dtype: str, fill_value: float) -> None:
    """Each output is an OME-Zarr 0.5 image whose shards are the blocks, with checksums."""
    image = zarr.open_group(root / name, mode="r")
    ome: Any = image.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == axes
    (level,) = multiscale["datasets"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": [1.0] * len(axes)}]
    array: Any = zarr.open_array(root, path=f"{name}/{level['path']}", mode="r")
    leading = (2,) * (len(axes) - 2)
    assert (array.shape, array.shards) == ((*leading, *GRID.shape), (*leading, *GRID.block))
    assert array.chunks == (*(1 for _ in leading), *GRID.chunk)
    assert list(array.metadata.dimension_names) == axes
    assert array.dtype == dtype
    np.testing.assert_equal(array.fill_value, fill_value)
    metadata = json.loads((root / name / "0" / "zarr.json").read_text())
    (sharding,) = (codec["configuration"] for codec in metadata["codecs"])
    assert [codec["name"] for codec in sharding["codecs"]] == ["bytes", "blosc", "crc32c"]
    assert [codec["name"] for codec in sharding["index_codecs"]] == ["bytes", "crc32c"]


@pytest.mark.parametrize(("name", "leading"), [("density", []), ("chances", [0.0])])
def test_levels_lie_where_the_image_lies(tmp_path: Path, name: str, leading: list[float]) -> None:
    """The size and the place of the pixels are in each output's metadata, in micrometers."""
    record = make_record()
    image = replace(record.image, geometry=Geometry((0.5, 0.25), (0.0, 12.0)))
    fill(LocalStore(tmp_path / "out.zarr"), replace(record, image=image))
    ome: Any = zarr.open_group(tmp_path / "out.zarr" / name, mode="r").attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert [axis.get("unit") for axis in multiscale["axes"]][-2:] == ["micrometer"] * 2
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [*(1.0 for _ in leading), 0.5, 0.25]}
    assert translation == {"type": "translation", "translation": [*leading, 0.0, 12.0]}


@pytest.mark.parametrize("outputs", [OUTPUTS, PACKED])
def test_paths_are_those_of_the_files(tmp_path: Path, outputs: Any) -> None:
    """The paths of metadata and shards are where zarr writes them, and there are no others."""
    store = LocalStore(tmp_path / "out.zarr")
    fill(store, make_record(outputs=outputs))
    files = {
        path.relative_to(store.directory).as_posix() for path in store.directory.rglob("*") if path.is_file()
    }
    wanted = {layout.METADATA}
    for output in outputs:
        wanted |= layout.encode_output(make_record(outputs=outputs), output).keys()
        wanted |= {layout.shard_path(output, block.index) for block in GRID.blocks()}
        if output.encoding.is_lossy:
            path = layout.errors_path(output.name)
            wanted |= {f"{path}/c/{block.index[0]}/{block.index[1]}" for block in GRID.blocks()}
        assert layout.array_paths(output)[0] == layout.level_path(output.name)
    assert files == wanted
    shards = {path.relative_to(store.directory).as_posix() for path in store.directory.glob(layout.SHARDS)}
    assert {layout.shard_path(output, block.index) for output in outputs for block in GRID.blocks()} <= shards


def test_the_decoding_of_packed_integers_is_beside_them(root: Path) -> None:
    """Another reader finds in the attributes of an array what its integers stand for."""
    attributes: Any = zarr.open_array(root, path="chances/0", mode="r").attrs.asdict()
    assert (attributes["offset"], attributes["no_data"], attributes["exponential"]) == (0, 255, False)
    assert attributes["factor"] == pytest.approx(1 / 254)
    assert zarr.open_array(root, path="density/0", mode="r").attrs.asdict() == {}


@pytest.mark.parametrize("outputs", [OUTPUTS, PACKED])
def test_xarray_opens_every_output(tmp_path: Path, outputs: Any) -> None:
    """Every array names its dimensions, and no two of different lengths have the same name."""
    store = LocalStore(tmp_path / "out.zarr")
    fill(store, make_record(outputs=outputs))
    for output in outputs:
        with xarray.open_zarr(
            store.directory / output.name, consolidated=False, mask_and_scale=False
        ) as found:
            assert found["0"].dims[-2:] == ("y", "x")
            stored = np.asarray(found["0"][..., *GRID[1, 0].region]).reshape(output.n_results, -1)
            wanted = make_values(output, GRID[1, 0]).reshape(output.n_results, -1)
            np.testing.assert_array_equal(stored, wanted)
            assert ("largest_error" in found) is output.encoding.is_lossy
            if output.encoding.is_lossy:
                assert found["largest_error"].dims == ("block_row", "block_column")
                np.testing.assert_array_equal(found["largest_error"], np.full(GRID.counts, 0.25))
        xarray.open_zarr(store.directory / output.name, consolidated=False).close()


@pytest.mark.parametrize("name", ["density", "density/0", "chances/largest_error"])
@pytest.mark.parametrize("consolidated", [False, True])
def test_other_metadata_are_noticed(root: Path, name: str, consolidated: bool) -> None:
    """Metadata that are cut, or say something else, aren't those that were written."""
    damaged = next(output for output in OUTPUTS if output.name == name.partition("/")[0])
    if consolidated:
        with pytest.warns(Warning, match="[Cc]onsolidated"):
            zarr.consolidate_metadata(zarr.storage.LocalStore(root))
    assert all(layout.has_metadata(root, make_record(), output) for output in OUTPUTS)
    file = root / name / "zarr.json"
    whole = file.read_text()
    for content in ("", whole[:-9], whole.replace("0.5", "0.4").replace("float32", "float64")):
        file.write_text(content)
        assert not layout.has_metadata(root, make_record(), damaged)
        assert layout.has_metadata(root, make_record(), OUTPUTS[2])
    file.write_text(whole)
    assert all(layout.has_metadata(root, make_record(), output) for output in OUTPUTS)


def test_an_attribute_that_isnt_there(tmp_path: Path) -> None:
    """Where no record is, or nothing can be read, there is no content."""
    assert layout.read_attribute(tmp_path / "none.zarr") is None
    root = tmp_path / "other.zarr" / "zarr.json"
    zarr.create_group(root.parent)
    assert layout.read_attribute(root.parent) is None
    root.write_bytes(layout.encode_root({"a": 1}, root.read_bytes()))
    assert layout.read_attribute(root.parent) == {"a": 1}
    root.write_text("{")
    assert layout.read_attribute(root.parent) is None


def test_the_files_are_those_that_zarr_writes(tmp_path: Path) -> None:
    """What is made in memory is, byte for byte, what zarr would write to a directory."""
    group = zarr.create_group(tmp_path / "zarr", attributes={layout.ATTRIBUTE: {"a": 1}})
    assert layout.encode_root({"a": 1}) == (tmp_path / "zarr" / "zarr.json").read_bytes()
    for output in OUTPUTS:
        layout.create_output(group, make_record(), output)
        for path, content in layout.encode_output(make_record(), output).items():
            assert (tmp_path / "zarr" / path).read_bytes() == content
        array: Any = zarr.open_array(tmp_path / "zarr", path=layout.level_path(output.name), mode="r+")
        for block in GRID.blocks():
            values = make_values(output, block)
            values = values[0] if output.class_names is None else values
            region = (..., *block.region)
            array[region] = values
            metadata = (tmp_path / "zarr" / output.name / "0" / "zarr.json").read_bytes()
            content = layout.encode_block(metadata, values)
            # The order of the chunks in a shard may be another one.
            assert chunks_of(b"".join(content), 6) == chunks_of(
                (tmp_path / "zarr" / layout.shard_path(output, block.index)).read_bytes(), 6
            )
