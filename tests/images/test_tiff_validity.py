"""What the tags of TIFFs say of pixels without data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from images.examples import noise, set_tag

from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.tiff_validity import find_mask_pages, read_fill, read_no_data

if TYPE_CHECKING:
    from pathlib import Path

# None of these images lies on a map.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

LOWEST = float(np.finfo("float32").min)


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("uint8", "0", 0),
        ("uint8", " 255 ", 255),
        ("uint8", "255.0", 255),
        ("uint8", "1e2", 100),
        ("uint8", "-9999", None),
        ("uint8", "256", None),
        ("uint8", "0.5", None),
        ("uint8", "nan", None),
        ("uint8", "none", None),
        ("uint8", "", None),
        ("int16", "-9999", -9999),
        ("uint16", "65535", 65535),
        ("float32", "-9999", -9999),
        ("float32", "-3.4028234663852886e+38", LOWEST),
        ("float32", "-3.40282346638528898e+38", LOWEST),
        ("float32", "-3.4e+38", float(np.float32(-3.4e38))),
        ("float32", "-1.7976931348623157e+308", None),
        ("float32", "0.1", float(np.float32(0.1))),
        ("float64", "-1.7976931348623157e+308", -1.7976931348623157e308),
        ("float32", "nan", None),
        ("float32", "-inf", None),
    ],
)
def test_the_value_of_gdal(tmp_path: Path, dtype: str, text: str, value: float | None) -> None:
    """A value that samples can have is the image's, and pixels of it have no data."""
    path, pixels = tmp_path / "x.tif", noise(20, 30, dtype=dtype)
    if value is not None:
        pixels[4:9, 3:7] = value
    tifffile.imwrite(path, pixels, photometric="minisblack", extratags=[(42113, "s", 0, text, True)])
    image = open_image(path)
    assert image.no_data == (None if value is None else NoData(value))
    with tifffile.TiffFile(path) as file:
        assert read_no_data(file.pages.first, pixels.dtype) == image.no_data
    if value is not None:
        valid = image.part((slice(0, 20), slice(0, 30))).read()[1]
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(valid, file.dataset_mask() != 0)
        assert not valid[4:9, 3:7].any()  # type: ignore[index]
    assert open_image(path, no_data=None).no_data is None


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("uint8", "7", 7),
        ("uint8", "-9999", 0),
        ("float32", "-3.4028234663852886e+38", LOWEST),
        ("float32", "nan", np.nan),
        ("float32", "-inf", -np.inf),
        ("float32", "none", 0),
    ],
)
def test_pixels_that_are_absent(tmp_path: Path, dtype: str, text: str, value: float) -> None:
    """Pixels of absent tiles have the value of GDAL's tag, or else 0, as rasterio reads them."""
    path = tmp_path / "x.tif"
    tags = [(42113, "s", 0, text, True)]
    pixels = noise(32, 32, dtype=dtype)
    tifffile.imwrite(
        path, pixels, tile=(32, 32), compression="deflate", photometric="minisblack", extratags=tags
    )
    set_tag(path, TileOffsets=0, TileByteCounts=0)
    np.testing.assert_array_equal(open_image(path), np.full((32, 32, 1), value, dtype))
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), np.full((32, 32), value, dtype))
    with tifffile.TiffFile(path) as file:
        np.testing.assert_equal(read_fill(file.pages.first, pixels.dtype), value)


def _write(path: Path, *pages: dict[str, Any]) -> Path:
    """Write images and masks of these heights, and note in a pixel's value which page it is."""
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(pages):
            height, is_mask = page.pop("height"), page.pop("mask", False)
            pixels = np.full((height, 2 * height), is_mask or number, bool if is_mask else np.uint8)
            kind = "mask" if is_mask else "minisblack"
            writer.write(pixels, photometric=kind, metadata=None, **page)
    return path


def _found(path: Path) -> list[list[tuple[int, int]]]:
    """Return the extents of the mask pages of each series that is no mask."""
    with tifffile.TiffFile(path) as file:
        return [
            [place.extent for place in find_mask_pages(file, series)]
            for series in file.series
            if series.keyframe.photometric != 4
        ]


def test_mask_pages_of_a_pyramid(tmp_path: Path) -> None:
    """Masks of all levels are found, whatever the order of the pages, and a mask has none itself."""
    kinds = [{"height": 32}, {"height": 32, "mask": True, "subfiletype": 4}, {"height": 16, "subfiletype": 1}]
    coarse = {"height": 16, "mask": True, "subfiletype": 5}
    path = _write(tmp_path / "x.tif", *(dict(page) for page in [*kinds, coarse]))
    assert _found(path) == [[(32, 64), (16, 32)]]
    assert _found(_write(tmp_path / "y.tif", dict(kinds[1]), dict(kinds[0]))) == [[(32, 64)]]
    with tifffile.TiffFile(path) as file:
        mask = next(series for series in file.series if series.keyframe.photometric == 4)
        assert find_mask_pages(file, mask) == ()


def test_masks_of_several_images(tmp_path: Path) -> None:
    """A mask belongs to the image that it follows."""
    pages: list[dict[str, Any]] = [
        {"height": 32},
        {"height": 32, "mask": True, "subfiletype": 4},
        {"height": 20, "compression": "deflate"},
        {"height": 24},
        {"height": 24, "mask": True, "subfiletype": 4},
        {"height": 20, "mask": True},
    ]
    path = _write(tmp_path / "x.tif", *pages)
    assert sorted(_found(path)) == [[], [(24, 48), (20, 40)], [(32, 64)]]
