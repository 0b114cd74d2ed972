"""Pictures of models and results, drawn by Matplotlib, which is an extra."""

from __future__ import annotations

import math
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.palette import hex_color, mean_color
from pipeline.results.figure import new_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pipeline.compute.histogram import Histogram
    from pipeline.models.mixture import Mixture
    from pipeline.models.summary import Summary

# Pairs of channels that are drawn, at most.
_MOST_PANELS = 3
# Results that are drawn, at most.
_MOST_RESULTS = 8
_BINS = 128
# An ellipse lies so many standard deviations from the mean.
_DEVIATIONS = 2.0


def plot_mixture(mixture: Mixture, histogram: Histogram | None = None) -> Figure:
    """Draw the kernels of a mixture, over the colors to which it was fitted.

    Parameters
    ----------
    mixture : Mixture
    histogram : Histogram, optional
        The colors to draw behind the kernels, on a logarithmic scale.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each pair of the first three channels, in which each kernel is an ellipse at two standard
        deviations, thicker for a higher weight. A mixture of one channel is drawn as its density.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib isn't installed.
    ValueError
        If the histogram has other channels.
    """
    if histogram is not None and histogram.colors.shape[1] != mixture.n_channels:
        raise ValueError(
            f"the histogram has {histogram.colors.shape[1]} channels, the mixture has {mixture.n_channels}; "
            "wanted the same channels"
        )
    pairs = list(combinations(range(mixture.n_channels), 2))[:_MOST_PANELS]
    figure, panels = new_panels(max(1, len(pairs)))
    if not pairs:
        _draw_density(panels[0], mixture, histogram)
    for panel, (across, up) in zip(panels, pairs, strict=False):
        if histogram is not None:
            _draw_colors(panel, histogram, across, up)
        for kernel in range(mixture.n_kernels):
            _draw_kernel(panel, mixture, kernel, (across, up))
        panel.set_xlabel(_name(mixture, across), parse_math=False)
        panel.set_ylabel(_name(mixture, up), parse_math=False)
        panel.autoscale_view()
    return figure


def plot_summary(summary: Summary) -> Figure:
    """Draw what a run found: the distribution of each result, and the share of each class.

    Parameters
    ----------
    summary : Summary

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each of the first eight results. The values between the quantiles 0.1% and 99.9% are
        shown.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib isn't installed.
    """
    shown = dict(islice(summary.distributions.items(), _MOST_RESULTS))
    figure, panels = new_panels(len(shown))
    for panel, (name, distribution) in zip(panels, shown.items(), strict=True):
        if name in summary.classes:
            zones = summary.classes[name]
            total = max(1, sum(zone.pixels for zone in zones))
            places = range(len(zones))
            panel.barh(places, [zone.pixels / total for zone in zones])
            # A name may be any text, also one with dollar signs, which isn't a formula.
            panel.set_yticks(places, [zone.name for zone in zones], parse_math=False)
            panel.invert_yaxis()
            panel.set_xlabel("share of the pixels with data")
        elif distribution.n_pixels:
            low, high = (distribution.quantile(share) for share in (0.001, 0.999))
            edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
            above = np.array([distribution.count_above(edge) for edge in edges])
            panel.stairs(-np.diff(above) / np.diff(edges) / distribution.n_pixels, edges, fill=True)
            panel.set_ylabel("share of the pixels per unit")
        panel.set_title(name, parse_math=False)
    return figure


def _draw_colors(panel: Axes, histogram: Histogram, across: int, up: int) -> None:
    """Draw how many pixels have each pair of values, on a logarithmic scale."""
    x, y = (histogram.colors[:, channel].astype(np.float64) for channel in (across, up))
    counts, x_edges, y_edges = np.histogram2d(x, y, _BINS, weights=histogram.counts)
    shown = np.log1p(np.ma.masked_equal(counts.T, 0))
    panel.pcolormesh(x_edges, y_edges, shown, cmap="Greys", rasterized=True)


def _draw_kernel(panel: Axes, mixture: Mixture, kernel: int, channels: tuple[int, int]) -> None:
    """Draw a kernel as an ellipse in its own color, or in black if its mean is no color."""
    from matplotlib.patches import Ellipse  # noqa: PLC0415  an extra

    chosen, covariance = list(channels), mixture.covariances[kernel]
    matrix = np.diag(covariance[chosen]) if mixture.is_diagonal else covariance[np.ix_(chosen, chosen)]
    values, vectors = np.linalg.eigh(matrix)
    width, height = 2 * _DEVIATIONS * np.sqrt(values)
    angle = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0]))
    share = float(mixture.weights[kernel] / mixture.weights.max())
    color = _color(mixture.means[kernel], mixture)
    center = mixture.means[kernel, chosen]
    panel.add_patch(
        Ellipse(
            (float(center[0]), float(center[1])),
            float(width),
            float(height),
            angle=angle,
            edgecolor=color,
            facecolor="none",
            linewidth=1 + 3 * share,
        )
    )
    panel.plot(*center, "o", color=color, markeredgecolor="black", markersize=4 + 4 * share)


def _draw_density(panel: Axes, mixture: Mixture, histogram: Histogram | None) -> None:
    """Draw a mixture of one channel as its density, and the colors as theirs."""
    means = mixture.means[:, 0]
    variances = mixture.covariances.reshape(mixture.n_kernels)
    reach = 4 * np.sqrt(variances)
    if histogram is not None:
        values = histogram.colors[:, 0].astype(np.float64)
        panel.hist(values, _BINS, weights=histogram.counts, density=True, color="lightgray")
    x = np.linspace((means - reach).min(), (means + reach).max(), 512)
    kernels = np.exp(-((x[:, np.newaxis] - means) ** 2) / (2 * variances))
    panel.plot(x, kernels / np.sqrt(2 * np.pi * variances) @ mixture.weights, color="black")
    panel.set_xlabel(_name(mixture, 0), parse_math=False)
    panel.set_ylabel("density")


def _color(mean: NDArray[np.float64], mixture: Mixture) -> Any:  # noqa: ANN401  a color of any form that Matplotlib knows
    color = mean_color(mean.tolist(), mixture.channels)
    return "tab:red" if color is None else f"#{hex_color(color)}"


def _name(mixture: Mixture, channel: int) -> str:
    return f"channel {channel}" if mixture.channels is None else mixture.channels[channel]
