"""The import of OpenCV: whichever build is there, or a line that says what to install."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import pytest
from click.testing import CliRunner

from pipeline import cli, open_image
from pipeline.images.opencv import import_opencv

if TYPE_CHECKING:
    from pathlib import Path


def test_the_build_that_is_there() -> None:
    """OpenCV is the module that Python imports under its name."""
    assert import_opencv() is cv2


def test_none_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a photo says what to install; the command says so in one line."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    message = r"OpenCV can't be imported: .*cv2.*Install it: pip install .*opencv-python-headless"
    with pytest.raises(ImportError, match=message):
        open_image(folder / "photo.png")
    result = CliRunner().invoke(cli.main, ["info", "photo.png"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: OpenCV can't be imported: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("version", ["4.12.0", None])
def test_one_that_cant_be_used(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """An old build, and the empty directory that an uninstalled one leaves, are told from a good one."""
    module = ModuleType("cv2")
    if version:
        module.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv2", module)
    with pytest.raises(
        ImportError, match=f"OpenCV {version or 'of an unknown version'} can't be used; wanted 4"
    ):
        import_opencv()
