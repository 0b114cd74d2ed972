"""One image is chosen among those of a TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from images.examples import HEIGHT, TILE, WIDTH, noise, write_tiff

from pipeline.images.opening import open_image
from pipeline.images.reopening import reopen

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.image import Image

COLOR_PIXELS = noise(128, 96, 3)
STACK = noise(2, 3, 4, 16, 20, dtype="uint16")


def _write(path: Path, *pages: NDArray[Any], **options: Any) -> Path:
    """Write pages one by one, each with what tells nothing of the others; a flag marks reduced ones."""
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            is_reduced = page.shape[0] < 128 and options.get("reduced", False)
            kind = {"photometric": "rgb" if page.ndim == 3 else "minisblack", "subfiletype": int(is_reduced)}
            writer.write(page, metadata=options.get("metadata"), **kind)
    return path


def _same(image: Image, pixels: NDArray[Any]) -> None:
    """Check that an image holds these pixels, and that its place does."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    np.testing.assert_array_equal(image, pixels)
    place = image.source.place()
    assert place is not None
    np.testing.assert_array_equal(reopen(place), pixels)
    assert reopen(place).description == image.description


def test_the_largest_image_is_read(tmp_path: Path) -> None:
    """A thumbnail, a label and a macro image before the image aren't the image; each can be chosen."""
    label, macro = noise(50, 96, 3, seed=1), noise(60, 40, seed=2)
    path = _write(tmp_path / "x.tif", label, macro, COLOR_PIXELS)
    image = open_image(path)
    assert image.series == (
        "0: 50 x 96 pixels, 3 samples, uint8, rgb",
        "1: 60 x 40 pixels, 1 sample, uint8, minisblack",
        "2: 128 x 96 pixels, 3 samples, uint8, rgb",
    )
    _same(image, COLOR_PIXELS)
    for number, pixels in enumerate((label, macro, COLOR_PIXELS)):
        _same(open_image(path, series=number), pixels)
    assert len({open_image(path, series=number).source.identity() for number in range(3)}) == 3
    with pytest.raises(
        ValueError, match=r"x\.tif has the series 0: .*uint8, rgb\. Got series=3; wanted the number of"
    ):
        open_image(path, series=3)


def test_images_of_equal_size(tmp_path: Path) -> None:
    """The first of the largest images is read, and the line of another one says how to choose it."""
    path = _write(tmp_path / "x.tif", COLOR_PIXELS, COLOR_PIXELS[..., 0])
    _same(open_image(path), COLOR_PIXELS)
    assert open_image(path).series[1].endswith("as large as series 0: choose it with series=1")
    _same(open_image(path, series=1), COLOR_PIXELS[..., 0])


