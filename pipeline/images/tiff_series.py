"""The images in a TIFF: its series, the levels of their pyramids, and the planes of their stacks."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.images.magnification import find_magnification

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tifffile
    from numpy.typing import NDArray

    from pipeline.images.choice import Choice

    # The levels of one image, the finest first.
    Pyramid = list[tifffile.TiffPageSeries]
    # A page, or None where another one stands for it, and its number within a series.
    Plane = tuple[tifffile.TiffPage | tifffile.TiffFrame | None, int]

_REDUCED, _MASK = 1, 4
_APERIO_POWER = re.compile(r"\bAppMag *= *(\d+(?:\.\d*)?)")
# A level's height and width may be rounded up or down at each halving.
_ROUNDING = 2
_PHOTOMETRIC_MASK = 4
# The colors of such files are multiplied by alpha already.
_ASSOCIATED = "associated alpha"
# As GDAL and tifffile do, rows and columns are read as they are stored.
_ORIENTATION, _TURNED = 274, "not turned by its orientation"


class Chosen(NamedTuple):
    """An image that is chosen in a TIFF.

    Attributes
    ----------
    series : TiffPageSeries
        The level that is chosen.
    whole : TiffPageSeries
        Level 0 of the same image.
    planes : tuple of (TiffPage or None, int)
        The pages that hold the image's channels. Where one page stands for several, which follow it, the
        page is None for the others; the number is that of the plane within its series.
    levels : tuple of tuple of int
        Height and width of each level; empty if there is one only.
    lines : tuple of str
        A line about each image of the file; empty if there is one only, unless its alpha is associated, or an
        orientation is stated, which isn't applied.
    """

    series: tifffile.TiffPageSeries
    whole: tifffile.TiffPageSeries
    planes: tuple[Plane, ...]
    levels: tuple[tuple[int, int], ...]
    lines: tuple[str, ...]


def choose(path: str, file: tifffile.TiffFile, choice: Choice) -> Chosen:
    """Choose an image in a TIFF: by default level 0 of the largest one, the first of several.

    Parameters
    ----------
    path : str
        The file in messages.
    file : TiffFile
        It is open.
    choice : Choice

    Returns
    -------
    Chosen

    Raises
    ------
    ValueError
        If there is no such series, level or plane, or if the image has several planes in depth, time or pages
        and none of them is chosen.
    """
    series = [one for one in file.series if one.size]
    # A file that holds nothing but masks is itself an image.
    pyramids = _pyramids([one for one in series if not is_mask(one.keyframe)] or series)
    if not pyramids:
        raise ValueError(f"{path} has no pixels; wanted an image")
    lines = describe_images(pyramids)
    levels = pyramids[_series_number(path, pyramids, lines, choice.series)]
    number = choice.level
    if choice.magnification is not None:
        sizes = [extent_of(level) for level in levels]
        number = find_magnification(path, _magnification(levels[0]), choice.magnification, sizes)
    if number >= len(levels):
        found = f"levels 0 to {len(levels) - 1}" if len(levels) > 1 else "one level, 0"
        raise ValueError(f"{path} has {found}; got level={number}")
    level = levels[number]
    planes = _pooled(path, pyramids, levels, choice)
    if planes is None:
        planes = [_plane(level, number) for number in _numbers(path, level, choice)]
    extents = tuple(map(extent_of, levels)) if len(levels) > 1 else ()
    is_said = len(lines) > 1 or _ASSOCIATED in lines[0] or _TURNED in lines[0]
    return Chosen(level, levels[0], tuple(planes), extents, lines if is_said else ())


def _magnification(series: tifffile.TiffPageSeries) -> float | None:
    """Return the magnification that the description of an Aperio slide states, or None."""
    found = _APERIO_POWER.search(series.keyframe.description)
    return float(found[1]) if found else None


def is_mask(page: tifffile.TiffPage) -> bool:
    """Return whether a page is the mask of another one."""
    return bool(page.subfiletype & _MASK) or page.photometric == _PHOTOMETRIC_MASK


def extent_of(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    """Return the height and width of the pages of a series."""
    _, _, height, width, _ = series.keyframe.shaped
    return height, width


def describe_images(pyramids: Sequence[Pyramid]) -> tuple[str, ...]:
    """Return a line about each image: number, name, size, samples, dtype and kind.

    Parameters
    ----------
    pyramids : sequence of list of TiffPageSeries

    Returns
    -------
    tuple of str
        The line of an image that is as large as the largest one before it says how to choose it.
    """
    lines = []
    areas = [math.prod(extent_of(levels[0])) for levels in pyramids]
    largest = areas.index(max(areas)) if areas else 0
    for number, levels in enumerate(pyramids):
        series, (height, width) = levels[0], extent_of(levels[0])
        page = series.keyframe
        n_planes = _count_planes(series)
        facts = [f"{height} x {width} pixels"]
        facts += [f"{n_planes} planes along {_outer_axes(series)}"] if n_planes > 1 else []
        facts += ["1 sample" if page.samplesperpixel == 1 else f"{page.samplesperpixel} samples"]
        facts += [f"{page.bitspersample} bits" if page.dtype is None else str(series.dtype)]
        facts += [getattr(page.photometric, "name", f"photometric {page.photometric}").lower()]
        facts += [_ASSOCIATED] if 1 in page.extrasamples else []
        turn = page.tags.valueof(_ORIENTATION, 1)
        facts += [f"{_TURNED} {turn}"] if turn in range(2, 9) else []
        facts += [f"{len(levels)} levels"] if len(levels) > 1 else []
        if number != largest and areas[number] == areas[largest]:
            facts.append(f"as large as series {largest}: choose it with series={number}")
        name = f" {series.name!r}" if series.name else ""
        lines.append(f"{number}{name}: {', '.join(facts)}")
    return tuple(lines)


def _pyramids(series: Pyramid) -> list[Pyramid]:
    """Return the levels of each image: those that tifffile finds, and reduced pages anywhere in the file."""
    reduced = [one for one in series if one.keyframe.subfiletype & _REDUCED]
    # tifffile takes reduced pages for levels of a larger reduced page before them.
    pages = [level for one in reduced for level in one.levels]
    pyramids = []
    for whole in series:
        if whole not in reduced:
            levels = [*whole.levels[1:], *(page for page in pages if _is_level(page, whole))]
            pyramids.append([whole, *sorted(levels, key=extent_of, reverse=True)])
    taken = {id(level) for levels in pyramids for level in levels}
    # A thumbnail of another aspect or kind is an image of its own.
    pyramids += [list(one.levels) for one in reduced if id(one) not in taken]
    order = {id(one): number for number, one in enumerate(series)}
    return sorted(pyramids, key=lambda levels: order[id(levels[0])])


def _is_level(level: tifffile.TiffPageSeries, whole: tifffile.TiffPageSeries) -> bool:
    """Return whether a series can be a coarser level of another one."""
    if (level.axes, level.dtype, level.keyframe.photometric) != (
        whole.axes,
        whole.dtype,
        whole.keyframe.photometric,
    ) or level.keyframe.samplesperpixel != whole.keyframe.samplesperpixel:
        return False
    (height, width), (tall, wide) = extent_of(level), extent_of(whole)
    step = round(max(tall, wide) / max(height, width, 1))
    return step > 1 and all(
        abs(small * step - large) < _ROUNDING * step for small, large in ((height, tall), (width, wide))
    )


def _pooled(path: str, pyramids: list[Pyramid], chosen: Pyramid, choice: Choice) -> list[Plane] | None:
    """Return pages that are wanted of those which programs wrote one by one, each as an image of its own.

    None if the chosen image has several planes itself, or is the only one of its kind.
    """
    if choice.pages is None or choice.series is not None or choice.level:
        return None
    kind = chosen[0].keyframe.hash
    alike = [levels[0] for levels in pyramids if levels[0].keyframe.hash == kind]
    planes: list[Plane] = [(page, 0) for series in alike for page in series]
    if len(planes) < len(alike) or len(alike) == 1 or any(_count_planes(series) > 1 for series in alike):
        return None
    if choice.pages == "channels":
        return planes if chosen[0].keyframe.samplesperpixel == 1 else None
    if choice.pages >= len(planes):
        raise ValueError(_too_few(path, len(planes), choice.pages))
    return [planes[choice.pages]]


def _too_few(path: str, n_pages: int, wanted: int) -> str:
    """Return the message about a page that isn't there."""
    count = "one page" if n_pages == 1 else f"{n_pages} pages, 0 to {n_pages - 1},"
    return f"{path} has {count} in this image; got pages={wanted}"


