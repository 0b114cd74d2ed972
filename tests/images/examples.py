"""Images that several tests of sources write and read."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import tifffile

from pipeline.images import giant_photo
from pipeline.images.source import RegionPart, Source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.source import Part, Region

# Odd, so that neither tiles nor strips divide it.
HEIGHT, WIDTH = 101, 83
TILE = (32, 48)
COLOR = ("red", "green", "blue")
_NAMES = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": TILE, "compression": "deflate"},
    "plain tiles": {"tile": TILE},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "plain strips": {"rowsperstrip": 7},
    "one strip": {},
    "one compressed strip": {"compression": "zstd"},
    "predicted": {"tile": TILE, "compression": "zstd", "predictor": True},
    "BigTIFF": {"tile": TILE, "compression": "lzw", "bigtiff": True},
    "raw BigTIFF": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": TILE, "compression": "deflate", "predictor": True},
}


class Plain(Source):
    """The least that a source must define; it notes the regions that it reads."""

    tile = (32, 20)

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.asked: list[Region] = []
        self.shape, self.dtype = array.shape, array.dtype

    def identity(self) -> str:
        """Return the digest of the pixels."""
        return str(hash(self.array.tobytes()))

    def part(self, region: Region) -> Part:
        """Return a region of the source itself."""
        return RegionPart(self, region)

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, and note it."""
        self.asked.append(region)
        return self.array[region].copy()


def names(order: str) -> tuple[str, ...]:
    """Return the names of channels whose letters are R, G, B and A."""
    return tuple(_NAMES[letter] for letter in order)


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Make noise that fills the range of its type."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(n_channels: int = 3) -> NDArray[np.uint8]:
    """Make gradients, which JPEG hardly changes."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    planes = [rows * 2, columns * 3, rows + columns, 255 - rows]
    return np.stack(planes[:n_channels], axis=-1).astype(np.uint8)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put an APP1 segment with one Exif tag, the orientation, behind the start marker."""
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + tag + struct.pack("<I", 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def write_tiff(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write a TIFF, RGB if it has three samples and the options don't say otherwise."""
    options.setdefault("photometric", "rgb" if pixels.shape[-1] == 3 else "minisblack")
    tifffile.imwrite(path, pixels, **options)
    return path


def write_hdf5(path: Path, name: str, data: Any, **options: Any) -> None:
    """Add a dataset to an HDF5 file."""
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=data, **options)


def set_tag(path: Path, **codes: Any) -> Path:
    """Overwrite tags of a TIFF's first page, by name."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in codes.items():
            tiff.pages[0].tags[name].overwrite(value)  # type: ignore[union-attr]
    return path


def feature(*rings: Any, **properties: Any) -> dict[str, Any]:
    """Make a feature of GeoJSON with one polygon: its outline, and its holes."""
    geometry = {"type": "Polygon", "coordinates": [np.asarray(ring).tolist() for ring in rings]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """Return the closed ring of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def write_geojson(path: Path, *features: dict[str, Any]) -> Path:
    """Write a collection of features."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def open_as_giant(path: str) -> Source | None:
    """Open a small PNG or JPEG as if it were giant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(giant_photo, "MOST_HELD", 0)
        return giant_photo.open_giant_photo(path)
