"""Tests of colors as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.compute.colors import STRIP, are_different, color_bits, pack_colors, unpack_colors


@pytest.mark.parametrize(
    ("dtype", "n_channels", "bits"),
    [
        ("u1", 1, 8),
        ("u1", 2, 16),
        ("u1", 3, 24),
        ("u2", 1, 16),
        ("u1", 4, None),
        ("u2", 2, None),
        ("i1", 1, None),
    ],
)
def test_which_pixels_have_tables(dtype: str, n_channels: int, bits: int | None) -> None:
    """Pixels of up to three channels of a byte, or of one channel of two bytes, have tables."""
    assert color_bits(np.dtype(dtype), n_channels) == bits


@pytest.mark.parametrize(("dtype", "n_channels"), [("u1", 1), ("u1", 2), ("u1", 3), ("u2", 1), (">u2", 1)])
def test_colors_are_packed_and_unpacked(dtype: str, n_channels: int) -> None:
    """Each color is another number, from which its channels come back."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, n_channels)).astype(dtype)
    for view in (pixels, pixels[::-2, ::3, ::-1]):
        colors = pack_colors(view)
        assert colors.max() < 2 ** (color_bits(np.dtype(dtype), n_channels) or 0)
        np.testing.assert_array_equal(unpack_colors(colors, n_channels).T, view.reshape(-1, n_channels))


def test_noise_is_told_from_an_image() -> None:
    """Millions of colors are noise; thousands, as in the strip of a photo, and few pixels aren't."""
    random = np.random.default_rng(0)
    assert are_different(random.integers(0, 2**24, STRIP))
    assert not are_different(random.integers(0, 25_000, STRIP))
    assert not are_different(np.arange(1000))
