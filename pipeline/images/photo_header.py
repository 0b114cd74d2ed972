"""The headers of photos: their size and samples, known before they are decoded."""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.images.photo_facts import RefusalError
from pipeline.images.photo_formats import find_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.images.photo_facts import Header


UNKNOWN_KIND = (
    "It is damaged, or of an unknown kind. Copy or download it again, or convert it: magick IN OUT.png"
)


def read_header(path: str) -> Header | None:
    """Read the header of a photo.

    Parameters
    ----------
    path : str

    Returns
    -------
    Header or None
        None if the file is of another format, or if its header doesn't tell its samples.

    Raises
    ------
    ValueError
        If the photo is of a kind that isn't read, is damaged, has no end, or is too small for the size that
        its header states.
    """
    with open_content(path) as content:
        photo = find_format(content)
        if photo is None:
            return None
        try:
            return photo.read_header(content)
        except RefusalError as error:
            raise ValueError(f"{path} {error}") from None
        except (IndexError, KeyError, ValueError):
            raise ValueError(
                f"{path} is {photo.name} whose header isn't understood. {UNKNOWN_KIND}"
            ) from None


@contextmanager
def open_content(path: str) -> Iterator[mmap.mmap]:
    """Give the bytes of a file, which are read from the disk where they are needed."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content
