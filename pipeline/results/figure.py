"""Figures of Matplotlib, which is an extra, with panels for pictures."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = 4.0


def new_panels(
    n_columns: int, n_rows: int = 1, *, width: float = _PANEL, height: float = _PANEL, dpi: float = 100.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels; it isn't known to pyplot, so that nothing must close it.

    Parameters
    ----------
    n_columns, n_rows : int
    width, height : float
        The size of a panel in inches.
    dpi : float
        The pixels to an inch.

    Returns
    -------
    figure : matplotlib.figure.Figure
    panels : list of matplotlib.axes.Axes
        Row by row.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib isn't installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise ModuleNotFoundError("pictures need Matplotlib: pip install 'mixture-pipeline[view]'") from None

    class Picture(Figure):
        """A figure that notebooks show even before pyplot has been used."""

        def _repr_png_(self) -> bytes:
            content = BytesIO()
            self.savefig(content, format="png")
            return content.getvalue()

    figure = Picture(figsize=(width * n_columns, height * n_rows), dpi=dpi, layout="constrained")
    return figure, list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