def _series_number(
    path: str, pyramids: list[Pyramid], lines: tuple[str, ...], wanted: int | str | None
) -> int:
    """Return the number of the image that is wanted, by default that of the largest one."""
    if wanted is None:
        return max(range(len(pyramids)), key=lambda n: math.prod(extent_of(pyramids[n][0])))
    names = [levels[0].name.lower() for levels in pyramids]
    if isinstance(wanted, str):
        if names.count(wanted.lower()) == 1:
            return names.index(wanted.lower())
    elif wanted < len(pyramids):
        return wanted
    kind = "name of exactly one" if isinstance(wanted, str) else "number of one"
    raise ValueError(f"{path} has the series {'; '.join(lines)}. Got series={wanted!r}; wanted the {kind}.")


def _count_planes(series: tifffile.TiffPageSeries) -> int:
    """Return how many pages of pixels a series has, in the file's pages or behind one of them."""
    size: int = series.keyframe.size
    return series.size // size if size else 1


def _outer_axes(series: tifffile.TiffPageSeries) -> str:
    """Return the axes of a series along which its planes lie."""
    n_planes, axes = _count_planes(series), ""
    for axis, length in zip(series.axes, series.shape, strict=True):
        if math.prod(series.shape[: len(axes)]) >= n_planes:
            break
        del length
        axes += axis
    return axes


