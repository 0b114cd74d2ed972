"""Slides through OpenSlide. It reads plain tiled TIFFs too, which stand for the scanners' formats here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import pytest
import tifffile
from images.examples import noise

from pipeline.images import readers, slide
from pipeline.images.choice import Choice
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.testing.sources import Case

PIXELS = noise(1500, 1100, 3)
STEPS = (1, 2, 5)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a pyramid, and let OpenSlide read it."""
    monkeypatch.setattr(slide, "_VENDORS", {"generic-tiff", "aperio"})
    monkeypatch.setattr(slide, "_may_be_slide", lambda path: path.endswith(".slide"))
    with tifffile.TiffWriter(tmp_path / "x.slide") as file:
        for step in STEPS:
            file.write(
                PIXELS[::step, ::step],
                photometric="rgb",
                tile=(256, 256),
                compression="deflate",
                subfiletype=int(step > 1),
                metadata=None,
            )
    return tmp_path / "x.slide"


@pytest.fixture
def aperio(tmp_path: Path, path: Path) -> Path:
    """Write a slide with the tags of Aperio's, which state a magnification, and with a label."""
    del path
    described = "Aperio Image Library v11.2.1 \r\n1100x1500 (256x256) -> |AppMag = 20|MPP = 0.5"
    options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.slide") as file:
        file.write(PIXELS, description=described, tile=(256, 256), **options)
        file.write(PIXELS[:300, :200], description="Aperio Image Library v11.2.1 \r\n", **options)
        file.write(PIXELS[::4, ::4], description=f"{described}|", tile=(256, 256), **options)
        file.write(
            PIXELS[:100, :80],
            description="Aperio Image Library v11.2.1 \r\nlabel 80x100",
            subfiletype=1,
            photometric="rgb",
            compression="lzw",
            metadata=None,
        )
    return tmp_path / "a.slide"


class TestContract(SourceContract):
    """The contract, for the whole and for levels."""

    @pytest.fixture(params=[0, 1, 2])
    def case(self, request: pytest.FixtureRequest, path: Path) -> Case:
        """Return a level and its pixels."""
        step = STEPS[request.param]
        return open_source(path, choice=Choice(level=request.param)), PIXELS[::step, ::step]


def test_what_a_slide_says(path: Path) -> None:
    """Levels, channels and tiles are known; without a size of pixels nothing is said of it."""
    image = open_image(path, level=1)
    assert image.levels == ((1500, 1100), (750, 550), (300, 220))
    assert image.channels == ("red", "green", "blue")
    assert (image.tile, image.pixel_size, image.series) == ((256, 256), None, ())
    assert open_image(path, mask=None, level=1).extent == (750, 550)
    assert open_source(path, choice=Choice(level=1)).place() == {"image": str(path), "level": 1}


def test_the_size_and_the_magnification(aperio: Path) -> None:
    """A level has the size of its pixels, and is found by its magnification."""
    image = open_image(aperio, magnification=5)
    assert image.extent == (375, 275)
    assert image.pixel_size == pytest.approx((2.0, 2.0))
    assert image.source.geometry.origin == pytest.approx((0.75, 0.75))
    assert open_image(aperio, magnification=20).pixel_size == (0.5, 0.5)
    with pytest.raises(ValueError, match="has levels of magnification 20, 5; wanted 10"):
        open_image(aperio, magnification=10)
    assert image.series[0] == "0: 'slide', 1500 x 1100 pixels, 2 levels, magnification 20"


def test_images_that_belong_to_a_slide(aperio: Path) -> None:
    """The label and the thumbnail are series of their own."""
    image = open_image(aperio, series="label")
    np.testing.assert_array_equal(image, PIXELS[:100, :80])
    assert "1: 'label', 100 x 80 pixels" in image.series
    np.testing.assert_array_equal(open_image(aperio, series=1), PIXELS[:100, :80])
    for wanted in ("macro", 9):
        with pytest.raises(ValueError, match=r"has no series .*; wanted one of slide, label, thumbnail"):
            open_image(aperio, series=wanted)
    with pytest.raises(ValueError, match="has no levels of its series 'label'"):
        open_image(aperio, series="label", level=1)


def test_choices_that_are_refused(path: Path) -> None:
    """A level and a plane that aren't there are named."""
    with pytest.raises(ValueError, match=r"has no level 3; wanted one of 0 to 2"):
        open_image(path, level=3)
    with pytest.raises(ValueError, match=r"z is 1, but .*x.slide is a slide, which has none"):
        open_image(path, z=1)
    with pytest.raises(ValueError, match=r"x.slide doesn't state its magnification"):
        open_image(path, magnification=20)


def test_pixels_that_were_not_scanned_have_no_data(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transparent pixels are masked by default, and are kept if the caller leaves out masks."""
    read = openslide.OpenSlide.read_region

    def transparent(self: Any, place: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        pixels = np.array(read(self, place, level, size))
        rows, columns = np.indices(pixels.shape[:2])
        pixels[(rows + place[1] < 100) | (columns + place[0] < 50)] = 0
        return pixels

    monkeypatch.setattr(openslide.OpenSlide, "read_region", transparent)
    image = open_image(path)
    whole = (slice(0, 300), slice(0, 300))
    valid = np.zeros((300, 300), bool)
    valid[100:, 50:] = True
    pixels, found = image.part(whole).read()
    np.testing.assert_array_equal(found, valid)
    assert pixels is not None
    np.testing.assert_array_equal(pixels[valid], PIXELS[whole][valid])
    assert image.masking.facts == ["masked by alpha"]
    assert open_image(path, mask=None).masking.is_empty


def test_other_files_are_left_to_other_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain TIFF and a photo aren't asked for of OpenSlide, and a file that it doesn't know is refused."""
    tifffile.imwrite(tmp_path / "x.tif", PIXELS, photometric="rgb", tile=(256, 256))
    monkeypatch.setattr(slide, "_opened", None)
    np.testing.assert_array_equal(open_image(tmp_path / "x.tif"), PIXELS)
    (tmp_path / "x.mrxs").write_text("nothing")
    with pytest.raises(ValueError, match=r"x.mrxs isn't an image that can be read"):
        open_image(tmp_path / "x.mrxs")


def test_the_package_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenSlide, the error names the extra; a TIFF is left to the reader of TIFFs."""
    monkeypatch.setitem(sys.modules, "openslide", None)
    (tmp_path / "x.mrxs").write_text("nothing")
    with pytest.raises(ImportError, match=r"pip install 'mixture-pipeline\[slides\]'"):
        open_image(tmp_path / "x.mrxs")


def test_an_error_names_the_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of OpenSlide, the slide is opened anew."""
    image = open_image(path)

    def fail(*_: object) -> NDArray[Any]:
        raise openslide.OpenSlideError("no tile")

    with monkeypatch.context() as patched:
        patched.setattr(openslide.OpenSlide, "read_region", fail)
        with pytest.raises(ValueError, match=r"x.slide can't be read at row 1024, column 0: no tile"):
            image[1200:1210, :10].compute()
    np.testing.assert_array_equal(image[1200:1210, :10], PIXELS[1200:1210, :10])


def test_memory_of_reading(path: Path) -> None:
    """A region takes its pixels and a square twice; OpenSlide keeps a cache."""
    source = open_source(path)
    assert source.region_bytes((10, 10)) == 300 + 8 * 2**20
    assert source.held_bytes == 2**25
    assert readers.open_source(path, choice=Choice(level=1)).unit == (1024, 1024)
