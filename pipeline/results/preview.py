"""Pictures of results, drawn by Matplotlib from coarse levels, so that their size doesn't matter."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.overview import read_overview
from pipeline.images.reopening import reopen
from pipeline.models.palette import class_color
from pipeline.results.coarse import choose_planes, read_coarse
from pipeline.results.figure import new_panels
from pipeline.results.painting import paint_labels
from pipeline.results.planes import plane_colors, plane_scale
from pipeline.results.result import Result, open_result
from pipeline.results.scale_bar import choose_bar

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.results.planes import Plane

# Panels and lines of a legend, at most.
_MOST_PANELS = 12
_MOST_CLASSES = 16
_LONGEST_NAME = 40
_LONGEST_NOTE = 100
# The longer side of a panel in inches, and how many times the shorter one it may be.
_INCHES = 5.0
_LONGEST = 6
# The panels of a figure together are so many times wider than high, as near as can be.
_ASPECT = 1.6
# What is shown over the image lets this much of it through.
_OPACITY = 0.65
# The gray of its black pixels, from 0 to 1.
_DARKEST = 0.2
_HATCHED = {"facecolor": "0.9", "edgecolor": "0.7", "hatch": "///", "linewidth": 0}
# Fonts of systems that have the letters of many languages, which Matplotlib's own font lacks.
_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Devanagari", "Arial Unicode MS"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic"),
    *("Nirmala UI", "WenQuanYi Zen Hei"),
)


def preview(
    store: Result | str | os.PathLike[str],
    name: str | Sequence[str] | None = None,
    *,
    size: int = 800,
    overlay: bool = False,
) -> Figure:
    """Draw results of a run: heat maps with their color bars, and labels with a legend.

    Parameters
    ----------
    store : path or Result
        A store that :func:`stream` wrote.
    name : str or sequence of str, optional
        The results to draw, all by default.
    size : int
        The longer side of a picture in pixels. The coarsest level that has so many is read.
    overlay : bool
        Whether results are drawn over the image that they were computed from. It is left out, and a line says
        why, if it isn't there any more, was in memory only, or takes long to read.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each result, and for each class of a posterior, of which twelve are drawn at most. Colors
        differ between the quantiles 1% and 99%, logarithmically for a density, and on both sides of 0 for a
        log-ratio. Pixels without data are hatched. There is a scale bar if the image has a scale, or is
        georeferenced in meters (which takes the extra ``geo``). It isn't known to pyplot; save it by
        ``figure.savefig("out.png")``.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib isn't installed.
    TypeError
        If `size` isn't a whole number.
    ValueError
        If there is no such result, or `size` isn't positive.
    FileNotFoundError
        If nothing is there, or only the store of an interrupted run.
    """
    size = operator.index(size)
    if size < 1:
        raise ValueError(
            f"size is {size}; wanted the pixels of the longer side of a picture, for example 800"
        )
    result = store if isinstance(store, Result) else open_result(store)
    planes, left_out = choose_planes(result, _chosen(result, name), _MOST_PANELS)
    notes = []
    if left_out:
        notes.append(f"{left_out} more results or classes aren't shown. Choose some by their names.")
    background = _read_background(result, size, notes) if overlay else None
    figure, panels, is_stretched = _layout(result.image.extent, len(planes), size)
    if is_stretched:
        notes.append(
            "The sides of the pictures aren't to scale: {} x {} pixels.".format(*result.image.extent)
        )
    for plane, panel in zip(planes, panels, strict=False):
        _draw(plane, result, panel, size, background)
        panel.set_aspect("auto" if is_stretched else "equal")
    for panel in panels[len(planes) :]:
        panel.remove()
    if notes:
        figure.supxlabel("\n".join(notes), fontsize="small", parse_math=False, fontfamily=_families())
    return figure


def _chosen(result: Result, name: str | Sequence[str] | None) -> list[str]:
    names = list(result) if name is None else [name] if isinstance(name, str) else list(name)
    for one in names:
        if one not in result:
            raise ValueError(f"{result.address} has no result {one!r:.80}; it has {', '.join(result)}")
    if not names:
        raise ValueError(f"got no names of results; {result.address} has {', '.join(result)}")
    return names


def _layout(extent: tuple[int, int], n_panels: int, size: int) -> tuple[Figure, list[Axes], bool]:
    """Return a figure with room for pictures of an extent, and whether their sides aren't to scale."""
    height, width = extent
    longest = max(height, width)
    sides = [max(side, longest / _LONGEST) / longest * _INCHES for side in (height, width)]
    n_columns = min(n_panels, max(1, round(math.sqrt(n_panels * _ASPECT * sides[0] / sides[1]))))
    # The color bar and the title take room beside the picture.
    figure, panels = new_panels(
        n_columns,
        -(-n_panels // n_columns),
        width=sides[1] + 1.5,
        height=sides[0] + 0.6,
        dpi=size / _INCHES,
    )
    return figure, panels, longest > _LONGEST * min(height, width)


def _read_background(result: Result, size: int, notes: list[str]) -> NDArray[np.uint8] | None:
    """Return the image in pale grays, or None with a note that says why it isn't shown."""
    try:
        colors = _read_image(result, size)
    except Exception as error:  # noqa: BLE001  a file of any kind may have become anything
        notes.append(f"Without the image: {_shortened(' '.join(str(error).split()), _LONGEST_NOTE)}.")
        return None
    gray = colors.mean(axis=2, keepdims=True) / 255
    return np.asarray(255 * (_DARKEST + (1 - _DARKEST) * gray), np.uint8).repeat(3, axis=2)


def _read_image(result: Result, size: int) -> NDArray[np.uint8]:
    if result.image.place is None:
        raise ValueError("the image was in memory only")
    image = reopen(result.image.place)
    if image.extent != result.image.extent:
        raise ValueError("the image has another size now")
    return read_overview(image, size)


def _draw(plane: Plane, result: Result, panel: Axes, size: int, background: NDArray[np.uint8] | None) -> None:
    """Draw a result, or one class of it, with all that explains it."""
    output, (height, width) = plane.output, result.image.extent
    values, scale = read_coarse(result, plane, size)
    missing = values == output.no_data if output.label_names is not None else np.isnan(values)
    panel.patch.set(**_HATCHED)
    if background is not None:
        panel.imshow(_cut_out(background, missing, scale, (height, width)), extent=(0, width, height, 0))
    # A pixel of a coarse level at the edge may stand for fewer pixels.
    extent = (0, values.shape[1] * scale, values.shape[0] * scale, 0)
    opacity = None if background is None else _OPACITY
    handles: list[Patch] = []
    if output.label_names is not None:
        colors = paint_labels(values, plane_colors(plane))
        panel.imshow(colors, extent=extent, interpolation="nearest", alpha=opacity)
        handles = _class_handles(output, result)
    else:
        _draw_values(plane, result, panel, values, {"extent": extent, "alpha": opacity})
    if missing.any():
        handles.append(_patch("no data", **_HATCHED))
    if handles:
        _add_legend(panel, handles)
    panel.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    panel.set_title(_shortened(plane.name), parse_math=False, fontfamily=_families())
    bar = choose_bar(result.at(0).geometry, width)
    if bar is not None:
        _add_bar(panel, *bar)


def _cut_out(
    background: NDArray[np.uint8], missing: NDArray[np.bool_], scale: int, extent: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the background, transparent where the result has no data."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * length / n / scale).astype(int), m - 1)
        for n, m, length in zip(background.shape, missing.shape, extent, strict=False)
    )
    alpha = np.where(missing[np.ix_(rows, columns)], 0, 255).astype(np.uint8)
    return np.dstack([background, alpha])


def _draw_values(
    plane: Plane, result: Result, panel: Axes, values: NDArray[Any], options: dict[str, Any]
) -> None:
    """Draw values as a heat map with its color bar."""
    from matplotlib.colors import LogNorm, Normalize  # noqa: PLC0415  an extra

    scale = plane_scale(plane, result.summary, values)
    # The logarithm of 0 would count as no data.
    shown = np.maximum(values, scale.low) if scale.is_logarithmic else values
    norm = (LogNorm if scale.is_logarithmic else Normalize)(scale.low, scale.high)
    drawn = panel.imshow(shown, cmap="viridis" if scale.neutral is None else "RdBu_r", norm=norm, **options)
    quantity = plane.output.quantity
    bar = panel.figure.colorbar(drawn, ax=panel, extend="neither" if quantity.value_range else "both")
    bar.set_label(quantity.name if quantity.unit is None else f"{quantity.name} ({quantity.unit})")


def _class_handles(output: Output, result: Result) -> list[Patch]:
    """Return a color for each class, with its share and its area if they are known, largest first."""
    names, summary = output.label_names or (), result.summary
    words = dict(enumerate(_shortened(name) for name in names))
    order = list(words)
    if summary is not None:
        zones = summary.classes[output.name]
        total = max(1, sum(zone.pixels for zone in zones))
        for number, zone in enumerate(zones):
            area = summary.area(zone)
            words[number] += f", {zone.pixels / total:.1%}" + (
                "" if area is None else f", {area / 1e6:.3g} mm²"
            )
        # The classes that are shown keep their order.
        order = sorted(sorted(order, key=lambda number: -zones[number].pixels)[:_MOST_CLASSES])
    handles = [_patch(words[n], color=[c / 255 for c in class_color(n)]) for n in order[:_MOST_CLASSES]]
    if len(names) > _MOST_CLASSES:
        handles.append(_patch(f"and {len(names) - _MOST_CLASSES} more", color="none"))
    return handles


def _patch(label: str, **options: Any) -> Patch:  # noqa: ANN401  Matplotlib's
    from matplotlib.patches import Patch  # noqa: PLC0415  an extra

    # Matplotlib leaves labels that begin with an underscore out of a legend.
    return Patch(label=f"\u200b{label}" if label.startswith("_") else label, **options)


def _add_legend(panel: Axes, handles: list[Patch]) -> None:
    """Add a legend below a picture."""
    legend = panel.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), fontsize="small", frameon=False
    )
    for text in legend.get_texts():
        # A name may be any text, also one with dollar signs, which isn't a formula.
        text.set(parse_math=False, fontfamily=_families())


def _families() -> list[str]:
    """Return the names of fonts, in which the letters of a name are looked for one after the other."""
    from matplotlib import font_manager  # noqa: PLC0415  an extra

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FONTS if name in installed)]


def _add_bar(panel: Axes, length: float, words: str) -> None:
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # noqa: PLC0415  an extra

    bar = AnchoredSizeBar(
        panel.transData, length, words, "lower right", sep=3, borderpad=0.5, size_vertical=0
    )
    bar.patch.set(alpha=0.75, linewidth=0)
    panel.add_artist(bar)


def _shortened(text: str, length: int = _LONGEST_NAME) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
