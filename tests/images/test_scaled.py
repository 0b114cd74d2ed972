"""Images at a higher resolution: each pixel is the one of the base in which its center lies."""

from __future__ import annotations

import math
import os
import pickle
import tracemalloc
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from images.examples import Plain, noise

from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
from pipeline.images.scaled import Scaled, fit_extent
from pipeline.images.view import view
from pipeline.testing.sources import SourceContract, regions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.testing.sources import Case


def enlarge(pixels: NDArray[np.uint8], extent: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale by nearest neighbor, in exact fractions."""
    places = [
        [math.floor(Fraction(2 * place + 1, 2) * small / large) for place in range(large)]
        for small, large in zip(pixels.shape, extent, strict=False)
    ]
    return pixels[np.ix_(*places)]


class TestScaled(SourceContract):
    """The contract, on images at other resolutions, one of which is a photo that can't leave channels out."""

    @pytest.fixture(params=["array", "plain", "file", "mask"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Return a source, and its pixels by another route."""
        pixels, extent = noise(37, 25, 3), (101, 83)
        if request.param == "mask":
            cv2.imwrite(os.fspath(tmp_path / "x.png"), pixels[..., 0])
            return Scaled(open_source(tmp_path / "x.png"), (300, 201)), enlarge(pixels[..., :1], (300, 201))
        if request.param == "file":
            stored = zarr.create_array(tmp_path / "x.zarr", data=pixels, chunks=(10, 8, 3))
            return Scaled(open_source(stored), extent), enlarge(pixels, extent)
        base = Plain(pixels) if request.param == "plain" else open_source(pixels)
        return Scaled(base, extent), enlarge(pixels, extent)

    def test_a_part_is_small_and_travels(self, case: Case) -> None:
        """A part isn't larger than that of the base; the plain source takes its pixels along."""
        source, pixels = case
        for region in regions(source.extent, 5):
            sent = pickle.dumps(source.part(region))
            assert len(sent) < 20_000
            np.testing.assert_array_equal(pickle.loads(sent).read(), pixels[region])  # noqa: S301  made above


@settings(derandomize=True)
@given(
    small=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    more=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    seed=st.integers(0, 9),
)
def test_nearest_neighbor(small: tuple[int, int], more: tuple[int, int], seed: int) -> None:
    """Whatever the two resolutions are, pixels are those of exact fractions."""
    extent = (small[0] + more[0], small[1] + more[1])
    base, pixels = Plain(noise(*small, 1, seed=seed)), noise(*small, 1, seed=seed)
    wanted = enlarge(pixels, extent)
    for region in regions(extent, 8, seed):
        np.testing.assert_array_equal(Scaled(base, extent).read(region), wanted[region])


def test_no_more_is_read_than_needed() -> None:
    """A region reads the rows and columns of the base between its first and its last one."""
    base = Plain(noise(10, 20, 1))
    Scaled(base, (100, 200)).read((slice(15, 40, 3), slice(150, 151)))
    Scaled(base, (100, 200)).part((slice(99, 100), slice(0, 200, 9))).read()
    Scaled(base, (100, 200)).read((slice(5, 5), slice(0, 9)))
    spans = [tuple((one.start, one.stop) for one in region) for region in base.asked]
    assert spans == [((1, 4), (15, 16)), ((9, 10), (0, 20)), ((0, 0), (0, 1))]


@settings(derandomize=True, max_examples=300)
@given(
    extent=st.tuples(st.integers(2, 100_000), st.integers(2, 100_000)),
    factor=st.floats(1.5, 300),
    up=st.tuples(st.booleans(), st.booleans()),
)
def test_coarser_levels_fit(extent: tuple[int, int], factor: float, up: tuple[bool, bool]) -> None:
    """A level of a pyramid fits the image, whether its sizes were rounded up or down."""
    height, width = (
        max(1, math.ceil(n / factor) if one else math.floor(n / factor))
        for n, one in zip(extent, up, strict=True)
    )
    assume(min(extent) > factor and max(extent) > 4)
    base = open_source(np.broadcast_to(np.uint8(1), (height, width)))
    fitted = fit_extent(base, extent, "mask")
    assert fitted.shape == (*extent, 1)
    assert fit_extent(fitted, extent, "mask") is fitted


@pytest.mark.parametrize(
    ("small", "message"),
    [
        ((70, 91), r"mask has shape \(70, 91\); wanted \(70, 90\), the image's height and width, or a lower"),
        ((70, 89), "the image is 1 and 1.01124 times as high and as wide"),
        ((69, 89), "1.01449 and 1.01124 times"),
        ((35, 90), "2 and 1 times as high and as wide"),
        ((35, 60), r"mask has shape \(35, 60\); .* 2 and 1.5 times"),
        ((140, 180), "0.5 and 0.5 times"),
        ((0, 0), r"mask has shape \(0, 0\)"),
        ((35, 45, 3), r"mask has shape \(35, 45, 3\); wanted \(70, 90\), .* and one channel"),
        ((70, 90, 3), r"mask has shape \(70, 90, 3\); wanted \(70, 90\), .* and one channel"),
    ],
)
def test_sizes_that_are_refused(small: tuple[int, ...], message: str) -> None:
    """Another aspect, a larger size, several channels, and a size that is off by one are refused."""
    with pytest.raises(ValueError, match=message):
        fit_extent(open_source(np.ones(small, np.uint8)), (70, 90), "mask")


def test_identity_and_place(tmp_path: Path) -> None:
    """Both name the base and the size; what is in memory has no place, and what isn't known no identity."""
    cv2.imwrite(os.fspath(tmp_path / "x.png"), noise(10, 20))
    base = open_source(tmp_path / "x.png")
    scaled, larger = Scaled(base, (100, 200)), Scaled(base, (101, 200))
    assert scaled.place() == {"image": str(tmp_path / "x.png"), "extent": [100, 200]}
    assert len({scaled.identity(), larger.identity(), base.identity()}) == 3
    assert scaled.identity() == f"{base.identity()}, scaled to 100 x 200"
    assert scaled.paths == base.paths
    part = Scaled(view(base, range(0, 10, 2)), (50, 200))
    place = part.place()
    assert place is not None
    assert reopen(place).description == part.description
    assert Scaled(open_source(noise(10, 20)), (100, 200)).place() is None

    class Unknown(Plain):
        def identity(self) -> None:  # type: ignore[override]
            """Tell nothing."""

    assert Scaled(Unknown(noise(10, 20, 1)), (100, 200)).identity() is None


def test_memory_is_that_of_the_base() -> None:
    """Reading takes the pixels, and the base's region with a tile more."""
    base = Plain(noise(320, 200, 1))
    scaled = Scaled(base, (3200, 2000))
    assert scaled.tile == scaled.unit == (320, 200)
    assert (scaled.held_bytes, scaled.present_bytes, scaled.opening_bytes) == (0, 0, 0)
    assert Scaled(open_source(noise(10, 20)), (100, 200)).tile == (1, 1)
    reckoned = scaled.region_bytes((1000, 1000))
    rows, columns = 100 + 1 + 32, 100 + 1 + 20
    assert reckoned == base.region_bytes((rows, columns)) + (1000 + rows) * 1000 + 2000 * 32
    assert scaled.region_bytes((1000, 1000), (range(0, 3200, 3), range(1999, -1, -2))) > reckoned
    tracemalloc.start()
    scaled.read((slice(1000, 2000), slice(1000, 2000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.8 * reckoned < peak <= reckoned
