"""Exports: which format and which result, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from pipeline.results import ome_tiff
from pipeline.results.export import export
from pipeline.results.result import open_result

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.runs.progress import Progress


def test_the_name_tells_the_format(results: Path, tmp_path: Path) -> None:
    """The end of the name decides, unless the format is given."""
    path = export(results, tmp_path / "out.ome.TIF", result="ratio", progress="none")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
    export(results, tmp_path / "out.zarr", progress="none")
    assert zarr.open_group(tmp_path / "out.zarr", mode="r").metadata.zarr_format == 2
    export(results, tmp_path / "other", format="ome-zarr-0.4", result="label", progress="none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out.ome.TIF", "out.zarr"]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("out.png", {}, ValueError, "out.png doesn't tell a format; wanted a name that ends with .tif"),
        ("out.tif", {"format": "bmp"}, ValueError, "format is 'bmp'; wanted one of ome-tiff"),
        (
            "out.tif",
            {},
            ValueError,
            "has the results ratio, .*a file of ome-tiff holds one; say which",
        ),
        ("out.tif", {"result": "none"}, ValueError, "result is 'none', but .*out.zarr has ratio, chances"),
        ("out.geojson", {"result": "ratio"}, ValueError, "ratio isn't a label.*wanted one of label"),
        (
            "none/out.tif",
            {"result": "ratio"},
            FileNotFoundError,
            "none/out.tif can't be written; wanted a dir",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(
    results: Path, tmp_path: Path, name: str, options: Any, error: type[Exception], message: str
) -> None:
    """Each error says what to do, and nothing is left."""
    with pytest.raises(error, match=message):
        export(results, tmp_path / name, progress="none", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_store_is_not_written_to(results: Path) -> None:
    """A file in the store, or one in its place, is refused."""
    for path in (results, results / "out.tif", results.parent):
        with pytest.raises(ValueError, match="lie inside one another"):
            export(results, path, result="ratio", format="ome-tiff", overwrite=True, progress="none")


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_a_file_that_is_there_is_replaced_when_asked(results: Path, tmp_path: Path, name: str) -> None:
    """Without overwrite=True it stays; with it, the new one takes its place and nothing else is left."""
    path = tmp_path / name
    export(results, path, result="ratio", progress="none")
    with pytest.raises(FileExistsError, match=r"exists. Choose another name, or overwrite it"):
        export(results, path, result="label", progress="none")
    export(results, path, result="label", overwrite=True, progress="none")
    assert [found.name for found in tmp_path.iterdir()] == [name]
    if name == "out.tif":
        np.testing.assert_array_equal(tifffile.imread(path), open_result(results)["label"])
    else:
        assert "labels" in zarr.open_group(path, mode="r")


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_progress_ends_with_all_pixels(results: Path, tmp_path: Path, name: str) -> None:
    """A listener is told of each piece, to the last one."""
    events: list[Progress] = []
    export(results, tmp_path / name, result="chances", progress=events.append)
    last = events[-1]
    assert (last.blocks, last.pixels) == (last.total_blocks, last.total_pixels)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_nothing_is_left_of_an_export_that_fails(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A half-written file goes, and the one that was there stays."""

    def fail(_result: Any, _name: str, path: Path, *, reporter: Any) -> None:
        path.write_bytes(b"half")
        del reporter
        raise error

    export(results, tmp_path / "out.tif", result="ratio", progress="none")
    before = (tmp_path / "out.tif").read_bytes()
    monkeypatch.setattr(ome_tiff, "write_ome_tiff", fail)
    with pytest.raises(type(error)):
        export(results, tmp_path / "out.tif", result="label", overwrite=True, progress="none")
    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
    assert (tmp_path / "out.tif").read_bytes() == before
