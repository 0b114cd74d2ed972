"""Arithmetic on shapes: how an image divides into blocks, and a block into chunks.

A block is the piece that one task reads, computes and writes; in the store it is one shard, which holds
whole chunks. So no two tasks ever write the same object.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A viewer reads whole chunks, of 4 MiB in float32.
_CHUNK = 1024
_SMALLEST_CHUNK = 256
LARGEST_BLOCK = 4096
# The chunks of small images are rounded up to a multiple of this, so that they are little larger.
_ROUNDING = 16
# Blocks are as large as this only where the source would else decode the same pixels again and again.
_LARGEST_UNIT = 4 * LARGEST_BLOCK
# A thread has at least this many blocks, unless blocks would be smaller than this.
_BLOCKS_PER_THREAD = 4
_FINEST_BLOCK = 512
# Sides of blocks that are tried until one fits the memory.
_SIDES = (LARGEST_BLOCK, 2048, 1024, 512, 256)


@dataclass(frozen=True)
class Block:
    """A block of a grid.

    Attributes
    ----------
    index : tuple of int
        The row and the column of the block among the blocks.
    rows, columns : slice
        The pixels of the block, clipped to the image.
    """

    index: tuple[int, int]
    rows: slice
    columns: slice

    @property
    def region(self) -> tuple[slice, slice]:
        """The rows and the columns."""
        return self.rows, self.columns

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def n_pixels(self) -> int:
        """The number of pixels."""
        return math.prod(self.extent)


@dataclass(frozen=True)
class Grid:
    """A division of an image into blocks and chunks.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image in pixels.
    block : tuple of int
        Height and width of a block. Blocks at the image's lower and right edge may reach beyond it.
    chunk : tuple of int
        Height and width of a chunk, which divides a block evenly.

    Raises
    ------
    ValueError
        If an extent is negative, a block or chunk is empty, or a chunk doesn't divide its block.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    chunk: tuple[int, int]

    def __post_init__(self) -> None:
        for extent, block, chunk in zip(self.shape, self.block, self.chunk, strict=True):
            if extent < 0 or block < 1 or chunk < 1 or block % chunk:
                raise ValueError(
                    f"an extent of {extent} can't have blocks of {block} with chunks of {chunk}; wanted "
                    "positive lengths, the block a multiple of the chunk"
                )

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of blocks along the height and the width."""
        return (-(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1]))

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of the largest block, clipped to the image."""
        return min(self.block[0], self.shape[0]), min(self.block[1], self.shape[1])

    @property
    def n_blocks(self) -> int:
        """The number of blocks."""
        return math.prod(self.counts)

    @property
    def n_pixels(self) -> int:
        """The number of pixels."""
        return math.prod(self.shape)

    def blocks(self) -> Iterator[Block]:
        """Iterate over the blocks, row by row."""
        rows, columns = self.counts
        return (self[i, j] for i in range(rows) for j in range(columns))

    def __getitem__(self, index: tuple[int, int]) -> Block:
        """Return the block in a row and a column of the grid."""
        top, left = index[0] * self.block[0], index[1] * self.block[1]
        bottom, right = min(top + self.block[0], self.shape[0]), min(left + self.block[1], self.shape[1])
        return Block(index, slice(top, bottom), slice(left, right))


