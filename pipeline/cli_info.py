"""What the command ``info`` says of an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from pipeline.images.grid import choose_grids

if TYPE_CHECKING:
    from pipeline.images.image import Image


def describe_image(path: str, image: Image) -> list[str]:
    """Describe an image in lines: what it holds, where it lies, and how it is read.

    Parameters
    ----------
    path : str
        The path or the URL by which it was named.
    image : Image

    Returns
    -------
    list of str
    """
    height, width = image.extent
    names = f" ({', '.join(image.channels)})" if image.channels else ""
    count = "1 channel" if image.n_channels == 1 else f"{image.n_channels} channels"
    lines = [
        f"image {path}: {height} x {width} pixels ({height * width / 1e6:.1f} megapixels)",
        f"pixels: {count}{names}, {image.dtype}",
        *(f"series {line}" for line in image.series),
        *(
            f"level {number}: {' x '.join(map(str, extent))} pixels"
            for number, extent in enumerate(image.levels)
        ),
    ]
    if image.pixel_size is not None:
        lines.append("pixel size: {:.6g} x {:.6g} \u00b5m".format(*image.pixel_size))
    if image.crs is not None:
        lines.append(f"coordinate reference system: {image.crs}")
    if image.transform is not None:
        a, b, c, d, e, f = (f"{number:.10g}" for number in image.transform)
        lines.append(f"transform: x = {a} column + {b} row + {c}, y = {d} column + {e} row + {f}")
    facts = image.masking.facts
    lines.append(f"validity: {'; '.join(facts) if facts else 'all pixels have data'}")
    return [*lines, *_describe_reading(image)]


def _describe_reading(image: Image) -> list[str]:
    """Say in which pieces an image is read, and which memory that takes."""
    if not math.prod(image.extent):
        return []
    grid = choose_grids(image.extent, tile=image.tile, unit=image.unit, block=None)[0]
    footprint = image.footprint(grid.largest)
    pieces = "any region equally well" if image.tile == (1, 1) else f"in tiles of {_sides(image.tile)}"
    kept = f", of which {format_bytes(footprint.held)} are kept in memory" if footprint.held else ""
    blocks = "1 block" if grid.n_blocks == 1 else f"{grid.n_blocks} blocks"
    size, memory = format_bytes(image.size * image.dtype.itemsize), format_bytes(footprint.region)
    run = f"a run: {blocks} of {_sides(grid.block)}, {size} of pixels"
    return [f"read: {pieces}{kept}", f"{run}; reading takes {memory} of memory in each thread"]


def _sides(sides: tuple[int, int]) -> str:
    return " x ".join(map(str, sides))
