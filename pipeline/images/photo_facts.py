"""What the header of a photo states, and how a photo is turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.file import COPY_AGAIN

if TYPE_CHECKING:
    import mmap

    from numpy.typing import NDArray

    # A file's bytes, which are read from the disk where they are needed.
    Content = mmap.mmap | bytes

_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
_ORIENTATIONS = range(1, 9)
# The least memory of decoders, as :attr:`Header.memory`.
_LITTLE = 0.25
# These exchange rows and columns.
TURNED = range(5, 9)
# After that, these have the last row first, and these the last column.
_UPSIDE_DOWN, _MIRRORED = {3, 4, 7, 8}, {2, 3, 6, 7}
# The letters of the stored samples, by their number.
STORED = ("", "L", "LA", "RGB", "RGBA")


class Header(NamedTuple):
    """What a photo holds.

    Attributes
    ----------
    shape : tuple of int
        Height, width and number of samples, after the photo is turned as its orientation says. The samples
        are gray, gray and alpha, red, green and blue, or these and alpha.
    dtype : dtype
        The dtype of the samples.
    orientation : int
        EXIF's, from 1 to 8: how the stored rows and columns are to be turned. It is 1 if they stay.
    n_frames : int
        The number of images in the file, of which each has this shape.
    memory : float
        The bytes that the decoder takes beside the decoded image and the file, for each of its samples.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    orientation: int = 1
    n_frames: int = 1
    memory: float = _LITTLE

    @property
    def n_bytes(self) -> int:
        """The size of one decoded image."""
        height, width, n_samples = self.shape
        return height * width * n_samples * self.dtype.itemsize


class RefusalError(ValueError):
    """A photo isn't read: the text continues a sentence that begins with its path."""


def header_of(
    extent: tuple[int, int],
    n_samples: int,
    dtype: str,
    *,
    orientation: int = 1,
    n_frames: int = 1,
    memory: float = _LITTLE,
) -> Header:
    """Return the header of a photo.

    Parameters
    ----------
    extent : tuple of int
        Height and width of the stored pixels, before they are turned.
    n_samples : int
        1 to 4.
    dtype : str
    orientation : int
    n_frames : int
    memory : float
        As for :class:`Header`, which has the other ones too.

    Returns
    -------
    Header
    """
    height, width = extent[::-1] if orientation in TURNED else extent
    return Header((height, width, n_samples), np.dtype(dtype), orientation, n_frames, memory)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of a photo's stored pixels whose rows and columns are turned as EXIF's orientation says.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
    orientation : int
        From 1 to 8.

    Returns
    -------
    ndarray, shape (H, W, C)
    """
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if orientation in _UPSIDE_DOWN else 1, :: -1 if orientation in _MIRRORED else 1]


def check_extent(content: Content, height: int, width: int, most_per_byte: float) -> None:
    """Raise RefusalError if a file is too small for the size that its header states.

    Parameters
    ----------
    content : bytes-like
    height, width : int
    most_per_byte : float
        The most pixels that the format can make of a byte; infinite if there is no bound.
    """
    check_rows(content, height, width, height * width / most_per_byte)


def check_rows(content: Content, height: int, width: int, n_bytes: float) -> None:
    """Raise RefusalError if a file has fewer bytes than the size that its header states needs.

    Parameters
    ----------
    content : bytes-like
    height, width : int
    n_bytes : float
    """
    if height < 1 or width < 1:
        raise RefusalError(
            f"has {height} x {width} pixels, as its header states: it is damaged. {COPY_AGAIN}"
        )
    if n_bytes > len(content):
        raise RefusalError(
            f"can't hold the {height} x {width} pixels that its header states: it is truncated or damaged. "
            f"{COPY_AGAIN}"
        )


def exif_orientation(exif: bytes) -> int:
    """Return the orientation that the first directory of EXIF data states.

    Parameters
    ----------
    exif : bytes
        With or without the six letters that precede EXIF data in a JPEG.

    Returns
    -------
    int
        From 1 to 8; 1 if the data state none.
    """
    exif = exif.removeprefix(_EXIF)
    if exif[:2] not in {b"II", b"MM"}:
        return 1

    def number(start: int, size: int) -> int:
        return int.from_bytes(exif[start : start + size], "little" if exif[:2] == b"II" else "big")

    first = number(4, 4)
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            stated = number(entry + 8, 2)
            return stated if stated in _ORIENTATIONS else 1
    return 1


def decode_with(codec: str, content: Content, *args: int, **options: Any) -> NDArray[Any]:  # noqa: ANN401  the codec's
    """Decode a photo with a codec of imagecodecs.

    Parameters
    ----------
    codec : str
        Its name in lower case.
    content : bytes-like
    *args, **options
        Further arguments of the codec's function.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
    """
    import imagecodecs  # noqa: PLC0415  readers are imported where they are used

    pixels: NDArray[Any] = getattr(imagecodecs, f"{codec}_decode")(content, *args, **options)
    return pixels


def big(content: bytes) -> int:
    """Return the whole number whose bytes these are, the highest first."""
    return int.from_bytes(content, "big")


def little(content: bytes) -> int:
    """Return the whole number whose bytes these are, the lowest first."""
    return int.from_bytes(content, "little")
