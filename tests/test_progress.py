"""Progress: drawn where somebody looks, silent elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from pipeline.progress import progress_bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def draw(mode: str, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a bar to its end and give what it drew."""
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(2_000_000, mode) as bar:
        bar.update(500_000)
        bar.update(1_500_000)
    return stream.getvalue()


def test_a_terminal_sees_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal the bar counts pixels to the end."""
    assert "2.00M/2.00M" in draw("auto", Terminal(), monkeypatch)


def test_a_file_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard error is no terminal, or nothing is wanted, nothing is drawn."""
    assert not draw("auto", io.StringIO(), monkeypatch)
    assert not draw("none", Terminal(), monkeypatch)


def test_unknown_mode() -> None:
    """Another mode gets an error that lists the modes."""
    with pytest.raises(ValueError, match="progress is 'loud'; wanted one of auto, none"):
        progress_bar(1, "loud")
