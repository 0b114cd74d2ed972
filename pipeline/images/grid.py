"""Arithmetic on shapes: how an image divides into blocks, a block into chunks, and what coarser levels have.

A block is the piece that one task reads, computes and writes; in the store it is one shard, which holds
whole chunks. So no two tasks ever write the same object. A pixel of a level stands for two by two pixels of
the level below. Two levels are made of each block at once, and each has a shard for the block too: of half of
its height and width, and of a quarter. The next two levels are made of blocks of the second of these.
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
# Readers on graphics cards want chunks of a power of two; those of small images have at least this side.
_SMALLEST_POWER = 16
# The number of levels that are made of a block at once.
LEVELS_AT_ONCE = 2
_HALVED = 2**LEVELS_AT_ONCE
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

    @property
    def n_levels(self) -> int:
        """The number of levels, of which the coarsest fits into one chunk.

        It is 1 if a block can't be halved twice, since coarser pixels would lie in several blocks.
        """
        if any(side % _HALVED for side in self.block):
            return 1
        ratios = (max(1, -(-extent // chunk)) for extent, chunk in zip(self.shape, self.chunk, strict=True))
        return 1 + (max(ratios) - 1).bit_length()

    def level(self, number: int) -> Grid:
        """Return the grid of a level, whose blocks are its shards; level 0 is this grid.

        Parameters
        ----------
        number : int

        Returns
        -------
        Grid
            Its pixels are ``2 ** number`` times as high and as wide.
        """
        if number == 0:
            return self
        halvings = (number - 1) % LEVELS_AT_ONCE + 1
        height, width = self._shape_of(number)
        tall, wide = (side >> halvings for side in self.block)
        low, narrow = math.gcd(self.chunk[0], tall), math.gcd(self.chunk[1], wide)
        return Grid((height, width), (tall, wide), (low, narrow))

    def tiers(self) -> Iterator[tuple[int, Grid]]:
        """Iterate over the levels of which coarser ones are made, two at once, and the blocks for that.

        Yields
        ------
        level : int
            0, 2, 4 and so on.
        grid : Grid
            The blocks of this level in which a task makes the next two levels. It isn't the grid of the
            level's shards, of which each block holds four by four.
        """
        yield 0, self
        for level in range(LEVELS_AT_ONCE, self.n_levels - 1, LEVELS_AT_ONCE):
            yield level, Grid(self._shape_of(level), self.block, self.chunk)

    def levels_from(self, level: int) -> range:
        """Return the levels that are made at once of a level of :meth:`tiers`."""
        return range(level + 1, min(level + LEVELS_AT_ONCE, self.n_levels - 1) + 1)

    def coarser(self, level: int, index: tuple[int, int]) -> dict[int, Block]:
        """Return the blocks of coarser levels that are made of one block of a level of :meth:`tiers`."""
        return {number: self.level(number)[index] for number in self.levels_from(level)}

    def _shape_of(self, level: int) -> tuple[int, int]:
        return -(-self.shape[0] >> level), -(-self.shape[1] >> level)


def choose_grid(
    shape: tuple[int, int],
    *,
    tile: tuple[int, int] = (1, 1),
    unit: tuple[int, int] = (1, 1),
    block: int | tuple[int, int] | None = None,
    length: int = LARGEST_BLOCK,
) -> Grid:
    """Choose blocks that suit the image, its source and the readers of the result.

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
        The block that the caller wants, which is cut to the size of the image. By default a square of
        `length`; for strips that are as wide as a wide image, low, wide blocks of about as many pixels.
    length : int
        The side of a block in pixels, if the caller wants none; the largest power of two up to that counts.

    Returns
    -------
    Grid

    Raises
    ------
    ValueError
        If `block` isn't positive, can't be halved twice, or no chunk of 256 to 1024 divides it.
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
        divided = [_divide(height, _power_of_two(max(rows, _SMALLEST_POWER))), (full_width, _CHUNK)]
    else:
        divided = [
            _divide(extent, _power_of_two(max(1 << length.bit_length() - 1, min(least, LARGEST_BLOCK))))
            for extent, least in zip(shape, unit, strict=True)
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


def _divide(extent: int, limit: int) -> tuple[int, int]:
    """Choose a block and a chunk along one axis: a power of two in powers of two, `limit` pixels at most."""
    chunk = min(_CHUNK, limit, _power_of_two(max(extent, _SMALLEST_POWER)))
    return chunk * min(limit // chunk, max(1, -(-extent // chunk))), chunk


def _power_of_two(length: int) -> int:
    """Return the least power of two that is at least a length."""
    return 1 << (length - 1).bit_length()


def _largest_divisor(length: int, largest: int) -> int:
    return next(part for part in range(min(length, largest), 0, -1) if length % part == 0)


def _chunk_of(block: int) -> int:
    """Find the chunk of a block that the caller wants: the largest power of two, or else another divisor."""
    power = math.gcd(block, _CHUNK)
    chunk = power if power >= min(block, _SMALLEST_CHUNK) else _largest_divisor(block, _CHUNK)
    if chunk < min(block, _SMALLEST_CHUNK) or block % _HALVED:
        nearest = max(_SMALLEST_CHUNK, round(block / _SMALLEST_CHUNK) * _SMALLEST_CHUNK)
        raise ValueError(
            f"a block of {block} pixels can't be halved twice, for coarser levels, or no chunk of "
            f"{_SMALLEST_CHUNK} to {_CHUNK} pixels divides it; for example pass block={nearest}"
        )
    return chunk
