"""What the tags of a TIFF say of pixels without data: a value of GDAL's, and where its mask pages lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.no_data import NoData

if TYPE_CHECKING:
    import tifffile

_NO_DATA = 42113
_MASK = 4


class MaskPlace(NamedTuple):
    """Where a mask page lies.

    Attributes
    ----------
    extent : tuple of int
        Its height and width in pixels.
    offset : int
        The place of its tags in the file, in bytes.
    """

    extent: tuple[int, int]
    offset: int


def read_no_data(page: tifffile.TiffPage, dtype: np.dtype[Any]) -> NoData | None:
    """Return the no-data value that GDAL's tag states.

    Parameters
    ----------
    page : TiffPage
        The page of the image.
    dtype : dtype
        The dtype of its samples.

    Returns
    -------
    NoData or None
        All channels of pixels without data have the value, as GDAL takes it. None if there is no value, or
        none that a sample can have, such as -9999 in 8 bits; and for infinity and NaN, whose results are NaN
        in any case.
    """
    value = _stated_value(page, dtype)
    return None if value is None or not math.isfinite(value) else NoData(value)


def read_fill(page: tifffile.TiffPage, dtype: np.dtype[Any]) -> float:
    """Return the value of pixels whose tile or strip is absent: that of GDAL's tag, or 0 as GDAL reads them.

    Parameters
    ----------
    page, dtype
        As for :func:`read_no_data`.

    Returns
    -------
    float
        It may be infinite or NaN.
    """
    value = _stated_value(page, dtype)
    return 0.0 if value is None else value


def _stated_value(page: tifffile.TiffPage, dtype: np.dtype[Any]) -> float | None:
    """Return the value of GDAL's tag as a sample has it, or None if there is none that a sample can have."""
    try:
        value = float(str(page.tags.valueof(_NO_DATA, "")).strip(" \0\t\r\n"))
    except ValueError:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            held = float(dtype.type(value))
        return held if math.isfinite(held) or not math.isfinite(value) else None
    limits = np.iinfo(dtype)
    return value if value.is_integer() and limits.min <= value <= limits.max else None


def find_mask_pages(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[MaskPlace, ...]:
    """Return the mask pages of an image, of full and of lower resolutions.

    Parameters
    ----------
    file : TiffFile
        It is open.
    series : TiffPageSeries
        The image, at full resolution.

    Returns
    -------
    tuple of MaskPlace
        Of a file with several images those that follow the image's pages, before the next image.
    """
    if _is_mask(series.keyframe):
        return ()
    masks, images = [], []
    for other in file.series:
        if not _is_mask(other.keyframe):
            images += [_number(page) for page in other if page is not None]
            continue
        for level in other.levels:
            _, _, height, width, _ = level.keyframe.shaped
            masks += [(_number(page), MaskPlace((height, width), page.offset)) for page in level if page]
    own = [_number(page) for page in series if page is not None]
    if set(images) <= set(own):
        return tuple(place for _, place in masks)
    end = min((number for number in images if number > max(own)), default=math.inf)
    return tuple(place for number, place in masks if max(own) <= number < end)


def _is_mask(page: tifffile.TiffPage) -> bool:
    return bool(page.subfiletype & _MASK) or page.photometric == _MASK


def _number(page: Any) -> int:  # noqa: ANN401  a TiffPage, or a TiffFrame that stands for one
    """Return the number of a page, or of the page to which it is subordinate."""
    number: int | tuple[int, ...] = page.index
    return number[0] if isinstance(number, tuple) else number
