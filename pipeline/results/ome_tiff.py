"""Results as OME-TIFF: tiled, compressed, with the levels of the store, as QuPath and Fiji open them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from pipeline.images.grid import Grid
from pipeline.models.palette import class_color
from pipeline.models.summary import result_names
from pipeline.results.regions import tiles_of, value_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.results.result import Result
    from pipeline.runs.progress import Reporter

# The side of the chunks of a store of the usual blocks, each of which is decoded once then.
TILE = 1024
# TIFF allows only multiples of that.
_TILE_STEP = 16
# How tiles are compressed: a few at a time, and fast, since a higher level makes floats hardly smaller.
COMPRESSION: dict[str, Any] = {
    "compression": "zlib",
    "compressionargs": {"level": 1},
    "maxworkers": 2,
    "buffersize": 2**25,
}
# A TIFF whose pixels take more than that, before they are compressed, has offsets of 64 bits.
LARGEST_CLASSIC = 2**31
_OPAQUE = 255
# XML has no escapes for these.
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_ome_tiff(result: Result, name: str, path: Path, *, reporter: Reporter) -> None:
    """Write a result to an OME-TIFF, tile by tile.

    Parameters
    ----------
    result : Result
        At level 0.
    name : str
        The result. The classes of a posterior become channels; the classes of a label are listed in the
        description of the image.
    path : Path
        A file that doesn't exist yet.
    reporter : Reporter
        It is told of each tile.

    Notes
    -----
    The tiles are compressed by zlib, integers by their differences, which Bio-Formats reads. It doesn't read
    differences of floats.
    """
    dtype, planes = value_dtype(result, name), result.outputs[name].n_results
    options: dict[str, Any] = {
        "dtype": dtype,
        "predictor": 2 if dtype.kind == "u" else None,
        "photometric": "minisblack",
        **COMPRESSION,
    }
    leading = (planes,) if planes > 1 else ()
    n_levels = len(result.levels)
    is_large = planes * result.levels[0][0] * result.levels[0][1] * dtype.itemsize > LARGEST_CLASSIC
    with tifffile.TiffWriter(path, ome=True, bigtiff=is_large) as file:
        for number in range(n_levels):
            level, side = result.at(number), tile_side(result.levels[number])
            described = {"subifds": n_levels - 1, "metadata": _describe(result, name)}
            file.write(
                counted(tiles_of(level, name, side), level, reporter),
                tile=(side, side),
                shape=(*leading, *level.levels[number]),
                **(options | described if number == 0 else options | {"subfiletype": 1}),
            )


def count_tiles(result: Result, name: str) -> tuple[int, int]:
    """Return how many tiles of full resolution are written, and how many numbers are in them."""
    side = tile_side(result.levels[0])
    tiles = Grid(result.levels[0], (side, side), (side, side)).n_blocks * result.outputs[name].n_results
    return tiles, tiles * side * side


def _describe(result: Result, name: str) -> dict[str, Any]:
    """Return what the OME-XML says."""
    output, size = result.outputs[name], result.geometry.pixel_size
    described: dict[str, Any] = {"axes": "CYX" if output.n_results > 1 else "YX", "Name": name}
    # Before its release 2026.2.24, tifffile doesn't escape the quotes of an attribute.
    names = [xml_text(text).replace('"', "'") for text in result_names(output)]
    channel: dict[str, Any] = {"Name": names}
    if output.class_names is not None:
        channel["Color"] = [_ome_color(class_color(number)) for number in range(output.n_results)]
    described["Channel"] = channel
    if output.label_names is not None:
        numbers = [*enumerate(output.label_names), (int(output.no_data), "no data")]
        described["Description"] = xml_text(", ".join(f"{number}: {label}" for number, label in numbers))
    if size is not None:
        described |= {"PhysicalSizeY": size[0], "PhysicalSizeX": size[1]}
        described |= {"PhysicalSizeYUnit": "µm", "PhysicalSizeXUnit": "µm"}
    return described


def _ome_color(color: tuple[int, int, int]) -> int:
    """Return a color as the signed number of 32 bits that OME-XML has: red, green, blue, alpha."""
    return int(np.frombuffer(bytes([*color, _OPAQUE]), ">i4")[0])


def tile_side(shape: tuple[int, int]) -> int:
    """Return the side of the tiles of a level; libvips opens no image that is much smaller than its tiles."""
    return min(TILE, -(-max(shape) // _TILE_STEP) * _TILE_STEP)


def xml_text(text: str) -> str:
    """Return a text in which a replacement character stands for each one that XML can't hold."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def counted(tiles: Iterator[NDArray[Any]], level: Result, reporter: Reporter) -> Iterator[NDArray[Any]]:
    """Yield tiles, and tell the reporter of each of full resolution."""
    for tile in tiles:
        if level.level == 0:
            reporter.advance(tile.size)
        yield tile
