"""The import of OpenCV, whichever of its packages is installed: all of them have the same files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_INSTALL = "pip install --force-reinstall --no-deps opencv-python-headless"


def import_opencv() -> Any:  # noqa: ANN401  a module
    """Import OpenCV.

    Returns
    -------
    module
        The module ``cv2`` of opencv-python-headless, opencv-python or another build.

    Raises
    ------
    ImportError
        If there is none, if it can't be loaded or has lost its files, or if it is older than version 4.13.
    """
    try:
        cv2 = import_module("cv2")
    except ImportError as error:
        raise ImportError(f"OpenCV can't be imported: {error}. Install it: {_INSTALL}") from error
    if not hasattr(cv2, "imread"):
        raise ImportError(
            f"OpenCV can't be used: the module cv2 is empty, as when one of two packages of OpenCV has been "
            f"uninstalled. Install it: {_INSTALL}"
        )
    if not hasattr(cv2.utils, "logging"):
        raise ImportError(
            f"OpenCV {cv2.__version__} is too old; wanted 4.13 or newer. Install it: {_INSTALL}"
        )
    return cv2
