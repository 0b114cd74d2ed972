"""The contract of sources: tests that any source must pass, when they inherit it and override `case`."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.images.description import Description
from pipeline.images.image import Image
from pipeline.images.reopening import reopen
from pipeline.images.view import view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.images.source import Region, Source

    Case = tuple[Source, NDArray[Any]]

_STEPS = (1, 1, 2, 3, 7, 40)
# The bytes that a pickled part may take beside its pixels.
_PART_BYTES = 20_000


def regions(extent: tuple[int, int], count: int = 10, seed: int = 0) -> list[Region]:
    """Return the whole of an image, empty regions, and random ones, with steps of 1 and more."""
    height, width = extent
    random = np.random.default_rng(seed)
    found = [
        (slice(0, height, 1), slice(0, width)),
        (slice(0, 0), slice(0, width)),
        (slice(0, 1), slice(1, 1)),
    ]
    for _ in range(count):
        ends = [sorted(random.integers(0, length + 1, 2)) for length in extent]
        steps = random.choice(_STEPS, 2)
        rows, columns = (
            slice(int(start), int(stop), int(step)) for (start, stop), step in zip(ends, steps, strict=True)
        )
        found.append((rows, columns))
    return found


class SourceContract:
    """The tests of a source.

    Override the fixture `case`, so that it returns a source and the pixels that it holds, shape (H, W, C),
    with any number of channels. Set `pickles` to False for a source that one process alone can read, and says
    so by its attribute `travels`.
    """

    pickles = True

    @pytest.fixture
    def case(self) -> Case:
        """Return a source and its pixels; every subclass overrides it."""
        raise NotImplementedError

    def test_it_says_what_it_holds(self, case: Case) -> None:
        """The shape, dtype, names and tile are those of the pixels."""
        source, pixels = case
        assert source.shape == pixels.shape
        assert all(type(length) is int for length in (*source.shape, *source.tile))
        assert source.extent == pixels.shape[:2]
        assert source.dtype == pixels.dtype
        assert source.dtype.isnative
        assert source.channels is None or len(source.channels) == pixels.shape[2]
        assert min(source.tile) >= 1
        assert min(source.unit) >= 1
        assert min(source.held_bytes, source.present_bytes, source.opening_bytes) >= 0
        for extent in ((1, 1), (20, 50), source.extent):
            least = extent[0] * extent[1] * pixels.shape[2] * pixels.itemsize
            assert source.region_bytes(extent) >= least
            height, width = source.extent
            assert source.region_bytes(extent, (range(0, height, 2), range(width - 1, -1, -3))) >= 1
        assert not source.is_held_by_cluster
        assert source.travels or not self.pickles
        assert all(path.exists() for path in source.paths)

    def test_regions_are_slices_of_the_whole(self, case: Case) -> None:
        """A part reads the same pixels as the slices of the array that was written."""
        source, pixels = case
        for region in regions(source.extent):
            for read in (source.part(region).read(), source.read(region)):
                assert read.dtype == pixels.dtype
                np.testing.assert_array_equal(read, pixels[region], err_msg=f"{region}")

    def test_what_is_read_is_the_readers_own(self, case: Case) -> None:
        """Writing to an array that was read doesn't change the image."""
        source, pixels = case
        region = (slice(0, 5), slice(0, 7))
        source.read(region)[...] = 0
        np.testing.assert_array_equal(source.read(region), pixels[region])

    def test_a_part_is_small_and_travels(self, case: Case) -> None:
        """A part survives pickling, is hardly larger than its pixels, and reads the same elsewhere."""
        source, pixels = case
        if not self.pickles:
            pytest.skip("this source is read by one process alone")
        for region in regions(source.extent, 5):
            sent = pickle.dumps(source.part(region))
            assert len(sent) < _PART_BYTES + 3 * pixels[region].nbytes
            np.testing.assert_array_equal(pickle.loads(sent).read(), pixels[region])  # noqa: S301  made above

    def test_a_source_travels(self, case: Case) -> None:
        """A source survives pickling, with its description."""
        source, pixels = case
        if not self.pickles:
            pytest.skip("this source is read by one process alone")
        again = pickle.loads(pickle.dumps(source))  # noqa: S301  made here
        assert again.description == source.description
        np.testing.assert_array_equal(again.read((slice(3, 9), slice(2, 8))), pixels[3:9, 2:8])

    def test_threads_read_at_once(self, case: Case) -> None:
        """Threads that read one source get their own regions."""
        source, pixels = case
        wanted = regions(source.extent, 16, seed=1)
        with ThreadPoolExecutor(8) as pool:
            for region, read in zip(wanted, pool.map(source.read, wanted), strict=True):
                np.testing.assert_array_equal(read, pixels[region])

    def test_its_description_is_a_record(self, case: Case) -> None:
        """The description is the same at each access, and when it was written as JSON and read again."""
        source, _ = case
        description = source.description
        assert source.description == description
        assert Description.from_dict(json.loads(json.dumps(description.to_dict()))) == description

    def test_it_is_found_again_by_its_place(self, case: Case) -> None:
        """The image at its place is the same, with the same description."""
        source, pixels = case
        place = source.place()
        if place is None:
            pytest.skip("this source is in memory only")
        again = reopen(json.loads(json.dumps(place)))
        assert again.description == source.description
        np.testing.assert_array_equal(again, pixels)

    def test_channels_are_chosen(self, case: Case) -> None:
        """Some of the channels, in another order or twice, come with their names, and are another image."""
        source, pixels = case
        n_channels = pixels.shape[2]
        choices = [(0,), (2, 1, 0), (1, 2), (2, 0), (1, 0, 0, 2)] if n_channels > 2 else [(0, 0, 0)]
        for chosen in choices:
            for some in (source.select(chosen), view(source, channels=chosen)):
                if some is None:
                    continue
                assert some.shape == (*source.extent, len(chosen))
                assert source.channels is None or some.channels == tuple(source.channels[n] for n in chosen)
                assert some.description != source.description or source.identity() is None
                np.testing.assert_array_equal(
                    some.read((slice(2, 30, 3), slice(0, 9))), pixels[2:30:3, :9][..., chosen]
                )

    def test_alpha_comes_last(self, case: Case) -> None:
        """With its alpha channel, the image has the same rows and columns, and all of its channels still."""
        source, _ = case
        whole = source.with_alpha()
        if whole is not None:
            assert whole.extent == source.extent
            assert whole.shape[2] >= source.shape[2]
            assert whole.channels is None or whole.channels[-1] == "alpha"

    def test_views_compose(self, case: Case) -> None:
        """Rows, columns and channels in any order, and views of views, are slices of the whole."""
        source, pixels = case
        height, width = source.extent
        last = min(2, pixels.shape[2] - 1)
        second = (1,) if last else (1, 0)
        once = view(source, range(height - 1, -1, -2), range(1, width, 3), (last, 0))
        wanted = pixels[::-2, 1::3][..., [last, 0]]
        twice = view(once, range(once.extent[0] - 1, 3, -3), range(2, once.extent[1]), second)
        for some, array in ((once, wanted), (twice, wanted[:3:-3, 2:][..., second])):
            assert some.shape == array.shape
            for region in regions(some.extent, 5):
                np.testing.assert_array_equal(some.part(region).read(), array[region])
                np.testing.assert_array_equal(some.read(region), array[region])
            place = some.place()
            if place is not None:
                assert reopen(json.loads(json.dumps(place))).description == some.description
        identities = {source.identity(), once.identity(), twice.identity()}
        assert len(identities) == 3 or identities == {None}

    def test_an_image_of_it(self, case: Case) -> None:
        """As an image it is indexed, computed and turned into a Dask array as its pixels are."""
        source, pixels = case
        image = Image.of(source)
        keys: list[Any] = [
            (),
            (slice(None, None, 5), slice(None, None, -7)),
            (..., 0),
            3,
            (slice(9), 4, None),
        ]
        for key in keys:
            np.testing.assert_array_equal(image[key], pixels[key])
            np.testing.assert_array_equal(image[key].to_dask().compute(), pixels[key])
        np.testing.assert_array_equal(image.to_dask(block=32).compute(scheduler="synchronous"), pixels)
