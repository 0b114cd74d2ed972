"""Mixtures, and classes with their mixtures, as HTML for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.models.drawing import draw_kernels, strip, swatch
from pipeline.models.palette import class_color, mean_color
from pipeline.models.table import escape, html_table

if TYPE_CHECKING:
    from pipeline.models.classes import Classes
    from pipeline.models.mixture import Mixture

# Kernels and channels that are shown, at most.
_MOST_KERNELS = 16
_MOST_CHANNELS = 8


def mixture_html(mixture: Mixture) -> str:
    """Return a mixture as HTML: what it is, a picture of its kernels, and a table of them.

    Parameters
    ----------
    mixture : Mixture

    Returns
    -------
    str
        The 16 kernels of the highest weights, in their order, with the first eight channels.
    """
    heaviest = np.argsort(-mixture.weights, kind="stable")[:_MOST_KERNELS]
    kernels = sorted(heaviest.tolist())
    colors = [mean_color(mixture.means[kernel].tolist(), mixture.channels) for kernel in kernels]
    variances = (
        mixture.covariances if mixture.is_diagonal else np.diagonal(mixture.covariances, axis1=1, axis2=2)
    )
    n_shown = min(mixture.n_channels, _MOST_CHANNELS)
    names = mixture.channels or tuple(f"channel {number}" for number in range(mixture.n_channels))
    table = [["kernel", "", "weight", *names[:n_shown]]]
    for kernel, color in zip(kernels, colors, strict=True):
        pairs = zip(mixture.means[kernel, :n_shown], np.sqrt(variances[kernel, :n_shown]), strict=True)
        values = [
            f"{mean:.4g}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{deviation:.3g}" for mean, deviation in pairs
        ]
        table.append([str(kernel), swatch(color), f"{mixture.weights[kernel]:.4g}", *values])
    lacking = []
    if mixture.n_kernels > len(kernels):
        lacking.append(f"{_count(mixture.n_kernels - len(kernels), 'kernel', 'kernels')} of less weight")
    if mixture.n_channels > n_shown:
        lacking.append(_count(mixture.n_channels - n_shown, "channel", "channels"))
    kind = "diagonal" if mixture.is_diagonal else "full"
    kernels_text = _count(mixture.n_kernels, f"{kind} kernel", f"{kind} kernels")
    channels_text = _count(mixture.n_channels, "channel", "channels")
    return "".join(
        [
            f"<p>Mixture of {kernels_text} over {channels_text}: means ± standard deviations</p>",
            draw_kernels(mixture, kernels, colors) or "",
            html_table(table),
            f"<p>Not shown: {', '.join(lacking)}</p>" if lacking else "",
            "" if mixture.fit is None else f"<p>{escape(str(mixture.fit))}</p>",
        ]
    )


def classes_html(classes: Classes) -> str:
    """Return classes as HTML: a table with the number, color, name, prior and kernels of each.

    Parameters
    ----------
    classes : Classes

    Returns
    -------
    str
        The colors are those of pictures of labels. If the channels are those of 8-bit colors, the means of
        the kernels stand side by side, each as wide as its weight.
    """
    rows = [["class", "", "label", "prior", "kernels", "colors"]]
    is_fitted = any(mixture.fit is not None for mixture in classes.values())
    rows[0] += ["pixels", "log-likelihood"] if is_fitted else []
    for number, ((name, mixture), prior) in enumerate(zip(classes.items(), classes.priors, strict=True)):
        colors = [mean_color(mean, mixture.channels) for mean in mixture.means.tolist()]
        # The weights are divided first, because the sum of the largest floats is infinite.
        shares = mixture.weights / mixture.weights.max()
        bar = strip(colors, (shares / shares.sum()).tolist()) if None not in colors else ""
        row = [name, swatch(class_color(number)), str(number), f"{prior:.4g}", str(mixture.n_kernels), bar]
        if is_fitted:
            fit = mixture.fit
            row += ["", ""] if fit is None else [str(fit.n_pixels), f"{fit.log_likelihood:.4f}"]
        rows.append(row)
    over = _count(next(iter(classes.values())).n_channels, "channel", "channels")
    return f"<p>{_count(len(classes), 'class', 'classes')} over {over}</p>{html_table(rows)}"


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
