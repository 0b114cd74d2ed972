"""Shapes: every pixel in exactly one block, chunks that divide blocks, blocks that suit the source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.grid import Grid, choose_grid

EXTENTS = st.tuples(st.integers(0, 70), st.integers(0, 70))


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
    for index in blocks:
        assert covered[grid.region(index)].size
        covered[grid.region(index)] += 1
    assert (covered == 1).all()
    assert len(blocks) == len(set(blocks)) == grid.n_blocks
    assert grid.n_pixels == covered.size


SIDES = st.integers(1, 10**6)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_chosen_grids_are_sound(shape: tuple[int, int], tile: tuple[int, int]) -> None:
    """For any image and tile, chunks are small, blocks bounded, and little larger than the image."""
    tile = (min(tile[0], shape[0]), min(tile[1], shape[1]))
    grid = choose_grid(shape, tile=tile)
    for extent, block, chunk in zip(shape, grid.block, grid.chunk, strict=True):
        assert 1 <= chunk <= 1024
        assert block % chunk == 0
        assert block < extent + max(16, chunk)
    assert grid.block[0] <= 4096
    assert grid.block[0] * grid.block[1] <= 4096 * max(4096, grid.block[1])


@pytest.mark.parametrize(
    ("shape", "tile", "block", "chunk"),
    [
        ((100_000, 90_001), (256, 256), (4096, 4096), (1024, 1024)),
        ((100_000, 90_001), (240, 240), (3840, 3840), (960, 960)),
        ((100_000, 100_000), (16, 100_000), (160, 100_352), (160, 1024)),
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
    """Blocks are whole tiles, wide for strips, and small for small images."""
    grid = choose_grid(shape, tile=tile)
    assert (grid.block, grid.chunk) == (block, chunk)


@pytest.mark.parametrize(("wanted", "chunk"), [(1000, 1000), (2048, 1024), (2049, 683), (7, 7), (1500, 750)])
def test_asked_blocks(wanted: int, chunk: int) -> None:
    """A block that is asked for is kept, with the largest chunk that divides it."""
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
    assert choose_grid((8, 300), block=100_000_000).block == (1000, 1000)
    assert choose_grid((8, 300), block=np.int64(64)).block == (64, 64)  # type: ignore[arg-type]
