"""Opening mosaics: a mapping of files to their places, a table of them, or a folder of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.images import mosaic_table
from pipeline.images.geometry import Geometry
from pipeline.images.mosaic import Mosaic, Origin, Tile
from pipeline.images.mosaic_places import (
    NAMES,
    place_names,
    place_transforms,
    read_names,
    transform_at,
    whole_geometry,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.images.choice import Choice
    from pipeline.images.source import Source

    Place = tuple[int, int]

_FORMS = (
    "wanted files with georeferences (the same coordinate reference system, and pixels of one grid); "
    f"{NAMES}; or pass a mapping of paths to (row, column), or {mosaic_table.FORMS}"
)
# Files that lie beside images: metadata, world files, tables, texts.
_BESIDE = {
    *(".csv", ".geojson", ".json", ".tsv", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".toml", ".cfg", ".ini"),
    *(".j2w", ".jgw", ".pgw", ".tfw", ".tifw", ".wld", ".prj", ".cpg", ".aux", ".ovr", ".msk"),
    *(".db", ".html", ".log", ".md", ".pdf", ".pickle", ".pkl", ".py", ".txt"),
}
# A Zarr store that isn't an array is no mosaic.
_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
# The options of a file that are those of each tile.
_KNOWN = ("series", "pages", "z", "t")
# Headers are read by so many threads: on a remote disk most of the time is waiting.
_THREADS = 4


def open_mosaic(tiles: Mapping[Any, Any], choice: Choice) -> Mosaic:
    """Open a mapping of image files to their places as one image.

    Parameters
    ----------
    tiles : mapping of path to (int, int)
        The row and the column of the first pixel of each file. A later file covers an earlier one.
    choice : Choice
        The series, the pages and the plane of each file.

    Returns
    -------
    Mosaic

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the mapping isn't one of paths and places, a file can't be read, or the files don't agree.
    """
    table = mosaic_table.read_mapping(tiles)
    name = f"the mosaic of {len(table.entries)} files"
    choice.check(name, "a mosaic", *_KNOWN)
    listed = [[entry.path, int(entry.row), int(entry.column)] for entry in table.entries]
    paths = tuple(Path(entry.path) for entry in table.entries if "://" not in entry.path)
    return _assemble(table, Origin(name, {"image": listed, **choice.options()}, paths), choice)


def open_mosaic_table(path: str, choice: Choice) -> Mosaic | None:
    """Open a table of image files and their places as one image, or return None if it is another file.

    Parameters
    ----------
    path : str
        The absolute path of a CSV or JSON file, see :func:`read_table`.
    choice : Choice
        The series, the pages and the plane of each file.

    Returns
    -------
    Mosaic or None

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the table is damaged, a file can't be read, or the files don't agree.
    """
    if not mosaic_table.is_table(path):
        if path.lower().endswith(".csv"):
            raise ValueError(f"{path} isn't a table of tiles; wanted {mosaic_table.FORMS}")
        return None
    choice.check(path, "a mosaic", *_KNOWN)
    origin = Origin(path, {"image": path, **choice.options()}, (Path(path),))
    return _assemble(mosaic_table.read_table(path), origin, choice)


def open_mosaic_folder(path: str, choice: Choice, *, role: str, channel_axis: int | None) -> Mosaic | None:
    """Open a folder of image files as one image, or return None if it holds no files of images.

    Parameters
    ----------
    path : str
        The absolute path of a directory.
    choice : Choice
        The series, the pages and the plane of each file.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        Files have their channels last.

    Returns
    -------
    Mosaic or None
        Of all files but hidden ones and those that lie beside images, such as tables and world files, sorted
        by name. Of folders within it those are taken whose name ends in .zarr.

    Raises
    ------
    ValueError
        If a file can't be read, the files don't agree, or nothing says where they lie.
    """
    folder = Path(path)
    found = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and _is_tile(entry))
    if not found or any((folder / name).exists() for name in _ZARR):
        return None
    choice.check(path, "a mosaic", *_KNOWN)
    if channel_axis not in {-1, 2, None}:
        raise ValueError(
            f"channel_axis is {channel_axis}, but {path} is a folder of files, whose channels are always the "
            "last axis. Leave channel_axis out."
        )
    paths = [str(file) for file in found]
    named = read_names(paths)
    try:
        first = _open_tile(paths[0], choice)
    except (OSError, ValueError) as error:
        raise ValueError(f"{role} is the folder {path}, which isn't a mosaic: {error}; {_FORMS}") from error
    if first.source.geometry.transform is None and named is None:
        if all(file.is_dir() for file in found):
            return None
        raise ValueError(f"{role} is the folder {path}, but nothing says where {paths[0]} lies; {_FORMS}")
    tiles = [first, *_open_tiles(paths[1:], choice)]
    sources = [tile.source for tile in tiles]
    lost = [file for file, source in zip(paths, sources, strict=True) if source.geometry.transform is None]
    if lost and named is None:
        raise ValueError(f"{lost[0]} has no georeference, but {paths[0]} has one; {_FORMS}")
    if lost and named is not None:
        places = place_names(named, paths, sources)
    else:
        _check_crs(paths, sources)
        places = place_transforms(
            [s.geometry.transform for s in sources if s.geometry.transform], paths, sources
        )
    _check_apart(paths, sources, places)
    origin = Origin(path, {"image": path, **choice.options()}, (folder,))
    return _join(paths, tiles, places, origin)


def _assemble(table: mosaic_table.Table, origin: Origin, choice: Choice) -> Mosaic:
    """Return the mosaic of a table."""
    paths = [entry.path for entry in table.entries]
    tiles = _open_tiles(paths, choice)
    sources = [tile.source for tile in tiles]
    if table.is_in_pixels:
        return _join(
            paths, tiles, [(round(entry.row), round(entry.column)) for entry in table.entries], origin
        )
    transforms = [
        transform_at(entry.path, source.geometry, entry.column, entry.row)
        for entry, source in zip(table.entries, sources, strict=True)
    ]
    _check_crs(paths, sources)
    places = place_transforms(transforms, paths, sources)
    geometries = [
        Geometry(source.geometry.pixel_size, crs=source.geometry.crs, transform=transform)
        if source.geometry.transform
        else source.geometry
        for source, transform in zip(sources, transforms, strict=True)
    ]
    return _join(paths, tiles, places, origin, geometries)


def _join(
    paths: Sequence[str],
    tiles: Sequence[Tile],
    places: Sequence[Place],
    origin: Origin,
    geometries: Sequence[Geometry] | None = None,
) -> Mosaic:
    """Return the mosaic of files at their places, after checking that they agree."""
    sources = [tile.source for tile in tiles]
    first = sources[0]
    for path, source in zip(paths, sources, strict=True):
        if (source.shape[2], source.channels, source.dtype) != (first.shape[2], first.channels, first.dtype):
            raise ValueError(
                f"{paths[0]} has {_describe(first)}, and {path} has {_describe(source)}; wanted tiles "
                "with the same channels and dtype"
            )
    stated = [source.geometry for source in sources] if geometries is None else geometries
    placed = tuple(
        tile._replace(top=place[0], left=place[1]) for tile, place in zip(tiles, places, strict=True)
    )
    return Mosaic(placed, origin, whole_geometry(stated, places))


def _open_tiles(paths: Sequence[str], choice: Choice) -> list[Tile]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda path: _open_tile(path, choice), paths))


def _open_tile(path: str, choice: Choice) -> Tile:
    """Open a file as a tile, and ask for all that its header says while the header is at hand."""
    from pipeline.images.readers import open_source  # noqa: PLC0415  the readers list this one

    if Path(path).is_file() and mosaic_table.is_table(path):
        raise ValueError(f"{path} is a table of tiles; wanted an image as a tile of a mosaic")
    return Tile.of(open_source(path, choice=choice))


def _is_tile(entry: Path) -> bool:
    """Return whether an entry of a folder is meant as a tile, by its name."""
    suffix = entry.suffix.lower()
    return suffix == ".zarr" if entry.is_dir() else suffix not in _BESIDE


def _check_crs(paths: Sequence[str], sources: Sequence[Source]) -> None:
    """Raise ValueError unless all files have one coordinate reference system."""
    first = sources[0].geometry.crs
    for path, source in zip(paths, sources, strict=True):
        if source.geometry.crs != first:
            raise ValueError(
                f"{paths[0]} has the coordinate reference system {first!s:.80}, and {path} has "
                f"{source.geometry.crs!s:.80}; wanted the same. Warp them to one, for example with gdalwarp."
            )


def _check_apart(paths: Sequence[str], sources: Sequence[Source], places: Sequence[Place]) -> None:
    """Raise ValueError if two files of a folder have one place, since they may be two bands or two dates."""
    seen: dict[Any, str] = {}
    for path, source, place in zip(paths, sources, places, strict=True):
        other = seen.setdefault((place, source.extent), path)
        if other != path:
            raise ValueError(
                f"{other} and {path} lie at the same place. If one covers the other, pass a table or a "
                "mapping, in which later files cover earlier ones."
            )


def _describe(source: Source) -> str:
    """Return the channels and the dtype of a source in words."""
    names = ", ".join(source.channels) if source.channels else f"{source.shape[2]} without names"
    return f"the channels {names} of {source.dtype}"
