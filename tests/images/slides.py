"""Slides that tests write as the scanners of three makers write them, with tiles of 64 pixels."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TILE = 64
_PLAIN: dict[str, Any] = {"photometric": "rgb", "compression": "deflate", "metadata": None}
_XMP = 700


def write_philips(
    path: Path, levels: Sequence[NDArray[np.uint8]], absent: Collection[tuple[int, int, int]] = ()
) -> Path:
    """Write a slide of Philips, magnification 40, with pixels of 0.25 micrometers, that lacks some tiles.

    Parameters
    ----------
    path : Path
    levels : sequence of ndarray, shape (H, W, 3)
    absent : collection of tuple of int
        The level, the row and the column of each tile that isn't there.

    Returns
    -------
    Path
    """
    spacings = [0.00025 * round(len(levels[0]) / len(level)) for level in levels]
    spaced = [_attribute("DICOM_PIXEL_SPACING", f'"{spacing:g}" "{spacing:g}"') for spacing in spacings]
    held = "".join(f'<DataObject ObjectType="PixelDataRepresentation">{one}</DataObject>' for one in spaced)
    image = _attribute("PIM_DP_IMAGE_TYPE", "WSI")
    image += _attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", f"<Array>{held}</Array>")
    images = f'<Array><DataObject ObjectType="DPScannedImage">{image}</DataObject></Array>'
    described = _attribute("DICOM_DERIVATION_DESCRIPTION", "tiff-useBigTIFF=0-levels=40,10003") + spaced[0]
    described += _attribute("PIM_DP_SCANNED_IMAGES", images)
    first = {
        "software": "Philips DP v1.0",
        "description": f'<?xml version="1.0"?><DataObject ObjectType="DPUfsImport">{described}</DataObject>',
    }
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            skipped = {(row, column) for one, row, column in absent if one == number}
            options = {**_PLAIN, "tile": (TILE, TILE), "subfiletype": int(number > 0)}
            tags = {} if number else first
            file.write(_tiles(level, skipped), shape=level.shape, dtype="uint8", **options, **tags)
    return path


def write_ventana(path: Path, pixels: NDArray[np.uint8], counts: tuple[int, int], overlap: int) -> Path:
    """Write a slide of Ventana with a macro image, magnification 20, whose tiles overlap.

    Parameters
    ----------
    path : Path
    pixels : ndarray, shape (H, W, 3)
    counts : tuple of int
        The number of rows and columns of tiles.
    overlap : int
        So many pixels of each tile are those of its neighbor too.

    Returns
    -------
    Path
    """
    down, across = counts

    def number(row: int, column: int) -> int:
        # Tiles are counted from the bottom, in every second row from the right.
        row = down - 1 - row
        return row * across + (across - 1 - column if row % 2 else column) + 1

    joints = ""
    for row, column in np.ndindex(counts):
        here, place = number(row, column), 'FlagJoined="1" Confidence="99" Direction'
        if column:
            tiles = f'Tile1="{number(row, column - 1)}" Tile2="{here}"'
            joints += f'<TileJointInfo {place}="RIGHT" {tiles} OverlapX="{overlap}" OverlapY="0"/>'
        if row:
            tiles = f'Tile1="{here}" Tile2="{number(row - 1, column)}"'
            joints += f'<TileJointInfo {place}="UP" {tiles} OverlapX="0" OverlapY="{overlap}"/>'
    area = f'AOIScanned="1" NumRows="{down}" NumCols="{across}" Pos-X="0" Pos-Y="0"'
    info = f'<ImageInfo {area} Width="{TILE}" Height="{TILE}">{joints}</ImageInfo>'
    stitched = f"<SlideStitchInfo>{info}</SlideStitchInfo>"
    stitched = f'<EncodeInfo>{stitched}<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    level = {"tile": (TILE, TILE), "description": "level=0 mag=20 quality=90", "extratags": [_xmp(stitched)]}
    scan = '<iScan Magnification="20" ScanRes="0.465"/>'
    with tifffile.TiffWriter(path) as file:
        file.write(pixels[:50, :40], description="Label Image", extratags=[_xmp(scan)], **_PLAIN)
        file.write(_overlapping(pixels, counts, overlap), **level, **_PLAIN)
    return path


def write_trestle(
    path: Path, levels: Sequence[NDArray[np.uint8]], counts: tuple[int, int] | None = None, overlap: int = 0
) -> Path:
    """Write a slide of Trestle, magnification 20, with pixels of 0.4 micrometers, whose tiles may overlap.

    Parameters
    ----------
    path : Path
    levels : sequence of ndarray, shape (H, W, 3)
        One level, if tiles overlap.
    counts : tuple of int, optional
        The number of rows and columns of tiles that overlap.
    overlap : int
        So many pixels of each tile are those of its neighbor too.

    Returns
    -------
    Path
    """
    described = f"Background Color=FFFFFF;Objective Power=20;OverlapsXY={overlap} {overlap}"
    with tifffile.TiffWriter(path) as file:
        for level in levels:
            file.write(
                _overlapping(level, counts, overlap) if counts else level,
                tile=(TILE, TILE),
                description=described,
                software="MedScan 1.0",
                resolution=(0.4, 0.4),
                **_PLAIN,
            )
    return path


def overlapping_extent(counts: tuple[int, int], overlap: int) -> tuple[int, int]:
    """Return the height and width of tiles that overlap, put together."""
    down, across = counts
    return down * (TILE - overlap) + overlap, across * (TILE - overlap) + overlap


def _overlapping(pixels: NDArray[np.uint8], counts: tuple[int, int], overlap: int) -> NDArray[np.uint8]:
    """Return tiles that overlap, one beside the other."""
    step, tiles = TILE - overlap, np.empty((counts[0] * TILE, counts[1] * TILE, 3), np.uint8)
    for row, column in np.ndindex(counts):
        top, left = row * step, column * step
        place = (slice(row * TILE, (row + 1) * TILE), slice(column * TILE, (column + 1) * TILE))
        tiles[place] = pixels[top : top + TILE, left : left + TILE]
    return tiles


def _tiles(level: NDArray[np.uint8], skipped: Collection[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the tiles of a level as they are stored; those that are skipped are empty."""
    height, width = level.shape[:2]
    padded = np.pad(level, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
    for row, column in np.ndindex(len(padded) // TILE, padded.shape[1] // TILE):
        tile = padded[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        yield b"" if (row, column) in skipped else zlib.compress(tile.tobytes())


def _attribute(name: str, content: str) -> str:
    return f'<Attribute Name="{name}">{content}</Attribute>'


def _xmp(text: str) -> tuple[int, int, int, bytes, bool]:
    return (_XMP, 1, len(text), text.encode(), True)
