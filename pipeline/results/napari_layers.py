"""Layers of napari, whose reader of results this is. It is found by ``napari.yaml``; napari is an extra."""

from __future__ import annotations

import math
import os
import uuid
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.grid import Block
from pipeline.models.palette import class_color, hex_color
from pipeline.models.summary import result_names
from pipeline.results.color_maps import DIVERGING, color_table
from pipeline.results.image_tiles import ImageTiles
from pipeline.results.result import open_result
from pipeline.results.scale import choose_scale
from pipeline.results.tiles import SIDE, Place
from pipeline.stores.layout import read_attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dask.array as da
    from numpy.typing import NDArray

    from pipeline.models.distribution import Distribution
    from pipeline.models.output import Output
    from pipeline.models.palette import Color
    from pipeline.results.result import Result

# The arrays of the levels, the options of the layer, and its type.
LayerData = tuple[Any, dict[str, Any], str]

# Height and width of the chunks that napari reads, which are those of a store inside its shards.
_CHUNK = 1024
# An image is shown at first if no more pixels are read for its overview, which takes about a second.
_MOST_SHOWN = 2**26
_BRIGHTEST = 255


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the function that reads the layers of a result, as napari calls it.

    Parameters
    ----------
    path : str or sequence of str
        Several paths are those of a stack, which results can't be.

    Returns
    -------
    callable or None
        None if this isn't a result of this package, so that another plugin opens it.
    """
    return read_layers if isinstance(path, str) and read_attribute(path) is not None else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers that napari shows of a result: tuples of data, options and type.

    Parameters
    ----------
    path : str

    Returns
    -------
    list of tuple
        The image from which the results were computed, in red, green and blue, if it is still there; then a
        layer for each result, and for each class of a posterior. Only the image and the first result are
        visible. All layers have levels, of which napari reads the chunks that it shows. A density is shown
        as its logarithm to base 10, and is named so. Labels have the names of their classes as features.
        Layers are scaled to micrometers if the image says the size of its pixels.

    Raises
    ------
    FileNotFoundError
        If nothing is there, or only the store of an interrupted run.
    ValueError
        If this isn't a result of this package, or its record is damaged.
    """
    result = open_result(os.fspath(path) if isinstance(path, str) else path[0])
    levels = [result.at(number) for number in range(len(result.levels))]
    layers = _image_layers(result)
    n_images = len(layers)
    for output in result.outputs.values():
        if output.label_names is not None:
            layers.append(_label_layer(output, levels))
            continue
        for number, title in enumerate(result_names(output)):
            color = None if output.class_names is None else class_color(number)
            data = [_lazy(level, output, number) for level in levels]
            found = None if result.summary is None else result.summary.distributions[title]
            layers.append(value_layer(title, output, data, found, color))
    for _, options, _ in layers[n_images + 1 :]:
        options["visible"] = False
    place = _place(result)
    return [(data, {**options, **place}, kind) for data, options, kind in layers]


def value_layer(
    title: str,
    output: Output,
    levels: Sequence[da.Array],
    distribution: Distribution | None,
    color: Color | None = None,
) -> LayerData:
    """Return the layer of a result that isn't a label, or of one class of it.

    Parameters
    ----------
    title : str
        The name of the result, followed by that of a class.
    output : Output
    levels : sequence of dask.array.Array, shape (h, w)
        The values, or the logarithms of those of densities, level by level.
    distribution : Distribution or None
        The distribution of the values, or None to ask those of the coarsest level.
    color : tuple of int, optional
        The color of a class; by default a color map is chosen.

    Returns
    -------
    tuple
    """
    is_logarithmic = output.quantity.error_is_relative
    values = np.zeros(0) if distribution is not None else np.asarray(levels[-1])
    if is_logarithmic:
        values = 10.0 ** values.astype(np.float64)
    scale = choose_scale(output, distribution, values)
    limits = [math.log10(end) if is_logarithmic else end for end in (scale.low, scale.high)]
    colormap: Any = scale.color_map
    if color is not None:
        ends = [[0.0, 0.0, 0.0, 1.0], [*(part / _BRIGHTEST for part in color), 1.0]]
        colormap = {"name": f"#{hex_color(color)}", "colors": ends}
    elif scale.neutral is not None:
        colormap = {"name": DIVERGING, "colors": color_table(DIVERGING) / _BRIGHTEST}
    options = {
        "name": f"log10 {title}" if is_logarithmic else title,
        "multiscale": True,
        "contrast_limits": limits,
        "colormap": colormap,
        "blending": "translucent" if color is None else "additive",
    }
    return list(levels), options, "image"


