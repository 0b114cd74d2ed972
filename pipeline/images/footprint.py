"""The memory that reading an image takes, as a value."""

from __future__ import annotations

from typing import NamedTuple


class Footprint(NamedTuple):
    """The memory in bytes that reading an image takes in each process.

    Attributes
    ----------
    held : int
        What is held for as long as the image is read.
    present : int
        What of it this process holds already.
    opening : int
        What decoding takes besides, before the first region is read.
    region : int
        What each region that is read at the same time takes.
    """

    held: int
    present: int
    opening: int
    region: int
