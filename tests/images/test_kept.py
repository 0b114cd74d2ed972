"""Kept pieces: each is decoded once while it is kept, and no more of them are kept than may be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.images import kept
from pipeline.images.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

PIECE = np.zeros(100, np.uint8)


@pytest.fixture
def decoded() -> list[Hashable]:
    """Collect what is decoded."""
    return []


@pytest.fixture
def decode(decoded: list[Hashable]) -> Callable[[Hashable], Callable[[], NDArray[Any]]]:
    """Give decoders that note what they decode."""

    def decoder(number: Hashable) -> Callable[[], NDArray[Any]]:
        def note() -> NDArray[Any]:
            decoded.append(number)
            return PIECE

        return note

    return decoder


def test_threads_share_a_piece(decoded: list[Hashable], decode: Any) -> None:
    """However many threads want a piece, it is decoded once."""
    pieces = Kept()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: pieces.get("image", 0, decode(0)), range(50)))
    assert decoded == [0]
    assert all(piece is PIECE for piece in found)


def test_the_last_pieces_are_kept(decoded: list[Hashable], decode: Any) -> None:
    """Of each source as many as may be, of the last two sources."""
    pieces = Kept()
    for number in (0, 1, 0, 2, 0, 1):
        pieces.get("image", number, decode(number))
    assert decoded == [0, 1, 2, 1]
    for number in (0, 1, 2, 0, 1, 2):
        pieces.get("planes", number, decode(("planes", number)), 3)
    assert decoded[4:] == [("planes", number) for number in range(3)]
    assert pieces.holds("image")
    pieces.get("mask", 0, decode("mask"))
    assert (pieces.holds("image"), pieces.holds("planes"), pieces.holds("mask")) == (False, True, True)


def test_a_piece_that_cant_be_decoded_is_tried_again(decoded: list[Hashable], decode: Any) -> None:
    """An error goes to the caller, and nothing is kept of it."""
    pieces = Kept()
    with pytest.raises(ZeroDivisionError):
        pieces.get("image", 0, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    pieces.get("image", 0, decode(0))
    assert decoded == [0]


def test_giant_pieces_are_released(monkeypatch: pytest.MonkeyPatch, decode: Any) -> None:
    """After a run only small pieces stay."""
    pieces = Kept()
    pieces.get("image", 0, decode(0))
    pieces.release()
    assert pieces.holds("image")
    monkeypatch.setattr(kept, "GIANT", 10)
    pieces.release()
    assert not pieces.holds("image")
    assert not pieces.holds("other")
