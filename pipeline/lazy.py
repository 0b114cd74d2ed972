"""The public evaluation, NumPy in and out or Dask in and out, and stored results as Dask arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr
from dask.base import tokenize
from dask.delayed import delayed

from pipeline.engine import check_image, choose_engine, evaluate_block
from pipeline.mixture import Mixture
from pipeline.quantity import Density, Quantity
from pipeline.store import read_attributes

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
) -> Any:  # noqa: ANN401  an array of the kind that came in
    """Evaluate a quantity at every pixel of an image.

    Parameters
    ----------
    image : array_like or dask.array.Array, shape (H, W, C)
        Boolean, integer or floating point, any strides, channels in the order of the quantity's mixture.
    quantity : Quantity
    dtype : dtype, optional
        Of the result: float32 by default, or float64.
    channel_axis : int or None
        Where the channels are; None for a grey image without a channel axis.
    engine : str
        ``"numexpr"`` computes every pixel, ``"table"`` every colour once; both give the same bits. ``"auto"``
        takes the table for large images of up to 24 bits a pixel.

    Returns
    -------
    ndarray or dask.array.Array, shape (H, W)
        A Dask array is lazy, with the image's chunks, for any Dask scheduler.

    Raises
    ------
    ValueError
        For an image without the mixture's channels, or another dtype or engine.
    """
    if not isinstance(image, da.Array):
        return evaluate_block(
            np.asanyarray(image),
            quantity,
            dtype=dtype,
            channel_axis=channel_axis,
            engine=engine,
            serial=False,
        )
    axis = check_image(image, quantity, channel_axis=channel_axis)
    output_dtype = quantity.output_dtype(dtype)
    n_pixels = image.size // quantity.n_channels
    if np.isnan(n_pixels):  # chunks of unknown length: then they are many
        n_pixels = np.iinfo(np.int64).max
    chosen = choose_engine(engine, quantity, image.dtype, n_pixels, result=output_dtype).engine
    options: dict[str, Any] = {"dtype": output_dtype, "channel_axis": channel_axis, "engine": chosen}
    dropped = () if channel_axis is None else (axis % image.ndim,)
    blocks: da.Array = image.rechunk(dict.fromkeys(dropped, -1))
    return da.map_blocks(
        _evaluate_task,
        blocks,
        # One node of the graph: the model is sent to a worker once, not with every block.
        delayed(quantity, pure=True),
        drop_axis=dropped,
        dtype=output_dtype,
        meta=np.empty((0,) * (blocks.ndim - len(dropped)), output_dtype),
        name=f"{quantity.name}-{tokenize(blocks.name, quantity, options)}",
        options=options,
    )


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
        Each result under its name, shape (H, W), one chunk of Dask's a shard. A block that wasn't written
        reads as NaN.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it isn't a result of this package, or has no such level.
    """
    results = {}
    for name in read_attributes(Path(store))["results"]:
        try:
            array = zarr.open_array(store, path=f"{name}/{level}", mode="r")
        except FileNotFoundError:
            raise ValueError(f"{os.fspath(store)} has no level {level} of {name}") from None
        # Left alone, Dask takes the chunks inside the shards, and one task each.
        results[name] = da.from_array(array, chunks=array.shards or array.chunks)
    return results


def _evaluate_task(block: Any, quantity: Quantity, options: dict[str, Any]) -> Any:  # noqa: ANN401
    return evaluate_block(np.asarray(block), quantity, **options)
