"""Small pictures of colors and kernels as SVG images, which notebooks and GitHub show without any library."""

from __future__ import annotations

import html
import math
from base64 import b64encode
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pipeline.models.palette import hex_color
from pipeline.models.table import Markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.models.mixture import Mixture
    from pipeline.models.palette import Color

# A gray that is seen on white and on black. An image doesn't inherit the color of the page.
_GRAY = "#888"
_SWATCH = 14
_STRIP = 120
_PANEL = 180
_MARGIN = 18
# An ellipse lies so many standard deviations from the mean.
_DEVIATIONS = 2.0
# Points of a curve.
_POINTS = 96
# Characters of a name that are drawn, at most.
_MOST_CHARACTERS = 24


def swatch(color: Color | None, name: str = "") -> Markup:
    """Return a square of a color, or an empty one for None, as an HTML image."""
    fill = "none" if color is None else f"#{hex_color(color)}"
    side = _SWATCH - 1
    square = f'<rect x=".5" y=".5" width="{side}" height="{side}" fill="{fill}" stroke="{_GRAY}"/>'
    return _image(square, _SWATCH, _SWATCH, name)


def strip(colors: Sequence[Color | None], shares: Iterable[float], name: str = "") -> Markup:
    """Return colors side by side, each as wide as its share of all, as an HTML image."""
    parts, left = [], 0.0
    for color, share in zip(colors, shares, strict=True):
        fill = "none" if color is None else f"#{hex_color(color)}"
        width = share * _STRIP
        parts.append(f'<rect x="{left:.1f}" width="{width:.1f}" height="{_SWATCH}" fill="{fill}"/>')
        left += width
    parts.append(
        f'<rect x=".5" y=".5" width="{_STRIP - 1}" height="{_SWATCH - 1}" fill="none" stroke="{_GRAY}"/>'
    )
    return _image("".join(parts), _STRIP, _SWATCH, name)


def draw_kernels(mixture: Mixture, kernels: Sequence[int], colors: Sequence[Color | None]) -> Markup | None:
    """Draw some kernels of a mixture over its first three channels.

    Parameters
    ----------
    mixture : Mixture
    kernels : sequence of int
        The numbers of the kernels to draw.
    colors : sequence of Color or None
        The color of each of them, or None.

    Returns
    -------
    Markup or None
        An HTML image with a panel for each pair of channels, in which each kernel is an ellipse at two
        standard deviations; for a single channel, with a curve for each kernel. None if the numbers are too
        large or too close to one another to be drawn.
    """
    chosen = list(kernels)
    means = mixture.means[chosen]
    spread = mixture.covariances[chosen]
    deviations = np.sqrt(spread if mixture.is_diagonal else np.diagonal(spread, axis1=1, axis2=2))
    with np.errstate(all="ignore"):
        low = (means - _DEVIATIONS * deviations).min(axis=0)
        size = (means + _DEVIATIONS * deviations).max(axis=0) - low
        if not (np.isfinite(size).all() and (size > 0).all()):
            return None
        # Everything is drawn in units of the panel's sides.
        places, widths = (means - low) / size, deviations / size
    fills = ["none" if color is None else f"#{hex_color(color)}" for color in colors]
    if mixture.n_channels == 1:
        heights = mixture.weights[chosen] / mixture.weights.max()
        panels = [
            "".join(
                _curve(float(place), float(width), float(height), fill)
                for place, width, height, fill in zip(places[:, 0], widths[:, 0], heights, fills, strict=True)
            )
        ]
        names = [(_name(mixture, 0), "")]
    else:
        panels, names = [], []
        for across, up in list(combinations(range(min(mixture.n_channels, 3)), 2)):
            pair = [across, up]
            tilts = np.zeros(len(chosen))
            if not mixture.is_diagonal:
                tilts = spread[:, across, up] / deviations[:, across] / deviations[:, up]
            panels.append("".join(_ellipses(places[:, pair], widths[:, pair], tilts, fills)))
            names.append((_name(mixture, across), _name(mixture, up)))
    step = _PANEL + _MARGIN
    framed = (
        f'<g transform="translate({number * step + _MARGIN},1)">{_frame(*texts)}{panel}</g>'
        for number, (texts, panel) in enumerate(zip(names, panels, strict=True))
    )
    width, height = len(panels) * step + 1, _PANEL + _MARGIN + 1
    return _image("".join(framed), width, height, f"{len(chosen)} kernels")


def _ellipses(
    places: NDArray[np.float64], widths: NDArray[np.float64], tilts: NDArray[np.float64], fills: Sequence[str]
) -> Iterator[str]:
    """Yield ellipses from their centers, standard deviations and correlations, the largest first."""
    for kernel in np.argsort(-widths.prod(axis=1), kind="stable"):
        (x, y), (across, up) = places[kernel].tolist(), widths[kernel].tolist()
        shared = float(tilts[kernel]) * across * up
        # The axes of an ellipse are the eigenvectors of its covariance.
        middle, half = (across**2 + up**2) / 2, math.hypot((across**2 - up**2) / 2, shared)
        angle = -math.degrees(math.atan2(2 * shared, across**2 - up**2)) / 2
        radii = [_DEVIATIONS * _PANEL * math.sqrt(max(0.0, middle + sign * half)) for sign in (1, -1)]
        center = f"{x * _PANEL:.1f},{(1 - y) * _PANEL:.1f}"
        yield (
            f'<g transform="translate({center}) rotate({angle:.1f})" fill="{fills[kernel]}" stroke="{_GRAY}">'
            f'<ellipse rx="{radii[0]:.1f}" ry="{radii[1]:.1f}" fill-opacity=".45"/><circle r="3"/></g>'
        )


def _curve(place: float, width: float, height: float, fill: str) -> str:
    """Draw a kernel of one channel as a bell that reaches as high as its share of the highest weight."""
    points = []
    for number in range(_POINTS + 1):
        away = (number / _POINTS * 2 - 1) * _DEVIATIONS
        x, y = place + away * width, 1 - height * math.exp(-(away**2) / 2)
        points.append(f"{x * _PANEL:.1f},{y * _PANEL:.1f}")
    return (
        f'<polyline points="{" ".join(points)}" fill="{fill}" fill-opacity=".45" '
        f'stroke="{_GRAY}" stroke-width="1.5"/>'
    )


def _frame(across: str, up: str) -> str:
    middle, below = _PANEL / 2, _PANEL + 13
    return (
        f'<rect width="{_PANEL}" height="{_PANEL}" fill="none" stroke="{_GRAY}"/>'
        f'<g fill="{_GRAY}" font-family="sans-serif" font-size="12" text-anchor="middle">'
        f'<text x="{middle}" y="{below}">{across}</text>'
        f'<text transform="translate(-5,{middle}) rotate(-90)">{up}</text></g>'
    )


def _name(mixture: Mixture, channel: int) -> str:
    """Return the name of a channel as XML, which holds no control characters and no surrogates."""
    name = f"channel {channel}" if mixture.channels is None else mixture.channels[channel]
    cut = name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}…"
    return html.escape("".join(one if one.isprintable() else "\ufffd" for one in cut))


def _image(content: str, width: int, height: int, name: str) -> Markup:
    """Return SVG as an HTML image, since GitHub removes SVG that stands in a page itself."""
    size = f'width="{width}" height="{height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{content}</svg>'
    data = b64encode(svg.encode()).decode()
    return Markup(f'<img src="data:image/svg+xml;base64,{data}" {size} alt="{name}">')
