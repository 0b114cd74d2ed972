"""Shapes: every pixel in exactly one block, chunks that divide blocks, blocks that suit the source."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.grid import Grid, choose_grid, choose_grids

EXTENTS = st.tuples(st.integers(0, 70), st.integers(0, 70))
SIDES = st.integers(1, 10**6)


@given(
    EXTENTS, st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 5), st.integers(1, 5))
)
def test_every_pixel_is_in_exactly_one_block(
    shape: tuple[int, int], chunk: tuple[int, int], times: tuple[int, int]
) -> None:
    """The blocks' regions cover the image without overlap, and none is empty."""
    grid = Grid(shape, (chunk[0] * times[0], chunk[1] * times[1]), chunk)
    covered = np.zeros(shape, int)
    blocks = list(grid.blocks())
    for block in blocks:
        assert covered[block.region].shape == block.extent
        assert block.n_pixels > 0
        covered[block.region] += 1
    assert (covered == 1).all()
    assert len(blocks) == len({block.index for block in blocks}) == grid.n_blocks
    assert all(grid[block.index] == block for block in blocks)
    assert grid.n_pixels == covered.size == sum(block.n_pixels for block in blocks)


@given(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), st.integers(1, 700), st.integers(1, 700))
def test_regions_lie_in_one_shard_each(shape: tuple[int, int], height: int, width: int) -> None:
    """Whatever the image and the wanted block, no shard of a store is of two blocks."""
    try:
        grid = choose_grid(shape, block=(height, width))
    except ValueError as error:
        assert "can't be halved twice" in str(error)  # noqa: PT017  a refusal is as good
        return
    for index in [(0, 0), (grid.counts[0] - 1, grid.counts[1] - 1)] if grid.n_blocks else []:
        for part, number, side in zip(grid[index].region, index, grid.block, strict=True):
            assert part.start // side == (part.stop - 1) // side == number
    sides = zip(grid.block, grid.chunk, strict=True)
    assert all(block % chunk == 0 for block, chunk in sides)


def test_blocks_are_counted_one_by_one() -> None:
    """The blocks of an image without end are listed as they are asked for."""
    grid = Grid((10**9, 10**9), (16, 16), (16, 16))
    blocks = grid.blocks()
    assert [next(blocks).index, next(blocks).index] == [(0, 0), (0, 1)]
    assert grid.n_blocks == 62_500_000**2
    assert grid[62_499_999, 0].n_pixels == 256


@given(st.tuples(SIDES, SIDES), st.sampled_from([256, 512, 1024, 2048, 4096]))
def test_length_bounds_blocks(shape: tuple[int, int], length: int) -> None:
    """Blocks of a smaller length are no larger than it, in chunks that divide them."""
    grid = choose_grid(shape, length=length)
    assert max(grid.block) <= length
    assert grid.block[0] % grid.chunk[0] == grid.block[1] % grid.chunk[1] == 0
    larger = choose_grid(shape, length=4096)
    assert all(small <= large for small, large in zip(grid.block, larger.block, strict=True))
    wanted = choose_grid(shape, length=length, block=(64, 64))
    assert wanted == choose_grid(shape, block=64)


@pytest.mark.parametrize(
    ("tile", "length", "block"),
    [
        ((256, 256), 512, (512, 512)),
        ((240, 240), 1024, (1024, 1024)),
        ((512, 512), 256, (256, 256)),
        ((1, 100_000), 1024, (16, 100_352)),
        ((64, 100_000), 256, (64, 100_352)),
        ((3000, 100_000), 512, (512, 100_352)),
    ],
)
def test_length_and_tiles(tile: tuple[int, int], length: int, block: tuple[int, int]) -> None:
    """Smaller blocks are squares, and wide for strips."""
    assert choose_grid((100_000, 100_000), tile=tile, length=length).block == block


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_chosen_grids_are_sound(shape: tuple[int, int], tile: tuple[int, int]) -> None:
    """For any image and tile, chunks are small, blocks bounded, and little larger than the image."""
    tile = (min(tile[0], shape[0]), min(tile[1], shape[1]))
    grid = choose_grid(shape, tile=tile)
    for extent, block, chunk in zip(shape, grid.block, grid.chunk, strict=True):
        assert 1 <= chunk <= 1024
        assert block % chunk == 0
        assert block < extent + max(16, chunk)
        assert block % 4 == 0
        assert chunk & (chunk - 1) == 0
    assert grid.block[0] <= 4096
    assert grid.block[0] * grid.block[1] <= 4096 * max(4096, grid.block[1])


