"""Where the tiles of a mosaic lie: by their georeferences, by coordinates, or by their names."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.mosaic_table import NEARLY, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.images.geometry import Transform
    from pipeline.images.source import Source

    # The top and the left of a tile in pixels.
    Place = tuple[int, int]

NAMES = (
    "names with the row and the column of equal tiles, as in scan_r003_c012.tif, or with the first pixel, as "
    "in scan_x1024_y2048.tif and in scan [x=1024,y=2048].tif"
)
# Sizes of pixels that differ by less than this part are those of one grid.
_SAME = 1e-6
_GRID = re.compile(r"(?:^|[_\-. ])r(?:ow)?_?(\d+)[_\-. ]?c(?:ol)?_?(\d+)(?=$|[_\-. ])", re.IGNORECASE)
_PIXELS = re.compile(r"(?:^|[_\-. ])x(\d+)[_\-. ]?y(\d+)(?=$|[_\-. ])", re.IGNORECASE)
# QuPath: [x=0,y=0,w=512,h=512], with the downsampling first, and the plane last, where there are any.
_BRACKET = re.compile(r"\[((?:[a-z]=[0-9.]+,?)+)\]", re.IGNORECASE)


class Named:
    """The places in the names of tiles.

    Attributes
    ----------
    places : list of (float, float)
        The row and the column of each tile.
    are_numbers : bool
        Whether these are numbers of equal tiles; else they are pixels.
    """

    def __init__(self, places: list[tuple[float, float]], *, are_numbers: bool) -> None:
        self.places, self.are_numbers = places, are_numbers


def read_names(paths: Sequence[str]) -> Named | None:
    """Return the places in the names of tiles, or None unless all names have one of the same pattern.

    Parameters
    ----------
    paths : sequence of str

    Returns
    -------
    Named or None

    Raises
    ------
    ValueError
        If the names state planes along depth or time, or different downsampling.
    """
    stems = [Path(path).stem for path in paths]
    for pattern in (_GRID, _PIXELS):
        found = [pattern.search(stem) for stem in stems]
        if all(found):
            pairs = [(float(match[1]), float(match[2])) for match in found if match]
            is_grid = pattern is _GRID
            return Named([pair if is_grid else pair[::-1] for pair in pairs], are_numbers=is_grid)
    fields = [_fields(stem) for stem in stems]
    if not all("x" in one and "y" in one for one in fields):
        return None
    for path, one in zip(paths, fields, strict=True):
        for name in "dzt":
            if one.get(name) != fields[0].get(name):
                raise ValueError(
                    f"{paths[0]} and {path} differ in {name}= of their names; wanted the tiles of one "
                    "plane in one resolution. Put others into another folder, or pass a table."
                )
    down = fields[0].get("d", 1.0) or 1.0
    return Named([(one["y"] / down, one["x"] / down) for one in fields], are_numbers=False)


def place_names(named: Named, paths: Sequence[str], sources: Sequence[Source]) -> list[Place]:
    """Return the places of tiles in pixels, as their names state them.

    Numbers of rows and columns begin at the smallest ones, and all tiles are as large as the largest; those
    in the last row may be lower, and those in the last column narrower.

    Raises
    ------
    ValueError
        If a tile is smaller than others though it isn't at the edge, or doesn't lie on whole pixels; if two
        tiles overlap by more than half, since the numbers may count tiles then.
    """
    if not named.are_numbers:
        pixels = [_on_pixels(path, *place) for path, place in zip(paths, named.places, strict=True)]
        _check_apart(pixels, paths, sources)
        return pixels
    tall, wide = (max(source.extent[axis] for source in sources) for axis in (0, 1))
    first, last = (
        tuple(most(place[axis] for place in named.places) for axis in (0, 1)) for most in (min, max)
    )
    for path, place, source in zip(paths, named.places, sources, strict=True):
        height, width = source.extent
        if (height < tall and place[0] < last[0]) or (width < wide and place[1] < last[1]):
            raise ValueError(
                f"{path} has {height} x {width} pixels, and others have {tall} x {wide}; wanted equal tiles, "
                "since their names number rows and columns. Pass a table with the place of each tile."
            )
    return [(round(row - first[0]) * tall, round(column - first[1]) * wide) for row, column in named.places]


def place_transforms(
    transforms: Sequence[Transform], paths: Sequence[str], sources: Sequence[Source]
) -> list[Place]:
    """Return the places of tiles in pixels by their transforms, in the smallest image that holds them all.

    Parameters
    ----------
    transforms : sequence of tuple of float
        The affine transform of each tile, as for :class:`Geometry`.
    paths : sequence of str
        The names of the tiles in messages.
    sources : sequence of Source

    Returns
    -------
    list of (int, int)

    Raises
    ------
    ValueError
        If two tiles differ in the size of pixels or in direction, or lie apart by parts of pixels.
    """
    base = transforms[0]
    places = []
    for path, transform, source in zip(paths, transforms, sources, strict=True):
        both = f"{paths[0]} and {path}"
        scale = math.hypot(*base[:2])
        if any(
            abs(one - other) > _SAME * scale
            for one, other in zip(_linear(transform), _linear(base), strict=True)
        ):
            raise ValueError(
                f"{both} have pixels of another size or direction, {_sizes(base)} and {_sizes(transform)}; "
                "wanted tiles of one grid. Warp them to one, for example with gdalwarp."
            )
        height, width = source.extent
        corners = [_to_pixels(base, transform, row, column) for row, column in ((0, 0), (height, width))]
        wanted = [(0, 0), (height, width)]
        top, left = round(corners[0][0]), round(corners[0][1])
        for (row, column), (down, right) in zip(corners, wanted, strict=True):
            off = (row - top - down + 0.0, column - left - right + 0.0)
            if max(map(abs, off)) > NEARLY:
                raise ValueError(
                    f"{both} lie apart by parts of pixels: {off[0]:+.4g} rows and {off[1]:+.4g} columns "
                    "beside whole ones; wanted tiles of one grid. Warp them to one, as with gdalwarp "
                    "-tap."
                )
        places.append((top, left))
    highest, leftmost = (min(place[axis] for place in places) for axis in (0, 1))
    return [(top - highest, left - leftmost) for top, left in places]


def transform_at(path: str, geometry: Geometry, x: float, y: float) -> Transform:
    """Return the transform of a tile whose first pixel has its outer corner at given coordinates.

    Raises
    ------
    ValueError
        If the tile states neither a transform nor the size of its pixels.
    """
    if geometry.transform is not None:
        a, b, _, d, e, _ = geometry.transform
        return (a, b, x, d, e, y)
    if geometry.pixel_size is None:
        raise ValueError(
            f"{path} has coordinates in the table, but states neither a transform nor the size of its "
            "pixels. Give its row and column in pixels."
        )
    height, width = geometry.pixel_size
    return (width, 0.0, x, 0.0, height, y)


def whole_geometry(geometries: Sequence[Geometry], places: Sequence[Place]) -> Geometry:
    """Return the geometry of a mosaic: what all of its tiles say alike.

    Parameters
    ----------
    geometries : sequence of Geometry
        Those of the tiles.
    places : sequence of (int, int)
        The top and the left of each tile in pixels.

    Returns
    -------
    Geometry
    """
    sizes = {geometry.pixel_size for geometry in geometries}
    size = sizes.pop() if len(sizes) == 1 else None
    corners = [
        _shifted(geometry.transform, *place) for geometry, place in zip(geometries, places, strict=True)
    ]
    base, crs = corners[0], geometries[0].crs
    if base is None or any(geometry.crs != crs for geometry in geometries):
        return Geometry(size) if size else UNKNOWN
    near = NEARLY * math.hypot(*base[:2])
    for corner in corners:
        if corner is None or any(abs(one - other) > near for one, other in zip(corner, base, strict=True)):
            return Geometry(size) if size else UNKNOWN
    return Geometry(size, crs=crs, transform=base)


def _fields(stem: str) -> dict[str, float]:
    """Return the numbers in the brackets of a name that QuPath gave."""
    found = _BRACKET.search(stem)
    try:
        pairs = [field.split("=") for field in found[1].strip(",").split(",")] if found else []
        return {name.lower(): float(number) for name, number in pairs}
    except ValueError:
        return {}


def _on_pixels(path: str, row: float, column: float) -> Place:
    top, left = whole(row), whole(column)
    if top is None or left is None:
        raise ValueError(
            f"{path} lies at row {row:g} and column {column:g} by its name; wanted whole pixels. "
            "Pass a table."
        )
    return top, left


def _check_apart(places: Sequence[Place], paths: Sequence[str], sources: Sequence[Source]) -> None:
    """Raise ValueError if two tiles overlap by more than half of their height and width."""
    tall, wide = (max(1, max(source.extent[axis] for source in sources) // 2) for axis in (0, 1))
    cells: dict[Place, list[tuple[Place, str]]] = {}
    for (top, left), path in zip(places, paths, strict=True):
        row, column = top // tall, left // wide
        near = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        for place, other in (pair for cell in near for pair in cells.get(cell, [])):
            if abs(place[0] - top) < tall and abs(place[1] - left) < wide:
                raise ValueError(
                    f"{other} and {path} overlap by more than half, if the numbers in their names are the "
                    "row and column of the first pixel. If they count tiles, write them as r and c, or pass "
                    "a table."
                )
        cells.setdefault((row, column), []).append(((top, left), path))


def _linear(transform: Transform) -> tuple[float, float, float, float]:
    a, b, _, d, e, _ = transform
    return a, b, d, e


def _sizes(transform: Transform) -> str:
    a, b, _, d, e, _ = transform
    return f"({a:g}, {b:g}, {d:g}, {e:g})" if b or d else f"{a:g} x {e:g}"


def _to_pixels(base: Transform, transform: Transform, row: int, column: int) -> tuple[float, float]:
    """Return the row and the column, in the pixels of one tile, of a corner of a pixel of another tile."""
    a, b, c, d, e, f = transform
    x, y = a * column + b * row + c - base[2], d * column + e * row + f - base[5]
    a, b, _, d, e, _ = base
    determinant = a * e - b * d
    return (a * y - d * x) / determinant, (e * x - b * y) / determinant


def _shifted(transform: Transform | None, top: int, left: int) -> Transform | None:
    """Return the transform of an image in which a tile of this transform lies at this place."""
    if transform is None:
        return None
    a, b, c, d, e, f = transform
    return (a, b, c - a * left - b * top, d, e, f - d * left - e * top)
