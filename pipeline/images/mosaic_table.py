"""Tables of the tiles of a mosaic, as CSV or JSON: files, and where they lie."""

from __future__ import annotations

import csv
import json
import math
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.images.file import open_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMS = (
    "a table as CSV with the columns file,row,column (pixels) or file,x,y (coordinates), or as JSON, a "
    'list of objects with the same names: [{"file": "a.tif", "row": 0, "column": 0}]'
)
# So many bytes at the beginning of a file tell whether it is a table.
_HEAD = 4096
_BOM = b"\xef\xbb\xbf"
_FILE = "file"
_PIXELS, _COORDINATES = ("row", "column"), ("x", "y")
# A position that a program computed may be so far from a whole pixel.
NEARLY = 1e-3


class Entry(NamedTuple):
    """A tile of a table, and where it lies.

    Attributes
    ----------
    path : str
        The absolute path, or a URL.
    row, column : float
        The top and the left in pixels; or y and x of the first pixel's outer corner in coordinates.
    """

    path: str
    row: float
    column: float


class Table(NamedTuple):
    """The tiles of a table, in its order, and whether their places are pixels."""

    entries: tuple[Entry, ...]
    is_in_pixels: bool


def is_table(path: str) -> bool:
    """Return whether a file is a table of tiles, by its content.

    Parameters
    ----------
    path : str

    Returns
    -------
    bool
        Whether its first line names the columns of a table, or its text begins as a list of objects that have
        a file.
    """
    with open_binary(path) as file:
        head = file.read(_HEAD).removeprefix(_BOM)
    if head.lstrip().startswith(b"["):
        return b'"file"' in head
    if b"\0" in head or not head.strip():
        return False
    names = _names(head.splitlines()[0].decode("utf-8", "replace"))
    return _FILE in names and bool({*_PIXELS, *_COORDINATES} & set(names))


def read_table(path: str) -> Table:
    """Read a table of tiles.

    Parameters
    ----------
    path : str
        A file for which :func:`is_table` is true. Paths within it are relative to it.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If it has no tile, or a tile lacks its file or its place, with the number of the tile.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} isn't a text in UTF-8: {error}; wanted {FORMS}") from None
    rows = _read_json(text, path) if text.lstrip().startswith("[") else _read_csv(text)
    entries, names = [], _PIXELS
    for number, row in enumerate(rows, 1):
        if number == 1:
            names = _PIXELS if set(_PIXELS) <= set(row) else _COORDINATES
        entries.append(_entry(row, names, number, Path(path)))
    if not entries:
        raise ValueError(f"{path} lists no tile; wanted {FORMS}")
    return Table(tuple(entries), names == _PIXELS)


def read_mapping(tiles: Mapping[Any, Any]) -> Table:
    """Read a mapping of paths to the row and the column of the first pixel.

    Parameters
    ----------
    tiles : mapping of path to (int, int)

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If it is empty, or a place isn't a row and a column from 0.
    """
    entries = []
    for path, place in tiles.items():
        try:
            row, column = (operator.index(number) for number in place)
            absolute = resolve(path, Path.cwd())
        except (TypeError, ValueError):
            row = column = -1
        if min(row, column) < 0:
            raise ValueError(
                f"a mosaic has {path!r:.200} at {place!r:.80}; wanted a mapping of paths to the row and the "
                "column of the first pixel, whole numbers from 0: {'a.tif': (0, 0), 'b.tif': (0, 1024)}"
            )
        entries.append(Entry(absolute, row, column))
    if not entries:
        raise ValueError("a mosaic has no tile; wanted a mapping of paths to rows and columns")
    return Table(tuple(entries), is_in_pixels=True)


def read_place(listed: list[Any]) -> dict[str, tuple[int, int]]:
    """Return the mapping of the files that the place of a mosaic lists.

    Raises
    ------
    TypeError, ValueError
        If the list isn't one of paths, rows and columns.
    """
    return {str(path): (int(row), int(column)) for path, row, column in listed}


def whole(number: float) -> int | None:
    """Return the whole number that a number is, but for an error of computing; None if it isn't one."""
    nearest = round(number)
    return nearest if abs(number - nearest) <= NEARLY else None


def resolve(path: Any, folder: Path) -> str:  # noqa: ANN401  a caller may pass anything
    """Return the absolute path of a tile, relative to a folder; a URL stays as it is."""
    return str(path) if "://" in str(path) else str(Path(folder, path).absolute())


def _names(line: str) -> list[str]:
    """Return the names of the columns in the first line of a CSV."""
    return [name.strip(' "').lower() for name in line.strip().split(",")]


def _read_csv(text: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV, by the names of its columns."""
    lines = text.splitlines()
    names = _names(lines[0])
    for cells in csv.reader(lines[1:]):
        if any(cell.strip() for cell in cells):
            yield dict(zip(names, (cell.strip() for cell in cells), strict=False))


def _read_json(text: str, path: str) -> list[dict[str, Any]]:
    """Return the objects of a list in JSON."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} isn't valid JSON: {error}; wanted {FORMS}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} isn't a list of objects; wanted {FORMS}")
    return rows


def _entry(row: dict[str, Any], names: tuple[str, str], number: int, table: Path) -> Entry:
    """Return a tile of a table, checked."""
    file = row.get(_FILE)
    try:
        places = {name: float(row[name]) for name in names}
        is_sound = isinstance(file, str) and file != "" and all(map(math.isfinite, places.values()))
        if is_sound and names == _PIXELS:
            pixels = [whole(place) for place in places.values()]
            is_sound = all(place is not None and place >= 0 for place in pixels)
    except (KeyError, TypeError, ValueError):
        is_sound = False
    if not is_sound:
        wanted = "whole numbers from 0" if names == _PIXELS else "numbers"
        raise ValueError(
            f"{table}: tile {number} is {row!r:.200}; wanted a file, and {' and '.join(names)} as {wanted}"
        )
    x_or_row, y_or_column = places.values()
    place = (x_or_row, y_or_column) if names == _PIXELS else (y_or_column, x_or_row)
    return Entry(resolve(file, table.parent), *place)