@pytest.mark.parametrize(
    ("shape", "tile", "block", "chunk"),
    [
        ((100_000, 90_001), (256, 256), (4096, 4096), (1024, 1024)),
        ((100_000, 90_001), (240, 240), (4096, 4096), (1024, 1024)),
        ((100_000, 100_000), (16, 100_000), (256, 100_352), (256, 1024)),
        ((100_000, 100_000), (1, 1), (4096, 4096), (1024, 1024)),
        ((5000, 3000), (5000, 3000), (4096, 3072), (1024, 1024)),
        ((512, 500), (1, 1), (512, 512), (512, 512)),
        ((1, 1), (1, 1), (16, 16), (16, 16)),
        ((0, 5), (1, 1), (16, 16), (16, 16)),
    ],
)
def test_default_blocks(
    shape: tuple[int, int], tile: tuple[int, int], block: tuple[int, int], chunk: tuple[int, int]
) -> None:
    """Blocks are squares of powers of two, wide for strips, and small for small images."""
    grid = choose_grid(shape, tile=tile)
    assert (grid.block, grid.chunk) == (block, chunk)


@pytest.mark.parametrize(
    ("wanted", "chunk"), [(1000, 1000), (2048, 1024), (2304, 256), (8, 8), (24, 24), (1500, 750)]
)
def test_asked_blocks(wanted: int, chunk: int) -> None:
    """A block that is asked for is kept; its chunk is a power of two, or else the largest that divides it."""
    grid = choose_grid((10_000, 10_000), block=wanted)
    assert grid.block == (wanted, wanted)
    assert grid.chunk == (chunk, chunk)
    assert choose_grid((10_000, 10_000), block=(wanted, 512)).block == (wanted, 512)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (0, "block is 0; wanted a positive whole number"),
        (-5, "block is -5"),
        (True, "block is True"),
        (512.0, "block is 512.0"),
        ("256", "block is '256'"),
        ((256,), r"block is \(256,\)"),
        ((256, 256, 256), "or two of them"),
        (4099, "for example pass block=4096"),
        (7, "a block of 7 pixels can't be halved twice.*pass block=256"),
    ],
)
def test_bad_blocks_are_refused(block: Any, message: str) -> None:
    """A block without a sensible chunk gets an error with a block that has one."""
    with pytest.raises(ValueError, match=message):
        choose_grid((10_000, 10_000), block=block)


def test_a_chunk_must_divide_its_block() -> None:
    """A grid that would let two blocks share a chunk can't be made."""
    with pytest.raises(ValueError, match="block a multiple of the chunk"):
        Grid((10, 10), (4, 4), (3, 4))


def test_blocks_are_cut_to_the_image() -> None:
    """A block far larger than the image allocates no more than the image needs."""
    assert choose_grid((8, 300), block=100_000_000).block == (256, 512)
    assert choose_grid((8, 300), block=np.int64(64)).block == (64, 64)  # type: ignore[arg-type]


def test_grids_to_try() -> None:
    """Blocks become smaller from one grid to the next; a wanted block, and a small image, have one grid."""
    grids = choose_grids((10_000, 10_000), tile=(256, 256), block=None)
    assert [grid.block for grid in grids] == [(side, side) for side in (4096, 2048, 1024, 512, 256)]
    assert choose_grids((10_000, 10_000), tile=(256, 256), block=512) == [
        choose_grid((10_000, 10_000), block=512)
    ]
    assert len(choose_grids((100, 100), tile=(1, 1), block=None)) == 1


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_blocks_hold_what_is_decoded_at_once(shape: tuple[int, int], unit: tuple[int, int]) -> None:
    """However short a length is tried, a block is no smaller than the unit, up to 4096 pixels."""
    unit = (min(unit[0], shape[0]), min(unit[1], shape[1]))
    for grid in choose_grids(shape, tile=unit, unit=unit, block=None):
        for extent, block, chunk, least in zip(shape, grid.block, grid.chunk, unit, strict=True):
            assert block % chunk == 0
            assert block < extent + max(16, chunk, 1024)
            assert block > min(least, 4096) - chunk


