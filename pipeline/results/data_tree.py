"""Results as Datasets and DataTrees of xarray, which is an extra: with names, places and units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.stores.georeference import GRID_MAPPING, SPATIAL_REF, is_on_a_map, spatial_ref

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

    from pipeline.images.geometry import Geometry
    from pipeline.models.output import Output
    from pipeline.results.result import Result

_ROWS, _COLUMNS, _CLASSES = "y", "x", "class"


def make_tree(result: Result) -> DataTree:
    """Return the results at all levels, each of which is a child named by its number."""
    xarray = _import_xarray()
    levels = range(len(result.levels))
    tree: DataTree = xarray.DataTree.from_dict(
        {f"/{number}": make_dataset(result.at(number)) for number in levels}
    )
    return tree


def make_dataset(result: Result) -> Dataset:
    """Return the results at one level, as :meth:`Result.to_xarray` says.

    Raises
    ------
    ModuleNotFoundError
        If xarray isn't installed.
    ValueError
        If a result has the name of an axis.
    """
    xarray = _import_xarray()
    coordinates, grid_mapping = _coordinates(result.geometry, result.levels[result.level])
    axes = _class_axes(result.outputs)
    for name in result:
        if name in {_ROWS, _COLUMNS, SPATIAL_REF, *axes.values()}:
            raise ValueError(
                f"{result.address} has a result named {name!r}, which is the name of an axis. Take "
                f"open_result(...)[{name!r}]."
            )
    variables = {}
    for name, output in result.outputs.items():
        leading = (axes[output.class_names],) if output.class_names is not None else ()
        attributes = {**_attributes(output), **grid_mapping}
        variables[name] = ((*leading, _ROWS, _COLUMNS), result[name], attributes)
    coordinates |= {axis: (axis, list(names)) for names, axis in axes.items()}
    dataset: Dataset = xarray.Dataset(variables, coordinates)
    return dataset


def _import_xarray() -> Any:  # noqa: ANN401  a module
    try:
        import xarray  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Datasets and DataTrees need xarray: pip install 'mixture-pipeline[xarray]'"
        ) from None
    return xarray


def _class_axes(outputs: dict[str, Output]) -> dict[tuple[str, ...], str]:
    """Return the name of an axis for each list of classes, since an axis has one list."""
    axes: dict[tuple[str, ...], str] = {}
    for name, output in outputs.items():
        if output.class_names is not None:
            axes.setdefault(output.class_names, f"{name}_{_CLASSES}" if axes else _CLASSES)
    return axes


def _coordinates(geometry: Geometry, shape: tuple[int, int]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the coordinates of the centers of pixels, and the attribute that names their reference."""
    rows, columns = (np.arange(length, dtype=np.float64) for length in shape)
    if is_on_a_map(geometry) and geometry.transform is not None:
        a, b, c, d, e, f = geometry.transform
        found: dict[str, Any] = {SPATIAL_REF: ((), np.int32(0), spatial_ref(geometry))}
        # Those of a turned image would have two axes; its transform says the same.
        if b == d == 0:
            found[_ROWS] = (_ROWS, e * (rows + 0.5) + f, {"axis": "Y"})
            found[_COLUMNS] = (_COLUMNS, a * (columns + 0.5) + c, {"axis": "X"})
        return found, {GRID_MAPPING: SPATIAL_REF}
    if geometry.pixel_size is None:
        return {}, {}
    (height, width), (down, right) = geometry.pixel_size, geometry.origin
    unit = {"units": "micrometer"}
    return {
        _ROWS: (_ROWS, height * rows + down, {"axis": "Y", **unit}),
        _COLUMNS: (_COLUMNS, width * columns + right, {"axis": "X", **unit}),
    }, {}


def _attributes(output: Output) -> dict[str, Any]:
    """Return the attributes of the CF conventions that say what the values are."""
    quantity = output.quantity
    attributes: dict[str, Any] = {"long_name": quantity.summary.rstrip(".")}
    if quantity.unit is not None:
        attributes["units"] = quantity.unit
    if output.label_names is not None:
        attributes["flag_values"] = np.arange(len(output.label_names), dtype=output.dtype)
        # Blanks separate the names.
        attributes["flag_meanings"] = " ".join("_".join(name.split()) for name in output.label_names)
        attributes["_FillValue"] = output.dtype.type(output.no_data)
    return attributes
