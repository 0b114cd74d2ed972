"""Fixtures of the tests of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import tifffile
from runs.disturbed import (
    QUANTITIES,
    begin,
)
from runs.kinds import OLD, run

from pipeline import (
    stream,
)
from pipeline.images.source import RegionPart
from pipeline.runs import dispatch
from pipeline.stores import disk

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try blocks that fail again at once."""
    monkeypatch.setattr(dispatch, "_PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> Path:
    """Give the store of an undisturbed run, in 4 x 4 blocks, beside the image that it is of."""
    folder = tmp_path_factory.mktemp("undisturbed")
    tifffile.imwrite(
        folder / "small.tif",
        photo[100:158, 200:260],
        tile=(16, 16),
        compression="zlib",
        photometric="rgb",
    )
    stream(folder / "small.tif", QUANTITIES, folder / "out.zarr", block=16, progress="none")
    return folder / "out.zarr"


@pytest.fixture
def small(undisturbed: Path) -> Path:
    """Give the image of the undisturbed run."""
    return undisturbed.with_name("small.tif")


@pytest.fixture
def tiff(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """Give the photo as a tiled BigTIFF."""
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, photo, tile=(128, 128), bigtiff=True, compression="zlib", photometric="rgb")
    return path


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Give the corners of the regions that can't be read of image files, none at first."""
    corners, read = set[tuple[int, int]](), RegionPart.read

    def fail(part: RegionPart) -> Any:
        if (part.region[0].start, part.region[1].start) in corners:
            raise OSError(5, "Input/output error")
        return read(part)

    monkeypatch.setattr(RegionPart, "read", fail)
    return corners


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Collect the corners of what is read of image files."""
    corners = []
    read = RegionPart.read

    def note(part: RegionPart) -> Any:
        corners.append((part.region[0].start, part.region[1].start))
        return read(part)

    monkeypatch.setattr(RegionPart, "read", note)
    return corners


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> dict[str, Path]:
    """Give an unfinished store and a finished one, of the same run."""
    folder, image = tmp_path_factory.mktemp("begun"), photo[100:158, 200:260]
    begin(image, folder / "unfinished.zarr")
    stream(image, QUANTITIES, folder / "finished.zarr", block=16, progress="none")
    return {kind: folder / f"{kind}.zarr" for kind in ("unfinished", "finished")}


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the store of an undisturbed run."""
    store = tmp_path_factory.mktemp("wanted") / "out.zarr"
    run(store)
    return store


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the old store, as an undisturbed run wrote it."""
    store = tmp_path_factory.mktemp("old") / "out.zarr"
    run(store, OLD)
    return store


@pytest.fixture(params=["exchange", "two renames"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run on a system that can exchange two names at once, and on one that can't."""
    if request.param != "exchange":
        monkeypatch.setattr(disk, "exchange", lambda *_: False)
    return request.param == "exchange"


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't flush while what is left is looked at, which would take most of the time."""
    monkeypatch.setattr("os.fsync", lambda _: None)
