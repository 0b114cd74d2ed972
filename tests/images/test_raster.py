"""Rasters that GDAL opens have the pixels, masks and facts that rasterio reads."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from images.examples import COLOR, HEIGHT, WIDTH, noise, smooth
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from scipy.io import netcdf_file

from pipeline.images import gdal, raster
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.raster import Raster, open_jpeg2000, open_raster
from pipeline.images.readers import open_source
from pipeline.images.stated import StatedMask
from pipeline.testing.sources import SourceContract, regions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.testing.sources import Case

UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -20, 5_000_000)}
# A driver, its suffix, the number of bands, the dtype, and options of writing.
FORMATS: dict[str, tuple[str, str, int, str, dict[str, Any]]] = {
    "ERDAS": ("HFA", "img", 5, "uint16", {"blocksize": 32}),
    "ENVI": ("ENVI", "dat", 4, "int16", {}),
    "pixels by lines": ("EHdr", "bil", 3, "uint8", {}),
    "JPEG 2000": ("JP2OpenJPEG", "jp2", 3, "uint8", {"reversible": True, "quality": 100}),
    "JPEG 2000 in tiles": (
        "JP2OpenJPEG",
        "jp2",
        4,
        "uint16",
        {"reversible": True, "quality": 100, "blockxsize": 32, "blockysize": 32},
    ),
    "grid": ("AAIGrid", "asc", 1, "int32", {}),
    "VRT": ("VRT", "vrt", 3, "float32", {}),
}


def write(path: Path, pixels: NDArray[Any], driver: str = "HFA", **options: Any) -> Path:
    """Write an image (H, W, C) with rasterio, by way of a TIFF where the driver only copies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        source = path if driver in {"HFA", "ENVI", "EHdr", "GTiff"} else path.with_suffix(".tif")
        height, width, count = pixels.shape
        described = {name: options.pop(name) for name in ("crs", "transform", "nodata") if name in options}
        own = options if source == path else {}
        shape = {"height": height, "width": width, "count": count, "dtype": pixels.dtype}
        with rasterio.open(
            source, "w", driver=driver if own or source == path else "GTiff", **shape, **described, **own
        ) as file:
            file.write(np.moveaxis(pixels, -1, 0))
        if source != path:
            rasterio.shutil.copy(source, path, driver=driver, **options)
    return path


def write_vrt(path: Path, bands: list[str], size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Write a VRT whose bands have this content."""
    content = "".join(
        f'<VRTRasterBand dataType="Byte" band="{number}">{band}</VRTRasterBand>'
        for number, band in enumerate(bands, 1)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{size[1]}" rasterYSize="{size[0]}">{content}</VRTDataset>',
        encoding="utf-8",
    )
    return path


def source(name: str, band: int = 1) -> str:
    """Return a source of a band of a VRT, beside it."""
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource>"
    )


def with_rasterio(path: Path, **options: Any) -> Any:
    """Open a file with rasterio, without its warning that no georeference is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, **options)


