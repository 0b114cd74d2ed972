"""The public evaluation, NumPy, Dask or xarray in and the same out, and stored results as Dask arrays."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr
from dask.base import tokenize
from dask.delayed import delayed

from pipeline.compute.engine import check_image, choose_engine, evaluate_block, has_data
from pipeline.models.mixture import Mixture
from pipeline.models.encoding import Packed, read_quantity
from pipeline.stores.placement import unfinished
from pipeline.models.quantity import Density, Quantity, no_data_value
from pipeline.stores.local import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, DTypeLike


def compute_densities(
    image: ArrayLike | da.Array,
    kernels: Mixture | Iterable[Any],
    *,
    normalized: bool = True,
    dtype: DTypeLike = "float32",
    channel_axis: int | None = -1,
    engine: str = "auto",
) -> Any:  # noqa: ANN401  an array of the kind that came in
    """Compute the density of a Gaussian mixture at every pixel of an image.

    Parameters
    ----------
    image : array_like or dask.array.Array, shape (H, W, C)
        Boolean, integer or floating point, any strides. Its channels must be in the order of the kernels'
        means: OpenCV's ``imread`` gives blue, green, red, published colour mixtures mostly are red, green,
        blue.
    kernels : Mixture or iterable of Kernel
        Or of any (mean, covariance, weight), see :class:`Kernel`.
    normalized : bool
        False leaves out the factor (2 pi)^(-C/2).
    dtype : dtype
        float32 or float64.
    channel_axis : int or None
        Where the channels are; None for a grey image without a channel axis.
    engine : str
        ``"numexpr"`` computes every pixel, ``"table"`` every colour once; both give the same bits. ``"auto"``
        takes the table for large images of up to 24 bits a pixel.

    Returns
    -------
    ndarray or dask.array.Array, shape (H, W)
        Computed in float64 and rounded to `dtype`.

    Raises
    ------
    ValueError
        For kernels that aren't a mixture, an image without the mixture's channels, or another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from pipeline import Kernel, compute_densities
    >>> image = np.zeros((2, 3, 3), dtype=np.uint8)
    >>> kernels = [Kernel(mean=[0, 0, 0], covariance=[1, 1, 1], weight=1)]
    >>> compute_densities(image, kernels, normalized=False)
    array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32)
    """
    mixture = kernels if isinstance(kernels, Mixture) else Mixture.from_kernels(kernels)
    quantity = Density(mixture, normalized=normalized)
    return evaluate(image, quantity, dtype=dtype, channel_axis=channel_axis, engine=engine)


def evaluate(
    image: ArrayLike | da.Array,
    quantity: Quantity,
    *,
    dtype: DTypeLike | None = None,
    channel_axis: int | None = -1,
    engine: str = "auto",
    mask: ArrayLike | da.Array | None = None,
) -> Any:  # noqa: ANN401  an array of the kind that came in
    """Evaluate a quantity at every pixel of an image.

    Parameters
    ----------
    image : array_like, dask.array.Array or xarray.DataArray, shape (H, W, C)
        Boolean, integer or floating point, any strides, channels in the order of the quantity's mixture.
    quantity : Quantity
    dtype : dtype, optional
        Of the result, float16, float32 or float64, where the quantity has no dtype of its own: float32 by
        default.
    channel_axis : int or None
        Where the channels are; None for a grey image without a channel axis.
    engine : str
        ``"numexpr"`` computes every pixel, ``"table"`` every colour once; both give the same bits. ``"auto"``
        takes the table for large images of up to 24 bits a pixel.
    mask : array_like, optional
        Of the image's shape without the channel axis; pixels where it is 0 have no data.

    Returns
    -------
    ndarray, dask.array.Array or xarray.DataArray, shape (H, W)
        A Dask array is lazy, with the image's chunks, for any Dask scheduler. A DataArray keeps its
        coordinates. The classes of a posterior stand where the channels stood, or last where there was no
        axis. Where there are no data, it is NaN, or the highest integer.

    Raises
    ------
    TypeError
        If the quantity isn't one.
    ValueError
        For an image without the mixture's channels, another dtype or engine, or a mask of another shape.
    """
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(image, xarray.DataArray):
        plain = _plain_mask(mask, image, channel_axis) if isinstance(mask, xarray.DataArray) else mask
        data = evaluate(
            image.data, quantity, dtype=dtype, channel_axis=channel_axis, engine=engine, mask=plain
        )
        return _label(xarray, image, data, quantity, channel_axis)
    array = image if isinstance(image, da.Array) else np.asanyarray(image)
    axis = check_image(array, quantity, channel_axis=channel_axis)
    result: Any
    if isinstance(array, da.Array):
        result = _evaluate_lazily(array, quantity, quantity.output_dtype(dtype), channel_axis, engine)
    else:
        result = evaluate_block(
            array, quantity, dtype=dtype, channel_axis=channel_axis, engine=engine, serial=False
        )
    return result if mask is None else _without_masked(result, mask, quantity, axis)


def _evaluate_lazily(
    image: da.Array,
    quantity: Quantity,
    output_dtype: np.dtype[Any],
    channel_axis: int | None,
    engine: str,
) -> da.Array:
    n_pixels = image.size // quantity.n_channels
    if np.isnan(n_pixels):  # chunks of unknown length: then they are many
        n_pixels = np.iinfo(np.int64).max
    chosen = choose_engine(engine, quantity, image.dtype, n_pixels, result=output_dtype).engine
    options: dict[str, Any] = {"dtype": output_dtype, "channel_axis": channel_axis, "engine": chosen}
    blocks, chunks, dropped, added = image, list(image.chunks), [], []
    if channel_axis is not None:
        blocks = image.rechunk({channel_axis: -1})
        chunks, dropped = list(blocks.chunks), [channel_axis % image.ndim]
        del chunks[channel_axis]
    if quantity.planes is not None:
        added = dropped or [image.ndim]
        chunks.insert(added[0], (len(quantity.planes),))
    result: da.Array = da.map_blocks(
        _evaluate_task,
        blocks,
        # One node of the graph: the model is sent to a worker once, not with every block.
        delayed(quantity, pure=True),
        drop_axis=dropped,
        new_axis=added or None,
        chunks=tuple(chunks),
        dtype=output_dtype,
        meta=np.empty((0,) * len(chunks), output_dtype),
        name=f"{quantity.name}-{tokenize(blocks.name, quantity, options)}",
        options=options,
    )
    return result


def _without_masked(result: Any, mask: Any, quantity: Quantity, axis: int) -> Any:  # noqa: ANN401  NumPy's or Dask's
    lazy = isinstance(result, da.Array) or isinstance(mask, da.Array)
    keep = has_data(mask if isinstance(mask, da.Array) else np.asarray(mask))
    if quantity.planes is not None:
        keep = (da if lazy else np).expand_dims(keep, axis)
    wanted = result.shape if quantity.planes is None else (*result.shape[:axis], 1, *result.shape[axis:][1:])
    if keep.shape != wanted:
        raise ValueError(f"mask has shape {np.shape(mask)}; wanted that of the image without its channels")
    return (da if lazy else np).where(keep, result, result.dtype.type(no_data_value(result.dtype)))


def _plain_mask(mask: Any, image: Any, channel_axis: int | None) -> Any:  # noqa: ANN401  xarray's
    dims = list(image.dims)
    if channel_axis is not None:
        del dims[channel_axis]
    if set(mask.dims) != set(dims):
        raise ValueError(f"mask has dimensions {mask.dims}; wanted {tuple(dims)}, the image's")
    for dim in dims:
        both = dim in mask.indexes and dim in image.indexes
        if both and not mask.indexes[dim].equals(image.indexes[dim]):
            raise ValueError(f"the mask's {dim!r} coordinates aren't the image's. Reindex it.")
    return mask.transpose(*dims).data


def _label(xarray: Any, image: Any, data: Any, quantity: Quantity, channel_axis: int | None) -> Any:  # noqa: ANN401  an extra
    """Give results the image's dimensions and coordinates, but for the channels'."""
    dims, channels = list(image.dims), None
    if channel_axis is not None:
        channels = dims.pop(channel_axis)
    coords = {name: value for name, value in image.coords.items() if channels not in value.dims}
    if quantity.planes is not None:
        dims.insert(len(dims) if channel_axis is None else channel_axis % image.ndim, "class")
        coords["class"] = list(quantity.planes)
    return xarray.DataArray(data, dims=dims, coords=coords, name=quantity.name)


def open_result(store: str | os.PathLike[str], level: int = 0) -> dict[str, da.Array]:
    """Open the results of a run as Dask arrays.

    Parameters
    ----------
    store : path
        That :func:`stream` wrote.
    level : int
        0 is full resolution.

    Returns
    -------
    dict of str to dask.array.Array
        Each result under its name, shape (H, W), or (J, H, W) for a posterior of J classes; one chunk of
        Dask's a shard. What is packed comes as the values that it stands for, float32. Where there are no
        data it is NaN, or the highest integer of a label's dtype.

    Raises
    ------
    FileNotFoundError
        If nothing is there, or only what an interrupted run left.
    ValueError
        If it isn't a result of this package, or has no such level.
    """
    path = Path(store)
    if not path.exists() and unfinished(path).exists():
        raise FileNotFoundError(
            f"{store} is unfinished. Go on with stream(..., resume=True) or: mixture-pipeline resume {store}"
        )
    results = {}
    for name, record in read_record(path)["results"].items():
        try:
            array = zarr.open_array(path, path=f"{name}/{level}", mode="r")
        except FileNotFoundError:
            raise ValueError(f"{os.fspath(store)} has no level {level} of {name}") from None
        # Left alone, Dask takes the chunks inside the shards, and one task each.
        token = tokenize(str(path.resolve()), name, level, (path / "zarr.json").stat().st_mtime_ns)
        stored = da.from_array(array, chunks=array.shards or array.chunks, name=f"{name}-{token}")
        quantity = read_quantity(record)
        if isinstance(quantity, Packed):
            stored = stored.map_blocks(quantity.unpack, dtype=np.float32)
        results[name] = stored
    return results


def _evaluate_task(block: Any, quantity: Quantity, options: dict[str, Any]) -> Any:  # noqa: ANN401
    return evaluate_block(np.asarray(block), quantity, **options)
