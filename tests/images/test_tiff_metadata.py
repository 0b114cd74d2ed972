"""What TIFFs say of the size of their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from images.examples import HEIGHT, TILE, WIDTH, noise

from pipeline.images.opening import open_image
from pipeline.images.tiff_metadata import read_geometry

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.images.geometry import Geometry

    Size = tuple[float, float] | None

APERIO = "Aperio Image Library v11\r\n90x120 [0,0 90x120] JPEG/RGB Q=30|AppMag = 40|MPP = 0.2532|Left = 1.5"
# As Philips writes it, in millimeters.
SPACING = (
    '<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">'
    "&quot;{}&quot; &quot;{}&quot;</Attribute>"
)
PHILIPS = (
    '<?xml version="1.0" ?><DataObject ObjectType="DPUfsImport"><Attribute><Array>'
    '<DataObject ObjectType="PixelDataRepresentation">'
    + SPACING.format(0.00025, 2.27e-04)
    + '</DataObject><DataObject ObjectType="PixelDataRepresentation">'
    + SPACING.format(0.0005, 4.54e-04)
    + "</DataObject></Array></Attribute></DataObject>"
)
OTHER_UNIT = {
    "PhysicalSizeX": 250,
    "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": 0.5,
    "PhysicalSizeYUnit": "µm",
}
PIXELS = {"PhysicalSizeX": 2, "PhysicalSizeY": 2, "PhysicalSizeXUnit": "pixel"}


def _geometries(path: Path) -> list[Geometry]:
    """Return the geometry of each image in a file."""
    with tifffile.TiffFile(path) as file:
        return [read_geometry(file, series) for series in file.series]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}}, (0.5, 0.25)),
        ({"ome": True, "metadata": OTHER_UNIT}, (0.5, 0.25)),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25}}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0, "PhysicalSizeY": 0}}, None),
        ({"ome": True, "metadata": PIXELS}, None),
        ({"description": APERIO, "metadata": None}, (0.2532, 0.2532)),
        ({"description": "MPP = 0.2532", "metadata": None}, None),
        ({"description": APERIO.replace("0.2532", "unknown"), "metadata": None}, None),
        ({}, None),
        # What cameras, screens, prints, libvips and GDAL write where nothing is known.
        ({"resolution": (72, 72), "resolutionunit": 2}, None),
        ({"resolution": (2400, 2400), "resolutionunit": 2}, None),
        ({"resolution": (10, 10), "resolutionunit": 3}, None),
        ({"resolution": (1, 1), "resolutionunit": 2}, None),
        ({"resolution": (0, 0), "resolutionunit": 3}, None),
        ({"resolution": (40000, 20000), "resolutionunit": 3}, (0.5, 0.25)),
        ({"resolution": (101600, 50800), "resolutionunit": 2}, (0.5, 0.25)),
        ({"resolution": (40000, 20000), "resolutionunit": 1}, None),
    ],
)
def test_the_size_of_a_pixel(tmp_path: Path, options: dict[str, Any], size: Size) -> None:
    """OME-XML, Aperio's descriptions and fine resolutions state the size of a pixel; a view has its own."""
    path = tmp_path / ("sized.ome.tif" if "ome" in options else "sized.tif")
    tifffile.imwrite(path, noise(HEIGHT, WIDTH, 3), photometric="rgb", tile=TILE, **options)
    image = open_image(path)
    assert image.pixel_size == (None if size is None else pytest.approx(size))
    halved = image[4:, ::2].description.geometry
    if size is not None:
        assert halved.pixel_size == pytest.approx((size[0], 2 * size[1]))
        assert halved.origin == pytest.approx((4 * size[0], 0))
        assert f"pixels of {size[0]:.4g} x {size[1]:.4g} µm" in repr(image)


@pytest.mark.parametrize(
    ("unit", "rate", "size"),
    [
        ("micron", 4, 0.25),
        ("microns", 4, 0.25),
        ("um", 0.02, 50),
        (r"\u00B5m", 4, 0.25),
        ("nm", 0.004, 0.25),
        ("mm", 4000, 0.25),
        ("cm", 40, 250),
        ("inch", 100, 254),
        ("pixel", 1, None),
        ("sec", 4, None),
        (None, 4, None),
    ],
)
def test_imagej_names_the_unit(tmp_path: Path, unit: str | None, rate: float, size: float | None) -> None:
    """The resolution of ImageJ's files is in pixels per unit of the description, however coarse it is."""
    path, metadata = tmp_path / "x.tif", {} if unit is None else {"unit": unit}
    tifffile.imwrite(path, noise(30, 40), imagej=True, resolution=(rate, 2 * rate), metadata=metadata)
    found = open_image(path).pixel_size
    assert found == (None if size is None else pytest.approx((size / 2, size)))


