"""Figures with panels."""

from __future__ import annotations

import sys

import pytest

from pipeline.results.figure import new_panels


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
