"""GDAL through rasterio: its configuration, its cache, and the datasets that a process keeps open."""

from __future__ import annotations

import os
import threading
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.images.file import COPY_AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

# Drivers that make requests, and one that takes tables of numbers for images.
_REFUSED_DRIVERS = {
    *("DAAS", "EEDA", "EEDAI", "GTI", "GeoRaster", "HTTP", "NGW", "OGCAPI", "PLMOSAIC", "PostGISRaster"),
    *("RDA", "STACIT", "STACTA", "WCS", "WMS", "WMTS", "XYZ"),
}
# No code and no request comes from a file; a file that is too small is noticed; threads are the caller's.
_CONFIGURATION = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "RAW_CHECK_FILE_SIZE": "YES",
    "GDAL_NUM_THREADS": "1",
}
# The decoded blocks that GDAL keeps, in bytes.
_CACHE = 2**26
# Datasets that a process keeps open while no thread reads them.
_IDLE = 8
_UNKNOWN_FORMAT = "not recognized as being in a supported file format"
_OPENING, _LOCK = threading.Lock(), threading.Lock()
# The open datasets that no thread reads: name, level and identity of each, and the dataset.
_DATASETS: list[tuple[tuple[Any, ...], Any]] = []


class NotRasterError(Exception):
    """GDAL has no driver for a file."""


@lru_cache(maxsize=1)
def limit_cache() -> int:
    """Return how many bytes of blocks GDAL keeps: 64 MiB, unless the variable ``GDAL_CACHEMAX`` says else."""
    # Readers are imported where they are used.
    from rasterio.env import get_gdal_config, set_gdal_config  # noqa: PLC0415

    with _environment():
        if "GDAL_CACHEMAX" not in os.environ:
            set_gdal_config("GDAL_CACHEMAX", _CACHE)
        return int(get_gdal_config("GDAL_CACHEMAX"))


def _environment() -> Any:  # noqa: ANN401  rasterio's
    """Return the context in which GDAL opens and reads."""
    import rasterio  # noqa: PLC0415  readers are imported where they are used
    from rasterio.session import DummySession  # noqa: PLC0415  the same

    return rasterio.Env(session=DummySession(), **_CONFIGURATION)


def _open(name: str, level: int) -> Any:  # noqa: ANN401  rasterio's
    """Open a dataset at a level."""
    import rasterio  # noqa: PLC0415  readers are imported where they are used

    limit_cache()
    options = {"overview_level": level - 1} if level else {}
    # Python's filters of warnings are those of the process.
    with _OPENING, warnings.catch_warnings(), _environment() as environment:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        drivers = sorted(set(environment.drivers()) - _REFUSED_DRIVERS)
        try:
            # rasterio.open takes one driver only.
            return rasterio.io.DatasetReader(name, driver=drivers, sharing=False, **options)
        except rasterio.errors.RasterioIOError as error:
            if _UNKNOWN_FORMAT in str(error):
                raise NotRasterError from error
            raise ValueError(f"{name} can't be read by GDAL: {error}. {COPY_AGAIN}") from error


@contextmanager
def opened(name: str, level: int) -> Iterator[Any]:
    """Open a dataset for as long as it is described."""
    dataset = _open(name, level)
    with _environment(), dataset:
        yield dataset


@contextmanager
def borrowed(name: str, level: int, identity: tuple[Any, ...]) -> Iterator[Any]:
    """Lend an open dataset to one thread at a time, and keep it open for the next region."""
    key = (name, level, identity)
    with _LOCK:
        number = next((n for n, (other, _) in enumerate(_DATASETS) if other == key), None)
        dataset = None if number is None else _DATASETS.pop(number)[1]
    if dataset is None:
        dataset = _open(name, level)
    try:
        with _environment():
            yield dataset
    except BaseException:
        dataset.close()
        raise
    with _LOCK:
        # Those of an earlier state of the file go first.
        stale = [one for one in _DATASETS if one[0][:2] == key[:2] and one[0] != key]
        stale += _DATASETS[: max(0, len(_DATASETS) + 1 - _IDLE)]
        _DATASETS[:] = [*(one for one in _DATASETS if one not in stale), (key, dataset)]
    for _, other in stale:
        other.close()
