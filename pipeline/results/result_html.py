"""Results as HTML, which a notebook shows: thumbnails, a table and the colors of classes."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
from dask.utils import format_bytes

from pipeline.images.thumbnail import LARGEST, thumbnail_html
from pipeline.models.palette import class_color, hex_color
from pipeline.models.summary import result_names
from pipeline.results.coarse import choose_planes, read_coarse
from pipeline.results.painting import paint_labels, paint_values
from pipeline.results.planes import plane_colors, plane_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.results.planes import Plane
    from pipeline.results.result import Result

_MOST_PICTURES = 12
_MOST_CLASSES = 16
_NO_DATA = (220, 220, 220)
_HEADS = ("result", "quantity", "shape", "dtype", "size", "values")


def result_html(result: Result) -> str:
    """Return results as HTML, without thumbnails if they can't be read."""
    n_levels = len(result.levels)
    sides = " to ".join("{} x {}".format(*result.levels[n]) for n in sorted({0, n_levels - 1}))
    levels = f"{n_levels} level{'s' if n_levels > 1 else ''} of {sides} pixels; this is level {result.level}"
    rows = "".join(_row(result, output) for output in result.outputs.values())
    head = "".join(f"<th>{head}</th>" for head in _HEADS)
    return (
        f"<p>{html.escape(result.address)}: {levels}</p>"
        f'<div style="display: flex; flex-wrap: wrap; gap: 1em">{_pictures(result)}</div>'
        f"<table><tr>{head}</tr>{rows}</table>"
        f"{''.join(_legend(result, output) for output in result.outputs.values())}"
    )


def _row(result: Result, output: Output) -> str:
    array = result[output.name]
    cells = [
        output.name,
        output.quantity.name
        if output.quantity.unit is None
        else f"{output.quantity.name} ({output.quantity.unit})",
        " x ".join(map(str, array.shape)),
        str(array.dtype) if array.dtype == output.dtype else f"{array.dtype}, stored as {output.dtype}",
        format_bytes(array.size * output.dtype.itemsize),
        _values(result, output),
    ]
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _values(result: Result, output: Output) -> str:
    """Return the lowest and the highest of all values at full resolution, or the number of classes."""
    if output.label_names is not None:
        return f"{len(output.label_names)} classes"
    if result.summary is None:
        return ""
    distributions = [result.summary.distributions[name] for name in result_names(output)]
    filled = [one for one in distributions if one.n_pixels]
    if not filled:
        return "no data"
    low, high = min(one.quantile(0) for one in filled), max(one.quantile(1) for one in filled)
    return f"{low:.4g} to {high:.4g}"


def _pictures(result: Result) -> str:
    """Return the thumbnails of the first results and classes, with their names below."""
    planes, left_out = choose_planes(result, result, _MOST_PICTURES)
    figures = []
    for plane in planes:
        try:
            picture = thumbnail_html(_colors(result, plane))
        except Exception:  # noqa: BLE001  a damaged store raises anything, and its facts are shown all the same
            return ""
        caption = f"<figcaption>{html.escape(plane.name)}</figcaption>"
        figures.append(f'<figure style="margin: 0; max-width: {LARGEST}px">{picture}{caption}</figure>')
    figures += [f"<p>and {left_out} more</p>"] if left_out else []
    return "".join(figures)


def _colors(result: Result, plane: Plane) -> NDArray[np.uint8]:
    """Return the colors of a result, or of a class of it, shape (h, w, 3)."""
    values, _ = read_coarse(result, plane, LARGEST // 2)
    if plane.output.label_names is not None:
        colors = paint_labels(values, plane_colors(plane))
    else:
        colors = paint_values(values, plane_scale(plane, result.summary, values))
    return np.where(colors[..., 3:] == 0, _NO_DATA, colors[..., :3]).astype(np.uint8)


def _legend(result: Result, output: Output) -> str:
    """Return the colors of classes with their names and shares, or nothing if the result is no label."""
    if output.label_names is None:
        return ""
    zones = None if result.summary is None else result.summary.classes[output.name]
    total = 0 if zones is None else sum(zone.pixels for zone in zones)
    entries = []
    for number, name in enumerate(output.label_names[:_MOST_CLASSES]):
        share = f" {zones[number].pixels / total:.1%}" if zones is not None and total else ""
        color = f"#{hex_color(class_color(number))}"
        entries.append(f'<span style="color: {color}">&#9632;</span> {html.escape(name)}{share}')
    left_out = len(output.label_names) - _MOST_CLASSES
    entries += [f"and {left_out} more"] if left_out > 0 else []
    return f"<p>{html.escape(output.name)}: {', '.join(entries)}</p>"
