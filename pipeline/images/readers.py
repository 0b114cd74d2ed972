"""The one place that makes sources: of a file by its content, of an array by its type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.images.array_like import as_array
from pipeline.images.choice import WHOLE, Choice
from pipeline.images.dask_array import open_dask
from pipeline.images.data_array import open_data_array
from pipeline.images.file import COPY_AGAIN
from pipeline.images.giant_photo import open_giant_photo
from pipeline.images.hdf5 import open_hdf5
from pipeline.images.hdf5_file import SEPARATOR
from pipeline.images.mosaic_files import open_mosaic, open_mosaic_folder, open_mosaic_table
from pipeline.images.npy import open_npy
from pipeline.images.numpy_array import open_numpy
from pipeline.images.photo import open_photo
from pipeline.images.raster import open_jpeg2000, open_raster
from pipeline.images.remote import RemotePath, as_local, is_url, open_remote_zarr, url_of_path
from pipeline.images.sliceable import open_sliceable
from pipeline.images.slide import open_slide
from pipeline.images.source import Source
from pipeline.images.tiff import open_tiff
from pipeline.images.zarr_opening import open_zarr, open_zarr_directory, refuse_zarr_folder
from pipeline.images.zarr_store import open_zarr_store

if TYPE_CHECKING:
    from collections.abc import Callable


class FileReader(Protocol):
    """A function that opens files of one format, or of several."""

    def __call__(self, path: str, choice: Choice) -> Source | None:
        """Open the image that is chosen in the file at an absolute path.

        Return None if the file is of another format. Raise ValueError for a choice that the format doesn't
        have: see :meth:`Choice.check`.
        """
        ...


class ArrayFileReader(Protocol):
    """A function that opens files or directories of one format that hold arrays of any axes."""

    def __call__(self, path: str, choice: Choice, *, role: str, channel_axis: int | None) -> Source | None:
        """Open the image that is chosen at an absolute path, as a :class:`FileReader` does."""
        ...


# A new format is a file that defines its reader, and a line here. The first one that knows a file opens it.
FILE_READERS: tuple[FileReader, ...] = (
    open_slide,
    open_tiff,
    open_mosaic_table,
    open_jpeg2000,
    open_giant_photo,
    open_photo,
    open_raster,
)
ARRAY_FILE_READERS: tuple[ArrayFileReader, ...] = (open_npy, open_hdf5)
DIRECTORY_READERS: tuple[ArrayFileReader, ...] = (
    open_zarr_directory,
    open_mosaic_folder,
    refuse_zarr_folder,
)
# The same for types of arrays: each is called with the array, its role, and the channel axis.
ARRAY_READERS: tuple[Callable[[object, str, int | None], Source | None], ...] = (
    open_data_array,
    open_numpy,
    open_dask,
    open_zarr_store,
    # The last one, since most arrays can be sliced.
    open_sliceable,
)
# The same for what is open already but holds several images, of which one is chosen.
STORE_READERS: tuple[Callable[[object, str, int | None, Choice], Source | None], ...] = (open_zarr,)
_ZARR = ".zarr"
# The readers that read remote files by ranges: the first one refuses slides that the other reads wrong.
REMOTE_READERS: tuple[FileReader, ...] = (open_slide, open_tiff)


def open_source(
    image: object, *, role: str = "image", channel_axis: int | None = -1, choice: Choice = WHOLE
) -> Source:
    """Open a path or an array as a source.

    Parameters
    ----------
    image : path, mapping, array or Source
        As for :func:`open_image`. A source is returned as it is.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.
    choice : Choice
        Which image of a file is meant.

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
    if isinstance(image, str | os.PathLike):
        return _open_path(image, role, channel_axis, choice)
    if isinstance(image, dict):
        _check_channels_last(f"the {role}", channel_axis)
        return open_mosaic(image, choice)
    for open_store in STORE_READERS:
        source = open_store(image, role, channel_axis, choice)
        if source is not None:
            return source
    choice.check(f"the {role}", "open already, or an array")
    if isinstance(image, Source):
        return image
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


def _open_path(path: str | os.PathLike[str], role: str, channel_axis: int | None, choice: Choice) -> Source:
    """Open an image file, or a directory that is an image, or one of them behind a URL."""
    given = os.fspath(path)
    if is_url(given) and not Path(given).exists():
        local = as_local(given)
        if local is None:
            return _open_remote(RemotePath(given), role, channel_axis, choice)
        path = local
    absolute = Path(path).absolute()
    file, separator, _ = str(absolute).partition(SEPARATOR)
    if separator and not absolute.exists() and Path(file).is_file():
        source = open_hdf5(str(absolute), choice, role=role, channel_axis=channel_axis)
        if source is None:
            raise ValueError(f"{file} isn't an HDF5 file, and holds no datasets; wanted its path alone")
        return source
    if absolute.is_dir():
        return _open_directory(path, str(absolute), role, channel_axis, choice)
    if not absolute.is_file():
        if url := url_of_path(given):
            raise ValueError(f"{role} is the URL {url} as a Path; wanted text")
        raise FileNotFoundError(f"{path} is not there; wanted an image file or the directory of a Zarr array")
    if not absolute.stat().st_size:
        raise ValueError(f"{path} is empty. {COPY_AGAIN}")
    return _open_file(path, str(absolute), role, channel_axis, choice)


def _open_remote(path: RemotePath, role: str, channel_axis: int | None, choice: Choice) -> Source:
    """Open a TIFF or a Zarr array behind a URL."""
    missing: FileNotFoundError | None = None
    # A server may answer the name of a directory with a page.
    for open_file in () if _ZARR in path else REMOTE_READERS:
        try:
            source = open_file(path, choice)
        except FileNotFoundError as error:
            missing = error
            break
        if source is not None:
            _check_channels_last(path, channel_axis)
            return source
    source = open_zarr(open_remote_zarr(path), role, channel_axis, choice)
    if source is not None:
        return source
    if _ZARR in path:
        raise FileNotFoundError(f"{path} is no Zarr array or group that is there; wanted one, or a TIFF")
    raise missing or ValueError(
        f"{path} is neither a TIFF nor a Zarr array, which alone are read behind URLs. Download it, and open "
        "the copy."
    )


def _check_channels_last(path: object, channel_axis: int | None) -> None:
    """Raise ValueError if a caller says of a file, or of several, that its channels come first."""
    if channel_axis not in {-1, 2, None}:
        raise ValueError(
            f"channel_axis is {channel_axis}, but {path} is a file, whose channels are always the last axis, "
            "or a mosaic of files. Leave channel_axis out."
        )


def _open_directory(
    path: object, absolute: str, role: str, channel_axis: int | None, choice: Choice
) -> Source:
    for open_directory in DIRECTORY_READERS:
        source = open_directory(absolute, choice, role=role, channel_axis=channel_axis)
        if source is not None:
            return source
    raise ValueError(
        f"{path} is a directory, but not a Zarr array's or an OME-Zarr image's, and holds no image files"
    )


def _open_file(path: object, absolute: str, role: str, channel_axis: int | None, choice: Choice) -> Source:
    for open_array_file in ARRAY_FILE_READERS:
        source = open_array_file(absolute, choice, role=role, channel_axis=channel_axis)
        if source is not None:
            return source
    _check_channels_last(path, channel_axis)
    for open_file in FILE_READERS:
        source = open_file(absolute, choice)
        if source is not None:
            return source
    raise ValueError(f"{path} isn't an image that can be read. Convert it: magick IN OUT.tif")
