"""Decoded pieces of images that a process keeps, because several regions need them.

A piece is a photo, or a strip, tile or chunk so large that blocks are smaller than it. It is decoded once
while the blocks that lie in it are computed, and not once for each of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

# A piece that is larger than this, in bytes, is kept.
GIANT = 2**26
# Pieces that are kept of each plane of a source: a block can lie in two strips.
PIECES = 2
# Sources whose pieces are kept: an image, and its mask.
SOURCES = 2


class Kept:
    """The last pieces of the last two sources that a process read."""

    def __init__(self) -> None:
        self._sources: OrderedDict[Hashable, OrderedDict[Hashable, NDArray[Any]]] = OrderedDict()
        self._lock = threading.RLock()

    def get(
        self, source: Hashable, number: Hashable, decode: Callable[[], NDArray[Any]], most: int = PIECES
    ) -> NDArray[Any]:
        """Return a piece, which is decoded if it isn't kept. Other threads wait meanwhile.

        Parameters
        ----------
        source : hashable
            Equal for the same pixels, and different once they have changed.
        number : hashable
            The number of the piece within the source.
        decode : callable
            It returns the pixels.
        most : int
            As many pieces of this source are kept, the last ones that were asked for.

        Returns
        -------
        ndarray
            It isn't the caller's own: other threads read it too.
        """
        # One piece is decoded at a time, and only after another one has made room for it.
        with self._lock:
            if source not in self._sources:
                while len(self._sources) >= SOURCES:
                    self._sources.popitem(last=False)
                self._sources[source] = OrderedDict()
            self._sources.move_to_end(source)
            pieces = self._sources[source]
            if number not in pieces:
                while len(pieces) >= most:
                    pieces.popitem(last=False)
                pieces[number] = decode()
            pieces.move_to_end(number)
            return pieces[number]

    def holds(self, source: Hashable) -> bool:
        """Return whether any piece of a source is kept."""
        return bool(self._sources.get(source))

    def release(self) -> None:
        """Forget the giant pieces: they cost more memory than decoding them again costs time."""
        with self._lock:
            for pieces in self._sources.values():
                for number in [number for number, piece in pieces.items() if piece.nbytes > GIANT]:
                    del pieces[number]


KEPT = Kept()
