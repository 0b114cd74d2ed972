"""The results of a run as Dask arrays, with their summary."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dask.base import tokenize

from pipeline.stores.layers import arrange
from pipeline.stores.store_kinds import open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import dask.array as da
    import zarr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from xarray import Dataset, DataTree

    from pipeline.images.grid import Block, Grid
    from pipeline.models.output import Output
    from pipeline.models.summary import Summary
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record
    from pipeline.stores.store import Store


class Result(Mapping[str, "da.Array"]):
    """The results of a run at one level of resolution: a mapping of their names to Dask arrays.

    Attributes
    ----------
    address : str
        The store.
    level : int
        The level of the arrays; 0 is full resolution.
    levels : tuple of tuple of int
        The height and the width of each level.
    outputs : dict of str to Output
        What each result is: its quantity, with the names of its classes, and its encoding.
    record : Record
        What the store keeps of its run.
    image : Description
        The image from which the results were computed.
    geometry : Geometry
        Where the pixels of this level lie, as the image said: ``pixel_size``, ``crs`` and ``transform``.
    summary : Summary or None
        The distributions, areas and means at full resolution, counted over all pixels; None if an older
        version of this package wrote the store.
    """

    def __init__(self, store: Store, record: Record, summary: Summary | None, level: int) -> None:
        self._store, self.record = store, record
        self.address, self.level, self.summary = store.address, level, summary
        self.levels = tuple(record.grid.level(number).shape for number in range(record.grid.n_levels))
        self.outputs: dict[str, Output] = {output.name: output for output in record.outputs}
        self.image = record.image
        self.geometry = record.image.geometry.coarser(2**level, 2**level)
        if not 0 <= level < len(self.levels):
            raise ValueError(f"{store.address} has no level {level}; wanted 0 to {len(self.levels) - 1}")
        self._layers = {output.name: layer for layer in arrange(record.outputs) for output in layer.outputs}
        self._arrays = {
            name: _open(store, record.grid.level(level), self._layers[name], output, level)
            for name, output in self.outputs.items()
        }

    def at(self, level: int) -> Result:
        """Return the results at another level of resolution.

        Raises
        ------
        ValueError
            If there is no such level, or the metadata of one of its arrays are damaged.
        """
        return Result(self._store, self.record, self.summary, operator.index(level))

    def level_of(self, side: int) -> int:
        """Return the coarsest level whose longer side has at least so many pixels, or else level 0."""
        return max((n for n, shape in enumerate(self.levels) if max(shape) >= side), default=0)

    def read(self, name: str, block: Block, class_number: int | None = None) -> NDArray[Any]:
        """Read the values of a region without Dask.

        Parameters
        ----------
        name : str
        block : Block
            Rows and columns of this level.
        class_number : int, optional
            The class of a posterior of several classes; by default all of them.

        Returns
        -------
        ndarray, shape (J, h, w)
            J is 1 for a result that isn't a posterior of several classes, and for one class.
        """
        output, layer = self.outputs[name], self._layers[name]
        planes = layer.planes_of(output)
        if class_number is not None:
            planes = slice(planes.start + class_number, planes.start + class_number + 1)
        stored = self._store.read_block(layer, block, level=self.level, planes=planes)
        return output.encoding.decode(stored)

    def preview(
        self, name: str | Sequence[str] | None = None, *, size: int = 800, overlay: bool = False
    ) -> Figure:
        """Draw the results, see :func:`preview`."""
        from pipeline.results.preview import preview  # noqa: PLC0415  it opens results itself

        return preview(self, name, size=size, overlay=overlay)

    def to_xarray(self, level: int | None = None) -> Dataset | DataTree:
        """Return the results as named variables of xarray, which is an extra.

        Parameters
        ----------
        level : int, optional
            The one level wanted; by default all of them.

        Returns
        -------
        xarray.Dataset or xarray.DataTree
            The Dataset of one level, or a DataTree whose children ``"0"``, ``"1"`` and so on are those of all
            levels, lazily. A variable has the axes ``y`` and ``x``, with the centers of pixels in coordinates
            of the map or in micrometers, as far as the image says them; a posterior has the axis ``class``
            before them, with the names of the classes. A coordinate ``spatial_ref`` states the coordinate
            reference system, which rioxarray reads. A pixel without data is NaN, or the ``_FillValue`` among
            the attributes of a label, whose ``flag_values`` and ``flag_meanings`` name the classes.

        Raises
        ------
        ModuleNotFoundError
            If xarray isn't installed.
        ValueError
            If there is no such level, or a result has the name of an axis.
        """
        from pipeline.results.data_tree import make_dataset, make_tree  # noqa: PLC0415  only here

        return make_tree(self) if level is None else make_dataset(self.at(level))

    def __getitem__(self, name: str) -> da.Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        arrays = (f"{name}: {array.shape} {array.dtype}" for name, array in self.items())
        return f"<Result: {', '.join(arrays)}>"

    def _repr_html_(self) -> str:
        from pipeline.results.result_html import result_html  # noqa: PLC0415  only here

        return result_html(self)


def open_result(store: str | os.PathLike[str], level: int = 0) -> Result:
    """Open the results of a run as Dask arrays.

    Parameters
    ----------
    store : path
        A store that :func:`stream` wrote.
    level : int
        The level of resolution; 0 is full resolution.

    Returns
    -------
    Result
        A mapping of names to Dask arrays of shape (H, W), or (J, H, W) for a posterior of J classes. Each
        shard is one chunk of the Dask array. A packed result is returned as the values that the stored
        integers or halves stand for, as float32. A pixel without data is NaN, or the highest integer of a
        label's dtype. Its ``summary`` has the areas of classes and the distributions of values, its
        ``geometry`` the size of a pixel and the coordinate reference system.

    Raises
    ------
    FileNotFoundError
        If nothing is there, or only the store of an interrupted run.
    ValueError
        If this isn't a result of this package, its record or the metadata of an array are damaged, or it has
        no such level.
    """
    found = open_store(store).find()
    if found.is_unfinished:
        raise FileNotFoundError(
            f"{found.address} is unfinished. Go on with stream(..., resume=True) or: mixture-pipeline resume "
            f"{found.address}"
        )
    number, record = operator.index(level), found.read_record()
    try:
        summary = record.summary
    except ValueError:
        raise ValueError(
            f"{found.address} has a damaged summary in its zarr.json. To count again, resume it: "
            "resume=True, --resume."
        ) from None
    return Result(found, record, summary, number)


def _open(store: Store, grid: Grid, layer: Layer, output: Output, level: int) -> da.Array:
    """Open one result as a Dask array of values."""
    array = _open_array(store, grid, layer, level)
    token = tokenize(store.identity, layer.name, level)
    # Without chunks, Dask takes those inside the shards, with a task for each.
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    shape = array.shards or array.chunks
    planes = layer.planes_of(output)
    # The channels of a shard are read apart, where they are of several outputs.
    chunks = shape if layer.is_label else (planes.stop - planes.start, *shape[-2:])
    stored = da.from_array(array, chunks=chunks, name=f"{layer.name}-{token}")
    if not layer.is_label:
        stored = stored[planes] if output.class_names is not None else stored[planes.start]
    encoding = output.encoding
    values: da.Array = (
        stored.map_blocks(encoding.decode, dtype=encoding.decoded_dtype) if encoding.is_lossy else stored
    )
    return values


def _open_array(store: Store, grid: Grid, layer: Layer, level: int) -> zarr.Array[Any]:
    """Open the array of a layer at a level, whose grid is given.

    Raises
    ------
    ValueError
        If its metadata are missing or damaged.
    """
    try:
        array = store.open_level(layer, level)
        if (array.shape, array.dtype) == ((*layer.leading, *grid.shape), layer.dtype):
            return array
        cause = None
    except Exception as error:
        # A disk or a connection may fail too.
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        # Damaged metadata make zarr raise any other exception.
        cause = error
    raise ValueError(
        f"{store.address} has missing or damaged metadata of {layer.name} at level {level}. To write them "
        "again, resume it: resume=True, --resume."
    ) from cause
