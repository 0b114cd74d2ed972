"""The directories of a TIFF, each of which says where the next one lies: whether they end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pipeline.images.file import COPY_AGAIN

if TYPE_CHECKING:
    import tifffile


def check_directories(path: str, file: tifffile.TiffFile) -> None:
    """Raise unless the directories that tifffile found are all of the file's.

    tifffile stops without an error at a directory that points back to another one, or out of the file.

    Parameters
    ----------
    path : str
        The file in messages.
    file : TiffFile
        It is open.

    Raises
    ------
    ValueError
        If the last directory that was found names a further one. A single directory may name a place beyond
        the end of the file, since some programs write no number there.
    """
    n_pages = len(file.pages)
    offset = file.pages[n_pages - 1].offset
    layout, content = file.tiff, file.filehandle
    content.seek(offset)
    (n_tags,) = struct.unpack(layout.tagnoformat, content.read(layout.tagnosize))
    content.seek(offset + layout.tagnosize + n_tags * layout.tagsize)
    following = content.read(layout.offsetsize)
    if len(following) < layout.offsetsize:
        raise ValueError(f"{path} is truncated: it ends within its directory {n_pages - 1}. {COPY_AGAIN}")
    (then,) = struct.unpack(layout.offsetformat, following)
    if 0 < then < content.size:
        raise ValueError(
            f"{path} is damaged: a directory names the next one at byte {then}, which is one before it, or "
            f"none. {COPY_AGAIN}"
        )
    if then and n_pages > 1:
        raise ValueError(
            f"{path} is truncated: its directory {n_pages} lies at byte {then}, and it has {content.size}. "
            f"{COPY_AGAIN}"
        )
