"""The metadata of OME-Zarr: levels, axes, sizes of pixels and names of channels (https://ngff.openmicroscopy.org).

Versions 0.4 and 0.5 differ in the place of the metadata. Older ones name their axes otherwise, or not at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.images.geometry import UNKNOWN, Geometry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.images.zarr_axes import Axes

    Vector = tuple[float, ...]

# The powers of ten of the prefixes of units, as UDUNITS names them.
_PREFIXES = {
    **dict(zip(("yocto", "zepto", "atto", "femto", "pico", "nano", "micro"), range(-24, -5, 3), strict=True)),
    **dict(zip(("milli", "centi", "deci", "", "deca", "hecto"), (-3, -2, -1, 0, 1, 2), strict=True)),
    **dict(
        zip(("kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta"), range(3, 25, 3), strict=True)
    ),
}
# The micrometers of each unit of length that the specification names, and of the usual symbols.
_MICROMETERS = {f"{prefix}meter": float(f"1e{power + 6}") for prefix, power in _PREFIXES.items()} | {
    "angstrom": 1e-4,
    "inch": 25_400.0,
    "foot": 304_800.0,
    "yard": 914_400.0,
    "mile": 1_609_344_000.0,
    "micron": 1.0,
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "km": 1e9,
}
# The axes of versions 0.1 and 0.2, which don't name them.
_OLD_VERSIONS, _OLD_AXES = ("0.1", "0.2"), "tczyx"
_LAYOUT, _SERIES_LAYOUT = "bioformats2raw.layout", 3


class Axis(NamedTuple):
    """An axis of an image: its name, its type, such as "space", and its unit."""

    name: str
    type: str | None = None
    unit: str | None = None


class Dataset(NamedTuple):
    """A level of an image: the path of its array, and along each axis its scale and its first place.

    They are None where the metadata don't say.
    """

    path: str
    scale: Vector | None
    translation: Vector | None


@dataclass(frozen=True)
class Multiscale:
    """An image of one or several levels.

    Attributes
    ----------
    name : str
        Empty if it has none.
    axes : tuple of Axis
    datasets : tuple of Dataset
        The full resolution first.
    """

    name: str
    axes: tuple[Axis, ...]
    datasets: tuple[Dataset, ...]

    def geometry(self, level: int, axes: Axes) -> Geometry:
        """Return the size of the pixels of a level, and the place of the first one.

        Parameters
        ----------
        level : int
        axes : Axes
            Which of the axes are rows and columns.

        Returns
        -------
        Geometry
            Unknown if the scale isn't said, isn't positive, or has no unit of length.
        """
        dataset, plane = self.datasets[level], (axes.rows, axes.columns)
        units = [_MICROMETERS.get((self.axes[axis].unit or "").replace("metre", "meter")) for axis in plane]
        if dataset.scale is None or None in units:
            return UNKNOWN
        translation = dataset.translation or (0.0,) * len(self.axes)
        pairs = list(zip(plane, units, strict=True))
        height, width = (dataset.scale[axis] * (unit or 0.0) for axis, unit in pairs)
        down, right = (translation[axis] * (unit or 0.0) for axis, unit in pairs)
        is_size = min(height, width) > 0 and all(map(math.isfinite, (height, width, down, right)))
        return Geometry((height, width), (down, right)) if is_size else UNKNOWN

    def ratio(self, level: int, axes: Axes) -> tuple[float, float] | None:
        """Return the height and the width of a level's pixels in those of level 0, or None if unknown."""
        first, other = self.datasets[0].scale, self.datasets[level].scale
        if first is None or other is None or min(*first, *other) <= 0:
            return None
        return other[axes.rows] / first[axes.rows], other[axes.columns] / first[axes.columns]


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a group that are OME-Zarr's: they have a key of their own from 0.5 on."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def read_multiscales(attributes: Mapping[str, Any], path: str) -> tuple[Multiscale, ...]:
    """Return the images that a group holds.

    Parameters
    ----------
    attributes : mapping
        OME-Zarr's attributes of the group.
    path : str
        The group, in messages.

    Returns
    -------
    tuple of Multiscale
        Empty if the group isn't an image.

    Raises
    ------
    ValueError
        If the metadata are of another form.
    """
    entries = attributes.get("multiscales")
    # Another convention, of the same name, is a mapping.
    if entries is None or isinstance(entries, dict):
        return ()
    try:
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"multiscales is {entries!r:.80}; wanted a list of images")  # noqa: TRY301  told below
        return tuple(_read_multiscale(entry, str(attributes.get("version", ""))) for entry in entries)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} has OME-Zarr metadata that can't be read: {reason}") from error


