"""libvips, which decodes photos strip by strip."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from pipeline.images.file import COPY_AGAIN, open_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

VIPS_INSTALL = "pip install 'mixture-pipeline[vips]'"
_DTYPES = {"uchar": "uint8", "ushort": "uint16"}


class Streamed(NamedTuple):
    """What libvips makes of a photo.

    Attributes
    ----------
    shape : tuple of int
        Height, width and number of samples, as they are stored.
    dtype : dtype or None
        None if it is neither uint8 nor uint16.
    held_bytes : int
        The memory of what can't be decoded in strips: pixels of an interlaced PNG, and coefficients of 16
        bits of a progressive JPEG.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any] | None
    held_bytes: int


def import_vips() -> Any:  # noqa: ANN401  a module
    """Import pyvips.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If it is missing, or can't find the library itself.
    """
    try:
        return import_module("pyvips")
    except (ImportError, OSError) as error:
        # Without the library itself, pyvips raises OSError.
        raise ImportError(f"libvips can't be loaded: {error}. Install it: {VIPS_INSTALL}") from error


def read_streamed(path: str) -> Streamed | None:
    """Read the header of a photo with libvips.

    Parameters
    ----------
    path : str

    Returns
    -------
    Streamed or None
        None if libvips can't read it.

    Raises
    ------
    ImportError
        If libvips is missing.
    """
    pyvips = import_vips()
    with open_binary(path) as file:
        try:
            image = _open(pyvips, file)
        except pyvips.Error:
            return None
        shape = (image.height, image.width, image.bands)
        dtype = np.dtype(_DTYPES[image.format]) if image.format in _DTYPES else None
        held_bytes = 0
        if dtype is not None and image.get_typeof("interlaced"):
            itemsize = 2 if image.get("vips-loader").startswith("jpeg") else dtype.itemsize
            held_bytes = math.prod(shape) * itemsize
        return Streamed(shape, dtype, held_bytes)


def decode_strips(path: str, dtype: np.dtype[Any], height: int) -> Iterator[NDArray[Any]]:
    """Decode a photo from the top to the bottom, in one pass.

    Parameters
    ----------
    path : str
    dtype : dtype
        As :func:`read_streamed` says.
    height : int
        The rows of a strip, a multiple of 64.

    Yields
    ------
    ndarray, shape (height, W, samples)
        The last one may have fewer rows. The next one is decoded once the caller has dropped it.

    Raises
    ------
    ImportError
        If libvips is missing.
    ValueError
        If the photo is truncated or damaged, or of a kind that libvips doesn't decode.
    """
    pyvips = import_vips()
    try:
        with open_binary(path) as file:
            image = _open(pyvips, file)
            for top in range(0, image.height, height):
                rows = min(height, image.height - top)
                # A region's fetch() takes more memory and time.
                content = image.crop(0, top, image.width, rows).write_to_memory()
                strip: NDArray[Any] = np.frombuffer(content, dtype).reshape(rows, image.width, image.bands)
                del content
                yield strip
                del strip
    except pyvips.Error as error:
        reason = "; ".join(str(error).split("\n")).strip("; ")
        raise ValueError(
            f"{path} can't be decoded by libvips: {reason}. It is damaged, or of an unknown kind. "
            f"{COPY_AGAIN}"
        ) from error


def _open(pyvips: Any, file: BinaryIO) -> Any:  # noqa: ANN401  pyvips has no types
    """Open a photo in an open file. libvips by itself would map all of a JPEG into memory."""
    source = pyvips.SourceCustom()
    source.on_read(file.read)
    source.on_seek(file.seek)
    return pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")
