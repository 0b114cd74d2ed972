"""Opening: the one place that makes sources, of a file by its content, of an array by its type."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pipeline.images.array_like import as_array
from pipeline.images.channels import add_alpha, choose_channels
from pipeline.images.dask_array import open_dask
from pipeline.images.file import COPY_AGAIN
from pipeline.images.geojson import is_geojson
from pipeline.images.image import Image
from pipeline.images.masking import ALPHA, Masking, check_mask, check_no_data
from pipeline.images.numpy_array import open_numpy
from pipeline.images.photo import open_photo
from pipeline.images.polygons import open_polygons
from pipeline.images.scaled import Scaled
from pipeline.images.source import Source
from pipeline.images.tiff import open_tiff
from pipeline.images.view import view
from pipeline.images.zarr_array import open_zarr, open_zarr_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dask.array as da
    from numpy.typing import ArrayLike

    from pipeline.images.polygons import Numbering

    # What a caller may give as an image or as a mask.
    ImageLike = str | os.PathLike[str] | ArrayLike | da.Array | Source | Image


class _Options(NamedTuple):
    """The options of a place."""

    rows: list[int] | None = None
    columns: list[int] | None = None
    channels: list[str | int] | None = None
    channel_axis: int = -1
    extent: list[int] | None = None
    by: Numbering | None = None


class FileReader(Protocol):
    """A function that opens files of one format, or of several."""

    def __call__(self, path: str, *, alpha: bool = False) -> Source | None:
        """Open the file at an absolute path, or return None if it is of another format.

        `alpha` says that the alpha channel will be asked for, with :meth:`Source.with_alpha`.
        """
        ...


# A new format is a file that defines its reader, and a line here. The first one that knows a file opens it.
FILE_READERS: tuple[FileReader, ...] = (open_tiff, open_photo)
# The same for types of arrays: each is called with the array, "image" or "mask", and the channel axis.
ARRAY_READERS: tuple[Callable[[object, str, int | None], Source | None], ...] = (
    open_numpy,
    open_dask,
    open_zarr,
)
# A scheme has two letters or more: one letter is a drive. A Path has a single slash where the URL had two.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def open_image(
    image: ImageLike,
    *,
    channels: str | int | Sequence[str | int] | None = None,
    channel_axis: int | None = -1,
    mask: ImageLike | None = None,
    no_data: float | None = None,
) -> Image:
    """Open an image, for reading it by regions.

    Parameters
    ----------
    image : path, array or Image
        The path of a TIFF or BigTIFF, or of any file that OpenCV reads: the content decides, not the name.
        The path of a Zarr array's directory. A NumPy, Dask, Zarr or xarray array, a list, or an array in
        memory with ``__array_interface__`` or ``__dlpack__``, as PIL, PyTorch and JAX have them.
        An image that is open already gets the further options.
    channels : sequence of str or int, optional
        The names or the numbers of the channels wanted, in order. By default those of a color file are red,
        green and blue; ``"alpha"`` is among them only if it is named here.
    channel_axis : int or None
        The axis of an array's channels, or None for a gray image without a channel axis. By default the last
        of three axes; an array of two axes is a gray image.
    mask : path, array, Image or "alpha", optional
        An image of one channel: pixels where it is 0 have no data. It has the same height and width, or fewer
        pixels with the same aspect, as a coarser level has; then it is scaled by nearest neighbor. The path
        of a GeoJSON file, whose coordinates are pixels of the image: pixels outside of its polygons have no
        data. ``"alpha"`` is the image's own alpha channel, which is the last channel of an array.
    no_data : float, optional
        Pixels all of whose channels have this value have no data.

    Returns
    -------
    Image, shape (H, W, C)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If the image can't be read, is truncated, or is damaged so that its decoder notices; if it lacks a
        channel; if the mask doesn't fit the image.

    Notes
    -----
    OpenCV applies a photo's EXIF orientation unless alpha is asked for, and makes gray with alpha RGB. A TIFF
    comes as it is stored: level 0 of its first series, alpha neither applied nor undone.

    Examples
    --------
    >>> import numpy as np
    >>> from pipeline import open_image
    >>> image = open_image(np.zeros((200, 300, 3), np.uint8))
    >>> image[::2, ::2, 0].shape
    (100, 150)
    """
    wanted = () if channels is None else _as_channels(channels)
    has_alpha = isinstance(mask, str) and mask == ALPHA
    value = check_no_data(no_data)
    if isinstance(image, Image):
        if channel_axis not in {-1, 2, None}:
            raise ValueError(
                f"channel_axis is {channel_axis}, but the image is open; wanted it with an array"
            )
        opened = image
    else:
        alpha = has_alpha or ALPHA in wanted
        opened = Image.of(open_source(image, channel_axis=channel_axis, alpha=alpha))
    if wanted or has_alpha:
        opened = _with_channels(opened, wanted, has_alpha=has_alpha)
    if mask is not None and not has_alpha:
        opened = _with_mask(opened, mask)
    return opened if value is None else _with_no_data(opened, value)


def reopen(place: dict[str, Any]) -> Image:
    """Open the image, or the view of one, that :attr:`Description.place` names.

    Parameters
    ----------
    place : dict

    Returns
    -------
    Image

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the image isn't there, or the place is damaged.
    """
    try:
        inner = place["image"]
        options = _Options(**{name: value for name, value in place.items() if name != "image"})
        rows, columns = (
            None if places is None else range(*places) for places in (options.rows, options.columns)
        )
        height, width = map(int, options.extent or (0, 0))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the place of the image is damaged: {place!r:.200}") from error
    if options.by is not None:
        return Image.of(open_polygons(inner, (height, width), by=options.by))
    if isinstance(inner, dict):
        image = open_image(reopen(inner), channels=options.channels)
    else:
        image = open_image(inner, channels=options.channels, channel_axis=options.channel_axis)
    source = image.source if options.extent is None else Scaled(image.source, (height, width))
    return Image.of(view(source, rows, columns))


def open_source(
    image: object, *, role: str = "image", channel_axis: int | None = -1, alpha: bool = False
) -> Source:
    """Open a path or an array as a source.

    Parameters
    ----------
    image : path, array or Source
        As for :func:`open_image`. A source is returned as it is.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.
    alpha : bool
        Whether the alpha channel of a file will be asked for with :meth:`Source.with_alpha`.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If it can't be read, or isn't an image.
    """
    if isinstance(image, Source):
        return image
    if isinstance(image, str | os.PathLike):
        return _open_path(image, role, channel_axis, alpha=alpha)
    array = as_array(image, role)
    for open_array in ARRAY_READERS:
        source = open_array(array, role, channel_axis)
        if source is not None:
            return source
    if getattr(array, "shape", None) is None:
        wanted = "(H, W, C)" if role == "image" else "(H, W)"
        raise ValueError(f"{role} is {image!r:.80}; wanted a path or an array of shape {wanted}")
    raise TypeError(
        f"{role} is of {type(image)}, whose regions tasks can't read; wanted a path, a NumPy, Dask, Zarr or "
        "xarray array, or an array in memory. Pass dask.array.from_array(...) of it."
    )


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

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If it can't be read, or isn't an image, or has pixels without data itself.
    """
    if isinstance(layer, Image):
        layer.check_plane()
        if not layer.masking.is_empty:
            raise ValueError(
                f"{role} is an image with a mask or a no-data value of its own; wanted one without"
            )
        return layer.source
    return open_source(layer, role=role)


