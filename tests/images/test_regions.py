"""Regions in pixels and in coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images.examples import Plain

from pipeline.images.image import Image
from pipeline.images.opening import open_image

PIXELS = np.arange(40 * 50 * 3, dtype="u2").reshape(40, 50, 3)


def placed(transform: tuple[float, ...] | None) -> Image:
    """Return an image that lies where a transform says."""
    source = Plain(PIXELS)
    source.geometry = replace(source.geometry, transform=transform)
    return Image.of(source)


@pytest.mark.parametrize("region", [(slice(3, 9), slice(10, 50)), ((3, 9), (10, 50)), [[3, 9], [10, 50]]])
def test_pixels(region: Any) -> None:
    """Rows and columns are those of the array."""
    np.testing.assert_array_equal(open_image(PIXELS, region=region), PIXELS[3:9, 10:50])


def test_coordinates() -> None:
    """Bounds take the pixels whose centers lie within them, and the region has its own transform."""
    image = open_image(placed((10.0, 0, 500.0, 0, -10.0, 900.0)), region={"x": (520, 560), "y": (800, 845)})
    np.testing.assert_array_equal(image, PIXELS[5:10, 2:6])
    assert image.transform == (10, 0, 520, 0, -10, 850)


@given(st.data())
def test_pixels_lie_within_their_bounds(data: st.DataObject) -> None:
    """The centers of the pixels of a region are those that lie within the bounds."""
    size = st.sampled_from([-2.5, -1.0, 0.5, 1.0, 3.0])
    a, e = data.draw(size), data.draw(size)
    image = placed((a, 0.0, 7.0, 0.0, e, -3.0))
    x, y = 7 + a * (np.arange(50) + 0.5), -3 + e * (np.arange(40) + 0.5)
    ends = st.floats(-200, 200).map(lambda end: round(end, 1))
    (left, right), (bottom, top) = (sorted(data.draw(st.tuples(ends, ends))) for _ in "xy")
    if left == right or bottom == top:
        return
    columns, rows = (x > left) & (x < right), (y > bottom) & (y < top)
    edges = np.isin(x, (left, right)).any() or np.isin(y, (bottom, top)).any()
    if edges or not columns.any() or not rows.any():
        return
    found = open_image(image, region={"x": (left, right), "y": (bottom, top)})
    np.testing.assert_array_equal(found, PIXELS[rows][:, columns])


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (3, "region is 3; wanted rows and columns"),
        ((slice(0, 9, 2), slice(0, 9)), "wanted rows and columns"),
        ((slice(0, 9), slice(None)), "wanted rows and columns"),
        (((0, 9), (0, 51)), "region has columns 0 to 51; wanted some within 0 to 50"),
        (((-3, 9), (0, 5)), "region has rows -3 to 9; wanted"),
        (((9, 9), (0, 5)), "region has rows 9 to 9; wanted"),
        ({"x": (0, 1)}, "wanted rows and columns"),
        ({"x": (1, 0), "y": (0, 1)}, "or bounds in the units"),
        ({"x": (0, 1), "y": (0, 1), "z": 3}, "or bounds in the units"),
    ],
)
def test_regions_that_are_refused(region: Any, message: str) -> None:
    """A region that isn't one, or isn't within the image, is named."""
    with pytest.raises(ValueError, match=message):
        open_image(PIXELS, region=region)


def test_coordinates_need_a_transform() -> None:
    """An image without a georeference, or one that is turned, has no bounds; others say theirs."""
    region = {"x": (0.0, 5.0), "y": (0.0, 5.0)}
    with pytest.raises(ValueError, match=r"the image has no georeference. Give it in pixels"):
        open_image(PIXELS, region=region)
    with pytest.raises(ValueError, match="turned against their axes"):
        open_image(placed((1.0, 0.1, 0.0, 0.1, 1.0, 0.0)), region=region)
    with pytest.raises(
        ValueError, match=r"holds no pixel of the image, which lies within x 100 to 150 and y"
    ):
        open_image(placed((1.0, 0, 100.0, 0, 1.0, 0.0)), region=region)
