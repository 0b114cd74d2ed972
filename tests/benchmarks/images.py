"""The images that benchmarks use: a real photo, tiled to any size, in memory and as a Zarr array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from pipeline.demo import load_photo

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

SHARD = 4096
CHUNK = 1024
_MEBI = 2**20
# What is read as fast as it can be.
_FAST = BloscCodec(cname="lz4")
# The photo's side.
TILE = 512


def side_of(megapixels: float) -> int:
    """Give the side of a square of about as many megapixels (2**20 pixels), in whole photos."""
    return max(1, round((megapixels * _MEBI) ** 0.5 / TILE)) * TILE


def photo(side: int, lights: int = 1) -> Image:
    """Tile a real photo, as it is or under several slightly different lights."""
    random = np.random.default_rng(0)
    tints = random.uniform(0.8, 1.0, (lights, 1)) * random.uniform(0.95, 1.05, (lights, 3))
    tints[0] = 1
    astronaut = load_photo()
    image = np.empty((side, side, 3), np.uint8)
    levels = np.arange(256)
    for top in range(0, side, TILE):
        for left in range(0, side, TILE):
            tint = tints[(top // TILE * (side // TILE) + left // TILE) % lights]
            for channel in range(3):
                curve = np.clip(np.rint(levels * tint[channel]), 0, 255).astype(np.uint8)
                tile = image[top : top + TILE, left : left + TILE, channel]
                tile[...] = curve[astronaut[..., channel]]
    return image


def make_source(
    path: Path, megapixels: float, compressors: Any = _FAST, lights: int = 1, dtype: str = "uint8"
) -> zarr.Array[Any]:
    """Write a photo of levels from 0 to 255, tiled under several lights, in shards; it repeats beyond one."""
    side = side_of(megapixels)
    chunk = min(CHUNK, side)
    shard = min(SHARD, -(-side // chunk) * chunk)
    source = zarr.create_array(
        path,
        shape=(side, side, 3),
        shards=(shard, shard, 3),
        chunks=(chunk, chunk, 3),
        dtype=dtype,
        compressors=compressors,
    )
    piece = photo(shard, lights).astype(dtype, copy=False)
    for top in range(0, side, shard):
        for left in range(0, side, shard):
            height, width = min(shard, side - top), min(shard, side - left)
            source[top : top + height, left : left + width] = piece[:height, :width]
    return source