def _open_path(path: str | os.PathLike[str], role: str, channel_axis: int | None, *, alpha: bool) -> Source:
    """Open an image file, or the directory of a Zarr array."""
    absolute = Path(path).absolute()
    name = str(absolute)
    if absolute.is_dir():
        return open_zarr_directory(name, role, channel_axis)
    if not absolute.is_file():
        if _URL.match(os.fspath(path)):
            raise ValueError(
                f"{role} is the URL {os.fspath(path)}; URLs can't be read yet. Open it as a Dask or Zarr "
                "array, and pass that: for example zarr.open_array(URL, mode='r')."
            )
        raise FileNotFoundError(f"{path} is not there; wanted an image file or the directory of a Zarr array")
    if channel_axis not in {-1, 2, None}:
        raise ValueError(
            f"channel_axis is {channel_axis}, but {path} is a file, whose channels are always the last axis. "
            "Leave channel_axis out."
        )
    if not absolute.stat().st_size:
        raise ValueError(f"{path} is empty. {COPY_AGAIN}")
    for open_file in FILE_READERS:
        source = open_file(name, alpha=alpha)
        if source is not None:
            return source
    raise ValueError(f"{path} isn't an image that can be read. Convert it to TIFF or PNG.")


def _with_channels(image: Image, wanted: tuple[str | int, ...], *, has_alpha: bool) -> Image:
    """Return an image with its own alpha channel as the mask, or with some of its channels."""
    image.check_plane()
    source, masking = image.source, image.masking
    if has_alpha:
        source, masking = add_alpha(source, image.name), replace(_without_mask(masking), has_alpha=True)
    if wanted:
        source = choose_channels(source, wanted, name=image.name, has_alpha=masking.has_alpha)
    return Image.of(source, masking)


def _with_mask(image: Image, mask: ImageLike) -> Image:
    """Return an image with a mask."""
    image.check_plane()
    if is_geojson(mask):
        source: Source = open_polygons(mask, image.extent)
    else:
        source = check_mask(open_layer(mask, "mask"), image.extent)
    return Image.of(image.source, replace(_without_mask(image.masking), mask=source))


def _with_no_data(image: Image, no_data: float) -> Image:
    """Return an image with a no-data value."""
    image.check_plane()
    if image.no_data not in {None, no_data}:
        raise ValueError(
            f"no_data is {no_data:g}, but the image was opened with {image.no_data:g}; wanted one value. "
            "Leave one of them out."
        )
    return Image.of(image.source, replace(image.masking, no_data=no_data))


def _without_mask(masking: Masking) -> Masking:
    """Return the masks of an image, after checking that one may be added."""
    if masking.has_alpha or masking.mask is not None:
        raise ValueError("the image was opened with a mask; wanted one mask. Open it without a mask first.")
    return masking


def _as_channels(channels: str | int | Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the channels that a caller wants as a tuple: one, or several."""
    wanted = (
        (channels,) if isinstance(channels, str) or not hasattr(channels, "__iter__") else tuple(channels)
    )
    if not wanted:
        raise ValueError("channels is empty; wanted the names or numbers of one channel or more")
    return wanted