def test_each_image_has_its_own_size(tmp_path: Path) -> None:
    """The images of an OME-TIFF are told apart, not all taken for the first one."""
    path = tmp_path / "x.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number in (1, 2, 3):
            sizes = {"PhysicalSizeX": 0.25 * number, "PhysicalSizeY": 0.5 * number}
            writer.write(noise(20 * number, 30), photometric="minisblack", metadata=sizes)
    found = [geometry.pixel_size for geometry in _geometries(path)]
    assert found == [(0.5, 0.25), (1.0, 0.5), (1.5, 0.75)]


@pytest.mark.parametrize(("unit", "size"), [("&#181;m", 0.5), ("μm", 0.5), ("Å", None), ("cm", 5000.0)])
def test_units_in_xml(tmp_path: Path, unit: str, size: float | None) -> None:
    """Units are escaped or not, and both signs for mu are taken."""
    path = tmp_path / "x.ome.tif"
    sizes = {
        f"PhysicalSize{axis}{what}": "TO FILL" if what else 0.5 for axis in "XY" for what in ("", "Unit")
    }
    tifffile.imwrite(path, noise(20, 30), metadata=sizes, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as file:
        xml = file.ome_metadata
        assert xml is not None
        file.pages.first.tags["ImageDescription"].overwrite(xml.replace("TO FILL", unit).encode())
    assert _geometries(path)[0].pixel_size == (None if size is None else (size, size))


def test_only_the_slide_itself_has_its_size(tmp_path: Path) -> None:
    """The thumbnail and the label of an Aperio slide have another size than it, which isn't stated."""
    path = tmp_path / "x.svs"
    with tifffile.TiffWriter(path) as writer:
        options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
        writer.write(noise(160, 160, 3), tile=(32, 32), description=APERIO, **options)
        writer.write(noise(40, 40, 3), description=APERIO, **options)
        writer.write(noise(30, 60, 3), description="Aperio Image Library\r\nlabel 60x30", **options)
    assert [geometry.pixel_size for geometry in _geometries(path)] == [(0.2532, 0.2532), None, None]


def test_other_slides(tmp_path: Path) -> None:
    """Philips and Ventana state sizes in their XML."""
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "tile": (32, 32)}
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        for length, text in ((160, PHILIPS), (80, "level=1")):
            writer.write(noise(length, length, 3), description=text, software="Philips DP v1.0", **options)
        writer.write(noise(30, 60, 3), photometric="rgb", metadata=None, description="Macro")
    assert _geometries(tmp_path / "p.tif")[0].pixel_size == pytest.approx((0.25, 0.227))
    xmp = b'<EncodeInfo Ver="2"><iScan Magnification="20" ScanRes="0.465000" Mode="x"/></EncodeInfo>'
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        written = [("level=0 mag=20 quality=90", 160), ("Label Image", 40)]
        for text, length in written:
            tag = [(700, 1, len(xmp), xmp, True)]
            pixels = noise(length, length, 3)
            writer.write(pixels, description=text, software="ScanOutputManager 1", extratags=tag, **options)
    assert [found.pixel_size for found in _geometries(tmp_path / "v.tif")] == [(0.465, 0.465), None]


def test_a_georeference_is_no_size(tmp_path: Path) -> None:
    """An image on a map has the size of its pixels in the map's units."""
    path = tmp_path / "x.tif"
    tags = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0, 0, 5e5, 4e6, 0), True)]
    tifffile.imwrite(
        path, np.zeros((9, 9), np.uint8), resolution=(4e4, 4e4), resolutionunit=3, extratags=tags
    )
    (found,) = _geometries(path)
    assert (found.pixel_size, found.crs) == (None, None)
    assert found.transform == (10, 0, 5e5, 0, -10, 4e6)


@pytest.mark.parametrize(
    ("kind", "value", "size"), [("f", 40000.0, 0.25), ("H", 40000, 0.25), ("s", "no", None)]
)
def test_resolutions_of_other_types(tmp_path: Path, kind: str, value: Any, size: float | None) -> None:
    """A resolution that is no fraction counts, and one that is no number is no error."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise(20, 30), resolution=(1, 1), resolutionunit=3, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("XResolution", "YResolution"):
            file.pages.first.tags[name].overwrite(value, dtype=kind)
    assert _geometries(path)[0].pixel_size == (None if size is None else (size, size))
