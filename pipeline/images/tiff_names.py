"""The names that a TIFF gives to its channels: those of OME-XML, and GDAL's descriptions of bands."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tifffile

_OME_IMAGE = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>(.*?)</(?:\w+:)?Pixels>", re.DOTALL)
_OME_CHANNEL = re.compile(r"<(?:\w+:)?Channel\b([^>]*)>")
_GDAL_ITEM = re.compile(r"<Item\b([^>]*)>([^<]*)</Item>")
_GDAL_METADATA = 42112
# Names that say no more than the number does.
_NUMBERED = re.compile(r"(?:band|channel|layer)?[ _:#\-\d]*", re.IGNORECASE)


def read_names(
    file: tifffile.TiffFile, whole: tifffile.TiffPageSeries, n_planes: int, n_samples: int
) -> tuple[str | None, ...]:
    """Return the names of an image's samples, as far as the file states them.

    Parameters
    ----------
    file : TiffFile
        It is open.
    whole : TiffPageSeries
        Level 0 of the image.
    n_planes : int
        The number of pages whose samples are the image's.
    n_samples : int
        The number of samples of all of these pages.

    Returns
    -------
    tuple of str or None
        One for each sample. Names that are numbers, such as "Band 1", state nothing. A name that occurs again
        gets its number.
    """
    names = _ome_names(file, whole, n_samples) or _gdal_names(whole.keyframe, n_planes, n_samples)
    found: list[str | None] = []
    for number, text in enumerate(names):
        name = None if _NUMBERED.fullmatch(text) else text
        found.append(f"{name} {number}" if name in found and name is not None else name)
    return tuple(found)


def _ome_names(file: tifffile.TiffFile, whole: tifffile.TiffPageSeries, n_samples: int) -> list[str]:
    """Return the names of the channels of an image in OME-XML, or none."""
    images = _OME_IMAGE.findall(file.pages.first.description) if whole.kind == "ome" else []
    if len(images) != len(file.series) or whole not in file.series:
        return []
    names = [
        _attribute(channel, "Name") for channel in _OME_CHANNEL.findall(images[file.series.index(whole)])
    ]
    # One channel may have several samples, as those of a color photo.
    return names if len(names) == n_samples else []


def _gdal_names(page: tifffile.TiffPage, n_planes: int, n_samples: int) -> list[str]:
    """Return the descriptions of bands in GDAL's metadata, or none."""
    text = page.tags.valueof(_GDAL_METADATA)
    names = [""] * n_samples
    if not isinstance(text, str) or n_planes > 1:
        return names
    for attributes, content in _GDAL_ITEM.findall(text):
        sample = _attribute(attributes, "sample")
        is_description = _attribute(attributes, "role").lower() == "description"
        if is_description and sample.isdecimal() and int(sample) < n_samples:
            names[int(sample)] = html.unescape(content).strip()
    return names


def _attribute(attributes: str, name: str) -> str:
    """Return an attribute of an element, or nothing."""
    found = re.search(rf"""(?<![\w:]){name}\s*=\s*(?:"([^"]*)"|'([^']*)')""", attributes)
    return html.unescape(found[1] or found[2] or "").strip() if found else ""
