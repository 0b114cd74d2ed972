"""Results as Datasets and DataTrees of xarray."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  the accessor `rio`
import tifffile
import xarray

from pipeline import (
    Density,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Packed,
    Posterior,
    open_image,
    open_result,
    stream,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.output import Quantities
    from pipeline.results.result import Result

# Of rioxarray, which multiplies transforms as older versions of its library want it.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

LIGHT = Mixture([1.0], [[200.0, 170.0, 150.0]], [[900.0] * 3])
DARK = Mixture([1.0], [[30.0, 30.0, 30.0]], [[900.0] * 3])
CLASSES = {"light skin": LIGHT, "темный": DARK}
QUANTITIES = {
    "density": Density(LIGHT),
    "ratio": Packed(LogRatio(LIGHT, DARK), "uint16", -100, 100),
    "chances": Posterior(CLASSES),
    "kinds": Label(CLASSES),
}


@pytest.fixture
def small(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a small photo."""
    return photo[::4, ::4]


def streamed(tmp_path: Path, image: Any, quantities: Quantities = QUANTITIES) -> Result:
    """Return the results of an image in blocks of 32 pixels, so that it has levels."""
    stream(image, quantities, tmp_path / "out.zarr", block=32, progress="none", overwrite=True)
    return open_result(tmp_path / "out.zarr")


def map_of(tmp_path: Path, small: NDArray[np.uint8], transform: rasterio.Affine) -> Path:
    """Write a photo as a map."""
    path = tmp_path / "map.tif"
    height, width, count = small.shape
    options: dict[str, Any] = {"dtype": "uint8", "crs": "EPSG:32633", "transform": transform}
    with rasterio.open(path, "w", "GTiff", width, height, count, **options) as file:
        file.write(small.transpose(2, 0, 1))
    return path


def refuse(*_: object, **__: object) -> None:
    """Stand in for a scheduler where nothing may be computed."""
    raise AssertionError("computed")


def test_variables_have_names_values_and_attributes(tmp_path: Path, small: NDArray[np.uint8]) -> None:
    """A Dataset is lazy, has the values of the result and says what they are; a file of it says the same."""
    result = streamed(tmp_path, open_image(small, mask=small[..., 0] > 20))
    with dask.config.set(scheduler=refuse):
        dataset = result.to_xarray(level=0)
    assert isinstance(dataset, xarray.Dataset)
    assert list(dataset) == list(result)
    assert dataset["chances"].dims == ("class", "y", "x")
    assert not {"y", "x"} & set(dataset.coords)
    for name, array in result.items():
        np.testing.assert_array_equal(dataset[name], array)
    np.testing.assert_array_equal(dataset["chances"].sel({"class": "темный"}), result["chances"][1])
    assert dataset["ratio"].attrs["units"] == "nats"
    assert dataset["ratio"].attrs["long_name"] == "The natural logarithm of the ratio of two densities"
    kinds = dataset["kinds"].attrs
    assert kinds["flag_meanings"] == "light_skin темный"
    assert kinds["flag_values"].tolist() == [0, 1]
    assert kinds["flag_values"].dtype == kinds["_FillValue"].dtype == np.uint8
    # The no-data value comes along.
    assert open_image(dataset["kinds"]).no_data.value == 255  # type: ignore[union-attr]
    dataset[["kinds"]].to_zarr(tmp_path / "copy.zarr", zarr_format=2)
    masked = xarray.open_zarr(tmp_path / "copy.zarr")["kinds"]
    assert int(masked.isnull().sum()) == int((np.asarray(result["kinds"]) == 255).sum()) > 0


def test_a_tree_has_all_levels(tmp_path: Path, small: NDArray[np.uint8]) -> None:
    """Each level has the arrays and the coordinates of its own pixels."""
    path = tmp_path / "image.ome.tif"
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "axes": "YXS"}
    tifffile.imwrite(path, small[:101, :100], photometric="rgb", metadata=size)
    result = streamed(tmp_path, path)
    tree = result.to_xarray()
    assert isinstance(tree, xarray.DataTree)
    assert list(tree.children) == [str(number) for number in range(len(result.levels))]
    assert len(result.levels) > 2
    for number, shape in enumerate(result.levels):
        level = tree[str(number)]
        assert level["density"].shape == shape
        np.testing.assert_array_equal(level["kinds"], result.at(number)["kinds"])
        # The center of the first pixel of level 0 is the origin.
        scale = 2**number
        np.testing.assert_allclose(level["x"], 0.5 * (scale * (np.arange(shape[1]) + 0.5) - 0.5))
        np.testing.assert_allclose(level["y"], 0.25 * (scale * (np.arange(shape[0]) + 0.5) - 0.5))
        assert level["x"].attrs["units"] == "micrometer"


def test_maps_keep_their_place(tmp_path: Path, small: NDArray[np.uint8]) -> None:
    """What rioxarray and this package read of each level is where it lies."""
    north = rasterio.Affine(10, 0, 500_000, 0, -10, 4_900_000)
    result = streamed(tmp_path, map_of(tmp_path, small, north))
    for number in range(2):
        density = result.to_xarray(level=number)["density"]
        assert density.rio.crs == rasterio.CRS.from_epsg(32633)
        size = 10 * 2**number
        assert tuple(density.rio.transform())[:6] == (size, 0, 500_000, 0, -size, 4_900_000)
        assert density.rio.bounds() == (500_000, 4_898_720, 501_280, 4_900_000)
        opened = open_image(density, channel_axis=None)
        assert (opened.crs, opened.transform) == ("EPSG:32633", result.at(number).geometry.transform)
    cut = result.to_xarray(level=0)["kinds"].sel(x=slice(500_400, 500_900))
    np.testing.assert_array_equal(cut, result["kinds"][:, 40:90])


def test_turned_maps_have_a_transform(tmp_path: Path, small: NDArray[np.uint8]) -> None:
    """Coordinates along an axis would be wrong."""
    turned = rasterio.Affine(10, 3, 500_000, 3, -10, 4_900_000)
    density = streamed(tmp_path, map_of(tmp_path, small, turned)).to_xarray(level=0)["density"]
    assert not {"y", "x"} & set(density.coords)
    assert density.rio.transform() == turned
    assert open_image(density, channel_axis=None).transform == tuple(turned)[:6]


def test_other_classes_have_another_axis(tmp_path: Path, small: NDArray[np.uint8]) -> None:
    """Posteriors of the same classes share an axis, and those of others have their own."""
    quantities = {
        "one": Posterior(CLASSES),
        "two": Posterior(CLASSES, [1, 9]),
        "three": Posterior({"a": DARK, "b": LIGHT, "c": LIGHT}),
    }
    dataset = streamed(tmp_path, small[:9, :8], quantities).to_xarray(level=0)
    assert dict(dataset.sizes) == {"class": 2, "three_class": 3, "y": 9, "x": 8}
    assert dataset["three_class"].values.tolist() == ["a", "b", "c"]


def test_what_is_wrong_is_said(
    tmp_path: Path, small: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is taken, a level that isn't there, and a library that is missing."""
    result = streamed(tmp_path, small[:9, :8], {"x": LogDensity(LIGHT)})
    with pytest.raises(ValueError, match="a result named 'x', which is the name of an axis"):
        result.to_xarray()
    with pytest.raises(ValueError, match="has no level 7"):
        result.to_xarray(level=7)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[xarray\]'"):
        result.to_xarray()
