"""Cloud Optimized GeoTIFF: GDAL finds values, overviews, place, no-data and names."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.errors import NotGeoreferencedWarning

from pipeline.results.cog import write_cog
from pipeline.results.result import open_result
from pipeline.runs.progress import Reporter

if TYPE_CHECKING:
    from pathlib import Path


def write(store: Path, name: str, path: Path) -> None:
    """Write a result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        write_cog(open_result(store), name, path, reporter=Reporter(lambda _: None, 1, 1))


def read(path: Path, **options: Any) -> Any:
    """Read all bands."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, **options) as file:
            return file.read()


@pytest.mark.parametrize("name", ["chances", "packed", "label"])
def test_values_and_overviews_are_those_of_the_store(results: Path, tmp_path: Path, name: str) -> None:
    """The overviews are the levels of the store, to the last bit."""
    found = open_result(results)
    write(results, name, tmp_path / "out.tif")
    for number in range(len(found.levels)):
        options = {"overview_level": number - 1} if number else {}
        wanted = np.asarray(found.at(number)[name]).reshape(-1, *found.levels[number])
        np.testing.assert_array_equal(read(tmp_path / "out.tif", **options), wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
    if name == "chances":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(tmp_path / "out.tif") as file:
                assert file.descriptions == ("chances tumor & edge", "chances b")


def test_the_file_lies_on_the_map(mapped: Path, tmp_path: Path) -> None:
    """CRS, transform, no-data value, layout and the names of bands and classes are in the file."""
    for name, no_data in (("ratio", "nan"), ("label", "255.0")):
        write(mapped, name, tmp_path / f"{name}.tif")
        with rasterio.open(tmp_path / f"{name}.tif") as file:
            assert file.crs == "EPSG:32633"
            assert file.transform == rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
            assert str(file.nodata) == no_data
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.descriptions == (name,)
            assert file.overviews(1) == [2, 4]
            if name == "label":
                assert file.tags()["class 0"] == "tumor & edge"
                colors = file.colormap(1)
                # Orange and sky blue, and nothing where there is no data.
                assert [colors[n] for n in (0, 1)] == [(230, 159, 0, 255), (86, 180, 233, 255)]
                assert colors[255] == (0, 0, 0, 0)


def test_the_pieces_are_in_the_order_of_the_format(mapped: Path, tmp_path: Path) -> None:
    """Directories come first, and the pixels of coarser levels before those of finer ones."""
    write(mapped, "ratio", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        pages = list(file.pages)
        assert [page.offset for page in pages] == sorted(page.offset for page in pages)
        first = [page.dataoffsets[0] for page in pages]
        assert first == sorted(first, reverse=True)
        assert max(page.offset for page in pages) < min(first)


def test_it_says_what_it_needs(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rasterio the message names the extra."""
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ModuleNotFoundError, match=r"mixture-pipeline\[geo\]"):
        write(results, "ratio", tmp_path / "out.tif")
