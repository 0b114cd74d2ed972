"""Opening Zarr arrays and groups as images: by the metadata of OME-Zarr, or by the names of axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from pipeline.images.ome_zarr import channel_names, ome_attributes, read_multiscales
from pipeline.images.pixels import check_array, check_numbers
from pipeline.images.remote import address_of
from pipeline.images.zarr_array import Facts, ZarrArray
from pipeline.images.zarr_axes import Axes, find_axes, find_plane
from pipeline.images.zarr_groups import Entry, choose_entry, list_contents
from pipeline.images.zarr_metadata import axis_names, map_geometry, no_data_of
from pipeline.images.zarr_nodes import (
    ancestors_of,
    child_of,
    directory_of,
    nodes_in,
    open_node,
    sibling_of,
    with_absolute_root,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.images.choice import Choice
    from pipeline.images.geometry import Geometry
    from pipeline.images.zarr_nodes import Node


def open_zarr_directory(
    path: str, choice: Choice, *, role: str, channel_axis: int | None
) -> ZarrArray | None:
    """Open the directory of a Zarr array or of an OME-Zarr group, or return None if it is another directory.

    Parameters
    ----------
    path : str
        The absolute path of a directory.
    choice : Choice
        The level and the series of an OME-Zarr group, and the plane along axes of depth and time.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    ZarrArray or None

    Raises
    ------
    ValueError
        If it can't be an image or a mask, or is a group that holds several, or its metadata are damaged.
    """
    node = open_node(Path(path).resolve())
    return None if node is None else _Opening(path, choice, role, channel_axis).open(node)


def refuse_zarr_folder(path: str, choice: Choice, *, role: str, channel_axis: int | None) -> None:
    """Raise ValueError for a directory that is no image but holds Zarr arrays; the message names them."""
    del choice, role, channel_axis
    found = list_contents(nodes_in(Path(path).resolve()), path)
    if found:
        raise ValueError(f"{path} is a directory, not an image; wanted what is in it: {found}")


def open_zarr(node: object, role: str, channel_axis: int | None, choice: Choice) -> ZarrArray | None:
    """Return an open Zarr array or group as a source, or None if it is something else.

    Parameters
    ----------
    node : object
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.
    choice : Choice
        As for :func:`open_zarr_directory`.

    Returns
    -------
    ZarrArray or None

    Raises
    ------
    TypeError, ValueError
        As for :func:`open_zarr_directory`.
    """
    if not isinstance(node, zarr.Array | zarr.Group):
        return None
    node = with_absolute_root(node)
    name = str(directory_of(node) or address_of(node) or node.path or f"the {role}")
    return _Opening(name, choice, role, channel_axis).open(node)


@dataclass(frozen=True)
class _Opening:
    """The opening of one image: what a caller asks for.

    Attributes
    ----------
    name : str
        The path, or the word for what is open, in messages.
    choice : Choice
    role : str
    channel_axis : int or None
    """

    name: str
    choice: Choice
    role: str
    channel_axis: int | None

    def open(self, node: Node) -> ZarrArray:
        """Open an array or a group."""
        if isinstance(node, zarr.Group):
            self.choice.check(self.name, "a Zarr group", "level", "series", "z", "t")
            array, axes, facts = self._in_group(node)
        else:
            self.choice.check(self.name, "a Zarr array", "z", "t")
            array = node
            axes, facts = self._of_level(array) or self._of_array(array)
        check_numbers(array, self.role)
        options = {**self.choice.options(), **facts.options}
        facts = replace(facts, path=directory_of(node), address=address_of(node), options=options)
        return ZarrArray(array, axes, replace(facts, no_data=no_data_of(array)))

    def _in_group(self, group: zarr.Group) -> tuple[zarr.Array[Any], Axes, Facts]:
        """Return the array of a level of an image in a group, and what is known of it."""
        entry, series = choose_entry(group, self.choice.series, self.name)
        arrays, level = entry.arrays(), self.choice.level
        if level >= len(arrays):
            count = "1 level" if len(arrays) == 1 else f"{len(arrays)} levels"
            raise ValueError(f"level is {level}, but {self.name} has {count}; wanted 0 to {len(arrays) - 1}")
        axes, facts = self._of_dataset(entry, level, arrays[level])
        levels = tuple((array.shape[axes.rows], array.shape[axes.columns]) for array in arrays)
        ratio = entry.image.ratio(level, axes)
        if ratio is None:
            down, across = (a / max(1, b) for a, b in zip(levels[0], levels[level], strict=True))
            ratio = down, across
        whole = map_geometry(entry.group.attrs.asdict(), partial(_child_attributes, entry.group))
        facts = replace(facts, geometry=_with_map(facts.geometry, whole.coarser(*ratio)))
        return arrays[level], axes, replace(facts, levels=levels if len(levels) > 1 else (), series=series)

    def _of_level(self, array: zarr.Array[Any]) -> tuple[Axes, Facts] | None:
        """Return what is known of an array that a group above it names as a level of an image, or None."""
        for group, path in ancestors_of(array):
            for image in read_multiscales(ome_attributes(group.attrs.asdict()), f"{directory_of(group)}"):
                paths = [dataset.path for dataset in image.datasets]
                if path in paths and len(image.axes) == array.ndim:
                    return self._of_dataset(Entry("", self.name, group, image), paths.index(path), array)
        return None

    def _of_dataset(self, entry: Entry, level: int, array: zarr.Array[Any]) -> tuple[Axes, Facts]:
        """Return what is known of an array that is a level of an image."""
        names, types = ([axis[place] for axis in entry.image.axes] for place in (0, 1))
        axes = find_axes(names, array.shape, self.choice, path=self.name, types=types)
        self._check_channel_axis(axes, names)
        n_channels = 1 if axes.channels is None else array.shape[axes.channels]
        channels = channel_names(ome_attributes(entry.group.attrs.asdict()), n_channels)
        geometry = _with_map(entry.image.geometry(level, axes), _map_of(array))
        return axes, Facts(channels=channels, geometry=geometry)

    def _of_array(self, array: zarr.Array[Any]) -> tuple[Axes, Facts]:
        """Return what is known of an array by itself."""
        names, options = axis_names(array), {}
        if names is not None and find_plane(names) is not None:
            axes = find_axes(names, array.shape, self.choice, path=self.name)
            self._check_channel_axis(axes, names)
        else:
            self.choice.check(self.name, "a Zarr array without names of axes")
            axes = Axes.unnamed(check_array(array, self.role, self.channel_axis))
            if axes.channels in {0, 1}:
                options = {"channel_axis": axes.channels}
        return axes, Facts(options=options, geometry=_map_of(array))

    def _check_channel_axis(self, axes: Axes, names: Sequence[str | None]) -> None:
        """Raise ValueError if a caller's channel axis isn't the one that the metadata name."""
        if self.channel_axis not in {-1, axes.channels}:
            named = "no axis of channels" if axes.channels is None else f"channels on axis {axes.channels}"
            raise ValueError(
                f"channel_axis is {self.channel_axis}, but {self.name} has the axes "
                f"{', '.join(map(str, names))}, {named}. Leave channel_axis out."
            )


def _map_of(array: zarr.Array[Any]) -> Geometry:
    """Return the coordinate reference system and the transform that an array states."""
    return map_geometry(array.attrs.asdict(), lambda name: _attributes(sibling_of(array, name)))


def _child_attributes(group: zarr.Group, name: str) -> Mapping[str, Any] | None:
    return _attributes(child_of(group, name))


def _attributes(node: Node | None) -> Mapping[str, Any] | None:
    return None if node is None else node.attrs.asdict()


def _with_map(geometry: Geometry, placed: Geometry) -> Geometry:
    """Return a geometry with another one's coordinate reference system and transform where it has none."""
    return replace(geometry, crs=geometry.crs or placed.crs, transform=geometry.transform or placed.transform)
