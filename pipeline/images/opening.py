"""Opening: a path or an array becomes an image, with the channels, masks and region that are wanted."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.images.channels import add_alpha, choose_channels
from pipeline.images.choice import Choice
from pipeline.images.geojson import is_geojson
from pipeline.images.image import Image
from pipeline.images.masking import ALPHA, Masking, check_mask
from pipeline.images.no_data import RULES, NoData, check_no_data
from pipeline.images.polygons import open_polygons
from pipeline.images.readers import open_source
from pipeline.images.regions import places_of
from pipeline.images.stated import StatedMask
from pipeline.images.view import view
from pipeline.images.zeroed import zeroed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    import dask.array as da
    from numpy.typing import ArrayLike

    from pipeline.images.no_data import Rule
    from pipeline.images.source import Source

    # What a caller may give as an image or as a mask.
    Tiles = Mapping[str | os.PathLike[str], tuple[int, int]]
    ImageLike = str | os.PathLike[str] | Tiles | ArrayLike | da.Array | Source | Image
    # What a caller may give as a no-data value; a text is "auto", "all" or "any".
    NoDataLike = float | tuple[float, Rule] | NoData | str | None
    RegionLike = Sequence[slice | Sequence[int]] | Mapping[str, Sequence[float]]

# As a mask and as a no-data value, it stands for what the image's file states.
AUTO = "auto"


def open_image(
    image: ImageLike,
    *,
    level: int = 0,
    series: int | str | None = None,
    pages: Literal["channels"] | int | None = None,
    z: int | None = None,
    t: int | None = None,
    magnification: float | None = None,
    region: RegionLike | None = None,
    channels: str | int | Sequence[str | int] | None = None,
    channel_axis: int | None = -1,
    mask: ImageLike | None = AUTO,
    no_data: NoDataLike = AUTO,
) -> Image:
    """Open an image, for reading it by regions.

    Parameters
    ----------
    image : path, array or Image
        The path of a TIFF, of a photo, of a ``.npy`` file, of a Zarr array or an OME-Zarr image, and with
        extras of HDF5 (``FILE.h5::/dataset``), of slides and of what GDAL opens: the content decides, not the
        name. The URL of a TIFF or of Zarr. A NumPy, Dask, Zarr or xarray array, a list, or an array in memory
        with ``__array_interface__`` or ``__dlpack__``, as PIL, PyTorch and JAX have them. Any object with a
        shape, a dtype and slicing, as h5py, netCDF4 and tensorstore have it.
        A mosaic: a mapping of paths of files to the row and the column of the first pixel of each; the path
        of a CSV or JSON table with ``file,row,column`` or ``file,x,y``; a folder of files with georeferences
        or with places in their names (``a_r003_c012.tif``, ``a_x1024_y2048.tif``, ``a [x=1024,y=2048].tif``).
        Where files overlap, the later one counts wherever it has data.
        An image that is open already gets the further options.
    level : int
        The level of a pyramid; 0 has the full resolution.
    series : int or str, optional
        The number or the name of one of several images in a file. By default the largest one.
    pages : "channels" or int, optional
        ``"channels"`` makes the pages of a file the channels of one image; a number takes one page.
    z, t : int, optional
        The number of a plane along an axis of depth or time, for an image that has several.
    magnification : float, optional
        The magnification of the level of a slide, for example 20, in place of its number.
    region : pair of slices, or mapping, optional
        The rows and the columns in pixels, as ``(slice(0, 512), slice(1024, 2048))`` or
        ``((0, 512), (1024, 2048))``; or bounds in the units of the image's coordinate reference system, as
        ``{"x": (500000, 510000), "y": (4100000, 4110000)}``. The pixels whose centers lie within bounds are
        taken.
    channels : sequence of str or int, optional
        The names or the numbers of the channels wanted, in order. By default all of them but alpha, which is
        among them only if it is named here.
    channel_axis : int or None
        The axis of an array's channels, or None for a gray image without a channel axis. By default the last
        of three axes, or that of xarray's which is named "band", "channel", "c" or "rgb"; an array of two
        axes is a gray image.
    mask : path, array, Image, "alpha", "auto" or None
        An image of one channel: pixels where it is 0 have no data. It has the same height and width, or fewer
        pixels with the same aspect, as a coarser level has; then it is scaled by nearest neighbor. The path
        of a GeoJSON file, whose coordinates are pixels of the image: pixels outside of its polygons have no
        data. ``"alpha"`` is the image's own alpha channel, which is the last channel of an array. Masks that
        the file states count as well, and so do those of an image that is open already. ``"auto"`` is these
        alone; None leaves out all masks.
    no_data : float, (float, "any"), "any", "all", "auto" or None
        Pixels all of whose channels have this value have no data; with ``(value, "any")``, those with any
        such channel. ``"auto"`` and ``"all"`` take the value that the file states, and ``"any"`` takes it for
        pixels with any such channel. None leaves out the value that the file states.

    Returns
    -------
    Image, shape (H, W, C)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If the image can't be read, is truncated, or is damaged so that its decoder notices; if it lacks a
        channel, a level or a series; if the mask or the region doesn't fit the image.

    Examples
    --------
    >>> import numpy as np
    >>> from pipeline import open_image
    >>> image = open_image(np.zeros((200, 300, 3), np.uint8))
    >>> image[::2, ::2, 0].shape
    (100, 150)
    """
    choice = Choice(level, series, pages, z, t, magnification)
    wanted = () if channels is None else _as_channels(channels)
    has_alpha = isinstance(mask, str) and mask == ALPHA
    if isinstance(image, Image):
        choice.check("the image", "open already")
        if channel_axis not in {-1, 2, None}:
            raise ValueError(
                f"channel_axis is {channel_axis}, but the image is open; wanted it with an array"
            )
        opened = image
    else:
        source = open_source(image, channel_axis=channel_axis, choice=choice)
        # Whoever passes an array knows its channels.
        is_ordered = not isinstance(image, str | os.PathLike)
        opened = _with_validity(source, has_masks=mask is not None, is_ordered=is_ordered)
    if mask is None:
        opened = _without_masks(opened)
    if wanted or has_alpha:
        opened = _with_channels(opened, wanted, has_alpha=has_alpha)
    if not (mask is None or has_alpha or (isinstance(mask, str) and mask == AUTO)):
        opened = _with_mask(opened, mask)
    if not (isinstance(no_data, str) and no_data == AUTO):
        opened = _with_no_data(opened, no_data)
    if region is None:
        return opened
    opened.check_plane()
    rows, columns = places_of(region, opened)
    return opened[rows, columns]


def open_with(image: ImageLike, masks: Sequence[Source], *, has_alpha: bool, no_data: NoData | None) -> Image:
    """Open an image with these masks and this no-data value, and with none that its file states.

    Parameters
    ----------
    image : path, array or Image
        The masks and the no-data value of an image that is open already are left out.
    masks : sequence of Source
    has_alpha : bool
        Whether the image's own alpha channel masks it.
    no_data : NoData or None

    Returns
    -------
    Image

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As :func:`open_image` does.
    """
    opened = image if isinstance(image, Image) else Image.of(open_source(image))
    opened.check_plane()
    plain = Image.of(opened.source, Masking(has_alpha=opened.masking.has_alpha))
    plain = _with_channels(plain, (), has_alpha=True) if has_alpha else _without_masks(plain)
    for mask in masks:
        plain = _with_mask(plain, mask)
    plain = _with_no_data(plain, no_data)
    # The run that began with this image has said which channels these are.
    return Image.of(plain.source, plain.masking, is_ordered=True)


def open_layer(layer: object, role: str) -> Source:
    """Open an image that says something of each pixel of another one.

    Parameters
    ----------
    layer : path, array or Image
        As for :func:`open_image`.
    role : str
        The word for it in messages: "mask", "labels" or "zones".

    Returns
    -------
    Source
        Its pixels without data are 0: they say nothing of the image.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If it can't be read, or isn't an image.
    """
    if isinstance(layer, Image):
        layer.check_plane()
        opened = layer
    else:
        opened = _with_validity(open_source(layer, role=role))
    return zeroed(opened.source, opened.masking)


def _with_validity(source: Source, *, has_masks: bool = True, is_ordered: bool = True) -> Image:
    """Return a source as an image, with the no-data value and perhaps the masks that it states."""
    has_alpha = has_masks and source.states_alpha
    if has_alpha:
        source = add_alpha(source, source.name)
    # Masks that are damaged don't hinder reading an image without them.
    stated = source.stated_masks() if has_masks else {}
    masks = tuple(check_mask(StatedMask(source, fact, mask), source.extent) for fact, mask in stated.items())
    return Image.of(source, Masking(masks, has_alpha, source.no_data), is_ordered=is_ordered)


def _with_channels(image: Image, wanted: tuple[str | int, ...], *, has_alpha: bool) -> Image:
    """Return an image with its own alpha channel as the mask, or with some of its channels."""
    image.check_plane()
    source, masking = image.source, image.masking
    if has_alpha and not masking.has_alpha:
        source, masking = add_alpha(source, image.name), replace(masking, has_alpha=True)
    if not wanted:
        return Image.of(source, masking)
    chosen = choose_channels(source, wanted, name=image.name, has_alpha=masking.has_alpha)
    return Image.of(chosen, masking, is_ordered=True)


def _with_mask(image: Image, mask: ImageLike) -> Image:
    """Return an image with a further mask."""
    image.check_plane()
    if is_geojson(mask):
        source: Source = open_polygons(mask, image.extent)
    else:
        source = check_mask(open_layer(mask, "mask"), image.extent)
    masking = image.masking
    return image.masked(replace(masking, masks=(*masking.masks, source)))


def _without_masks(image: Image) -> Image:
    """Return an image without its masks."""
    if not image.masking.masks and not image.masking.has_alpha:
        return image
    image.check_plane()
    source = image.source
    if image.masking.has_alpha:
        source = view(source, channels=tuple(range(source.shape[2] - 1)))
    return Image.of(source, Masking(no_data=image.no_data))


def _with_no_data(image: Image, no_data: NoDataLike) -> Image:
    """Return an image with a no-data value, or with another rule for the one that it has."""
    image.check_plane()
    if isinstance(no_data, str):
        if no_data not in RULES or image.no_data is None:
            is_rule = no_data in RULES
            wanted = "number" if is_rule else "finite number, 'auto', 'all', 'any' or None"
            stated = f", and {image.name} states no value" if is_rule else ""
            raise ValueError(f"no_data is {no_data!r:.80}{stated}; wanted a {wanted}")
        value: NoData | None = NoData(image.no_data.value, "all" if no_data == "all" else "any")
    else:
        value = check_no_data(no_data)
    return image.masked(replace(image.masking, no_data=value))


def _as_channels(channels: str | int | Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the channels that a caller wants as a tuple: one, or several."""
    wanted = (
        (channels,) if isinstance(channels, str) or not hasattr(channels, "__iter__") else tuple(channels)
    )
    if not wanted:
        raise ValueError("channels is empty; wanted the names or numbers of one channel or more")
    return wanted
