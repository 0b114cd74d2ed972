"""The images in a Zarr group: its own, the series of a file, fields of a plate, labels, outputs of a run."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import zarr

from pipeline.images.ome_zarr import (
    Multiscale,
    has_series,
    label_names,
    ome_attributes,
    plate_wells,
    read_multiscales,
    well_fields,
)
from pipeline.images.zarr_axes import find_plane
from pipeline.images.zarr_nodes import child_of, children_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.images.zarr_nodes import Node

# So many paths are listed in messages, and so many groups and arrays are opened to find them.
_LISTED, _VISITED = 8, 200
_WELLS = 3


class Entry(NamedTuple):
    """An image in a group, or in a group within it.

    Attributes
    ----------
    name : str
        By which it can be chosen; empty if it has none.
    path : str
        The path of its group, in messages.
    group : zarr.Group
    image : Multiscale
    """

    name: str
    path: str
    group: zarr.Group
    image: Multiscale

    def arrays(self) -> list[zarr.Array[Any]]:
        """Open the arrays of all levels.

        Raises
        ------
        ValueError
            If one isn't there, or doesn't have the image's axes.
        """
        arrays = []
        for number, dataset in enumerate(self.image.datasets):
            array, n_axes = child_of(self.group, dataset.path), len(self.image.axes)
            if not isinstance(array, zarr.Array):
                raise ValueError(  # noqa: TRY004  it is a fault of the store
                    f"{self.path} names {dataset.path} as the array of level {number}, but it has none. "
                    "Copy the whole group again."
                )
            if array.ndim != n_axes:
                raise ValueError(
                    f"{self.path}/{dataset.path} has shape {array.shape}, but the image's metadata name "
                    f"{n_axes} axes: {', '.join(axis.name for axis in self.image.axes)}"
                )
            arrays.append(array)
        return arrays

    def extent(self) -> tuple[int, int] | None:
        """Return the height and the width, or None if the axes don't have the usual names."""
        plane = find_plane([axis.name for axis in self.image.axes])
        array = child_of(self.group, self.image.datasets[0].path)
        if plane is None or not isinstance(array, zarr.Array) or array.ndim <= max(plane):
            return None
        return array.shape[plane[0]], array.shape[plane[1]]


def choose_entry(group: zarr.Group, series: int | str | None, path: str) -> tuple[Entry, tuple[str, ...]]:
    """Choose one of the images in a group.

    Parameters
    ----------
    group : zarr.Group
    series : int, str or None
        The number or the name of the image. None is the largest one of the series of a file, and the only one
        of other groups.
    path : str
        The group, in messages.

    Returns
    -------
    Entry
    tuple of str
        A line about each image, if there are several.

    Raises
    ------
    ValueError
        If there is no such image, or one must be chosen. The message lists what there is.
    """
    attributes = ome_attributes(group.attrs.asdict())
    wells = plate_wells(attributes)
    if wells is not None:
        listed = _shorten(f"{path}/{field}" for field in _first_fields(group, wells))
        n_wells = "1 well" if len(wells) == 1 else f"{len(wells)} wells"
        raise ValueError(f"{path} is a plate of {n_wells}, not an image. Pass one of its fields: {listed}.")
    entries = _entries(group, path, "")
    is_one_file = True
    if not entries and has_series(attributes):
        entries = _entries_of(group, path, _series_names(group))
    elif not entries:
        names = well_fields(attributes) or label_names(attributes)
        members = [name for name, _ in children_of(group)] if names is None else names
        entries = _entries_of(group, path, members)
        is_one_file = len(members) == 1
    if not entries:
        found = list_contents(children_of(group), path)
        wanted = f"wanted what is in it: {found}" if found else "and there is none in it"
        raise ValueError(f"{path} is a Zarr group, not an image or an array; {wanted}")
    if series is not None:
        return _chosen(entries, series, path), _lines(entries)
    if not is_one_file:
        names = [entry.name for entry in entries]
        raise ValueError(
            f"{path} holds {_shorten(names)}; wanted one image. Pass the path of one, {entries[0].path}, or "
            f"series={names[0]!r}."
        )
    return max(entries, key=lambda entry: math.prod(entry.extent() or (0,))), _lines(entries)


