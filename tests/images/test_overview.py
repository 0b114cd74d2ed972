"""Overviews of images: small, right, and never expensive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import tifffile

from pipeline.images import overview
from pipeline.images.opening import open_image
from pipeline.images.overview import read_overview

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHADES = (10, 20, 40, 80)


@pytest.fixture
def pyramid(tmp_path: Path) -> Path:
    """Give a pyramid each level of which has a shade of its own, brighter to the right by columns."""
    path = tmp_path / "pyramid.tif"
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb"}
    with tifffile.TiffWriter(path) as writer:
        for level, shade in enumerate(SHADES):
            pixels = np.full((960 >> level, 640 >> level, 3), shade, np.uint8)
            pixels[..., 1] = np.linspace(0, 255, 640 >> level)
            extra = {"subifds": len(SHADES) - 1} if level == 0 else {"subfiletype": 1}
            writer.write(pixels, **options, **extra)
    return path


@pytest.mark.parametrize(
    ("side", "level"), [(960, 0), (500, 0), (480, 1), (300, 1), (240, 2), (100, 3), (1, 3)]
)
def test_the_coarsest_level_that_suits_is_read(pyramid: Path, side: int, level: int) -> None:
    """The shade tells which level was read."""
    found = read_overview(open_image(pyramid), side)
    assert found.shape[2] == 3
    assert (found[..., 0] == SHADES[level]).all()
    assert side <= max(found.shape) * 1.5
    assert max(found.shape) <= max(side * 1.5, 3)


def test_views_are_read_at_coarse_levels(pyramid: Path) -> None:
    """Rows, columns, steps and turned sides are those of the view."""
    whole = open_image(pyramid)
    view = whole[200:840, ::-1][:, 100:500]
    found = read_overview(view, 160)
    assert found.shape == (160, 100, 3)
    assert (found[..., 0] == SHADES[2]).all()
    np.testing.assert_allclose(found[0, :, 1], np.asarray(view)[0, ::4, 1], atol=3)
    # A view of a level begins there.
    coarse = read_overview(open_image(pyramid, level=1), 240)
    assert (coarse[..., 0] == SHADES[2]).all()
    channels = read_overview(open_image(pyramid, channels=["blue"]), 100)
    assert (channels == SHADES[3]).all()


def test_colors_are_those_of_a_screen(photo: NDArray[np.uint8]) -> None:
    """Named channels come as red, green, blue; many bits are spread, and other channels are gray."""
    np.testing.assert_array_equal(read_overview(open_image(photo), 512), photo)
    turned = open_image(photo, channels=[2, 1, 0])
    np.testing.assert_array_equal(read_overview(turned, 512), photo[..., ::-1])
    wide = photo.astype(np.uint16) * 100
    spread = read_overview(open_image(wide), 512)
    assert (spread.min(), spread.max()) == (0, 255)
    assert np.corrcoef(spread.ravel(), photo.ravel())[0, 1] > 0.95
    gray = read_overview(open_image(photo[..., :2]), 256)
    np.testing.assert_array_equal(gray, photo[::2, ::2, :1].repeat(3, axis=2))
    missing = np.full((3, 4, 1), np.nan)
    assert (read_overview(open_image(missing), 4) == 0).all()


def test_what_may_take_long_is_refused(
    monkeypatch: pytest.MonkeyPatch, pyramid: Path, tmp_path: Path
) -> None:
    """Neither a Dask array nor a large image without levels is read."""
    with pytest.raises(ValueError, match="the image is computed chunk by chunk"):
        read_overview(open_image(da.zeros((64, 64, 3), np.uint8)), 10)
    monkeypatch.setattr(overview, "_MOST_PIXELS", 10_000)
    tifffile.imwrite(tmp_path / "flat.tif", np.zeros((120, 120, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match="has no coarser levels"):
        read_overview(open_image(tmp_path / "flat.tif"), 10)
    assert max(read_overview(open_image(pyramid), 100).shape) == 120


def test_remote_images_and_mosaics(pyramid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mosaic has no levels, and nothing is fetched from elsewhere."""
    mosaic = open_image({str(pyramid): (0, 0)})
    assert (read_overview(mosaic, 100)[..., 0] == SHADES[0]).all()
    remote = open_image(pyramid)
    monkeypatch.setattr(type(remote.source), "place", lambda _: {"image": "https://example.org/a.tif"})
    with pytest.raises(ValueError, match="the image is remote"):
        read_overview(remote, 100)
