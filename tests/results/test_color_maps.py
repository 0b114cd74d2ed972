"""Color maps as lookup tables."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from pipeline.results.color_maps import COLOR_MAPS, DIVERGING, color_table


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_maps_are_those_of_matplotlib(name: str) -> None:
    """The colors are those of Matplotlib's maps of the same names, rounded; all are opaque."""
    known = mpl.colormaps["RdBu_r" if name == DIVERGING else name](np.arange(256), bytes=True)
    table = color_table(name)
    assert table.shape == (256, 4)
    assert np.abs(table.astype(int) - known).max() <= 1


def test_the_middle_of_the_diverging_map_is_bright() -> None:
    """Values around 0 are nearly white, and both ends are dark."""
    brightness = color_table(DIVERGING)[:, :3].sum(axis=1)
    assert brightness[127] > 720
    assert max(brightness[0], brightness[-1]) < 200


def test_other_maps_are_refused() -> None:
    """An unknown name gets the known ones, and tables can't be changed."""
    with pytest.raises(ValueError, match="map is 'jet'; wanted one of viridis, magma, inferno, cividis,"):
        color_table("jet")
    with pytest.raises(ValueError, match="read-only"):
        color_table("gray")[0] = 1
