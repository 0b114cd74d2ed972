"""Rasters that GDAL opens: VRT, JPEG 2000, ENVI, ERDAS Imagine, ASCII grids, netCDF and more."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.file import COPY_AGAIN, ImageFile, file_stamp, open_binary
from pipeline.images.gdal import NotRasterError, borrowed, limit_cache, opened
from pipeline.images.geometry import UNKNOWN
from pipeline.images.raster_facts import PALETTE, choose_series, list_levels, list_series, read_facts
from pipeline.images.selection import meet_pieces
from pipeline.images.vrt import find_sources, is_vrt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Places, Region, Source

_JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
# Names of files that are nothing else than rasters of GDAL's.
_SUFFIXES = {".vrt", ".img", ".asc", ".bil", ".bip", ".bsq", ".nc", ".grb", ".grb2", ".grib", ".ntf", ".dem"}
# Where its sizes stand, GDAL's largest block, and how many copies of a block decoding a larger tile takes.
_JPEG_2000_HEAD, _LARGEST_TILE, _WAVELETS = 2**16, 1024, 5
# Measured: drivers and libraries of GDAL, and blocks that its cache holds beyond its limit.
_GDAL_BYTES = 24 * 2**20
# A JPEG 2000 of more pixels isn't decoded whole.
_LARGE = 2**22
# So many bytes of decoded blocks are read at once.
_PIECE = 2**23
_MASK = "dataset mask"
# Pieces have so many rows and columns, if blocks are smaller.
_SIDE = 1024


def open_jpeg2000(path: str, choice: Choice = WHOLE) -> Raster | None:
    """Open a JPEG 2000 by its tiles if it is large, lies on a map, or is chosen from; else return None.

    None as well for files of other formats and for palettes, which are decoded to colors as photos, and if
    rasterio is missing. Parameters and errors are those of :func:`open_raster`.
    """
    with open_binary(path) as file:
        head = file.read(12)
    if not head.startswith(_JPEG_2000) or not _has_rasterio():
        return None
    found = open_raster(path, choice)
    if found is None or found.channels == PALETTE:
        return None
    is_plain = found.geometry == UNKNOWN and choice == WHOLE
    return None if is_plain and math.prod(found.extent) <= _LARGE else found


def open_raster(path: str, choice: Choice = WHOLE) -> Raster | None:
    """Open a raster without reading a pixel, or return None if GDAL has no driver for it.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        The level; and the series, in a file of several.

    Returns
    -------
    Raster or None
        The bands as they are stored, without alpha: neither scale nor offset is applied.

    Raises
    ------
    FileNotFoundError
        If a file that a VRT names is not there.
    ImportError
        If rasterio is missing, and the name is that of a raster.
    ValueError
        If the raster can't be read, or names anything that isn't a local file.
    """
    if not _has_rasterio():
        if os.path.splitext(path)[1].lower() in _SUFFIXES:  # noqa: PTH122  the path is text
            raise ImportError(f"{path} is read by rasterio. Install it: pip install 'mixture-pipeline[geo]'")
        return None
    stamp = file_stamp(path)
    if is_vrt(path):
        find_sources(path)
    try:
        with opened(path, 0) as dataset:
            choice.check(path, f"a raster of the format {dataset.driver}", "level", "series")
            series = list_series(dataset)
            name, lines = choose_series(path, choice, series) if series else (path, ())
    except NotRasterError:
        return None
    if not series and choice.series not in {None, 0}:
        raise ValueError(f"series is {choice.series!r}, but {path} holds one image. Leave it out.")
    with opened(name, 0) as dataset:
        levels = list_levels(name, dataset)
        if choice.level >= len(levels):
            raise ValueError(
                f"level is {choice.level}, but {path} has {len(levels)}; wanted 0 to {len(levels) - 1}"
            )
        facts = read_facts(path, dataset)
    height, width = levels[choice.level]
    with opened(name, choice.level) as dataset:
        tall, wide = dataset.block_shapes[0]
    return Raster(
        path=path,
        stamp=stamp,
        shape=(height, width, len(facts.samples)),
        dtype=facts.dtype,
        channels=facts.channels,
        tile=(min(tall, height), min(wide, width)),
        stored=facts.stored,
        samples=facts.samples,
        geometry=facts.geometry.coarser(levels[0][0] / height, levels[0][1] / width),
        no_data=facts.no_data,
        levels=levels if len(levels) > 1 else (),
        series=lines,
        choice=choice,
        dataset=name,
        digest=_digest(_files_of(path, stamp, name)),
        decoding_bytes=_decoding_bytes(path, stamp[1], tall * wide * len(facts.stored), facts.dtype.itemsize),
        is_masked=facts.is_masked,
    )


@dataclass(frozen=True, kw_only=True)
class Raster(ImageFile):
    """A raster that GDAL opens, of which a region is read by its blocks.

    Attributes
    ----------
    dataset : str
        The name by which GDAL opens it: the path, or that of a dataset within the file.
    digest : str
        A digest of the sizes and times of all of its files, if there are several; else empty.
    decoding_bytes : int
        The memory that decoding a block takes.
    is_masked : bool
        Whether it states a mask.
    is_mask : bool
        Whether the pixels are those of its mask.
    """

    dataset: str = field(repr=False)
    digest: str = field(repr=False)
    decoding_bytes: int = field(repr=False)
    is_masked: bool = field(repr=False)
    is_mask: bool = field(default=False, repr=False)

    def identity(self) -> str:
        """Return the identity of the file, and the digest of the others that belong to it."""
        return f"{super().identity()}, files {self.digest}" if self.digest else super().identity()

    def check_unchanged(self) -> None:
        """Raise ValueError if one of the files isn't the one that was opened."""
        super().check_unchanged()
        if self.digest and _digest(_files_of(self.path, self.stamp, self.dataset)) != self.digest:
            raise ValueError(f"a file that {self.path} needs changed since it was opened. Open it again.")

    def stated_masks(self) -> dict[str, Source]:
        """Return the mask of the dataset, or its alpha channel, or where all bands have no-data values."""
        if not self.is_masked:
            return {}
        mask = replace(self, shape=(*self.extent, 1), dtype=np.dtype("uint8"), channels=None, samples=(0,))
        return {_MASK: replace(mask, no_data=None, is_masked=False, is_mask=True)}

    @property
    def held_bytes(self) -> int:
        """The memory of the decoded blocks that GDAL keeps."""
        return min(limit_cache(), math.prod(self.extent) * self._stored_bytes)

    @property
    def opening_bytes(self) -> int:
        """The memory that GDAL takes for itself."""
        return _GDAL_BYTES

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory of the pixels, and of the blocks that are decoded at once."""
        step = (1, 1) if places is None else (abs(places[0].step), abs(places[1].step))
        n_read = math.prod(min(n, limit) for n, limit in zip(self._piece(step), self.extent, strict=True))
        return math.prod(extent) * self.pixel_bytes + n_read * self.pixel_bytes + self.decoding_bytes

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C), in the calling thread."""
        self.check_unchanged()
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        out = np.empty((len(rows), len(columns), len(self.samples)), self.dtype)
        if not out.size:
            return out
        tall, wide = self._piece((rows.step, columns.step))
        with borrowed(self.dataset, self.choice.level, (self.path, self.stamp, self.digest)) as dataset:
            for _, height, within_rows in meet_pieces(rows, tall):
                for _, width, within_columns in meet_pieces(columns, wide):
                    places = rows[height], columns[width]
                    window = tuple((part[0], part[-1] + 1) for part in places)
                    pixels = self._read_window(dataset, window)
                    steps = slice(None, None, within_rows.step), slice(None, None, within_columns.step)
                    out[height, width] = pixels[steps]
        return out

    def _read_window(self, dataset: Any, window: Any) -> NDArray[Any]:  # noqa: ANN401  rasterio's
        """Read some rows and columns, shape (h, w, C)."""
        try:
            if self.is_mask:
                mask: NDArray[Any] = dataset.dataset_mask(window=window)
                return mask[..., np.newaxis]
            bands = [sample + 1 for sample in self.samples]
            pixels: NDArray[Any] = dataset.read(bands, window=window, out_dtype=self.dtype)
            return np.moveaxis(pixels, 0, -1)
        except Exception as error:
            # rasterio has several types for it, whose cause says more.
            reason = f"{error.__cause__ or error}"
            raise ValueError(
                f"{self.path} can't be read by GDAL ({reason}): it is damaged, or a file of it. {COPY_AGAIN}"
            ) from error

    def _piece(self, steps: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of what is read at once: several blocks if they are small."""
        (tall, wide), (down, across) = self.tile, steps
        wide = wide if across >= wide else max(1, _SIDE // wide) * wide
        rows = _PIECE // (min(wide, self.extent[1]) * self._stored_bytes)
        return (tall if down >= tall else max(1, min(rows, _SIDE) // tall) * tall), wide

    @property
    def _stored_bytes(self) -> int:
        return len(self.stored) * self.dtype.itemsize


def _decoding_bytes(path: str, size: int, n_samples: int, itemsize: int) -> int:
    """Return the memory that decoding a block of so many samples takes."""
    with open_binary(path) as file:
        head = file.read(_JPEG_2000_HEAD)
    if not head.startswith(_JPEG_2000):
        return n_samples * itemsize
    # JPEG 2000 is decoded to 32 bits. Of a tile that is larger than a block, all bytes are loaded.
    start = head.find(_JPEG_2000[1])
    tile = [int.from_bytes(head[start + n : start + n + 4], "big") for n in (24, 28)]
    is_small = start >= 0 and max(tile) <= _LARGEST_TILE
    return 4 * n_samples * (1 if is_small else _WAVELETS) + (0 if is_small else size)


def _has_rasterio() -> bool:
    return find_spec("rasterio") is not None


@lru_cache(maxsize=16)
def _files_of(path: str, stamp: tuple[int, int], name: str) -> tuple[str, ...]:
    """Return the files of a dataset, with those that a VRT names."""
    del stamp
    sources = find_sources(path) if is_vrt(path) else ()
    with opened(name, 0) as dataset:
        return tuple(sorted({*(file for file in dataset.files if os.path.isfile(file)), *sources} - {path}))  # noqa: PTH113  there may be thousands


def _digest(files: tuple[str, ...]) -> str:
    """Return a digest of the sizes and the times of files, and nothing if there are none."""
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(f"{file} {file_stamp(file)}\n".encode())
        except FileNotFoundError:
            digest.update(f"{file} is gone\n".encode())
    return digest.hexdigest() if files else ""
