"""The stores that released versions wrote, one for each version, and how the one of a release is written.

Every release adds the store that it writes, with this command in the folder `tests`:

    python -m stores.released_stores
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import Density, Label, LogRatio, Mixture, Packed, Posterior, stream
from pipeline.stores.record import current_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).with_name("released")
BLOCK = 16
ONE = Mixture([0.6, 0.4], [[90.0, 100.0, 110.0], [160.0, 120.0, 80.0]], [[900.0, 700.0, 800.0]] * 2)
OTHER = Mixture([1.0], [[140.0, 130.0, 120.0]], [[2500.0, 2000.0, 3000.0]])
CLASSES = {"one": ONE, "other": OTHER}
# A store has a layer of each kind: an image of two channels, a packed one, and a label.
QUANTITIES: dict[str, Any] = {
    "density": Density(ONE),
    "ratio": LogRatio(ONE, OTHER),
    "chances": Packed(Posterior(CLASSES, {"one": 1, "other": 3}), "uint8"),
    "label": Label(CLASSES),
}


def make_image() -> NDArray[np.uint8]:
    """Make the image of all these stores: 5 blocks, which reach beyond it, in four levels."""
    rows, columns, channels = np.indices((66, 14, 3))
    return (60 + (8 * (rows // 3) + 11 * (columns // 2) + 40 * channels) % 150).astype(np.uint8)


def released_stores() -> dict[str, Path]:
    """Return the file of each version's store."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.zip"))}


def unpack(version: str, store: Path) -> None:
    """Put the store of a version in a place where nothing is."""
    with zipfile.ZipFile(released_stores()[version]) as archive:
        archive.extractall(store)


def write(path: Path) -> None:
    """Write the store of this version as a ZIP file."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name, "out.zarr")
        stream(make_image(), QUANTITIES, store, block=BLOCK, progress="none")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in sorted(store.rglob("*")):
                if file.is_file():
                    # Whoever unpacks it gets the same files at any time.
                    entry = zipfile.ZipInfo(file.relative_to(store).as_posix())
                    archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Write the store of the installed version."""
    path = FOLDER / f"{current_version()}.zip"
    write(path)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
