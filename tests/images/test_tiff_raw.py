"""Pixels that lie in a file as in an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise, write_tiff

from pipeline.images.opening import open_image
from pipeline.images.tiff_raw import raw_bytes, read_raw


def _hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files look as those do that aren't local."""

    def fail(*_args: Any, **_options: Any) -> None:
        raise AssertionError("the file was mapped")

    monkeypatch.setattr(Path, "is_file", lambda _path: False)
    monkeypatch.setattr(np, "memmap", fail)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "|u1", ">f4"])
@pytest.mark.parametrize("is_local", [True, False])
def test_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, *, is_local: bool) -> None:
    """Rows and columns with steps are those of the array, whether the file can be mapped or not."""
    pixels = noise(30, 40, 3).astype(dtype)
    path = tmp_path / "x.raw"
    path.write_bytes(b"head" + pixels.tobytes())
    if not is_local:
        _hide(monkeypatch)
    for rows, columns in (
        (range(30), range(40)),
        (range(3, 29, 5), range(1, 40, 3)),
        (range(7, 8), range(39, 40)),
    ):
        read = read_raw(str(path), 4, np.dtype(dtype), (30, 40, 3), (rows, columns))
        np.testing.assert_array_equal(read, pixels[rows][:, columns])


def test_a_tiff_that_is_not_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pixels come from a TIFF that can't be mapped, of interleaved and of separate planes."""
    pixels = noise(HEIGHT, WIDTH, 3, dtype="uint16")
    files = {}
    for planar, stored in (("contig", pixels), ("separate", np.moveaxis(pixels, -1, 0))):
        path = write_tiff(
            tmp_path / f"{planar}.tif", stored, photometric="rgb", planarconfig=planar, byteorder=">"
        )
        files[planar] = open_image(path)
    _hide(monkeypatch)
    for image in files.values():
        np.testing.assert_array_equal(image[5:90:7, 3::5].compute(), pixels[5:90:7, 3::5])


def test_a_file_that_ends_too_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that the file doesn't hold any more are an error."""
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(100))
    _hide(monkeypatch)
    with pytest.raises(OSError, match=r"x\.raw ends within row 10"):
        read_raw(str(path), 0, np.dtype("u1"), (20, 10, 1), (range(20), range(10)))


def test_memory_of_a_row() -> None:
    """A row maps its pixels and their neighbors, but no more than the whole row."""
    assert raw_bytes(100, 3, 10**6, 6) == 298 * 6 + 2**17
    assert raw_bytes(100, 3, 500, 6) == 3000
