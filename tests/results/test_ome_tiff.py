"""OME-TIFF: other readers find the values of every level, names, colors and the size of a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import pyvips
import tifffile
from references import random_mixture

from pipeline import Posterior, stream
from pipeline.results import ome_tiff
from pipeline.results.ome_tiff import write_ome_tiff
from pipeline.results.result import open_result
from pipeline.runs.progress import Progress, Reporter

if TYPE_CHECKING:
    from pathlib import Path


def write(store: Path, name: str, path: Path) -> list[Progress]:
    """Write a result, and return what the reporter was told."""
    events: list[Progress] = []
    write_ome_tiff(open_result(store), name, path, reporter=Reporter(events.append, 1, 1))
    return events


@pytest.mark.parametrize("name", ["ratio", "chances", "packed", "half", "label"])
def test_every_level_has_its_values(
    results: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tifffile reads the values of each level, and libvips those of the first plane."""
    monkeypatch.setattr(ome_tiff, "TILE", 128)
    found, path = open_result(results), tmp_path / "out.ome.tif"
    events = write(results, name, path)
    assert events[-1].pixels >= found[name].size
    with tifffile.TiffFile(path) as file:
        (series,) = file.series
        assert series.axes == ("CYX" if name == "chances" else "YX")
        assert len(series.levels) == len(found.levels) == 4
        for number, level in enumerate(series.levels):
            np.testing.assert_array_equal(level.asarray(), np.asarray(found.at(number)[name]))
            assert level.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            assert level.pages[0].is_tiled
    first: Any = pyvips.Image.new_from_file(str(path)).numpy()
    np.testing.assert_array_equal(first, np.asarray(found[name]).reshape(-1, *found.levels[0])[0])


def test_the_description_names_channels_and_sizes(results: Path, tmp_path: Path) -> None:
    """The OME-XML has the names and colors of classes, and the size of a pixel in micrometers."""
    write(results, "chances", tmp_path / "chances.ome.tif")
    write(results, "label", tmp_path / "label.ome.tif")
    described = []
    for name in ("chances", "label"):
        with tifffile.TiffFile(tmp_path / f"{name}.ome.tif") as file:
            described.append(ET.fromstring(file.ome_metadata or ""))  # noqa: S314  written above
    space = {"": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
    channels = described[0].findall(".//Channel", space)
    assert [channel.get("Name") for channel in channels] == ["chances tumor & edge", "chances b"]
    # Orange and sky blue, opaque, as signed numbers of 32 bits.
    assert [int(channel.get("Color") or 0) % 2**32 for channel in channels] == [0xE69F00FF, 0x56B4E9FF]
    pixels = described[1].find(".//Pixels", space)
    assert pixels is not None
    assert [pixels.get(f"PhysicalSize{axis}") for axis in "YX"] == ["0.5", "0.5"]
    assert described[1].findtext(".//Description", "", space) == "0: tumor & edge, 1: b, 255: no data"


def test_large_files_have_long_offsets(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may become larger than four gigabytes is a BigTIFF."""
    for largest, is_large in ((2**31, False), (1000, True)):
        monkeypatch.setattr(ome_tiff, "LARGEST_CLASSIC", largest)
        write(results, "ratio", tmp_path / f"{largest}.tif")
        with tifffile.TiffFile(tmp_path / f"{largest}.tif") as file:
            assert file.is_bigtiff is is_large


def test_any_name_and_any_size_can_be_read(tmp_path: Path) -> None:
    """Other characters stand for those that XML can't hold, and libvips opens an image of few pixels."""
    classes = {"a\x00\ud800b": random_mixture(1, 3), '<"c"> \U0001f600': random_mixture(1, 3, seed=1)}
    pixels = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(5, 7, 3)
    stream(pixels, {"chances": Posterior(classes)}, tmp_path / "out.zarr", progress="none")
    write(tmp_path / "out.zarr", "chances", tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        described = ET.fromstring(file.ome_metadata or "")  # noqa: S314  written above
    names = [one.get("Name") for one in described.iter() if one.tag.endswith("Channel")]
    assert names == ["chances a\ufffd\ufffdb", "chances <'c'> \U0001f600"]
    first: Any = pyvips.Image.new_from_file(str(tmp_path / "out.ome.tif")).numpy()
    np.testing.assert_array_equal(first, open_result(tmp_path / "out.zarr")["chances"][0])
