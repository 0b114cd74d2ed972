"""GDAL opens what is in local files, and nothing that makes requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.images.gdal import NotRasterError, opened
from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "content",
    [
        '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service></GDAL_WMS>',
        "1 2 3\n2 2 4\n1 3 3\n2 3 5\n",
        "Dear reader,\n" * 9,
    ],
)
def test_services_and_tables_are_no_rasters(tmp_path: Path, content: str) -> None:
    """A description of a service isn't followed, and a table of numbers isn't an image."""
    (tmp_path / "x.txt").write_text(content)
    with pytest.raises(NotRasterError), opened(str(tmp_path / "x.txt"), 0):
        pass
    with pytest.raises(ValueError, match=r"x\.txt isn't an image that can be read"):
        open_image(tmp_path / "x.txt")