def _plane(series: tifffile.TiffPageSeries, number: int) -> Plane:
    """Return the page of a plane, or None if the first page stands for it."""
    return (series[number] if number < len(series) else None, number)


def _numbers(path: str, series: tifffile.TiffPageSeries, choice: Choice) -> list[int]:
    """Return the numbers of the planes that are the channels of the image that is chosen."""
    axes = _outer_axes(series)
    lengths = series.shape[: len(axes)]
    numbers: NDArray[np.int64] = np.arange(_count_planes(series)).reshape(lengths)
    found = f"{path} has axes {series.axes} of lengths {series.shape}"
    for name, plane in (("z", choice.z), ("t", choice.t)):
        axis = name.upper()
        length = lengths[axes.index(axis)] if axis in axes else 1
        # Planes within one page are refused for what they are.
        if plane is not None and plane >= length and series.keyframe.shaped[1] == 1:
            count = "one plane" if length == 1 else f"{length} planes, 0 to {length - 1},"
            raise ValueError(f"{path} has {count} along axis {axis}; got {name}={plane}")
        if plane is not None and axis in axes:
            numbers = numbers.take([plane], axis=axes.index(axis))
    several = [axis for axis, length in zip(axes, numbers.shape, strict=True) if length > 1]
    chosen: list[int] = numbers.reshape(-1).tolist()
    is_color = series.keyframe.samplesperpixel > 1
    if isinstance(choice.pages, int):
        if choice.pages >= len(chosen):
            raise ValueError(_too_few(path, len(chosen), choice.pages))
        return [chosen[choice.pages]]
    if choice.pages == "channels" and len(chosen) > 1 and is_color:
        raise ValueError(
            f"{found}; pages='channels' wants pages of one sample each. Choose one page: pages=0 to "
            f"{len(chosen) - 1}."
        )
    if choice.pages is None and not set(several) <= {"C"}:
        wanted = [f"{axis.lower()}=0 to {lengths[axes.index(axis)] - 1}" for axis in several if axis in "ZT"]
        if len(wanted) == len([axis for axis in several if axis != "C"]):
            advice = f"Choose one plane: {', '.join(wanted)}."
        else:
            advice = f"Choose one page: pages=0 to {len(chosen) - 1}"
            advice += "." if is_color else "; or make the pages channels: pages='channels'."
        raise ValueError(f"{found}; wanted one image of YX with channels. {advice}")
    return chosen
