"""Mosaics are opened from mappings, tables and folders; what doesn't agree is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from images.examples import noise, write_tiff

from pipeline.evaluation import evaluate
from pipeline.images import readers
from pipeline.images.geometry import Geometry
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
from pipeline.images.tiff import open_tiff
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_quantities import Density

if TYPE_CHECKING:
    from pipeline.images.choice import Choice
    from pipeline.images.source import Source

PIXELS = noise(64, 96, 3)
# The rows and columns of six equal tiles.
GRID = [(row, column) for row in (0, 32) for column in (0, 32, 64)]


@pytest.fixture
def georeferenced(monkeypatch: pytest.MonkeyPatch) -> dict[str, Geometry]:
    """Return the geometries of TIFFs by the names of their files, which the reader of TIFFs then states."""
    geometries: dict[str, Geometry] = {}

    def read(path: str, choice: Choice) -> Source | None:
        source = open_tiff(path, choice)
        geometry = geometries.get(Path(path).name)
        return source if source is None or geometry is None else replace(source, geometry=geometry)

    monkeypatch.setattr(readers, "FILE_READERS", (read, *readers.FILE_READERS[1:]))
    return geometries


def write_tiles(folder: Path, name: str, **options: Any) -> dict[Path, tuple[int, int]]:
    """Write tiles of the pixels by a pattern of their names, and return their places."""
    places = {}
    for number, (row, column) in enumerate(GRID):
        path = folder / name.format(n=number, r=row // 32 + 1, c=column // 32 + 1, y=row, x=column)
        write_tiff(path, PIXELS[row : row + 32, column : column + 32], **options)
        places[path] = (row, column)
    return places


def utm(row: float, column: float, crs: str | None = "EPSG:32633") -> Geometry:
    """Return the geometry of a tile in a grid of pixels of 10 m."""
    return Geometry(crs=crs, transform=(10, 0, 5e5 + 10 * column, 0, -10, 4e6 - 10 * row))


def check_reopened(image: Any) -> None:
    """Check that an image is found again by its place."""
    again = reopen(json.loads(json.dumps(image.description.place)))
    assert again.description == image.description
    np.testing.assert_array_equal(again, image)


@pytest.mark.parametrize("kind", ["mapping", "CSV", "JSON"])
def test_mappings_and_tables(tmp_path: Path, kind: str) -> None:
    """Each form is one image, with all options, and is found again by its place."""
    mapping = write_tiles(tmp_path, "tile {n}.tif", tile=(16, 16))
    mosaic: Any = mapping
    rows = [{"file": path.name, "row": row, "column": column} for path, (row, column) in mapping.items()]
    if kind == "CSV":
        mosaic = tmp_path / "tiles.csv"
        mosaic.write_text(
            "file,row,column\n" + "".join(f"{','.join(map(str, row.values()))}\n" for row in rows)
        )
    elif kind == "JSON":
        mosaic = tmp_path / "tiles.json"
        mosaic.write_text(json.dumps(rows))
    image = open_image(mosaic, region=((5, 60), (3, 90)), channels=("blue", "red"))
    np.testing.assert_array_equal(image, PIXELS[5:60, 3:90, [2, 0]])
    check_reopened(image)
    check_reopened(open_image(mosaic)[::2, ::-1])
    assert open_image(mosaic).paths == (tuple(mapping) if kind == "mapping" else (mosaic,))
    density = Density(Mixture([1.0], [[120, 90, 160]], [[400, 300, 500]]))
    np.testing.assert_array_equal(evaluate(mosaic, density), evaluate(PIXELS, density))
    if kind != "JSON":  # As a mask, a file of JSON holds polygons.
        gray = open_image(mosaic, channels=0)
        np.testing.assert_array_equal(open_image(PIXELS, mask=gray), PIXELS)


@pytest.mark.parametrize(
    "name", ["scan_r{r:03}_c{c:03}.tif", "scan_x{x}_y{y}.tif", "scan [x={x},y={y},w=32,h=32].tif"]
)
def test_folders_by_names(tmp_path: Path, name: str) -> None:
    """Names with places make a folder one image; hidden files and those beside images are left out."""
    write_tiles(tmp_path, name)
    for other in (".hidden", "notes.txt", "tiles.csv", "scan.tfw"):
        (tmp_path / other).write_text("x")
    (tmp_path / "masks").mkdir()
    image = open_image(tmp_path)
    np.testing.assert_array_equal(image, PIXELS)
    assert image.masking.is_empty
    assert (image.name, image.paths) == (str(tmp_path), (tmp_path,))
    check_reopened(image)
    min(tmp_path.glob("*.tif")).unlink()
    fewer = open_image(tmp_path)
    assert fewer.description.identity != image.description.identity
    assert [mask.name for mask in fewer.masking.masks] == [f"the absent tiles of {tmp_path}"]
    check_reopened(open_image(fewer.masking.masks[0]))


def test_folders_by_georeferences(tmp_path: Path, georeferenced: dict[str, Geometry]) -> None:
    """Transforms place the files of a folder, and the whole has a georeference."""
    for path, (row, column) in write_tiles(tmp_path, "{n}.tif").items():
        georeferenced[path.name] = utm(row + 7, column + 3)
    image = open_image(tmp_path)
    np.testing.assert_array_equal(image, PIXELS)
    assert (image.crs, image.transform) == ("EPSG:32633", utm(7, 3).transform)
    np.testing.assert_array_equal(open_image(tmp_path)[40:], PIXELS[40:])


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (utm(32, 64, "EPSG:4326"), r"0\.tif has the .* system EPSG:32633, and .*5\.tif has EPSG:4326"),
        (utm(32, 64.4), r"0\.tif and .*5\.tif lie apart by parts"),
        (utm(0, 0), r"0\.tif and .*5\.tif lie at the same place. If one covers the other, pass a table"),
        (Geometry((1, 1)), r"5\.tif has no georeference, but .*0\.tif has one; wanted files with"),
    ],
)
def test_georeferences_that_do_not_agree(
    tmp_path: Path, georeferenced: dict[str, Geometry], geometry: Geometry, message: str
) -> None:
    """Files of different grids are refused with two names."""
    for path, (row, column) in write_tiles(tmp_path, "{n}.tif").items():
        georeferenced[path.name] = utm(row, column)
    georeferenced["5.tif"] = geometry
    with pytest.raises(ValueError, match=message):
        open_image(tmp_path)


def test_tables_of_coordinates(tmp_path: Path, georeferenced: dict[str, Geometry]) -> None:
    """Coordinates of a table place files by their pixels, and become the georeference of the whole."""
    lines = ["file,x,y"]
    for path, (row, column) in write_tiles(tmp_path, "{n}.tif").items():
        georeferenced[path.name] = utm(1, 1)
        lines.append(f"{path.name},{6e5 + 10 * column},{3e6 - 10 * row}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    image = open_image(tmp_path / "t.csv")
    np.testing.assert_array_equal(image, PIXELS)
    assert (image.crs, image.transform) == ("EPSG:32633", (10, 0, 6e5, 0, -10, 3e6))
    for name in georeferenced:
        georeferenced[name] = Geometry((0.5, 0.5))
    (tmp_path / "t.csv").write_text("file,x,y\n0.tif,100,50\n1.tif,116,50\n3.tif,100,66\n")
    image = open_image(tmp_path / "t.csv")
    np.testing.assert_array_equal(image[:, :32], PIXELS[:, :32])
    assert (image.pixel_size, image.transform, image.shape) == ((0.5, 0.5), None, (64, 64, 3))


def test_tiles_of_zarr_arrays(tmp_path: Path) -> None:
    """Folders of Zarr arrays are tiles; a Zarr group is no mosaic."""
    for row, column in GRID:
        tile = PIXELS[row : row + 32, column : column + 32]
        zarr.create_array(tmp_path / f"r{row // 32}_c{column // 32}.zarr", data=tile)
    np.testing.assert_array_equal(open_image(tmp_path), PIXELS)
    zarr.open_group(tmp_path, mode="a")
    with pytest.raises(ValueError, match="is a Zarr group, not an image or an array"):
        open_image(tmp_path)


def test_tiles_that_do_not_agree(tmp_path: Path) -> None:
    """Tiles of other channels or another dtype are refused with two names."""
    write_tiff(tmp_path / "a.tif", PIXELS)
    write_tiff(tmp_path / "b.tif", PIXELS[..., 0])
    write_tiff(tmp_path / "c.tif", PIXELS.astype("uint16"))
    for other in ("b", "c"):
        with pytest.raises(
            ValueError, match=rf"a\.tif has the channels red, .* and .*{other}\.tif has the channels"
        ):
            open_image({tmp_path / "a.tif": (0, 0), tmp_path / f"{other}.tif": (0, 96)})


def test_options_of_mosaics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level and an axis of channels are refused; pages and planes are those of each file."""
    mapping = write_tiles(tmp_path, "a_r{r}_c{c}.tif")
    (tmp_path / "t.csv").write_text("file,row,column\na_r1_c1.tif,0,0\n")
    for mosaic in (mapping, tmp_path, tmp_path / "t.csv"):
        with pytest.raises(ValueError, match=r"level is 1, but .* is a mosaic, which has none"):
            open_image(mosaic, level=1)
    with pytest.raises(ValueError, match=r"channel_axis is 0, but .* is a folder of files"):
        open_image(tmp_path, channel_axis=0)
    with pytest.raises(
        ValueError, match=r"channel_axis is 1, but the image is a file, .* or a mosaic of files"
    ):
        open_image(mapping, channel_axis=1)
    chosen: list[dict[str, Any]] = []

    def read(path: str, choice: Choice) -> Source | None:
        chosen.append(choice.options())
        return open_tiff(path)

    monkeypatch.setattr(readers, "FILE_READERS", (read,))
    image = open_image(mapping, series=1, z=2)
    assert chosen == [{"series": 1, "z": 2}] * 6
    place: Any = image.description.place
    assert (place["series"], place["z"]) == (1, 2)
    check_reopened(image)


