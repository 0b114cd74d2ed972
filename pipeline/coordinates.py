"""Results of evaluating an array of xarray: they keep its dimensions and coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.images.data_array import is_loaded, read_no_data
from pipeline.images.no_data import RULES, NoData
from pipeline.images.opening import AUTO

if TYPE_CHECKING:
    from pipeline.images.opening import NoDataLike
    from pipeline.models.output import Output


def read_data(image: Any) -> Any:  # noqa: ANN401  an extra
    """Return the NumPy or Dask array of an array of xarray: a Dask array if it is in a file still."""
    return image.data if is_loaded(image) else image.chunk("auto").data


def stated_no_data(image: Any, no_data: NoDataLike) -> NoDataLike:  # noqa: ANN401  an extra
    """Return a no-data value that a caller gives, or the one that the array's attributes state.

    Parameters
    ----------
    image : xarray.DataArray
    no_data : float, (float, "any"), "any", "all", "auto" or None
        As for :func:`open_image`.

    Returns
    -------
    float, (float, "any"), NoData, str or None
        As it was given, unless it is a text, and the array states a value.
    """
    stated = read_no_data(image)
    if stated is None or not isinstance(no_data, str) or no_data not in {AUTO, *RULES}:
        return no_data
    return NoData(stated.value, "any" if no_data == "any" else "all")


def plain_mask(mask: Any, image: Any, channel_axis: int | None) -> Any:  # noqa: ANN401  xarray's
    """Return the data of a mask in the order of the image's dimensions."""
    dims = list(image.dims)
    if channel_axis is not None:
        del dims[channel_axis]
    if set(mask.dims) != set(dims):
        raise ValueError(f"mask has dimensions {mask.dims}; wanted {tuple(dims)}, those of the image")
    for dim in dims:
        both = dim in mask.indexes and dim in image.indexes
        if both and not mask.indexes[dim].equals(image.indexes[dim]):
            raise ValueError(f"the coordinates {dim!r} of mask and image differ. Reindex the mask.")
    return mask.transpose(*dims).data


def with_coordinates(xarray: Any, image: Any, data: Any, output: Output, channel_axis: int | None) -> Any:  # noqa: ANN401  an extra
    """Return results with the image's dimensions and coordinates, except those of the channels."""
    dims, channels = list(image.dims), None
    if channel_axis is not None:
        channels = dims.pop(channel_axis)
    coords = {name: value for name, value in image.coords.items() if channels not in value.dims}
    if output.class_names is not None:
        dims.insert(len(dims) if channel_axis is None else channel_axis % image.ndim, "class")
        coords["class"] = list(output.class_names)
    return xarray.DataArray(data, dims=dims, coords=coords, name=output.name)
