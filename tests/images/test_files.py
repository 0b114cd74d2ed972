"""The files of each format pass the contract of files. A new format is a line in FILES."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from images.examples import LAYOUTS, noise, open_as_giant, write_tiff
from images.test_photo_formats import FILES as PHOTOS

from pipeline.images.readers import open_source
from pipeline.testing.files import FileContract

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.images.source import Source

PIXELS = noise(101, 83, 3) // 8


def write_photo(path: Path, name: str) -> None:
    """Write a photo of a kind."""
    path.write_bytes(PHOTOS[name])


def write_layout(path: Path, **options: Any) -> None:
    """Write a TIFF whose tiles or strips lie in some way."""
    write_tiff(path, PIXELS, **options)


def write_npy(path: Path) -> None:
    """Write a file of NumPy's."""
    with path.open("wb") as file:
        np.save(file, PIXELS)


def write_hdf5(path: Path) -> None:
    """Write a dataset in compressed chunks with checksums."""
    with h5py.File(path, "w") as file:
        options = {"chunks": (40, 40, 3), "compression": "gzip", "fletcher32": True}
        file.create_dataset("image", data=PIXELS, **options)


# What writes a file of each kind at a path.
FILES: dict[str, Callable[[Path], object]] = {
    **{name: partial(write_photo, name=name) for name in PHOTOS},
    "npy": write_npy,
    "HDF5": write_hdf5,
    **{f"TIFF, {name}": partial(write_layout, **options) for name, options in LAYOUTS.items()},
}


class TestFiles(FileContract):
    """Every format."""

    @pytest.fixture(params=FILES)
    def path(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """Return a file of each kind."""
        path = tmp_path / "file"
        FILES[request.param](path)
        return path


class TestGiantPhotos(FileContract):
    """Photos that are decoded to the disk."""

    open_file = staticmethod(open_as_giant)

    @pytest.fixture(params=["PNG", "JPEG", "progressive JPEG"])
    def path(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """Return a PNG or JPEG."""
        path = tmp_path / "file"
        write_photo(path, request.param)
        return path


KEPT = []


def _open_or(path: str, fail: Callable[[], object]) -> Source | None:
    """Open a sound file, but fail for a damaged one."""
    if Path(path).read_bytes() != PHOTOS["BMP"]:
        fail()
    return open_source(path)


def open_hanging(path: str) -> Source | None:
    """Never end."""
    return _open_or(path, lambda: time.sleep(100))


def open_crashing(path: str) -> Source | None:
    """End the process."""
    return _open_or(path, lambda: os._exit(3))


def open_swelling(path: str) -> Source | None:
    """Take 2 GiB."""
    return _open_or(path, lambda: np.ones(2**28))


def open_nameless(path: str) -> Source | None:
    """Raise an error that doesn't name the file."""
    return _open_or(path, lambda: np.ones(-1))


def open_keeping(path: str) -> Source | None:
    """Keep the file open."""
    KEPT.append(Path(path).open("rb"))  # noqa: SIM115  that is the fault
    return open_source(path)


@pytest.mark.parametrize(
    ("open_file", "message"),
    [
        (open_hanging, "it took more than 1 s"),
        (open_crashing, "the process ended with status 3"),
        (open_swelling, "MemoryError"),
        (open_nameless, "ValueError: negative dimensions"),
    ],
)
def test_the_contract_notices(
    tmp_path: Path, open_file: Callable[[str], Source | None], message: str
) -> None:
    """What a damaged file does to a process is a failure of the test."""
    contract = FileContract()
    contract.open_file, contract.seconds = open_file, 1
    write_photo(tmp_path / "file", "BMP")
    with pytest.raises(AssertionError, match=rf"^0, cut at \d+: {message}"):
        contract.test_damage_is_refused_or_read(tmp_path / "file", tmp_path)


def test_the_contract_notices_handles(tmp_path: Path) -> None:
    """A reader that keeps every file open fails."""
    contract = FileContract()
    contract.open_file = open_keeping
    write_photo(tmp_path / "file", "BMP")
    with pytest.raises(AssertionError, match="copy 0"):
        contract.test_no_handle_stays_open(tmp_path / "file", tmp_path)
    while KEPT:
        KEPT.pop().close()
