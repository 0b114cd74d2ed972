"""What a raster says beside its pixels: its bands, levels and datasets, and where its pixels lie."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.file import name_samples
from pipeline.images.gdal import NotRasterError, opened
from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.no_data import NoData

if TYPE_CHECKING:
    from pipeline.images.choice import Choice

_LETTERS = {"red": "R", "green": "G", "blue": "B", "alpha": "A", "gray": "L"}
# The channel of an image whose samples are indices into a palette.
PALETTE = ("palette index",)
# Names that GDAL gives to bands without a name.
_NO_NAME = re.compile(r"(band|layer)[ _]?\d+", re.IGNORECASE)


class Facts(NamedTuple):
    """What a dataset says of its bands."""

    dtype: np.dtype[Any]
    stored: str
    samples: tuple[int, ...]
    channels: tuple[str, ...] | None
    geometry: Geometry
    no_data: NoData | None
    is_masked: bool


def list_series(dataset: Any) -> list[tuple[str, str, int]]:  # noqa: ANN401  rasterio's
    """Return the name of each dataset within a file, a line about it, and its size."""
    series = []
    for name in dataset.subdatasets:
        try:
            with opened(name, 0) as inner:
                if inner.count:
                    words = f"{inner.height} x {inner.width}, {inner.count} channels, {inner.dtypes[0]}"
                    size = inner.height * inner.width * inner.count
                    label = name.removeprefix(dataset.name).rpartition(":")[2].strip('"/')
                    series.append((name, f"{label}: {words}", size))
        except (ValueError, NotRasterError):
            # Some hold tables rather than images.
            continue
    return series


def choose_series(
    path: str, choice: Choice, series: list[tuple[str, str, int]]
) -> tuple[str, tuple[str, ...]]:
    """Return the name of the dataset that is chosen, and a line for each."""
    labels = [line.partition(": ")[0] for _, line, _ in series]
    lines = tuple(f"{number}: {line}" for number, (_, line, _) in enumerate(series))
    wanted = choice.series
    if wanted is None:
        number = max(range(len(series)), key=lambda one: series[one][2])
    elif isinstance(wanted, str):
        number = labels.index(wanted) if labels.count(wanted) == 1 else len(series)
    else:
        number = wanted
    if number >= len(series):
        raise ValueError(
            f"series is {wanted!r}, but {path} holds {'; '.join(lines):.500}; wanted one of them"
        )
    return series[number][0], lines if len(series) > 1 else ()


def list_levels(name: str, dataset: Any) -> tuple[tuple[int, int], ...]:  # noqa: ANN401  rasterio's
    """Return height and width of each level."""
    levels = [(dataset.height, dataset.width)]
    n_coarser = min(len(dataset.overviews(band)) for band in dataset.indexes) if dataset.count else 0
    for level in range(1, n_coarser + 1):
        with opened(name, level) as coarser:
            levels.append((coarser.height, coarser.width))
    return tuple(levels)


def read_facts(path: str, dataset: Any) -> Facts:  # noqa: ANN401  rasterio's
    """Read what a dataset says of its bands."""
    if not dataset.count:
        raise ValueError(f"{path} holds no bands of pixels; wanted an image")
    dtype = np.result_type(*dataset.dtypes)
    if dtype.kind not in "uif":
        raise ValueError(f"{path} stores {dtype} samples; wanted integers or floats. Convert it.")
    colors = [color.name for color in dataset.colorinterp]
    stored = "".join(_LETTERS.get(color, "?") for color in colors)
    samples = tuple(n for n, letter in enumerate(stored) if letter != "A") or (0,)
    channels = _name_bands(dataset.descriptions, colors, samples)
    if channels is not None and sorted(channels) == ["blue", "green", "red"]:
        samples, channels = name_samples(stored)
    values, flags = (
        {dataset.nodatavals[n] for n in samples},
        {flag.name for n in samples for flag in dataset.mask_flag_enums[n]},
    )
    is_masked = flags != {"all_valid"}
    no_data = None
    if flags == {"nodata"} and len(values) == 1:
        (value,) = values
        # NaN never has data anyway.
        no_data, is_masked = (NoData(float(value)) if math.isfinite(value) else None), False
    return Facts(dtype, stored, samples, channels, _geometry_of(dataset), no_data, is_masked)


def _name_bands(
    descriptions: tuple[str | None, ...], colors: list[str], samples: tuple[int, ...]
) -> tuple[str, ...] | None:
    """Return the names of some bands: their descriptions, or else what colors they are."""
    named = tuple(descriptions[n] or "" for n in samples)
    if all(named) and len(set(named)) == len(named) and not all(map(_NO_NAME.fullmatch, named)):
        return named
    # Indices into a palette pass for nothing else.
    named = tuple(PALETTE[0] if colors[n] == "palette" else colors[n] for n in samples)
    return None if "undefined" in named or len(set(named)) < len(named) else named


def _geometry_of(dataset: Any) -> Geometry:  # noqa: ANN401  rasterio's
    """Return where the pixels of a dataset lie."""
    crs, transform = dataset.crs, dataset.transform
    if not crs and transform.is_identity:
        return UNKNOWN
    a, b, c, d, e, f = (float(number) for number in transform[:6])
    size = None
    if crs and crs.is_projected:
        micrometers = float(crs.linear_units_factor[1]) * 1e6
        size = (math.hypot(b, e) * micrometers, math.hypot(a, d) * micrometers)
    code = crs.to_epsg() if crs else None
    text = None if not crs else crs.to_wkt(version="WKT2_2019") if code is None else f"EPSG:{code}"
    return Geometry(size, crs=text, transform=(a, b, c, d, e, f))
