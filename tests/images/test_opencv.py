"""The import of OpenCV: whichever build is there, or a line that says what to install."""

from __future__ import annotations

import sys
from types import ModuleType

import cv2
import pytest

from pipeline.images.opencv import import_opencv


def test_the_build_that_is_there() -> None:
    """OpenCV is the module that Python imports under its name."""
    assert import_opencv() is cv2


def test_none_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    message = r"OpenCV can't be imported: .*cv2.*Install it: pip install .*opencv-python-headless"
    with pytest.raises(ImportError, match=message):
        import_opencv()


def test_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that lacks what is needed is refused by its version."""
    monkeypatch.delattr(cv2.utils, "logging")
    monkeypatch.setattr(cv2, "__version__", "4.12.0")
    with pytest.raises(ImportError, match=r"OpenCV 4\.12\.0 is too old; wanted 4\.13 or newer. Install it"):
        import_opencv()


def test_what_an_uninstalled_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory can be imported too, and is no OpenCV."""
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    with pytest.raises(ImportError, match=r"OpenCV can't be used: the module cv2 is empty, .*Install it"):
        import_opencv()