def test_folders_that_are_no_mosaics(tmp_path: Path) -> None:
    """A folder in which nothing says where files lie, or a file is no image, is refused with the forms."""
    forms = r"wanted files with georeferences .*scan_r003_c012\.tif.*or pass a mapping .*file,row,column"
    write_tiff(tmp_path / "a.tif", PIXELS)
    with pytest.raises(ValueError, match=rf"nothing says where .*a\.tif lies; {forms}"):
        open_image(tmp_path)
    (tmp_path / "a.tif").write_text("Dear reader,")
    with pytest.raises(
        ValueError, match=rf"isn't a mosaic: .*a\.tif isn't an image that can be read.*; {forms}"
    ):
        open_image(tmp_path)
    (tmp_path / "a.tif").unlink()
    write_tiff(tmp_path / "a_r1_c1.tif", PIXELS)
    (tmp_path / "a_r1_c2.tif").write_bytes((tmp_path / "a_r1_c1.tif").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"a_r1_c2\.tif"):
        open_image(tmp_path)


def test_files_of_tables_that_are_not_there(tmp_path: Path) -> None:
    """A file that is missing or damaged is named when the table is opened; a table is no tile of a table."""
    table = tmp_path / "t.csv"
    write_tiff(tmp_path / "a.tif", PIXELS)
    for name, error in (("b.tif", FileNotFoundError), ("c.tif", ValueError), ("t.csv", ValueError)):
        (tmp_path / "c.tif").write_text("damaged")
        table.write_text(f"file,row,column\na.tif,0,0\n{name},64,0\n")
        with pytest.raises(error, match=name.replace(".", r"\.")):
            open_source(table)
    table.write_text("name,row\n")
    with pytest.raises(ValueError, match=r"t\.csv isn't a table of tiles; wanted a table as CSV with"):
        open_source(table)
