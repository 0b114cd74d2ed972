"""The files that VRTs name are found, and those that run code or make requests are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.images.vrt import find_sources, is_vrt

if TYPE_CHECKING:
    from pathlib import Path

BAND = '<VRTRasterBand dataType="Byte" band="1">{}</VRTRasterBand>'


def write(path: Path, inner: str) -> Path:
    """Write a VRT."""
    path.write_text(f'<VRTDataset rasterXSize="20" rasterYSize="20">{inner}</VRTDataset>', encoding="utf-8")
    return path


def test_sources_are_found(tmp_path: Path) -> None:
    """Sources stand relative to the VRT, or absolute, in small letters too, and in VRTs that it names."""
    for name in ("a.tif", "b & c.tif", "d.tif"):
        (tmp_path / name).write_bytes(b"II*\0")
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "x.vrt", '<SourceFilename relativeToVRT="1">../d.tif</SourceFilename>')
    inner = (
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        f'<sourcefilename shared="0">{tmp_path}/b &amp; c.tif</sourcefilename>'
        '<SourceDataset relativeToVRT="1">sub/x.vrt</SourceDataset>'
        '<SourceFilename relativetovrt="1">x.vrt</SourceFilename>'
    )
    path = write(tmp_path / "x.vrt", inner)
    assert is_vrt(str(path))
    assert not is_vrt(str(tmp_path / "a.tif"))
    names = ("a.tif", "b & c.tif", "sub/x.vrt", "sub/../d.tif")
    assert sorted(find_sources(str(path))) == sorted(str(tmp_path / name) for name in names)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "y.vrt").symlink_to(path)
    assert str(tmp_path / "a.tif") in find_sources(str(tmp_path / "linked" / "y.vrt"))


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (
            '<SourceFilename relativeToVRT="1">n.tif</SourceFilename>',
            "names the source .*n.tif, which is not there",
        ),
        (
            "<SourceFilename>/vsicurl/http://x.org/a.tif</SourceFilename>",
            "names the source /vsicurl/.*; wanted local",
        ),
        ("<SourceFilename>https://x.org/a.tif</SourceFilename>", "names the source https://.*; wanted local"),
        ('<SourceFilename relativeToVRT="1">WMS:x</SourceFilename>', "names the source WMS:x; wanted local"),
        ("<SourceFilename>&lt;GDAL_WMS/&gt;</SourceFilename>", "names the source <GDAL_WMS/>; wanted local"),
        (
            "<SourceFilename>x.tif</SourceFilename>",
            'relative to the working directory; .* Write relativeToVRT="1"',
        ),
        (
            '<SourceFilename relativeToVRT="1">wms.xml</SourceFilename>',
            "wms.xml, a text that can name remote images; wanted an image file or a VRT",
        ),
        ("<PixelFunctionLanguage>Python</PixelFunctionLanguage>", "runs Python code, which isn't done"),
        ("<SourceFilename>", "can't be read as a VRT: mismatched tag.* Write it anew with gdalbuildvrt"),
    ],
)
def test_what_is_refused(tmp_path: Path, inner: str, message: str) -> None:
    """What isn't a local file that is there, and code, are refused with the name of the VRT."""
    (tmp_path / "wms.xml").write_text("\n<GDAL_WMS></GDAL_WMS>")
    path = write(tmp_path / "x.vrt", BAND.format(inner))
    with pytest.raises((FileNotFoundError, ValueError), match=rf"x\.vrt .*{message}"):
        find_sources(str(path))


def test_entities_are_refused(tmp_path: Path) -> None:
    """Entities could hide a name, or grow without bound."""
    path = tmp_path / "x.vrt"
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><VRTDataset></VRTDataset>')
    with pytest.raises(ValueError, match="can't be read as a VRT: it declares entities"):
        find_sources(str(path))
