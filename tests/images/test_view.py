"""Views: rows, columns and channels of another source, which is asked for no more than they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import zarr
from images.examples import HEIGHT, WIDTH, Plain, noise

from pipeline.images.readers import open_source
from pipeline.images.view import View, view
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pipeline.images.source import Source
    from pipeline.testing.sources import Case


class TestPlain(SourceContract):
    """The contract, on a source that defines no more than it must."""

    @pytest.fixture
    def case(self) -> Case:
        """Return a source that isn't one of this package's."""
        pixels = noise(HEIGHT, WIDTH, 3, dtype="float32")
        return Plain(pixels), pixels

    def test_a_part_is_small_and_travels(self, case: Case) -> None:
        """It takes its pixels along."""


class TestView(SourceContract):
    """The contract, on views of different kinds of bases."""

    @pytest.fixture(params=["numpy", "plain", "channels"])
    def case(self, request: pytest.FixtureRequest) -> Case:
        """Return a view."""
        pixels = noise(300, 200, 5)
        base: Source = open_source(pixels) if request.param == "numpy" else Plain(pixels)
        if request.param == "channels":
            return view(base, channels=(4, 0, 2, 2)), pixels[..., [4, 0, 2, 2]]
        return view(base, range(299, 60, -2), range(5, 200, 3)), pixels[299:60:-2, 5::3]

    def test_a_part_is_small_and_travels(self, case: Case) -> None:
        """The plain source takes its pixels along."""


def test_a_whole_view_is_the_source() -> None:
    """Where nothing is left out, there is no view."""
    base = Plain(noise(10, 20, 3))
    assert view(base) is base
    assert view(base, range(10), range(20), (0, 1, 2)) is base
    assert isinstance(view(base, range(9)), View)
    assert isinstance(view(base, channels=(0, 2, 1)), View)


def test_the_base_is_asked_for_no_more_than_is_seen() -> None:
    """A region of a view is one region of the base, with ascending steps."""
    base = Plain(noise(100, 100, 3))
    seen = view(base, range(90, 10, -4), range(0, 100, 7))
    seen.part((slice(2, 10, 3), slice(1, 5))).read()
    assert base.asked == [(slice(58, 83, 12), slice(7, 29, 7))]
    assert [(82 - 58) % 12, (28 - 7) % 7] == [0, 0]


@pytest.mark.parametrize(
    ("rows", "columns", "tile"),
    [
        (range(0, 100, 16), range(0, 100, 10), (2, 2)),
        (range(99, -1, -2), range(100), (16, 20)),
        (range(0, 100, 50), range(5), (1, 5)),
    ],
)
def test_tiles_shrink_with_steps(rows: range, columns: range, tile: tuple[int, int]) -> None:
    """The tile of a view is as many of its pixels as a tile of the base holds."""
    assert view(Plain(noise(100, 100, 3)), rows, columns).tile == tile


def test_places_name_the_view() -> None:
    """A view of a source with a place has one: the base's, and the rows, columns and channels."""

    class Placed(Plain):
        def place(self) -> dict[str, Any]:
            return {"image": "/x.tif"}

    base = Placed(noise(10, 20, 3))
    once = view(base, range(1, 9), None, (2, 1))
    assert once.place() == {
        "image": {"image": "/x.tif", "channels": [2, 1]},
        "rows": [1, 9, 1],
    }
    assert view(base, None, range(19, -1, -1)).place() == {"image": "/x.tif", "columns": [19, -1, -1]}
    assert view(Plain(base.array), range(3)).place() is None


def test_memory_of_chosen_channels() -> None:
    """Where channels are chosen from a copy, reading takes the copy too."""
    base = Plain(noise(10, 20, 3))
    whole = base.region_bytes((2, 5))
    assert view(base, range(5)).region_bytes((2, 5)) == whole
    assert view(base, channels=(0, 2)).region_bytes((2, 5)) == whole + 20
    assert view(open_source(base.array), channels=(0, 2)).region_bytes((2, 5)) == 20


def test_memory_of_steps() -> None:
    """A view with steps takes the pieces of the base that its regions span, and has its units."""
    array = zarr.create_array(
        {}, shape=(1000, 1000, 3), chunks=(100, 100, 3), dtype="uint8", compressors=None
    )
    base = open_source(array)
    seen = view(base, range(0, 1000, 10), range(999, -1, -5))
    # 20 rows of the view are 200 of the base, and 20 columns 100, which begin at its last one.
    assert seen.region_bytes((20, 20)) == 20 * 20 * 3 + 2 * 30_000
    assert view(seen, range(1, 90)).region_bytes((20, 20)) == 20 * 20 * 3 + 3 * 30_000
    assert (seen.unit, seen.tile) == ((10, 20), (10, 20))
    assert (seen.present_bytes, seen.opening_bytes) == (0, 0)


def test_all_channels_again() -> None:
    """Channels that are put back into their order leave a view of all channels, with its identity."""
    once = view(Plain(noise(10, 20, 3)), range(5), range(20), (2, 0, 1))
    again = once.select((1, 2, 0))
    assert again is not None
    assert again.identity() == view(Plain(noise(10, 20, 3)), range(5), range(20)).identity()