def test_series_by_name(tmp_path: Path) -> None:
    """An image of OME-XML is chosen by its name."""
    path, pages = tmp_path / "x.ome.tif", noise(2, 20, 30)
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name, page in zip(("overview", "scan"), pages, strict=True):
            writer.write(page, photometric="minisblack", metadata={"axes": "YX", "Name": name})
    assert open_image(path).series[0] == "0 'overview': 20 x 30 pixels, 1 sample, uint8, minisblack"
    _same(open_image(path, series="scan"), pages[1])
    with pytest.raises(ValueError, match="Got series='label'; wanted the name of exactly one"):
        open_image(path, series="label")


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
@pytest.mark.parametrize("kind", ["pages", "subifds"])
def test_levels_of_a_pyramid(tmp_path: Path, kind: str, order: list[int]) -> None:
    """Levels are those within the tags of an image, or reduced pages in any order."""
    levels, path = [COLOR_PIXELS, COLOR_PIXELS[::2, ::2], COLOR_PIXELS[::4, ::4]], tmp_path / "x.tif"
    if kind == "pages":
        _write(path, *(levels[number] for number in order), reduced=True)
    else:
        with tifffile.TiffWriter(path) as writer:
            for number, level in enumerate(levels):
                more = {"subifds": 2} if number == 0 else {"subfiletype": 1}
                options = {
                    "photometric": "rgb",
                    "tile": TILE,
                    "compression": "deflate",
                    "resolution": (2e4, 1e4),
                }
                writer.write(level, **options, resolutionunit=3, **more)
    image = open_image(path)
    assert image.levels == ((128, 96), (64, 48), (32, 24))
    for number, level in enumerate(levels):
        chosen = open_image(path, level=number)
        assert chosen.levels == image.levels
        _same(chosen, level)
        if kind == "subifds":
            assert chosen.pixel_size == (1.0 * 2**number, 0.5 * 2**number)
    with pytest.raises(ValueError, match=r"x\.tif has levels 0 to 2; got level=3"):
        open_image(path, level=3)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_overviews_of_gdal(tmp_path: Path) -> None:
    """Overviews of odd sizes are levels, as rasterio reads them, and lie where the image does."""
    path, bands = tmp_path / "x.tif", noise(3, 333, 250)
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 4000000)}
    profile = {"height": 333, "width": 250, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", driver="GTiff", **place, **profile) as file:
        file.write(bands)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    assert open_image(path).levels == ((333, 250), (167, 125), (84, 63))
    for level in (1, 2):
        with rasterio.open(path, overview_level=level - 1) as file:
            image = open_image(path, level=level)
            np.testing.assert_array_equal(image, np.moveaxis(file.read(), 0, -1))
            assert image.crs == "EPSG:32633"
            np.testing.assert_allclose(image.transform, tuple(file.transform)[:6])
    with pytest.raises(ValueError, match="has one level, 0; got level=1"):
        open_image(write_tiff(tmp_path / "y.tif", noise(9, 9)), level=1)


def test_a_thumbnail_of_another_aspect_is_no_level(tmp_path: Path) -> None:
    """A reduced page that isn't a smaller copy of an image is an image of its own."""
    path = _write(tmp_path / "x.tif", COLOR_PIXELS[:10, :50], COLOR_PIXELS, reduced=True)
    image = open_image(path)
    assert (image.levels, len(image.series)) == ((), 2)
    _same(open_image(path, series=0), COLOR_PIXELS[:10, :50])


@pytest.mark.parametrize("metadata", [None, {}])
def test_gray_pages(tmp_path: Path, metadata: dict[str, Any] | None) -> None:
    """Several gray pages are channels of one image, or one of them is, where the caller says so."""
    planes = np.moveaxis(COLOR_PIXELS, -1, 0)
    path = _write(tmp_path / "x.tif", *planes, metadata=metadata)
    _same(open_image(path, pages="channels"), COLOR_PIXELS)
    _same(open_image(path, pages="channels", channels=[2, 0]), COLOR_PIXELS[..., [2, 0]])
    for number in range(3):
        _same(open_image(path, pages=number), planes[number])
    with pytest.raises(ValueError, match=r"x\.tif has 3 pages, 0 to 2, in this image; got pages=3"):
        open_image(path, pages=3)
    if metadata is None:
        message = r"axes IYX of lengths \(3, 128, 96\); .* pages=0 to 2; or .* channels: pages='channels'"
        with pytest.raises(ValueError, match=message):
            open_image(path)


def test_color_pages(tmp_path: Path) -> None:
    """Several pages of color aren't an image; one of them is."""
    path = _write(tmp_path / "x.tif", COLOR_PIXELS, 255 - COLOR_PIXELS)
    for pages in (None, "channels"):
        with pytest.raises(ValueError, match=r"axes IYXS of lengths .* Choose one page: pages=0 to 1\.$"):
            open_image(path, pages=pages)  # type: ignore[arg-type]
    _same(open_image(path, pages=1), 255 - COLOR_PIXELS)
    with pytest.raises(ValueError, match="has one page in this image; got pages=1"):
        open_image(_write(tmp_path / "y.tif", COLOR_PIXELS), pages=1)


@pytest.mark.parametrize(
    "options", [{"ome": True}, {"imagej": True}, {}, {"ome": True, "compression": "lzw"}]
)
def test_planes_of_a_stack(tmp_path: Path, options: dict[str, Any]) -> None:
    """A plane of a stack in depth and time is chosen by its number along each axis."""
    path = write_tiff(
        tmp_path / "x.tif", STACK, photometric="minisblack", metadata={"axes": "TZCYX"}, **options
    )
    _same(open_image(path, z=2, t=1), np.moveaxis(STACK[1, 2], 0, -1))
    _same(open_image(path, z=2, t=1, pages=3), STACK[1, 2, 3])
    _same(open_image(path, pages=14), STACK.reshape(-1, 16, 20)[14])
    _same(open_image(path, t=1, pages="channels"), np.moveaxis(STACK[1].reshape(-1, 16, 20), 0, -1))
    found = r"axes TZCYX of lengths \(2, 3, 4, 16, 20\); wanted one image of YX with channels"
    with pytest.raises(ValueError, match=rf"{found}. Choose one plane: t=0 to 1, z=0 to 2\.$"):
        open_image(path)
    with pytest.raises(ValueError, match=rf"{found}. Choose one plane: t=0 to 1\.$"):
        open_image(path, z=0)
    with pytest.raises(ValueError, match="has 3 planes, 0 to 2, along axis Z; got z=3"):
        open_image(path, z=3, t=0)
    flat = write_tiff(tmp_path / "flat.tif", STACK[0, 0, 0])
    _same(open_image(flat, z=0, t=0, pages=0), STACK[0, 0, 0])
    with pytest.raises(ValueError, match="has one plane along axis T; got t=1"):
        open_image(flat, t=1)


def test_planes_within_a_page(tmp_path: Path) -> None:
    """A page that is itself a volume is refused."""
    path = write_tiff(tmp_path / "x.tif", noise(4, 16, 16), photometric="minisblack", volumetric=True)
    for z in (None, 1):
        with pytest.raises(ValueError, match="4 planes in one page; wanted YX with channels"):
            open_image(path, z=z)


def test_a_mask_alone_is_an_image(tmp_path: Path) -> None:
    """A file that holds a mask only is an image, and masks another one."""
    mask = noise(HEIGHT, WIDTH) > 99
    path = write_tiff(tmp_path / "mask.tif", mask, photometric="mask", subfiletype=4)
    _same(open_image(path), mask.astype(np.uint8))
    valid = open_image(noise(HEIGHT, WIDTH), mask=path).part((slice(HEIGHT), slice(WIDTH))).read()[1]
    np.testing.assert_array_equal(valid, mask)


def test_what_is_not_applied_is_said(tmp_path: Path) -> None:
    """Colors that are multiplied by alpha, and rows that are to be turned, come as they are stored."""
    pixels = noise(20, 30, 4)
    path = write_tiff(tmp_path / "x.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    assert open_image(path).series == ("0: 20 x 30 pixels, 4 samples, uint8, rgb, associated alpha",)
    turned = write_tiff(tmp_path / "turned.tif", pixels[..., :3], extratags=[(274, "H", 1, 6, True)])
    line = "0: 20 x 30 pixels, 3 samples, uint8, rgb, not turned by its orientation 6"
    assert open_image(turned).series == (line,)
    _same(open_image(path), pixels[..., :3])


def test_a_level_has_a_magnification(tmp_path: Path) -> None:
    """Aperio's slides state one; its label is found by its name, however it is written."""
    described = "Aperio Image Library v11.2.1 \r\n320x320 (64x64) -> |AppMag = 20|MPP = 0.5"
    options: dict[str, Any] = {"photometric": "rgb", "compression": "lzw", "metadata": None}
    pixels = noise(320, 320, 3)
    with tifffile.TiffWriter(tmp_path / "x.svs") as file:
        file.write(pixels, description=described, tile=(64, 64), **options)
        file.write(pixels[:80, :80], description="Aperio Image Library v11.2.1 \r\n", **options)
        file.write(pixels[::4, ::4], description=described, tile=(64, 64), **options)
        label = "Aperio Image Library v11.2.1 \r\nlabel 60x50"
        file.write(pixels[:50, :60], description=label, subfiletype=1, **options)
    path = tmp_path / "x.svs"
    np.testing.assert_array_equal(open_image(path, magnification=5), pixels[::4, ::4])
    assert open_image(path, magnification=20).shape == pixels.shape
    with pytest.raises(ValueError, match=r"has levels of magnification 20, 5; wanted 10"):
        open_image(path, magnification=10)
    np.testing.assert_array_equal(open_image(path, series="label"), pixels[:50, :60])
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb")
    with pytest.raises(ValueError, match=r"x.tif doesn't state its magnification"):
        open_image(tmp_path / "x.tif", magnification=20)
