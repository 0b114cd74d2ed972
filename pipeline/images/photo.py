"""Photos: formats without random access.

An image is decoded whole and in one way, with all of its samples, turned as its orientation says. Each
process keeps the last two that it decoded. A giant one is decoded when its first pixel is read, a small one
when it is opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.file import COPY_AGAIN, ImageFile, file_stamp, name_samples
from pipeline.images.kept import GIANT, KEPT
from pipeline.images.photo_facts import STORED, RefusalError, turned
from pipeline.images.photo_formats import find_format
from pipeline.images.photo_header import UNKNOWN_KIND, open_content, read_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Header
    from pipeline.images.photo_formats import Format
    from pipeline.images.source import Places, Region


# The memory of decoders whose headers don't tell their samples, for each byte of the decoded photo.
_UNKNOWN_MEMORY = 1.5


def open_photo(path: str, choice: Choice = WHOLE) -> Photo | None:
    """Open a photo, or return None if it is of another format.

    Parameters
    ----------
    path : str
        The absolute path of a file.
    choice : Choice
        The number of a frame, as ``pages``, of a file that holds several.

    Returns
    -------
    Photo or None
        Gray as one channel, else red, green and blue; alpha is left out.

    Raises
    ------
    ValueError
        If the photo is of a kind that isn't read, is truncated, or is damaged so that its decoder notices; of
        a giant one only the header is read. If it holds several frames, and none is chosen.
    """
    with open_content(path) as content:
        photo = find_format(content)
    if photo is None:
        return None
    stamp = file_stamp(path)
    header = read_header(path)
    frame = _frame(path, photo, header, choice)
    if header is None or header.n_bytes <= GIANT:
        pixels = _decode(path, stamp, frame)
        shape, dtype = pixels.shape, pixels.dtype
    else:
        shape, dtype = header.shape, header.dtype
    height, width, n_samples = shape
    memory = _UNKNOWN_MEMORY * dtype.itemsize if header is None else header.memory
    stored = STORED[n_samples]
    samples, channels = name_samples(stored)
    return Photo(
        path=path,
        stamp=stamp,
        shape=(height, width, len(samples)),
        dtype=dtype,
        channels=channels,
        tile=(height, width),
        stored=stored,
        samples=samples,
        choice=choice,
        decoding_bytes=stamp[1] + int(memory * math.prod(shape)),
    )


@dataclass(frozen=True, kw_only=True)
class Photo(ImageFile):
    """A photo, which each process that reads it decodes whole, with all of its samples.

    Attributes
    ----------
    decoding_bytes : int
        The memory that the decoder takes beside the decoded photo, with that of the file.
    """

    decoding_bytes: int = field(repr=False)

    @property
    def held_bytes(self) -> int:
        """The memory of the decoded photo."""
        height, width = self.extent
        return height * width * len(self.stored) * self.dtype.itemsize

    @property
    def present_bytes(self) -> int:
        """The memory of the decoded photo, if this process has it."""
        return self.held_bytes if KEPT.holds((self.path, self.stamp, self._frame)) else 0

    @property
    def opening_bytes(self) -> int:
        """The memory that the decoder takes beside the photo."""
        return self.decoding_bytes

    @property
    def unit(self) -> tuple[int, int]:
        """A pixel, since the photo is kept."""
        return (1, 1)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory of the pixels, which are copied from the photo."""
        del places
        return math.prod(extent) * self.pixel_bytes

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, shape (h, w, C)."""
        self.check_unchanged()
        whole = _decode(self.path, self.stamp, self._frame)
        n_samples = len(self.samples)
        # Copying adjacent samples is several times as fast as picking them.
        is_adjacent = self.samples == tuple(range(n_samples))
        return np.array(whole[region][..., slice(n_samples) if is_adjacent else self.samples], order="C")

    @property
    def _frame(self) -> int:
        return int(self.choice.pages or 0)


def _frame(path: str, photo: Format, header: Header | None, choice: Choice) -> int:
    """Return the number of the frame that is chosen."""
    n_frames = 1 if header is None else header.n_frames
    if n_frames <= 1:
        choice.check(path, photo.name)
        return 0
    choice.check(path, photo.name, "pages")
    if not isinstance(choice.pages, int) or choice.pages >= n_frames:
        raise ValueError(
            f"{path} is {photo.name} of {n_frames} frames, and pages is {choice.pages!r}; wanted the number "
            f"of one, pages=0 to {n_frames - 1}"
        )
    return choice.pages


def _decode(path: str, stamp: tuple[int, int], frame: int) -> NDArray[Any]:
    """Return a decoded photo, which is kept; other threads that want it wait until it is decoded."""
    return KEPT.get((path, stamp, frame), 0, lambda: _decode_whole(path, frame), 1)


def _decode_whole(path: str, frame: int) -> NDArray[Any]:
    """Decode a photo to (H, W, samples), at the depth that is stored, turned as its header says."""
    header = read_header(path)
    with open_content(path) as content:
        photo = find_format(content)
        if photo is None:
            raise ValueError(f"{path} changed since it was opened. Open it again.")
        try:
            pixels, problem = photo.decode(content, frame), ""
        except RefusalError as error:
            problem = str(error)
        except (IndexError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            # An exception that left this block would keep the file's bytes in use.
            reason = " ".join(str(error).split()) or type(error).__name__
            problem = f"is {photo.name} that can't be decoded: {reason}. {UNKNOWN_KIND}"
    if problem:
        raise ValueError(f"{path} {problem}")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if header is None:
        return pixels
    pixels = turned(pixels, header.orientation)
    if pixels.shape != header.shape or pixels.dtype != header.dtype:
        raise ValueError(
            f"{path} has another size than its header states, {header.shape} of {header.dtype}: "
            f"{pixels.shape} of {pixels.dtype}; it is damaged. {COPY_AGAIN}"
        )
    return pixels
