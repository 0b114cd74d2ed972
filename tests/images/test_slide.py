"""Slides through OpenSlide: which of them it reads, their pixels, levels, masks and sizes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import openslide
import pytest
import tifffile
from images.examples import noise
from images.slides import TILE, overlapping_extent, write_philips, write_trestle, write_ventana

from pipeline.images import slide
from pipeline.images.choice import Choice
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
from pipeline.images.slide import Slide
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.testing.sources import Case

PIXELS = noise(320, 336, 3)
LEVELS = (PIXELS, PIXELS[::2, ::2], PIXELS[::4, ::4])
COUNTS, OVERLAP = (4, 5), 6


@pytest.fixture(autouse=True)
def _small_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let images consist of several squares in which regions are read."""
    monkeypatch.setattr(slide, "_SQUARE", 128)


@pytest.fixture
def philips(tmp_path: Path) -> Path:
    """Write a slide that lacks the first tile of both finer levels."""
    return write_philips(tmp_path / "x.tiff", LEVELS, {(0, 0, 0), (1, 0, 0)})


@pytest.fixture
def ventana(tmp_path: Path) -> Path:
    """Write a slide whose tiles overlap."""
    return write_ventana(tmp_path / "x.bif", PIXELS, COUNTS, OVERLAP)


class TestContract(SourceContract):
    """The contract, for levels, for tiles that lack or overlap, and for an image that belongs to a slide."""

    @pytest.fixture(params=["level 0", "level 1", "overlaps", "macro"])
    def case(self, request: pytest.FixtureRequest, philips: Path, ventana: Path) -> Case:
        """Return an image in a slide and its pixels."""
        if request.param == "macro":
            return open_source(ventana, choice=Choice(series="macro")), PIXELS[:50, :40]
        if request.param == "overlaps":
            height, width = overlapping_extent(COUNTS, OVERLAP)
            return open_source(ventana), PIXELS[:height, :width]
        number = int(request.param[-1])
        pixels = LEVELS[number].copy()
        pixels[:TILE, :TILE] = 0
        source = open_source(philips, choice=Choice(level=number))
        assert isinstance(source, Slide)
        return source, pixels


def test_a_level_that_is_coarser_by_a_fraction(tmp_path: Path) -> None:
    """Its pixels are those of the file, although OpenSlide's places are those of level 0."""
    coarser = noise(400, 300, 3)
    write_trestle(tmp_path / "x.tif", (np.zeros((1207, 907, 3), np.uint8), coarser))
    image = open_image(tmp_path / "x.tif", level=1)
    downsample = openslide.OpenSlide(tmp_path / "x.tif").level_downsamples[1]
    assert downsample == pytest.approx(3.0204, abs=1e-4)
    np.testing.assert_array_equal(image, coarser)
    np.testing.assert_array_equal(image[150:390:7, 140:290], coarser[150:390:7, 140:290])
    assert image.source.unit == (128, 128)


def test_what_a_slide_says(philips: Path) -> None:
    """Levels, channels, tiles and sizes are known, and a level by its magnification."""
    image = open_image(philips, level=1)
    assert image.levels == ((320, 336), (160, 168), (80, 84))
    assert image.channels == ("red", "green", "blue")
    assert (image.tile, image.series) == ((TILE, TILE), ())
    assert open_source(philips, choice=Choice(level=1)).place() == {"image": str(philips), "level": 1}
    image = open_image(philips, magnification=10)
    assert image.extent == (80, 84)
    assert image.pixel_size == pytest.approx((1.0, 1.0))
    assert image.source.geometry.origin == pytest.approx((0.375, 0.375))
    assert open_image(philips, magnification=41).pixel_size == (0.25, 0.25)
    with pytest.raises(ValueError, match="has levels of magnification 40, 20, 10; wanted 5"):
        open_image(philips, magnification=5)


def test_pixels_that_were_not_scanned_have_no_data(philips: Path) -> None:
    """They are transparent: they are masked by default, and kept if the caller leaves out masks."""
    for level in range(2):
        image = open_image(philips, level=level)
        pixels, valid = image.part((slice(0, 150), slice(0, 140))).read()
        wanted = np.ones((150, 140), bool)
        wanted[:TILE, :TILE] = False
        np.testing.assert_array_equal(valid, wanted)
        np.testing.assert_array_equal(pixels[wanted], LEVELS[level][:150, :140][wanted])
        assert image.masking.facts == ["masked by alpha"]
        assert reopen(json.loads(json.dumps(image.source.place()))).description == image.source.description
    assert open_image(philips, mask=None).masking.is_empty


def test_images_that_belong_to_a_slide(ventana: Path) -> None:
    """They are series of their own, without levels, sizes of pixels and masks."""
    image = open_image(ventana, series="macro")
    assert image.series == (
        "0: 'slide', 238 x 296 pixels, magnification 20",
        "1: 'macro', 50 x 40 pixels",
    )
    np.testing.assert_array_equal(image, PIXELS[:50, :40])
    assert (image.pixel_size, image.masking.is_empty) == (None, True)
    np.testing.assert_array_equal(open_image(ventana, series=1), PIXELS[:50, :40])
    assert open_image(ventana, series=0).pixel_size == (0.465, 0.465)
    for wanted in ("label", 9):
        with pytest.raises(ValueError, match=r"has no series .*; wanted one of slide, macro"):
            open_image(ventana, series=wanted)
    with pytest.raises(ValueError, match="has no levels of its series 'macro'"):
        open_image(ventana, series="macro", level=1)


