"""The public evaluation: NumPy, Dask or xarray in, and the same out."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import compute, tokenize
from dask.delayed import delayed

from pipeline.compute.engines import choose_engines, evaluate_pixels
from pipeline.coordinates import plain_mask, read_data, stated_no_data, with_coordinates
from pipeline.images.dask_array import is_dask_array
from pipeline.images.data_array import check_no_dataset
from pipeline.images.dimensions import find_channel_axis
from pipeline.images.grid import choose_grid
from pipeline.images.image import Image
from pipeline.images.no_data import check_no_data
from pipeline.images.opening import AUTO, open_image
from pipeline.images.pixels import check_pixels, has_data
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.runs.task import compute_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import dask.array as da
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from pipeline.images.opening import ImageLike, NoDataLike
    from pipeline.models.output import Output, Quantities

_LARGEST_INT = np.iinfo(np.int64).max


def compute_densities(
    image: ArrayLike | da.Array | Image,
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
    image : array_like, dask.array.Array or Image, shape (H, W, C)
        Boolean, integer or floating point, of any strides. Its channels must be in the order of the kernels'
        means: OpenCV's ``imread`` returns blue, green, red; most published color mixtures are for red, green,
        blue.
    kernels : Mixture or iterable of Kernel
        The kernels may be any (mean, covariance, weight), see :class:`Kernel`.
    normalized : bool
        If False, the factor (2 pi)^(-C/2) is left out.
    dtype : dtype
        float16, float32 or float64.
    channel_axis : int or None
        The axis of the channels; None for a gray image without a channel axis.
    engine : str
        As for :func:`evaluate`.

    Returns
    -------
    ndarray or dask.array.Array, shape (H, W)
        The densities, computed in float64 and rounded to `dtype`.

    Raises
    ------
    ValueError
        If the kernels aren't a mixture, the image doesn't have the mixture's channels, or the dtype can't
        hold densities.

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
    image: ArrayLike | da.Array | Image | str | os.PathLike[str],
    quantities: Quantities,
    *,
    dtype: DTypeLike | None = None,
    channel_axis: int | None = -1,
    engine: str = "auto",
    mask: ImageLike | None = AUTO,
    no_data: NoDataLike = AUTO,
) -> Any:  # noqa: ANN401  an array of the kind that came in, or a dict of them
    """Evaluate quantities at every pixel of an image.

    Parameters
    ----------
    image : array_like, dask.array.Array, xarray.DataArray, Image or path, shape (H, W, C)
        Boolean, integer or floating point, of any strides. The channels of an array must be in the order of
        the mixture's channels. The dimension "band", "channel", "c" or "rgb" of a DataArray holds them.
    quantities : Quantity, Packed, or mapping of str to these
        One quantity, or several by name, which share what they have in common.
    dtype : dtype, optional
        The dtype of results that have no dtype of their own: float16, float32 (the default) or float64.
    channel_axis : int or None
        The axis of the channels; None for a gray image without a channel axis.
    engine : str
        ``"numexpr"`` computes every pixel, ``"table"`` computes every color once and looks it up; both give
        the same bits. ``"numpy"`` computes every pixel by matrix products, and ``"numba"`` (extra ``fast``)
        by compiled loops; both are within one unit in the last place of the reference. For float64
        ``"numba"`` is within 1e-12 of the exact value as well, and ``"numpy"`` is refused.
        ``"auto"`` takes the fastest one by an estimate; for float64 only one of the first two.
    mask : array_like, path, Image, "alpha", "auto" or None
        Shape (H, W). Pixels where the mask is 0 have no data. ``"alpha"`` is the last channel of the image.
        ``"auto"`` and None are as for :func:`open_image`.
    no_data : float, (float, "any"), "any", "all", "auto" or None
        Pixels whose channels all have this value have no data; see :func:`open_image`.

    Returns
    -------
    ndarray, dask.array.Array or xarray.DataArray, shape (H, W)
        A dict of them for a mapping of quantities. A Dask array, an :class:`Image` and a path give a lazy
        Dask array. A DataArray keeps its coordinates, and gives a lazy one if it is lazy, or in a file still.
        The classes of a posterior stand where the channels stood, or last if there was no such axis. A pixel
        without data is NaN, or the highest integer.

    Raises
    ------
    TypeError
        If `quantities` holds something that isn't a Quantity or Packed.
    ValueError
        If the image doesn't have the mixture's channels, there is no such dtype or engine, or the mask has
        another shape.
    """
    outputs = make_outputs(quantities, dtype)
    results = _evaluate(image, outputs, channel_axis, engine, mask, no_data)
    if isinstance(quantities, Mapping):
        return {output.name: result for output, result in zip(outputs, results, strict=True)}
    return results[0]


def _evaluate(  # noqa: PLR0917  the arguments of evaluate, in its order
    image: Any,  # noqa: ANN401  a caller may pass anything
    outputs: tuple[Output, ...],
    channel_axis: int | None,
    engine: str,
    mask: Any,  # noqa: ANN401  a caller may pass anything
    no_data: NoDataLike,
) -> list[Any]:
    """Evaluate outputs by the way that suits the kind of image."""
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(image, xarray.DataArray):
        axis = find_channel_axis(image.dims, channel_axis)
        plain = plain_mask(mask, image, axis) if isinstance(mask, xarray.DataArray) else mask
        no_data = stated_no_data(image, no_data)
        results = _evaluate(read_data(image), outputs, axis, engine, plain, no_data)
        pairs = zip(outputs, results, strict=True)
        return [with_coordinates(xarray, image, result, output, axis) for output, result in pairs]
    check_no_dataset(image, "image")
    if isinstance(image, Image | str | os.PathLike | dict) or _is_image(mask):
        opened = open_image(image, channel_axis=channel_axis, mask=mask, no_data=no_data)
        lazy = _evaluate_image(opened, outputs, engine)
        is_lazy = isinstance(image, Image | str | os.PathLike | dict) or is_dask_array(image)
        return lazy if is_lazy else list(compute(*lazy))
    array = image if is_dask_array(image) else np.asanyarray(image)
    mask, no_data = (None if isinstance(given, str) and given == AUTO else given for given in (mask, no_data))
    model = outputs[0].quantity
    axis = check_pixels(array, model.n_channels, model.channels, channel_axis=channel_axis)
    if is_dask_array(array):
        results = _evaluate_lazily(array, outputs, channel_axis, engine)
    else:
        results = _evaluate_now(array, outputs, channel_axis, axis, engine)
    keep = _kept(array, mask, no_data, channel_axis, axis)
    if keep is None:
        return results
    return [
        _without_masked(result, keep, output, axis) for output, result in zip(outputs, results, strict=True)
    ]


def _evaluate_now(
    image: NDArray[Any], outputs: Sequence[Output], channel_axis: int | None, axis: int, engine: str
) -> list[Any]:
    pixels = np.moveaxis(image if channel_axis is not None else image[..., np.newaxis], axis, -1)
    n_pixels = math.prod(pixels.shape[:-1])
    engines = [choice.engine for choice in choose_engines(engine, outputs, image.dtype, n_pixels)]
    results, _ = evaluate_pixels(pixels, outputs, engines, serial=False)
    return [
        result[0] if output.class_names is None else np.moveaxis(result, 0, axis)
        for output, result in zip(outputs, results, strict=True)
    ]


def _evaluate_lazily(
    image: da.Array, outputs: Sequence[Output], channel_axis: int | None, engine: str
) -> list[Any]:
    n_pixels = image.size // outputs[0].quantity.n_channels
    if np.isnan(n_pixels):  # chunks have unknown lengths, and then there are many
        n_pixels = _LARGEST_INT
    choices = choose_engines(engine, outputs, image.dtype, n_pixels)
    return [
        _map_chunks(image, output, channel_axis, choice.engine)
        for output, choice in zip(outputs, choices, strict=True)
    ]


def _map_chunks(image: da.Array, output: Output, channel_axis: int | None, engine: str) -> da.Array:
    """Evaluate an output chunk by chunk."""
    blocks, chunks, dropped, added = image, list(image.chunks), [], []
    if channel_axis is not None:
        blocks = image.rechunk({channel_axis: -1})
        chunks, dropped = list(blocks.chunks), [channel_axis % image.ndim]
        del chunks[channel_axis]
    if output.class_names is not None:
        added = dropped or [image.ndim]
        chunks.insert(added[0], (output.n_results,))
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    result: da.Array = da.map_blocks(
        _evaluate_chunk,
        blocks,
        # The output is one node of the graph, so that the model is sent to a worker once.
        delayed(output, pure=True),
        drop_axis=dropped,
        new_axis=added or None,
        chunks=tuple(chunks),
        dtype=output.dtype,
        meta=np.empty((0,) * len(chunks), output.dtype),
        name=f"{output.name}-{tokenize(blocks.name, output, channel_axis, engine)}",
        channel_axis=channel_axis,
        engine=engine,
    )
    return result


def _evaluate_chunk(block: Any, output: Output, channel_axis: int | None, engine: str) -> NDArray[Any]:  # noqa: ANN401  a chunk of any kind
    image = np.asarray(block)
    axis = -1 if channel_axis is None else channel_axis % image.ndim - image.ndim
    pixels = np.moveaxis(image if channel_axis is not None else image[..., np.newaxis], axis, -1)
    (result,), _ = evaluate_pixels(pixels, [output], [engine], serial=True)
    return result[0] if output.class_names is None else np.moveaxis(result, 0, axis)


def _evaluate_image(image: Image, outputs: Sequence[Output], engine: str) -> list[Any]:
    """Evaluate outputs lazily, in blocks that suit the image."""
    model = outputs[0].quantity
    fitted = image.fitted(model.n_channels, model.channels)
    grid = choose_grid(fitted.extent, tile=fitted.tile)
    chunks = tuple(
        tuple(min(side, extent - start) for start in range(0, extent, side)) or (0,)
        for extent, side in zip(grid.shape, grid.block, strict=True)
    )
    masks = [mask.description for mask in fitted.masking.masks]
    token = tokenize(fitted.description, masks, fitted.masking.has_alpha, fitted.no_data, chunks, engine)
    results = []
    for output, choice in zip(
        outputs, choose_engines(engine, outputs, fitted.dtype, grid.n_pixels), strict=True
    ):
        classes = () if output.class_names is None else ((output.n_results,),)
        import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

        result: da.Array = da.map_blocks(
            _evaluate_region,
            delayed(fitted, pure=True),
            delayed(output, pure=True),
            choice.engine,
            chunks=(*chunks, *classes),
            dtype=output.dtype,
            meta=np.empty((0,) * (2 + len(classes)), output.dtype),
            name=f"{output.name}-{tokenize(token, output)}",
        )
        results.append(result)
    return results


def _evaluate_region(image: Image, output: Output, engine: str, block_info: Any = None) -> NDArray[Any]:  # noqa: ANN401  Dask's
    """Evaluate an output in one block of an image."""
    rows, columns = (slice(*ends) for ends in block_info[None]["array-location"][:2])
    extent = (rows.stop - rows.start, columns.stop - columns.start)
    (result,), _, _ = compute_part(image.part((rows, columns)), extent, [output], [engine])
    return result[0] if output.class_names is None else np.moveaxis(result, 0, -1)


def _is_image(mask: Any) -> bool:  # noqa: ANN401  a caller may pass anything
    """Return whether a mask is an image to open, or the alpha channel, and not an array."""
    return isinstance(mask, Image | os.PathLike) or (isinstance(mask, str) and mask != AUTO)


def _kept(
    array: Any,  # noqa: ANN401  NumPy's or Dask's
    mask: Any,  # noqa: ANN401  NumPy's or Dask's
    no_data: Any,  # noqa: ANN401  a caller may pass anything
    channel_axis: int | None,
    axis: int,
) -> Any:  # noqa: ANN401  NumPy's or Dask's
    """Return which pixels have data by a mask and a value, or None if neither is given."""
    shape = array.shape if channel_axis is None else array.shape[:axis] + array.shape[axis:][1:]
    keep = None
    if mask is not None:
        keep = has_data(mask if is_dask_array(mask) else np.asarray(mask))
        if keep.shape != shape:
            raise ValueError(
                f"mask has shape {keep.shape}; wanted {shape}, that of the image without channels"
            )
    value = check_no_data(no_data)
    if value is not None:
        pixels, axis = (array[..., np.newaxis], -1) if channel_axis is None else (array, axis)
        marked = value.has_data(pixels, axis)
        keep = marked if keep is None else keep & marked
    return keep


def _without_masked(result: Any, keep: Any, output: Output, axis: int) -> Any:  # noqa: ANN401  NumPy's or Dask's
    """Replace the results of pixels without data."""
    lazy = is_dask_array(result) or is_dask_array(keep)
    library: Any = sys.modules["dask.array"] if lazy else np
    if output.class_names is not None:
        keep = library.expand_dims(keep, axis)
    return library.where(keep, result, result.dtype.type(output.no_data))
