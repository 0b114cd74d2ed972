"""Names of channels that TIFFs state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from images.examples import COLOR, HEIGHT, WIDTH, noise

from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path

# None of these images lies on a map.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["DAPI", "GFP", "RFP &amp; more"], ("DAPI", "GFP", "RFP &amp; more")),
        (["DAPI", "GFP", "GFP"], ("DAPI", "GFP", "GFP 2")),
        (["DAPI", "", "Channel 2"], ("DAPI", "channel 1", "channel 2")),
        (["", "Channel:0:1", "3"], None),
    ],
)
def test_names_in_ome_xml(tmp_path: Path, given: list[str], names: tuple[str, ...] | None) -> None:
    """The channels of an image in OME-XML are named by it, the second and third image too."""
    path, planes = tmp_path / "x.ome.tif", noise(3, HEIGHT, WIDTH)
    with tifffile.TiffWriter(path, ome=True) as writer:
        for channels in (["a", "b", "c"], given):
            described = {"axes": "CYX", "Channel": {"Name": channels}}
            writer.write(planes, photometric="minisblack", metadata=described)
    assert open_image(path).channels == ("a", "b", "c")
    image = open_image(path, series=1)
    assert image.channels == names
    np.testing.assert_array_equal(image, np.moveaxis(planes, 0, -1))
    if names:
        chosen = open_image(path, series=1, channels=names[::-1])
        np.testing.assert_array_equal(chosen, np.moveaxis(planes, 0, -1)[..., ::-1])


def _write(path: Path, names: tuple[str | None, ...], **options: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Write bands with descriptions, as rasterio does."""
    bands = noise(len(names), 40, 50)
    profile = {"driver": "GTiff", "width": 50, "height": 40, "count": len(names), "dtype": "uint8", **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
        file.descriptions = names
    return np.moveaxis(bands, 0, -1)


@pytest.mark.parametrize(
    ("described", "options", "names"),
    [
        (("blue", "green", "red", "nir"), {"photometric": "RGB", "alpha": "unspecified"}, None),
        (("B02", "B03", "B04", "B05", "B06"), {"photometric": "MINISBLACK"}, None),
        (("Band 1", "Band 2", "Band 3"), {"photometric": "RGB"}, COLOR),
        (("Band 1", "Band 2"), {"photometric": "MINISBLACK"}, ()),
        ((None, None, "ndvi"), {"photometric": "RGB"}, ("red", "green", "ndvi")),
        (("green", None, None), {"photometric": "RGB"}, ("green", "channel 1", "blue")),
        (("a", None, "b"), {"photometric": "MINISBLACK"}, ("a", "channel 1", "b")),
    ],
)
def test_descriptions_of_bands(
    tmp_path: Path, described: tuple[str | None, ...], options: dict[str, Any], names: tuple[str, ...] | None
) -> None:
    """GDAL's descriptions of bands are names of channels, unless they are numbers."""
    pixels = _write(tmp_path / "x.tif", described, **options)
    image = open_image(tmp_path / "x.tif")
    wanted = described if names is None else names or None
    assert image.channels == wanted
    np.testing.assert_array_equal(image, pixels)


def test_a_model_finds_its_bands(tmp_path: Path) -> None:
    """Bands in another order are put into that of a model, and others are left out."""
    pixels = _write(
        tmp_path / "x.tif", ("blue", "green", "red", "nir"), photometric="RGB", alpha="unspecified"
    )
    image = open_image(tmp_path / "x.tif").fitted(3, COLOR)
    np.testing.assert_array_equal(image, pixels[..., [2, 1, 0]])


def test_a_band_that_has_a_name_is_no_alpha(tmp_path: Path) -> None:
    """GDAL tags the fourth band as alpha; one that is described as something else is a channel."""
    pixels = noise(20, 30, 4)
    for name, names in (("nir", ("blue", "green", "red", "nir")), ("", ("blue", "green", "red"))):
        size = {"width": 30, "height": 20, "count": 4, "dtype": "uint8", "crs": "EPSG:32633"}
        transform = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
        with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", transform=transform, **size) as file:
            file.write(np.moveaxis(pixels, -1, 0))
            file.descriptions = ("blue", "green", "red", name)
        image = open_image(tmp_path / "x.tif")
        assert image.channels == names
        np.testing.assert_array_equal(image, pixels[..., : len(names)])