def test_choices_that_are_refused(philips: Path) -> None:
    """A level and a plane that aren't there are named."""
    with pytest.raises(ValueError, match=r"has no level 3; wanted one of 0 to 2"):
        open_image(philips, level=3)
    with pytest.raises(ValueError, match=r"z is 1, but .*x.tiff is a slide, which has none"):
        open_image(philips, z=1)


def test_tiles_that_overlap_need_openslide(
    tmp_path: Path, ventana: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without OpenSlide, the error names the extra, since the reader of TIFFs would repeat pixels."""
    trestle = write_trestle(tmp_path / "x.tif", [PIXELS], COUNTS, OVERLAP)
    height, width = overlapping_extent(COUNTS, OVERLAP)
    np.testing.assert_array_equal(open_image(trestle), PIXELS[:height, :width])
    monkeypatch.setitem(sys.modules, "openslide", None)
    (tmp_path / "x.mrxs").write_bytes(b"\xff\xd8\xff\xe0 a small picture")
    (tmp_path / "dicom").write_bytes(bytes(128) + b"DICM" + bytes(99))
    for path in (trestle, ventana, tmp_path / "x.mrxs", tmp_path / "dicom"):
        with pytest.raises(ImportError, match=r"pip install 'mixture-pipeline\[slides\]'"):
            open_image(path)


def test_tiffs_that_the_other_reader_reads_too(
    tmp_path: Path, philips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without OpenSlide, and where it refuses a slide, its pixels are the same, but not its identity."""
    with openslide.OpenSlide(philips) as one:
        assert one.properties["openslide.vendor"] == "philips"
    identity = open_source(philips).identity()
    two = write_philips(tmp_path / "two.tiff", LEVELS)
    content = two.read_bytes()
    two.write_bytes(content.replace(b">WSI<", b">XXX<"))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "openslide", None)
        source = open_source(philips)
        np.testing.assert_array_equal(source.read((slice(64, 99), slice(336))), PIXELS[64:99])
        assert source.identity() != identity
    np.testing.assert_array_equal(open_source(two).read((slice(0, 99), slice(336))), PIXELS[:99])


def test_other_files_are_left_to_other_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain TIFF and Aperio's are read as they are stored; what OpenSlide doesn't know is refused."""
    monkeypatch.setattr(slide, "_opened", None)
    for description in (None, "Aperio Image Library v11.2.1 \r\n336x320 (64x64)|AppMag = 20|MPP = 0.5"):
        tifffile.imwrite(
            tmp_path / "x.tif", PIXELS, photometric="rgb", tile=(TILE, TILE), description=description
        )
        np.testing.assert_array_equal(open_image(tmp_path / "x.tif"), PIXELS)
    for name in ("x.mrxs", "x.czi"):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(ValueError, match=rf"{name} isn't an image that can be read"):
            open_image(tmp_path / name)


def test_slides_behind_urls(philips: Path, ventana: Path) -> None:
    """The reader of TIFFs reads them by ranges, unless it would read other pixels than OpenSlide."""
    files = fsspec.filesystem("memory")
    files.pipe({"/slides/x.tiff": philips.read_bytes(), "/slides/x.bif": ventana.read_bytes()})
    try:
        image = open_image("memory://slides/x.tiff")
        np.testing.assert_array_equal(image[100:120], PIXELS[100:120])
        for name in ("x.bif", "x.mrxs"):
            with pytest.raises(
                ValueError, match=rf"memory://slides/{name} is a slide that only OpenSlide .*Downl"
            ):
                open_image(f"memory://slides/{name}")
    finally:
        files.rm("/slides", recursive=True)


def test_a_slide_that_openslide_refuses(tmp_path: Path) -> None:
    """The error gives OpenSlide's reason."""
    (tmp_path / "x.czi").write_bytes(b"ZISRAWFILE" + bytes(1000))
    with pytest.raises(ValueError, match=r"x.czi can't be read as a slide: .*"):
        open_image(tmp_path / "x.czi")


def test_damaged_tags_of_tiles_that_overlap(ventana: Path) -> None:
    """The reader of TIFFs would put the tiles side by side."""
    ventana.write_bytes(ventana.read_bytes().replace(b'ScanRes="', b"ScanRes=<"))
    with pytest.raises(ValueError, match=r"x.bif has the tags of a slide whose tiles overlap, but OpenSlide"):
        open_image(ventana)


def test_an_error_names_the_place(philips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of OpenSlide, the slide is opened anew."""
    image = open_image(philips)

    def fail(*_: object) -> NDArray[Any]:
        raise openslide.OpenSlideError("no tile")

    with monkeypatch.context() as patched:
        patched.setattr(openslide.OpenSlide, "read_region", fail)
        with pytest.raises(
            ValueError, match=r"x.tiff can't be read at rows 300 to 309, columns 0 to 9: no tile"
        ):
            image[300:310, :10].compute()
    np.testing.assert_array_equal(image[300:310, :10], PIXELS[300:310, :10])


def test_memory_of_reading(philips: Path, ventana: Path) -> None:
    """A region takes its pixels, a square three times and a tile; OpenSlide keeps a cache."""
    source = open_source(philips)
    assert source.region_bytes((10, 10)) == 300 + 12 * 255**2 + 4 * TILE**2
    assert source.held_bytes == 2**25
    assert open_source(ventana, choice=Choice(series="macro")).region_bytes((10, 10)) == 300 + 12 * 2000 + 4