def choose_grid(
    shape: tuple[int, int],
    *,
    tile: tuple[int, int] = (1, 1),
    unit: tuple[int, int] = (1, 1),
    block: int | tuple[int, int] | None = None,
    length: int = LARGEST_BLOCK,
) -> Grid:
    """Choose blocks that suit the image, the tiles of its source and the readers of the result.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image in pixels.
    tile : tuple of int
        Height and width of the piece that the source best reads at once.
    unit : tuple of int
        Height and width of the piece that the source decodes anew for each block that lies in it: blocks are
        no smaller, up to 4096 pixels.
    block : int or tuple of int, optional
        The block that the caller wants, which is cut to the size of the image. By default a square of about
        `length`, in whole tiles; for strips that are as wide as a wide image, low, wide blocks of about as
        many pixels.
    length : int
        The side of a block in pixels, if the caller wants none.

    Returns
    -------
    Grid

    Raises
    ------
    ValueError
        If `block` isn't positive, or no chunk of 256 to 1024 divides it.
    """
    height, width = shape
    if block is not None:
        divided = []
        for extent, side in zip(shape, _pair(block), strict=True):
            chunk = _chunk_of(side)
            divided.append((min(side, max(1, -(-extent // chunk)) * chunk), chunk))
    elif tile[1] >= width > length and tile[0] < height:
        full_width = -(-width // _CHUNK) * _CHUNK
        rows = max(length * length // full_width, min(tile[0], length), min(unit[0], LARGEST_BLOCK))
        divided = [_divide(height, tile[0], rows), (full_width, _CHUNK)]
    else:
        divided = [
            _divide(extent, side, max(length, min(least, LARGEST_BLOCK)))
            for extent, side, least in zip(shape, tile, unit, strict=True)
        ]
    return Grid(shape, (divided[0][0], divided[1][0]), (divided[0][1], divided[1][1]))


def choose_grids(
    shape: tuple[int, int],
    *,
    tile: tuple[int, int],
    unit: tuple[int, int] = (1, 1),
    block: int | tuple[int, int] | None,
    n_threads: int = 1,
) -> list[Grid]:
    """Choose the grids to try until one fits the memory, that of the largest blocks first.

    Parameters
    ----------
    shape, tile, unit, block
        As for :func:`choose_grid`.
    n_threads : int
        How many blocks are computed at once. Blocks are so small that each thread has several, so that none
        is left to wait for the last block, but no smaller than 512 pixels for that.

    Returns
    -------
    list of Grid
        The only one, if the caller wants a certain block. The first ones have blocks of more than 4096 pixels
        if the unit has.

    Raises
    ------
    ValueError
        As :func:`choose_grid` says.
    """
    if block is not None:
        return [choose_grid(shape, block=block)]
    # Blocks of strips as wide as the image are as wide too, and meet each strip once.
    longest = unit[0] if tile[1] >= shape[1] else max(unit)
    sides = _SIDES if longest <= LARGEST_BLOCK else (min(longest, _LARGEST_UNIT), *_SIDES)
    grids = list(dict.fromkeys(choose_grid(shape, tile=tile, unit=unit, length=side) for side in sides))
    if longest > LARGEST_BLOCK:
        return grids
    coarse = [
        grid
        for grid, finer in pairwise(grids)
        if grid.n_blocks < _BLOCKS_PER_THREAD * n_threads and min(finer.block) >= _FINEST_BLOCK
    ]
    return grids[len(coarse) :]


def _pair(block: Any) -> tuple[int, int]:  # noqa: ANN401  a caller may pass anything
    """Return the height and width of a block that a caller wants, checked."""
    try:
        height, width = (
            operator.index(n) for n in (block if isinstance(block, tuple | list) else (block,) * 2)
        )
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1 or isinstance(block, bool):
        raise ValueError(f"block is {block!r}; wanted a positive whole number of pixels, or two of them")
    return height, width


def _divide(extent: int, tile: int, limit: int) -> tuple[int, int]:
    """Choose a block and a chunk along one axis: whole tiles if they are small, `limit` pixels at most."""
    largest = min(_CHUNK, limit)
    if largest < tile <= limit and tile < extent:
        chunk = _largest_divisor(tile, largest)
        if chunk >= min(largest, _SMALLEST_CHUNK):
            return min(limit // tile * tile, -(-extent // chunk) * chunk), chunk
    chunk = largest // tile * tile if tile <= largest else largest
    chunk = min(chunk, max(1, -(-extent // _ROUNDING)) * _ROUNDING)
    chunks = min(limit // chunk, -(-extent // chunk))
    return chunk * max(1, chunks), chunk


def _largest_divisor(length: int, largest: int) -> int:
    return next(part for part in range(min(length, largest), 0, -1) if length % part == 0)


def _chunk_of(block: int) -> int:
    """Find the largest chunk, 1024 at most, that divides a block."""
    chunk = _largest_divisor(block, _CHUNK)
    if chunk < min(block, _SMALLEST_CHUNK):
        nearest = max(_CHUNK, round(block / _CHUNK) * _CHUNK)
        raise ValueError(
            f"no chunk of {_SMALLEST_CHUNK} to {_CHUNK} pixels divides a block of {block}; for example pass "
            f"block={nearest}"
        )
    return chunk