def channel_names(attributes: Mapping[str, Any], n_channels: int) -> tuple[str, ...] | None:
    """Return the names of a group's channels, or None if not all of them have names, and each its own."""
    omero = attributes.get("omero")
    entries = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(entries, list) or len(entries) != n_channels:
        return None
    labels = [entry.get("label") if isinstance(entry, dict) else None for entry in entries]
    names = tuple(label for label in labels if isinstance(label, str) and label)
    return names if len(set(names)) == n_channels else None


def plate_wells(attributes: Mapping[str, Any]) -> list[str] | None:
    """Return the paths of a plate's wells, or None if the group isn't a plate."""
    plate = attributes.get("plate")
    return None if not isinstance(plate, dict) else _paths(plate.get("wells"))


def well_fields(attributes: Mapping[str, Any]) -> list[str] | None:
    """Return the paths of the fields of view of a well, or None if the group isn't a well."""
    well = attributes.get("well")
    return None if not isinstance(well, dict) else _paths(well.get("images"))


def has_series(attributes: Mapping[str, Any]) -> bool:
    """Return whether a group holds the series of a file as images "0", "1" and so on."""
    return attributes.get(_LAYOUT) == _SERIES_LAYOUT


def label_names(attributes: Mapping[str, Any]) -> list[str] | None:
    """Return the names of the labels that a group holds, or None if it isn't a group of labels."""
    names = attributes.get("labels")
    return [str(name) for name in names] if isinstance(names, list) else None


def _paths(entries: object) -> list[str]:
    """Return the paths in a list of mappings."""
    listed = entries if isinstance(entries, list) else []
    return [str(entry["path"]) for entry in listed if isinstance(entry, dict) and "path" in entry]


def _read_multiscale(entry: Mapping[str, Any], version: str) -> Multiscale:
    named = entry.get("axes")
    if named is None:
        version = str(entry.get("version", version))
        if version not in _OLD_VERSIONS:
            raise ValueError(f"version {version or 'unknown'} of multiscales doesn't name its axes")
        named = list(_OLD_AXES)
    axes = tuple(
        Axis(axis) if isinstance(axis, str) else Axis(str(axis["name"]), axis.get("type"), axis.get("unit"))
        for axis in named
    )
    whole = entry.get("coordinateTransformations")
    datasets = tuple(
        Dataset(str(one["path"]), *_read_transforms((one.get("coordinateTransformations"), whole), len(axes)))
        for one in entry["datasets"]
    )
    if not datasets:
        raise ValueError("an image has no datasets")
    return Multiscale(str(entry.get("name") or ""), axes, datasets)


def _read_transforms(lists: tuple[Any, ...], n_axes: int) -> tuple[Vector | None, Vector | None]:
    """Return the scale and the translation that transformations make, one list after the other."""
    scale, translation, is_said = (1.0,) * n_axes, (0.0,) * n_axes, False
    for transform in (transform for one in lists for transform in one or ()):
        kind = transform.get("type")
        if kind == "identity":
            continue
        if kind not in {"scale", "translation"} or not isinstance(transform.get(kind), list):
            # A rotation, for example, or numbers in a file.
            return None, None
        numbers = tuple(map(float, transform[kind]))
        if len(numbers) != n_axes:
            raise ValueError(f"a {kind} has {len(numbers)} numbers; wanted {n_axes}, one for each axis")
        if kind == "scale":
            is_said = True
            scale = tuple(a * b for a, b in zip(scale, numbers, strict=True))
            translation = tuple(a * b for a, b in zip(translation, numbers, strict=True))
        else:
            translation = tuple(a + b for a, b in zip(translation, numbers, strict=True))
    return (scale, translation) if is_said else (None, None)
