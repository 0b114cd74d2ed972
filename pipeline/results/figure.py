"""Figures of Matplotlib, which is an extra, with panels for pictures."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from pipeline.stores.disk import check_new_file, write_file

if TYPE_CHECKING:
    from pathlib import Path

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


def check_picture(path: Path, *, overwrite: bool) -> None:
    """Raise an error unless a figure can be saved there: a check before long work.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        As :func:`check_new_file` does; ValueError also if the name doesn't end with a format of Matplotlib.
    ModuleNotFoundError
        If Matplotlib isn't installed.
    """
    check_new_file(path, overwrite=overwrite)
    figure, _ = new_panels(1)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"{path} doesn't end with a format; wanted one of .{', .'.join(sorted(known))}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the file's name ends with."""
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower())
    write_file(path, content.getbuffer())
