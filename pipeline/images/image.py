"""Images as a caller has them: indexed as NumPy arrays are, and read as far as they are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.channels import fit_channels, warn_of_order
from pipeline.images.footprint import Footprint
from pipeline.images.grid import LARGEST_BLOCK, choose_grid
from pipeline.images.lazy import as_dask_array, read_whole
from pipeline.images.masking import Masking
from pipeline.images.selection import Selection
from pipeline.images.view import view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import dask.array as da
    from numpy.typing import DTypeLike, NDArray

    from pipeline.images.description import Description
    from pipeline.images.geometry import Transform
    from pipeline.images.masking import MaskedPart
    from pipeline.images.no_data import NoData
    from pipeline.images.source import Region, Source

# Into so many blocks an image is divided at least, where it is decoded by threads.
_FEWEST_BLOCKS = 16
_SMALLEST_BLOCK = 256


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """An image that is read when its pixels are needed: made by :func:`open_image`.

    It is indexed as a NumPy array is, with integers, slices of any step, ``...`` and ``None``. The result is
    an image again, and reading it reads no more than it needs: ``numpy.asarray(image[::16, ::16])``.
    """

    _base: Source
    _selection: Selection
    _masking: Masking
    _is_ordered: bool = False

    @classmethod
    def of(cls, source: Source, masking: Masking | None = None, *, is_ordered: bool = False) -> Image:
        """Return the whole of a source as an image.

        Parameters
        ----------
        source : Source
            If the masking says so, its last channel is alpha, and isn't one of the image's channels.
        masking : Masking, optional
            By default all pixels have data.
        is_ordered : bool
            Whether the caller has said which channels these are, in which order.

        Returns
        -------
        Image, shape (H, W, C)
        """
        masking = masking or Masking()
        shape = (*source.extent, source.shape[2] - masking.has_alpha)
        return cls(source, Selection.of_whole(shape), masking, is_ordered)

    def masked(self, masking: Masking) -> Image:
        """Return the selected pixels as an image with these masks in place of its own."""
        return Image.of(self.source, masking, is_ordered=self._is_ordered)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes: (H, W, C) after opening; indexing changes them as an array's."""
        return self._selection.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the samples."""
        return self._base.dtype

    @property
    def channels(self) -> tuple[str, ...] | None:
        """The names of the channels, or None if the image doesn't name them."""
        names = self._base.channels
        return None if names is None else tuple(names[channel] for channel in self._selection.axes[2])

    @property
    def n_channels(self) -> int:
        """The number of channels, without the alpha channel that is a mask."""
        return len(self._selection.axes[2])

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width in pixels."""
        rows, columns, _ = self._selection.axes
        return len(rows), len(columns)

    @property
    def no_data(self) -> NoData | None:
        """The value that marks pixels without data, and whether all of their channels must have it."""
        return self._masking.no_data

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each level of the image's pyramid, level 0 first; empty if it has none."""
        return self._base.levels

    @property
    def series(self) -> tuple[str, ...]:
        """A line about each image that the file holds; empty if it holds one."""
        return self._base.series

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of the piece that is best read at once; (1, 1) if any region is as good."""
        return self.source.tile

    @property
    def unit(self) -> tuple[int, int]:
        """Height and width of the piece that is decoded anew for each region that lies in it."""
        return self.source.unit

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometers, or None if the image doesn't say."""
        return self.source.geometry.pixel_size

    @property
    def crs(self) -> str | None:
        """The coordinate reference system, as "EPSG:32633" or as WKT, or None if the image doesn't say."""
        return self.source.geometry.crs

    @property
    def transform(self) -> Transform | None:
        """The affine transform (a, b, c, d, e, f), or None if the image doesn't say.

        x = a * column + b * row + c and y = d * column + e * row + f, where whole numbers are the corners of
        pixels.
        """
        return self.source.geometry.transform

    @property
    def paths(self) -> tuple[Path, ...]:
        """The local files and directories that are read."""
        return tuple(path for source in self.sources for path in source.paths)

    @property
    def name(self) -> str:
        """The path, or "the image" if it has none."""
        return self._base.name

    @property
    def source(self) -> Source:
        """The rows, columns and channels that are selected, and behind them the alpha that is a mask."""
        rows, columns, channels = self._selection.axes
        alpha = (self._base.shape[2] - 1,) if self._masking.has_alpha else ()
        return view(self._base, rows, columns, (*channels, *alpha))

    @property
    def masking(self) -> Masking:
        """Which pixels have data: by masks, by alpha, and by a no-data value.

        :func:`stream` and :func:`evaluate` leave out the other pixels; :meth:`compute` returns all of them as
        they are stored.
        """
        return self._masking.view(*self._selection.axes[:2])

    @property
    def description(self) -> Description:
        """The description of the selected pixels, with the alpha channel that is a mask."""
        return self.source.description

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is read: the source of the image, and those of its masks."""
        return (self.source, *self.masking.masks)

    def footprint(self, extent: tuple[int, int]) -> Footprint:
        """Return the memory that reading regions of this height and width takes, with those of the masks."""
        sources, masking = self.sources, self.masking
        return Footprint(
            held=sum(source.held_bytes for source in sources),
            present=sum(source.present_bytes for source in sources),
            opening=max(source.opening_bytes for source in sources),
            region=sources[0].region_bytes(extent) + masking.region_bytes(extent, sources[0].pixel_bytes),
        )

    @property
    def is_held_by_cluster(self) -> bool:
        """Whether pixels of the image or of its masks are held by the workers of a Dask cluster."""
        return any(source.is_held_by_cluster for source in self.sources)

    def __getitem__(self, key: Any) -> Image:  # noqa: ANN401  any of NumPy's basic indices
        selection = self._selection.index(key)
        is_ordered = self._is_ordered or selection.axes[2] != self._selection.axes[2]
        return Image(self._base, selection, self._masking, is_ordered)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("the image is a single number, which has no length")
        return self.shape[0]

    def __float__(self) -> float:
        if self.size != 1:
            raise TypeError(f"an image of shape {self.shape} is no number; wanted an image of one number")
        return float(self.compute().item())

    def __iter__(self) -> Iterator[Image]:
        return (self[number] for number in range(len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the image is read into a new array; wanted copy=None or True")
        array = self.compute()
        return array if dtype is None else array.astype(dtype, copy=False)

    def compute(self) -> NDArray[Any]:
        """Read the pixels as they are stored: neither mask nor no-data value changes them.

        Returns
        -------
        ndarray
            A new array of the image's shape.
        """
        if not self._selection.has_pixels:
            return np.empty(self.shape, self.dtype)
        pixels = self._pixels()
        if pixels.tile in {(1, 1), pixels.extent}:
            return self._selection.arrange(read_whole(pixels))
        # Several threads decode at once.
        side = max(_SMALLEST_BLOCK, math.isqrt(math.prod(pixels.extent) // _FEWEST_BLOCKS))
        grid = choose_grid(pixels.extent, tile=pixels.tile, length=min(side, LARGEST_BLOCK))
        array: NDArray[Any] = self._selection.arrange_dask(as_dask_array(pixels, grid.block)).compute()
        return array

    def to_dask(self, block: int | tuple[int, int] | None = None) -> da.Array:
        """Return the image as a lazy Dask array, whose tasks read the pixels as they are stored.

        Parameters
        ----------
        block : int or tuple of int, optional
            Height and width of a chunk; by default about 4096 x 4096, and for a Dask array the chunks that it
            has.

        Returns
        -------
        dask.array.Array
            It has the image's shape, and all channels in one chunk.
        """
        pixels = self._pixels()
        array = pixels.as_dask() if block is None else None
        if array is None:
            grid = choose_grid(pixels.extent, tile=pixels.tile, block=block)
            array = as_dask_array(pixels, grid.block)
        return self._selection.arrange_dask(array)

    def part(self, region: Region) -> MaskedPart:
        """Return the part with which a task reads a region: small, picklable, with a method ``read()``.

        Parameters
        ----------
        region : tuple of slice
            Rows and columns of an image that has both.

        Returns
        -------
        MaskedPart
            Its ``read()`` returns two things: the pixels (h, w, C), or None if none has data; and which of
            them have data, or None if nothing masks the image.
        """
        self.check_plane()
        return self.masking.part(self.source, region)

    def fitted(self, n_channels: int, channels: Sequence[str] | None = None) -> Image:
        """Return the image with its channels in a model's order, after checking that it has them.

        Parameters
        ----------
        n_channels : int
            The number of channels of the model.
        channels : sequence of str, optional
            The names of the model's channels. An image that names its channels must have these names, in any
            order; its other channels are left out. A gray image, and one that doesn't name its channels, is
            taken as it is, with a warning if it is a file and the caller hasn't chosen its channels.

        Returns
        -------
        Image, shape (H, W, C)

        Raises
        ------
        ValueError
            If the image lacks the model's channels, or has no rows and columns.
        """
        self.check_plane()
        source = fit_channels(
            self.source, n_channels, tuple(channels or ()), name=self.name, has_alpha=self._masking.has_alpha
        )
        if channels and self.channels is None and self._base.paths and not self._is_ordered:
            warn_of_order(self.name, channels)
        return Image.of(source, self.masking)

    def __repr__(self) -> str:
        channels = "1 channel" if self.n_channels == 1 else f"{self.n_channels} channels"
        sizes = f"{_sides(self.extent)} pixels"
        if self._selection.layout != (0, 1, 2):
            sizes = f"shape {self.shape} of {sizes}"
        facts = [sizes, f"{channels} ({', '.join(self.channels)})" if self.channels else channels]
        facts.append(str(self.dtype))
        if self.pixel_size:
            facts.append("pixels of {:.4g} x {:.4g} µm".format(*self.pixel_size))
        if self.tile != (1, 1):
            facts.append(f"tiles of {_sides(self.tile)}")
        return f"<Image: {', '.join([*facts, *self._masking.facts, *map(str, self._base.paths)])}>"

    def _repr_html_(self) -> str:
        from pipeline.images.image_html import image_html  # noqa: PLC0415  it opens images itself

        return image_html(self)

    def _pixels(self) -> Source:
        """Return the source of the pixels, without the alpha channel that is a mask."""
        return view(self._base, *self._selection.axes[:2], tuple(self._selection.axes[2]))

    def check_plane(self) -> None:
        """Raise ValueError unless the image has rows, columns and perhaps channels, and no other axes."""
        if self._selection.layout not in {(0, 1, 2), (0, 1)}:
            raise ValueError(
                f"the image has shape {self.shape} after indexing; wanted rows, columns and channels. Select "
                "with slices: image[100:101] keeps one row as an image."
            )


def _sides(sides: tuple[int, int]) -> str:
    return " x ".join(map(str, sides))
