"""Other people's readers open a store: they find its names, colors, levels, places and values.

Each reader that isn't installed is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from stores.kinds import KINDS, MICROMETERS, Kind, numbers_of, write

from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores.layers import Layer, arrange
from pipeline.testing.filling import CLASSES, GRID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

KIND = Kind(
    {
        "density": Density(CLASSES["b"]),
        "chances": Posterior(CLASSES),
        "bytes": Packed(Posterior(CLASSES), "uint8"),
        "label": Label(CLASSES),
    },
    MICROMETERS,
)
LAYERS = arrange(make_outputs(KIND.quantities))
OWN, _, LABEL = LAYERS
N_LEVELS = GRID.n_levels
pytestmark = pytest.mark.xdist_group("readers")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of a store with channels, a packed image and a label."""
    return write(tmp_path_factory.mktemp("readers") / "out.zarr", KIND)


@pytest.fixture(scope="module")
def on_a_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of a store that lies on a map."""
    return write(tmp_path_factory.mktemp("readers") / "map.zarr", KINDS["one pixel"])


def read_with_zarr(path: Path) -> NDArray[Any]:
    """Read an array by zarr-python."""
    array: Any = zarr.open_array(path, mode="r")
    return np.asarray(array[...])


def read_with_tensorstore(path: Path) -> NDArray[Any]:
    """Read an array by tensorstore, which gives the names of its axes."""
    tensorstore = pytest.importorskip("tensorstore")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    array = tensorstore.open(spec, read=True).result()
    assert array.domain.labels[-2:] == ("y", "x")
    return np.asarray(array.read().result())


def read_with_zarrs(path: Path) -> NDArray[Any]:
    """Read an array by zarrs, which is the codec pipeline of zarr-python then."""
    pytest.importorskip("zarrs")
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return read_with_zarr(path)


@pytest.mark.parametrize("read", [read_with_zarr, read_with_tensorstore, read_with_zarrs])
def test_readers_of_zarr(root: Path, read: Callable[[Path], NDArray[Any]]) -> None:
    """They read the stored numbers of every level."""
    for layer in LAYERS:
        for level in range(N_LEVELS):
            wanted = numbers_of(layer, GRID.level(level).shape)
            np.testing.assert_array_equal(
                read(root / layer.array_path(level)), wanted[0] if layer.is_label else wanted
            )


def test_ome_zarr_py(root: Path) -> None:
    """It finds the channels with colors and windows, the label with classes, and the levels of both."""
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url  # noqa: PLC0415  may not be installed
    from ome_zarr.reader import Reader  # noqa: PLC0415  may not be installed

    image, labels, label = Reader(parse_url(root))()
    assert image.metadata["channel_names"] == ["density", "chances a", "chances b"]
    assert image.metadata["visible"] == [True, False, False]
    assert image.metadata["colormap"][1][1] == pytest.approx([230 / 255, 159 / 255, 0])
    assert len(image.metadata["contrast_limits"]) == 3
    scales = [transforms[0]["scale"] for transforms in image.metadata["coordinateTransformations"]]
    assert scales == [[1.0, 0.5 * 2**level, 0.25 * 2**level] for level in range(N_LEVELS)]
    for node, layer in ((image, OWN), (label, LABEL)):
        assert len(node.data) == N_LEVELS
        for level, array in enumerate(node.data):
            wanted = numbers_of(layer, GRID.level(level).shape)
            np.testing.assert_array_equal(np.asarray(array), wanted[0] if layer.is_label else wanted)
    assert labels.data == []
    assert label.metadata["color"][255] == [0, 0, 0, 0]
    assert label.metadata["color"][0] == pytest.approx([230 / 255, 159 / 255, 0, 1])
    assert [label.metadata["properties"][number]["class"] for number in (0, 1)] == ["a", "b"]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.path or "root")
def test_ngff_zarr(root: Path, layer: Layer) -> None:
    """It accepts the metadata, and finds the scale, the place and the pixels of each level."""
    ngff_zarr = pytest.importorskip("ngff_zarr")
    found = ngff_zarr.from_ngff_zarr(str(root / layer.path), validate=True, version="0.5")
    assert len(found.images) == N_LEVELS
    for level, image in enumerate(found.images):
        factor = 2**level
        assert (image.scale["y"], image.scale["x"]) == (0.5 * factor, 0.25 * factor)
        assert image.translation["y"] == 10 + 0.5 * (factor - 1) / 2
        assert image.axes_units["x"] == "micrometer"
        wanted = numbers_of(layer, GRID.level(level).shape)
        np.testing.assert_array_equal(np.asarray(image.data), wanted[0] if layer.is_label else wanted)


# rioxarray 0.19 multiplies transforms as affine 3.1 won't have it one day.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_rioxarray(on_a_map: Path) -> None:
    """It finds the reference system, the transform and the no-data value of packed numbers."""
    pytest.importorskip("rioxarray")
    xarray = pytest.importorskip("xarray")
    groups = {"0": "image", "packed/bytes/0": "bytes", "labels/label/0": "label"}
    for group, name in groups.items():
        with xarray.open_zarr(on_a_map, group=group, consolidated=False, decode_coords="all") as found:
            assert found[name].rio.crs == "EPSG:32633"
            assert found[name].rio.bounds() == (5e5, 49e5 - 10, 5e5 + 10, 49e5)
            assert list(found[name].rio.transform())[:6] == [10, 0, 5e5, 0, -10, 49e5]
            if name == "bytes":
                assert found[name].rio.encoded_nodata == 255


def test_gdal(on_a_map: Path) -> None:
    """A version that can't read sharded arrays says so; from 3.13 on it should read them."""
    rasterio = pytest.importorskip("rasterio")
    if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) >= (3, 13):
        pytest.skip("no version of GDAL that reads sharded arrays has been tried")
    with pytest.raises(rasterio.errors.RasterioIOError, match="sharding_indexed"):
        rasterio.open(f'ZARR:"{on_a_map}":/0/image')
