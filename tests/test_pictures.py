"""Pictures: they show the kernels, colors and counts that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.patches import Ellipse

from pipeline import Label, LogDensity, Mixture, Posterior, count_colors, plot_mixture, plot_summary, stream

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FULL = Mixture(
    [0.75, 0.25],
    [[100, 50, 30], [200, 150, 90]],
    [np.diag([400, 100, 25]), [[400, 300, 0], [300, 400, 0], [0, 0, 9]]],
    ["red", "green", "blue"],
)


def ellipses(panel: Axes) -> list[Ellipse]:
    """Return the kernels of a panel."""
    return [patch for patch in panel.patches if isinstance(patch, Ellipse)]


def test_kernels_are_ellipses_at_two_deviations() -> None:
    """Centers, axes and angles are those of the covariances, in panels for each pair of channels."""
    panels = plot_mixture(FULL).axes
    labels = [(panel.get_xlabel(), panel.get_ylabel()) for panel in panels]
    assert labels == [("red", "green"), ("red", "blue"), ("green", "blue")]
    first, second = ellipses(panels[0])
    assert first.center == (100, 50)
    assert sorted((first.width, first.height)) == pytest.approx([2 * 2 * 10, 2 * 2 * 20])
    # The corners of the axes are where the quadratic form is 4.
    for ellipse, covariance in ((first, FULL.covariances[0]), (second, FULL.covariances[1])):
        edge = ellipse.get_transform().transform([[1, 0], [0, 1]]) - panels[0].transData.transform(
            [ellipse.center]
        )
        scale = np.diff(panels[0].transData.transform([[0, 0], [1, 1]]), axis=0)
        for corner in edge / scale:
            assert corner @ np.linalg.solve(covariance[:2, :2], corner) == pytest.approx(4)
    assert first.get_linewidth() > second.get_linewidth()
    assert first.get_edgecolor()[:3] == pytest.approx(np.array([100, 50, 30]) / 255)


def test_colors_of_the_histogram_lie_behind(photo: NDArray[np.uint8]) -> None:
    """The mesh holds the logarithms of the counts of each pair of values."""
    histogram = count_colors(photo, progress="none")
    panel = plot_mixture(FULL, histogram).axes[0]
    shown = np.expm1(np.ma.filled(panel.collections[0].get_array(), 0.0))
    assert shown.sum() == pytest.approx(photo.shape[0] * photo.shape[1])
    with pytest.raises(ValueError, match="has 3 channels, the mixture has 1"):
        plot_mixture(Mixture([1], [[0.0]], [[1.0]]), histogram)


def test_one_channel_is_drawn_as_its_density(photo: NDArray[np.uint8]) -> None:
    """The curve integrates to the sum of the weights, and the bars to 1."""
    mixture = Mixture([0.5, 0.25], [[50.0], [150.0]], [[100.0], [400.0]])
    panel = plot_mixture(mixture, count_colors(photo[..., 0], progress="none")).axes[0]
    x, y = panel.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(0.75, rel=1e-3)
    bars = panel.patches
    assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1)  # type: ignore[attr-defined]


def test_summaries_show_shares_and_distributions(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A label has a bar for each class, and another result the area of its distribution."""
    dark = Mixture([1], [[20, 20, 20]], [[900] * 3])
    quantities = {"label": Label({"dark": dark, "other": FULL}), "log-density": LogDensity(FULL)}
    summary = stream(photo, quantities, tmp_path / "out.zarr", progress="none").summary
    assert summary is not None
    labels, densities = plot_summary(summary).axes
    widths = [bar.get_width() for bar in labels.patches]  # type: ignore[attr-defined]
    zones = summary.classes["label"]
    assert widths == pytest.approx([zone.pixels / photo[..., 0].size for zone in zones])
    assert [text.get_text() for text in labels.get_yticklabels()] == ["dark", "other"]
    values, edges, _ = densities.patches[0].get_data()  # type: ignore[attr-defined]
    assert 0.99 < values @ np.diff(edges) <= 1


def test_names_may_be_any_text(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Names with dollar signs are drawn as they are, and not as formulas, which they may not be."""
    classes = {"$\\none$": FULL, "a$b$": FULL}
    quantities = {"label": Label(classes), "posterior": Posterior(classes)}
    summary = stream(photo, quantities, tmp_path / "out.zarr", progress="none").summary
    assert summary is not None
    figure = plot_summary(summary)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(classes)
    mixture = Mixture([1], [[1, 2]], [[1, 1]], list(classes))
    plot_mixture(mixture).draw_without_rendering()


def test_many_results_are_shown_in_part(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A posterior of many classes doesn't take a panel for each."""
    classes = {f"c{number}": FULL for number in range(12)}
    receipt = stream(photo[:8, :8], Posterior(classes), tmp_path / "out.zarr", progress="none")
    assert receipt.summary is not None
    panels = plot_summary(receipt.summary).axes
    assert [panel.get_title() for panel in panels] == [f"posterior c{number}" for number in range(8)]