@pytest.mark.parametrize(
    ("side", "n_threads", "block"),
    [(300, 8, 512), (2048, 1, 1024), (2048, 2, 512), (2048, 64, 512), (10_240, 2, 4096), (10_240, 16, 1024)],
)
def test_every_thread_has_several_blocks(side: int, n_threads: int, block: int) -> None:
    """Blocks are as large as leaves each thread four, but not below 512 pixels."""
    grids = choose_grids((side, side), tile=(1, 1), block=None, n_threads=n_threads)
    assert grids[0].block == (block, block)
    assert all(grid in choose_grids((side, side), tile=(1, 1), block=None) for grid in grids)


def test_pieces_that_are_decoded_whole_are_not_divided_for_threads() -> None:
    """A source that decodes the whole image for every block has blocks as large as that."""
    for unit in ((4096, 4096), (9000, 9000)):
        grids = [
            choose_grids((9000, 9000), tile=(1, 1), unit=unit, block=None, n_threads=n_threads)[0]
            for n_threads in (1, 64)
        ]
        assert grids[0] == grids[1]


def test_low_wide_strips_are_met_by_low_wide_blocks() -> None:
    """Strips as wide as a wide image make no block larger than others, since each lies in one block."""
    grid = choose_grids((32_768, 65_536), tile=(32, 65_536), unit=(32, 65_536), block=None, n_threads=2)[0]
    assert grid.block == (256, 65_536)
    tall = choose_grids((32_768, 65_536), tile=(8192, 65_536), unit=(8192, 65_536), block=None)[0]
    assert tall.block[0] >= 1024


@given(EXTENTS, st.tuples(st.sampled_from([4, 8, 12]), st.sampled_from([4, 8])), st.integers(1, 3))
def test_levels_halve_the_image_until_it_fits_into_a_chunk(
    shape: tuple[int, int], chunk: tuple[int, int], times: int
) -> None:
    """Each level has half of the pixels along both axes, rounded up, and only the last one fits a chunk."""
    grid = Grid(shape, (chunk[0] * times, chunk[1] * 2), chunk)
    levels = [grid.level(number) for number in range(grid.n_levels)]
    assert levels[0] == grid
    for finer, coarser in pairwise(levels):
        assert coarser.shape == tuple(-(-extent // 2) for extent in finer.shape)
        assert any(extent > side for extent, side in zip(finer.shape, chunk, strict=True))
    assert all(extent <= side for extent, side in zip(levels[-1].shape, chunk, strict=True))


@given(EXTENTS, st.tuples(st.sampled_from([4, 8, 12]), st.sampled_from([4, 8])), st.integers(1, 3))
def test_each_shard_of_a_level_is_made_of_one_block(
    shape: tuple[int, int], chunk: tuple[int, int], times: int
) -> None:
    """The blocks of a tier are those of the levels that are made of it, and tiers make each level once."""
    grid = Grid(shape, (chunk[0] * times, chunk[1] * 2), chunk)
    made = [0]
    for number, tier in grid.tiers():
        assert tier.shape == grid.level(number).shape
        for coarser in grid.levels_from(number):
            made.append(coarser)
            level = grid.level(coarser)
            assert level.counts == tier.counts
            for block, shard in zip(tier.blocks(), level.blocks(), strict=True):
                for read, written in zip(block.region, shard.region, strict=True):
                    assert written.start == read.start >> (coarser - number)
                    assert written.stop == -(-read.stop >> (coarser - number))
    assert made == list(range(grid.n_levels))


def test_blocks_that_cannot_be_halved_have_one_level() -> None:
    """Where a coarser pixel would lie in two blocks there are no coarser levels."""
    assert Grid((50, 50), (9, 9), (3, 3)).n_levels == 1
    assert list(Grid((50, 50), (9, 9), (3, 3)).tiers()) == [(0, Grid((50, 50), (9, 9), (3, 3)))]
