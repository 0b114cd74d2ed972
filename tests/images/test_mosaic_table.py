"""Tables of tiles: CSV and JSON are read alike, and damaged ones are refused by the number of the tile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.images.mosaic_table import Entry, is_table, read_mapping, read_place, read_table, whole


def write(folder: Path, text: str, name: str = "t.csv") -> str:
    """Write a table, and return its path."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize(
    "text",
    [
        "file,row,column\na.tif,0,0\nsub/b.tif,16,8\n",
        "\ufeffFile, Column, Row, note\r\na.tif,0,0,first\r\n\r\nsub/b.tif, 8, 16.0, x\r\n",
        '"file","row","column"\n"a.tif","0","0"\n"sub/b.tif","16","8"',
        json.dumps([{"file": "a.tif", "row": 0, "column": 0}, {"file": "sub/b.tif", "row": 16, "column": 8}]),
    ],
    ids=["plain", "of a spreadsheet", "quoted", "JSON"],
)
def test_tables_in_pixels(tmp_path: Path, text: str) -> None:
    """Columns are found by their names in any order; paths are relative to the table."""
    path = write(tmp_path, text)
    assert is_table(path)
    table = read_table(path)
    assert table.is_in_pixels
    assert table.entries == (
        Entry(str(tmp_path / "a.tif"), 0, 0),
        Entry(str(tmp_path / "sub" / "b.tif"), 16, 8),
    )


def test_tables_in_coordinates(tmp_path: Path) -> None:
    """X and y are kept as column and row; names may hold commas, and paths may be absolute or URLs."""
    table = read_table(write(tmp_path, 'file,x,y\n"/d/s [x=1,y=2].tif",500000.5,4e6\ns3://b/c.tif,-1,2\n'))
    assert not table.is_in_pixels
    assert table.entries == (Entry("/d/s [x=1,y=2].tif", 4e6, 500000.5), Entry("s3://b/c.tif", 2, -1))


@pytest.mark.parametrize(
    "text", ["", "\n", "a,b\n1,2", "file\na.tif", '{"file": "a.tif"}', "[1, 2]", "\0file,row"]
)
def test_other_files_are_no_tables(tmp_path: Path, text: str) -> None:
    """A file without the names of the columns is no table."""
    assert not is_table(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,row,column\n", "lists no tile; wanted a table as CSV with the columns file,row,column"),
        ("file,row\na.tif,1\n", r"tile 1 is .*; wanted a file, and x and y as numbers"),
        (
            "file,row,column\na.tif,0,0\nb.tif,1.5,0\n",
            "tile 2 is .*; wanted a file, and row and column as whole",
        ),
        ("file,row,column\na.tif,-1,0\n", "tile 1 is .* as whole numbers from 0"),
        ("file,row,column\na.tif,0,2**3\n", "tile 1 is .* as whole numbers from 0"),
        ("file,x,y\na.tif,nan,0\n", "tile 1 is .*; wanted a file, and x and y as numbers"),
        ("file,x,y\n,0,0\n", "tile 1 is "),
        ('[{"file": "a.tif", "row": 0', "isn't valid JSON"),
        ('["file", "file"]', "isn't a list of objects"),
        ('[{"file": 3, "row": 0, "column": 0}]', "tile 1 is "),
    ],
)
def test_damaged_tables(tmp_path: Path, text: str, message: str) -> None:
    """A damaged table is named, with the number of the tile and what was wanted."""
    with pytest.raises(ValueError, match=rf"t\.csv.*{message}"):
        read_table(write(tmp_path, text))


def test_a_table_is_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused by the name of the file."""
    (tmp_path / "t.csv").write_bytes(b"file,row,column\n\xff\xfe.tif,0,0\n")
    with pytest.raises(ValueError, match=r"t\.csv isn't a text in UTF-8"):
        read_table(str(tmp_path / "t.csv"))


def test_mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of a mapping are relative to the working directory, and its order is kept."""
    monkeypatch.chdir(tmp_path)
    table = read_mapping({"b.tif": (3, 4), Path("/d/a.tif"): (0, 0)})
    assert table.entries == (Entry(str(tmp_path / "b.tif"), 3, 4), Entry("/d/a.tif", 0, 0))
    assert read_mapping(read_place([["b.tif", 3, 4], ["/d/a.tif", 0, 0]])) == table


@pytest.mark.parametrize(
    "tiles", [{}, {"a.tif": 3}, {"a.tif": (0, -1)}, {"a.tif": (0.5, 1)}, {3: (0, 0)}, {"a.tif": (0, 0, 0)}]
)
def test_damaged_mappings(tiles: dict[Any, Any]) -> None:
    """A mapping of anything else is refused, with an example."""
    with pytest.raises(ValueError, match=r"a mosaic has .*wanted a mapping of paths to"):
        read_mapping(tiles)


def test_whole_numbers() -> None:
    """Errors of computing are forgiven."""
    assert [whole(3.0004), whole(-2.9996), whole(3.01)] == [3, -3, None]