class TestContract(SourceContract):
    """Rasters of every format keep the contract of sources."""

    @pytest.fixture(params=[*FORMATS, "mask"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Return a raster of each format, and the mask of one."""
        folder = tmp_path
        if request.param == "mask":
            pixels = noise(HEIGHT, WIDTH, 2)
            write(folder / "x.img", pixels)
            bands = [f"<NoDataValue>{n}</NoDataValue>{source('x.img', n + 1)}" for n in range(2)]
            owner = open_source(write_vrt(folder / "x.vrt", bands))
            stated = StatedMask(owner, "dataset mask", owner.stated_masks()["dataset mask"])
            mask = np.where((pixels != [0, 1]).any(axis=-1), 255, 0)[..., np.newaxis]
            return stated, mask.astype("uint8")
        driver, suffix, count, dtype, options = FORMATS[request.param]
        pixels = noise(HEIGHT, WIDTH, count, dtype=dtype)
        path = write(folder / f"x.{suffix}", pixels, driver, **UTM, **options)
        return open_source(path), pixels


def test_it_says_where_it_lies(tmp_path: Path) -> None:
    """The reference system, the transform and the size of pixels are those that were written."""
    pixels = noise(HEIGHT, WIDTH, 2)
    for crs, size in (("EPSG:32633", (20e6, 10e6)), ("EPSG:4326", None), (None, None)):
        path = write(tmp_path / "x.img", pixels, crs=crs, transform=UTM["transform"])
        image = open_image(path)
        assert (image.crs, image.pixel_size, image.transform) == (crs, size, UTM["transform"][:6])
        (tmp_path / "x.img.aux.xml").unlink(missing_ok=True)
    (tmp_path / "x.img").unlink()
    image = open_image(write(tmp_path / "y.img", pixels))
    assert (image.crs, image.pixel_size, image.transform) == (None, None, None)
    feet = open_image(write(tmp_path / "f.img", pixels, crs="EPSG:2263", transform=UTM["transform"]))
    assert feet.pixel_size == pytest.approx((20e6 * 1200 / 3937, 10e6 * 1200 / 3937))
    own = "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=km"
    laea = open_image(write(tmp_path / "l.img", pixels, crs=own, transform=UTM["transform"]))
    assert laea.crs is not None
    assert laea.crs.startswith("PROJCRS[")
    assert laea.pixel_size == (20e9, 10e9)


def test_bands_have_their_names(tmp_path: Path) -> None:
    """Descriptions are names, then colors; alpha is no channel unless it is asked for, and masks."""
    path = write(tmp_path / "x.img", pixels := noise(HEIGHT, WIDTH, 4))
    assert open_image(path).channels is None
    with with_rasterio(path, mode="r+") as file:
        file.descriptions = ("nir", "red", "swir 1", "swir 2")
    assert open_image(path).channels == ("nir", "red", "swir 1", "swir 2")
    np.testing.assert_array_equal(open_image(path, channels=("red", "nir")), pixels[..., [1, 0]])
    for colors, shown in (("bgra", [2, 1, 0]), ("rgba", [0, 1, 2])):
        words = {"r": "red", "g": "green", "b": "blue", "a": "alpha"}
        bands = [
            f"<ColorInterp>{words[color]}</ColorInterp>{source('x.img', n)}"
            for n, color in enumerate(colors, 1)
        ]
        vrt = write_vrt(tmp_path / f"{colors}.vrt", bands)
        image = open_image(vrt)
        assert image.channels == COLOR
        np.testing.assert_array_equal(image, pixels[..., shown])
        valid = image.part((slice(0, HEIGHT), slice(0, WIDTH))).read()[1]
        np.testing.assert_array_equal(valid, pixels[..., 3] != 0)
        assert open_image(vrt, channels=(*COLOR, "alpha")).channels == (*COLOR, "alpha")


def test_indices_into_a_palette_are_named(tmp_path: Path) -> None:
    """A raster of classes with colors doesn't pass for gray."""
    path = write(tmp_path / "x.img", noise(HEIGHT, WIDTH, 1))
    with with_rasterio(path, mode="r+") as file:
        file.write_colormap(1, {0: (1, 2, 3, 255), 1: (4, 5, 6, 255)})
        assert file.colorinterp == (ColorInterp.palette,)
    assert open_image(path).channels == ("palette index",)


def test_no_data_is_that_of_rasterio(tmp_path: Path) -> None:
    """One value is the image's no-data value; several are a mask, as an internal mask is."""
    pixels = noise(HEIGHT, WIDTH, 2)
    pixels[4:20, 5:9] = 8, 9
    write(tmp_path / "x.img", pixels)
    assert open_image(write(tmp_path / "one.img", pixels, nodata=9)).no_data == NoData(9)
    unlike = [f"<NoDataValue>{value}</NoDataValue>{source('x.img', n)}" for n, value in ((1, 8), (2, 9))]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(tmp_path / "mask.tif", pixels)
        with with_rasterio(tmp_path / "mask.tif", mode="r+") as file:
            file.write_mask(pixels[..., 1] > 99)
    rasterio.shutil.copy(tmp_path / "mask.tif", tmp_path / "mask.vrt", driver="VRT")
    for path in (write_vrt(tmp_path / "unlike.vrt", unlike), tmp_path / "mask.vrt"):
        image = open_image(path)
        assert image.no_data is None
        assert [mask.name for mask in image.masking.masks] == [f"the dataset mask of {path}"]
        with with_rasterio(path) as file:
            wanted = file.dataset_mask() != 0
        assert not wanted.all()
        valid = image.part((slice(3, HEIGHT), slice(0, WIDTH))).read()[1]
        np.testing.assert_array_equal(valid, wanted[3:])
        assert open_image(path, mask=None).masking.is_empty
    lowest = float(np.finfo("float32").min)
    image = open_image(write(tmp_path / "f.img", np.full((30, 40, 1), lowest, "float32"), nodata=lowest))
    assert image.part((slice(0, 9), slice(0, 9))).read()[0] is None


def test_levels_are_overviews(tmp_path: Path) -> None:
    """Each overview is a level with its own pixels, mask and larger pixels on the map."""
    pixels = noise(301, 403, 2)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(tmp_path / "x.tif", pixels, "GTiff", **UTM)
        with rasterio.open(tmp_path / "x.tif", "r+") as file:
            file.write_mask(pixels[..., 1] > 99)
            file.build_overviews([2])
    path = tmp_path / "x.vrt"
    rasterio.shutil.copy(tmp_path / "x.tif", path, driver="VRT")
    image = open_image(path, level=1)
    assert open_image(path).levels == image.levels == ((301, 403), (151, 202))
    with with_rasterio(path, overview_level=0) as file:
        np.testing.assert_array_equal(image, np.moveaxis(file.read(), 0, -1))
        valid = image.part((slice(0, 151), slice(0, 202))).read()[1]
        np.testing.assert_array_equal(valid, file.dataset_mask() != 0)
        assert image.transform == pytest.approx(file.transform[:6])
    assert image.source.place() == {"image": str(path), "level": 1}
    with pytest.raises(ValueError, match=r"level is 2, but .*x\.vrt has 2; wanted 0 to 1"):
        open_image(path, level=2)


def test_datasets_are_series(tmp_path: Path) -> None:
    """The datasets of a netCDF are listed, and the largest one is taken unless another one is named."""
    with netcdf_file(tmp_path / "x.nc", "w") as file:
        for axis, length in (("y", HEIGHT), ("x", WIDTH), ("v", 20), ("time", 3)):
            file.createDimension(axis, length)
        small = file.createVariable("mask", "b", ("v", "x"))
        large = file.createVariable("heat", "f", ("time", "y", "x"))
        small[:], large[:] = noise(20, WIDTH, dtype="int8"), noise(3, HEIGHT, WIDTH, dtype="float32")
        written = large[:].copy()
    image = open_image(tmp_path / "x.nc")
    assert [line.partition(",")[0] for line in image.series] == ["0: mask: 20 x 83", "1: heat: 101 x 83"]
    with with_rasterio(f"netcdf:{tmp_path / 'x.nc'}:heat") as file:
        np.testing.assert_array_equal(image, np.moveaxis(file.read(), 0, -1))
    # GDAL turns rows without coordinates upside down.
    np.testing.assert_array_equal(np.asarray(image)[::-1], np.moveaxis(written, 0, -1))
    for series in (0, "mask"):
        chosen = open_image(tmp_path / "x.nc", series=series)
        assert chosen.shape == (20, WIDTH, 1)
        assert chosen.source.place() == {"image": str(tmp_path / "x.nc"), "series": series}
        assert chosen.description.identity != image.description.identity
    with pytest.raises(
        ValueError, match=r"series is 'cold', but .*x\.nc holds 0: mask: .*; wanted one of them"
    ):
        open_image(tmp_path / "x.nc", series="cold")


def test_what_can_be_chosen(tmp_path: Path) -> None:
    """A raster has neither pages nor planes, and one image has no other series."""
    path = write(tmp_path / "x.img", noise(HEIGHT, WIDTH, 2))
    with pytest.raises(
        ValueError, match=r"pages is 1, but .*x\.img is a raster of the format HFA, which has none"
    ):
        open_image(path, pages=1)
    with pytest.raises(ValueError, match=r"series is 1, but .*x\.img holds one image. Leave it out"):
        open_image(path, series=1)
    assert open_image(path, series=0).shape == (HEIGHT, WIDTH, 2)


def test_a_source_that_changed_is_noticed(tmp_path: Path) -> None:
    """A VRT whose source was written again is another image, and isn't read until it is opened again."""
    write(tmp_path / "x.img", noise(HEIGHT, WIDTH, 1))
    path = write_vrt(tmp_path / "x.vrt", [source("x.img")])
    image = open_image(path)
    before = image.description.identity
    assert image.compute().shape == (HEIGHT, WIDTH, 1)
    write(tmp_path / "x.img", noise(HEIGHT, WIDTH, 1, seed=1))
    os.utime(tmp_path / "x.img", ns=(1, 1))
    with pytest.raises(ValueError, match=r"a file that .*x\.vrt needs changed since it was opened"):
        image.compute()
    assert open_image(path).description.identity != before
    np.testing.assert_array_equal(open_image(path), noise(HEIGHT, WIDTH, 1, seed=1))
    (tmp_path / "x.img").unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.vrt names the source .*x\.img, which is not there"):
        open_image(path)
    with pytest.raises(ValueError, match="changed since it was opened"):
        image.compute()


def test_processes_read_it(tmp_path: Path) -> None:
    """A spawned process reads the same pixels."""
    path = write(tmp_path / "x.jp2", smooth(), "JP2OpenJPEG", reversible=True, quality=100, **UTM)
    part = open_source(path).part((slice(5, 90, 2), slice(3, 50)))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(part.read).result(), smooth()[5:90:2, 3:50])


def test_pieces_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions of many pieces are the slices of the whole, whatever the steps."""
    pixels = noise(300, 260, 3)
    path = write(tmp_path / "x.img", pixels, blocksize=32)
    monkeypatch.setattr(raster, "_SIDE", 64)
    opened = open_source(path)
    assert opened.tile == (32, 32)
    for region in regions(opened.extent, 40):
        np.testing.assert_array_equal(opened.read(region), pixels[region])


def test_a_truncated_raster_is_refused(tmp_path: Path) -> None:
    """A raster that lacks bytes is refused when it is opened, or when they are read."""
    path = write(tmp_path / "x.bil", noise(HEIGHT, WIDTH, 3), "EHdr")
    path.write_bytes(path.read_bytes()[:9999])
    with pytest.raises(
        ValueError, match=r"x\.bil can't be read by GDAL: .*too small. Copy or download it again"
    ):
        open_image(path)
    jpeg = write(
        tmp_path / "y.jp2", noise(HEIGHT, WIDTH, 3), "JP2OpenJPEG", reversible=True, quality=100, **UTM
    )
    jpeg.write_bytes(jpeg.read_bytes()[:9999])
    with pytest.raises(
        ValueError, match=r"y\.jp2 can't be read by GDAL \(.*\): it is damaged, or a file of it"
    ):
        open_image(jpeg).compute()


def test_a_jpeg_2000_is_a_raster_if_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small JPEG 2000 without a place on the map is decoded whole, as a photo; the pixels are the same."""
    path = write(tmp_path / "x.jp2", smooth(), "JP2OpenJPEG", reversible=True, quality=100)
    assert open_jpeg2000(str(path)) is None
    np.testing.assert_array_equal(open_image(path), smooth())
    assert open_image(path, series=0).shape == smooth().shape
    monkeypatch.setattr(raster, "_LARGE", 99)
    assert isinstance(open_source(path), Raster)
    np.testing.assert_array_equal(open_image(path), smooth())


def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rasterio, JPEG 2000 is a photo, and the name of a raster says what to install."""
    jpeg = write(tmp_path / "x.jp2", smooth(), "JP2OpenJPEG", reversible=True, quality=100, **UTM)
    grid = write(tmp_path / "x.img", smooth())
    monkeypatch.setattr(raster, "find_spec", lambda name: None if name == "rasterio" else find_spec(name))
    assert open_jpeg2000(str(jpeg)) is None
    np.testing.assert_array_equal(open_image(jpeg), smooth())
    with pytest.raises(
        ImportError, match=r"x\.img is read by rasterio. Install it: pip install 'mixture-pipe"
    ):
        open_image(grid)


def test_the_memory_that_gdal_holds(tmp_path: Path) -> None:
    """GDAL's cache is limited, and no more than the image is counted."""
    opened = open_raster(str(write(tmp_path / "x.img", noise(HEIGHT, WIDTH, 3))))
    assert isinstance(opened, Raster)
    assert opened.held_bytes == HEIGHT * WIDTH * 3
    assert gdal.limit_cache() == 2**26


def test_threads_share_few_datasets(tmp_path: Path) -> None:
    """Threads that read several rasters at once leave few of them open."""
    images = {n: noise(HEIGHT, WIDTH, 1, seed=n) for n in range(6)}
    opened = {n: open_source(write(tmp_path / f"{n}.img", pixels)) for n, pixels in images.items()}
    region = (slice(4, 90), slice(7, 60))
    with ThreadPoolExecutor(8) as pool:
        for n, read in zip(
            [*images] * 20, pool.map(lambda n: opened[n].read(region), [*images] * 20), strict=True
        ):
            np.testing.assert_array_equal(read, images[n][region])
    assert len(gdal._DATASETS) <= gdal._IDLE