def list_contents(children: Iterable[tuple[str, Node]], path: str) -> str:
    """List the images and arrays at any depth of a directory or a group, as far as it isn't too large.

    Parameters
    ----------
    children : iterable of (str, node)
        The names of what is directly in it, with the groups and arrays.
    path : str
        The directory or the group.

    Returns
    -------
    str
        Some of their paths; empty if there is none.
    """
    found: list[str] = []
    todo = [(f"{path}/{name}", node) for name, node in itertools.islice(children, _VISITED)]
    for place, node in todo:
        if isinstance(node, zarr.Array):
            # Those of one axis are coordinates.
            found += [f"{place} of shape {node.shape}"] if node.ndim > 1 else []
        elif isinstance(ome_attributes(node.attrs.asdict()).get("multiscales"), list):
            found.append(place)
        elif len(todo) < _VISITED:
            todo += [
                (f"{place}/{name}", child) for name, child in itertools.islice(children_of(node), _VISITED)
            ]
    return _shorten(found)


def _entries(group: zarr.Group, path: str, name: str) -> list[Entry]:
    """Return the images that a group itself holds."""
    images = read_multiscales(ome_attributes(group.attrs.asdict()), path)
    return [Entry(name or image.name, path, group, image) for image in images]


def _entries_of(group: zarr.Group, path: str, names: Iterable[str]) -> list[Entry]:
    """Return the images of groups within a group."""
    entries = []
    for name in names:
        inner = child_of(group, name)
        if isinstance(inner, zarr.Group):
            entries += _entries(inner, f"{path}/{name}", name)
    return entries


def _series_names(group: zarr.Group) -> list[str]:
    """Return the paths of the series of a file: as listed, or else those that are numbers."""
    described = child_of(group, "OME")
    listed = None if described is None else ome_attributes(described.attrs.asdict()).get("series")
    if isinstance(listed, list):
        return [str(name) for name in listed]
    return [name for name, _ in children_of(group) if name.isdecimal()]


def _chosen(entries: list[Entry], series: int | str, path: str) -> Entry:
    """Return the image of a number or a name."""
    if isinstance(series, int):
        found = entries[series : series + 1]
    else:
        found = [entry for entry in entries if entry.name == series]
    if len(found) == 1:
        return found[0]
    several = f"{len(found)} images of that name" if found else "no such image"
    raise ValueError(
        f"series is {series!r}, but {path} has {several}; wanted one of {_shorten(_lines(entries, 0))}"
    )


def _lines(entries: list[Entry], fewest: int = 1) -> tuple[str, ...]:
    """Return a line about each image, if there are more than so many."""
    if len(entries) <= fewest:
        return ()
    lines = []
    for number, entry in enumerate(entries):
        extent = entry.extent()
        size = "" if extent is None else f"{extent[0]} x {extent[1]} pixels"
        lines.append(f"{number}: {', '.join(filter(None, [entry.name, size]))}")
    return tuple(lines)


def _first_fields(group: zarr.Group, wells: list[str]) -> Iterator[str]:
    """Yield the paths of the fields of view of a plate's first wells."""
    for path in wells[:_WELLS]:
        well = child_of(group, path)
        fields = None if well is None else well_fields(ome_attributes(well.attrs.asdict()))
        yield from (f"{path}/{field}" for field in fields or ["0"])


def _shorten(paths: Iterable[str]) -> str:
    """Return the first paths of a list, and how many more there are."""
    listed = list(paths)
    more = len(listed) - _LISTED
    return ", ".join(listed[:_LISTED]) + (f" and {more} more" if more > 0 else "")