def _label_layer(output: Output, levels: Sequence[Result]) -> LayerData:
    """Return the layer of a label, whose class 0 is a class as the others are."""
    names = output.label_names or ()
    colors: dict[int | None, str] = {n: f"#{hex_color(class_color(n))}" for n in range(len(names))}
    # None stands for all other numbers, of which no data is the only one.
    colors[None] = "transparent"
    numbers = [*range(len(names)), int(output.no_data)]
    options = {
        "name": output.name,
        "multiscale": True,
        "colormap": colors,
        "features": {"index": numbers, "class": [*names, "no data"]},
    }
    return [_lazy(level, output, 0) for level in levels], options, "labels"


def _image_layers(result: Result) -> list[LayerData]:
    """Return the layer of the image, or none if it isn't there any more, or can't be read."""
    try:
        tiles = ImageTiles(result.image)
    # A file of any format that isn't there any more, was changed, or lacks its reader.
    except (OSError, ValueError, TypeError, ImportError):
        return []
    levels = [_lazy_tiles(tiles, number) for number in range(tiles.coarsest + 1)]
    options = {
        "name": PurePath(tiles.name).name,
        "multiscale": True,
        "rgb": True,
        "visible": tiles.overview_pixels <= _MOST_SHOWN,
    }
    return [(levels, options, "image")]


def _place(result: Result) -> dict[str, Any]:
    """Return the scale and the place of full resolution; nothing if the image doesn't say them."""
    geometry = result.geometry
    if geometry.pixel_size is None:
        return {}
    return {
        "scale": geometry.pixel_size,
        "translate": geometry.origin,
        "units": ("micrometer", "micrometer"),
        "axis_labels": ("y", "x"),
    }


def _lazy(level: Result, output: Output, number: int) -> da.Array:
    """Return the values of a level as napari shows them, chunk by chunk."""
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    dtype = output.encoding.decoded_dtype
    # Graphics cards have no half precision.
    dtype = np.dtype("float32") if dtype == np.float16 else dtype
    shape = level.levels[level.level]
    chunks = da.core.normalize_chunks((_CHUNK, _CHUNK), shape)
    lazy: da.Array = da.map_blocks(
        partial(_read_chunk, level, output, number, dtype),
        chunks=chunks,
        dtype=dtype,
        meta=np.empty((0, 0), dtype),
        name=f"{output.name}-{uuid.uuid4().hex}",
    )
    return lazy


def _read_chunk(
    level: Result, output: Output, number: int, dtype: np.dtype[Any], block_id: tuple[int, int]
) -> NDArray[Any]:
    """Return the values of one chunk of a level."""
    rows, columns = (
        slice(place * _CHUNK, min((place + 1) * _CHUNK, length))
        for place, length in zip(block_id, level.levels[level.level], strict=True)
    )
    block = Block(block_id, rows, columns)
    (stored,) = level.read(output.name, block, None if output.class_names is None else number)
    values: NDArray[Any] = stored.astype(dtype, copy=False)
    if not output.quantity.error_is_relative:
        return values
    with np.errstate(divide="ignore"):
        logarithms: NDArray[Any] = np.log10(values)
    return logarithms


def _lazy_tiles(tiles: ImageTiles, level: int) -> da.Array:
    """Return a level of the image, tile by tile."""
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    height, width = (-(-length // 2**level) for length in tiles.extent)
    lazy: da.Array = da.map_blocks(
        partial(_read_tile, tiles, level),
        chunks=da.core.normalize_chunks((SIDE, SIDE, -1), (height, width, 3)),
        dtype=np.uint8,
        meta=np.empty((0, 0, 0), np.uint8),
        name=f"image-{uuid.uuid4().hex}",
    )
    return lazy


def _read_tile(tiles: ImageTiles, level: int, block_id: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the colors of one tile."""
    row, column, _ = block_id
    return tiles.read(Place(level, column, row))
