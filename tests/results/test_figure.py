"""Figures with panels."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import cv2
import pytest

from pipeline.results.figure import check_picture, new_panels, save_figure

if TYPE_CHECKING:
    from pathlib import Path


def test_panels_have_their_size() -> None:
    """The figure is as large as its panels together, which come row by row, and notebooks show it."""
    figure, panels = new_panels(3, 2, width=2, height=1, dpi=50)
    assert (figure.get_size_inches() * figure.dpi).tolist() == [300, 100]
    rows = [panel.get_subplotspec().rowspan.start for panel in panels]  # type: ignore[union-attr]
    assert rows == [0, 0, 0, 1, 1, 1]
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Matplotlib the error says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mixture-pipeline\[view\]'"):
        new_panels(1)


def test_a_figure_is_saved_in_the_format_of_its_name(tmp_path: Path) -> None:
    """What can't be saved is refused beforehand, and an existing file stays unless it may be replaced."""
    figure, _ = new_panels(1, width=2, height=1, dpi=50)
    path = tmp_path / "a.PNG"
    check_picture(path, overwrite=False)
    save_figure(figure, path)
    assert cv2.imread(str(path)).shape == (50, 100, 3)
    with pytest.raises(FileExistsError, match=r"a.PNG exists. Choose another name, or overwrite it"):
        check_picture(path, overwrite=False)
    check_picture(path, overwrite=True)
    for name in ("a", "a.xyz"):
        with pytest.raises(ValueError, match=r"a(.xyz)? doesn't end with a format; wanted one of \."):
            check_picture(tmp_path / name, overwrite=False)
